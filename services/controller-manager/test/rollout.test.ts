// Deployments and ReplicaSets on the in-memory cluster: rollouts, undo, pause, scaling, deadlines, and failing writes.
import { DEPLOYMENTS, PODS, REPLICA_SETS, type Pod } from "@coxswain/api";
import { timeoutError } from "@coxswain/client/memory/memory-cluster";
import { describe, expect, test } from "vitest";
import { newReplicaSetAnnotations } from "../src/deployment/revision.ts";
import { isPodActive } from "../src/pods/pod-state.ts";
import { deployment, makeFixture, runPods, template, type Fixture } from "./cluster-fixture.ts";

const MERGE = "application/merge-patch+json";
const WEB = { namespace: "default", name: "web" };

function complete({ deployment: get }: Fixture, replicas: number): () => boolean {
  return () => {
    const { status, metadata } = get() ?? {};
    return (
      status?.availableReplicas === replicas &&
      status.updatedReplicas === replicas &&
      status.replicas === replicas &&
      status.observedGeneration === metadata?.generation
    );
  };
}

const setImage = (fixture: Fixture, image: string) =>
  fixture.settle(fixture.admin.patch(DEPLOYMENTS, WEB, MERGE, { spec: { template: template("web", image) } }));

async function started(spec: Parameters<typeof deployment>[1] = {}, seed = 3): Promise<Fixture> {
  const fixture = makeFixture({ seed });
  fixture.seedNamespace();
  runPods(fixture);
  fixture.start();
  await fixture.until(() => fixture.events("LeaderElection").length >= 0, 5_000);
  fixture.cluster.seed(DEPLOYMENTS, deployment("web", spec));
  expect(await fixture.until(complete(fixture, spec.replicas ?? 3))).toBe(true);
  return fixture;
}

describe("deployment", () => {
  test("makes pods through a ReplicaSet and says so", async () => {
    const fixture = await started();
    const [rs] = fixture.replicaSets();
    const name = rs?.metadata?.name;
    expect(name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
    await fixture.env.advance(3_000);
    expect(fixture.events("ScalingReplicaSet").map((one) => one.message)).toEqual([
      `Scaled up replica set ${name} from 0 to 3`,
    ]);
    expect(fixture.events("SuccessfulCreate").map((one) => one.message?.replace(/-\w+-\w+$/, ""))).toEqual(
      Array.from({ length: 3 }, () => "Created pod: web"),
    );
    expect(fixture.deployment()?.metadata?.annotations).toEqual({ "deployment.kubernetes.io/revision": "1" });
    expect(fixture.deployment()?.status?.conditions).toMatchObject([
      { type: "Available", status: "True", reason: "MinimumReplicasAvailable" },
      {
        type: "Progressing",
        status: "True",
        reason: "NewReplicaSetAvailable",
        message: `ReplicaSet "${name}" has successfully progressed.`,
      },
    ]);
  });

  test("rolls a new template out within its limits, and back", async () => {
    const fixture = await started({ replicas: 4 });
    const first = fixture.replicaSets()[0]?.metadata?.name;
    const counts: number[] = [];
    fixture.cluster.onChange(() => {
      const total = fixture.replicaSets().reduce((sum, rs) => sum + (rs.spec?.replicas ?? 0), 0);
      counts.push(total);
    });
    await setImage(fixture, "v2");
    expect(await fixture.until(complete(fixture, 4))).toBe(true);
    expect(Math.max(...counts)).toBe(5);
    expect(
      fixture
        .pods()
        .filter(isPodActive)
        .every((pod) => pod.spec?.containers[0]?.image === "v2"),
    ).toBe(true);
    await setImage(fixture, "v1");
    expect(await fixture.until(complete(fixture, 4))).toBe(true);
    expect(fixture.replicaSets()).toHaveLength(2);
    const old = fixture.replicaSets().find((rs) => rs.metadata?.name === first);
    expect(old?.spec?.replicas).toBe(4);
    expect(old?.metadata?.annotations?.["deployment.kubernetes.io/revision"]).toBe("3");
    expect(old?.metadata?.annotations?.["deployment.kubernetes.io/revision-history"]).toBe("1");
    expect(fixture.deployment()?.metadata?.annotations?.["deployment.kubernetes.io/revision"]).toBe("3");
  });

  test("of the revisions that a ReplicaSet had, the oldest are forgotten where all take more than 2,000 characters", () => {
    const historyAfter = (history: string): string | undefined => {
      const present = {
        "deployment.kubernetes.io/revision": "41",
        "deployment.kubernetes.io/revision-history": history,
      };
      return newReplicaSetAnnotations({}, present, 42n)["deployment.kubernetes.io/revision-history"];
    };
    expect(historyAfter("")).toBe("41");
    expect(historyAfter("7,8")).toBe("7,8,41");
    const full = Array.from({ length: 400 }, (_, at) => String(1_000 + at));
    expect(full.join()).toHaveLength(1_999);
    expect(historyAfter(full.join())).toBe([...full.slice(1), "41"].join());
    expect(historyAfter("9".repeat(3_000))).toBe("41");
  });

  test("paused, it scales but does not roll out; resumed, it does", async () => {
    const fixture = await started();
    await fixture.settle(fixture.admin.patch(DEPLOYMENTS, WEB, MERGE, { spec: { paused: true } }));
    await setImage(fixture, "v2");
    await fixture.settle(fixture.admin.patch(DEPLOYMENTS, WEB, MERGE, { spec: { replicas: 5 } }));
    expect(await fixture.until(() => fixture.deployment()?.status?.availableReplicas === 5)).toBe(true);
    expect(fixture.replicaSets()).toHaveLength(1);
    const reason = () => fixture.deployment()?.status?.conditions?.find((one) => one.type === "Progressing")?.reason;
    expect(reason()).toBe("DeploymentPaused");
    await fixture.settle(fixture.admin.patch(DEPLOYMENTS, WEB, MERGE, { spec: { paused: false } }));
    expect(await fixture.until(complete(fixture, 5))).toBe(true);
    expect(reason()).toBe("NewReplicaSetAvailable");
  });

  test("Recreate ends all old pods before it makes new ones", async () => {
    const fixture = await started({ strategy: { type: "Recreate" } });
    let both = false;
    fixture.cluster.onChange(() => {
      const images = new Set(fixture.pods().map((pod) => pod.spec?.containers[0]?.image));
      both ||= images.size > 1;
    });
    await setImage(fixture, "v2");
    expect(await fixture.until(complete(fixture, 3))).toBe(true);
    expect(both).toBe(false);
  });

  test("says when it exceeds its deadline", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    runPods(fixture, { ready: (pod: Pod) => pod.spec?.containers[0]?.image !== "bad" });
    fixture.start();
    fixture.cluster.seed(
      DEPLOYMENTS,
      deployment("web", { template: template("web", "bad"), progressDeadlineSeconds: 10 }),
    );
    const progressing = () => fixture.deployment()?.status?.conditions?.find((one) => one.type === "Progressing");
    expect(await fixture.until(() => progressing()?.status === "False")).toBe(true);
    expect(progressing()).toMatchObject({
      reason: "ProgressDeadlineExceeded",
      message: `ReplicaSet "${fixture.replicaSets()[0]?.metadata?.name}" has timed out progressing.`,
    });
    await setImage(fixture, "good");
    expect(await fixture.until(complete(fixture, 3))).toBe(true);
    expect(progressing()?.reason).toBe("NewReplicaSetAvailable");
  });

  test("keeps as much history as asked", async () => {
    const fixture = await started({ revisionHistoryLimit: 1 });
    for (const image of ["v2", "v3", "v4"]) {
      await setImage(fixture, image);
      expect(await fixture.until(complete(fixture, 3))).toBe(true);
    }
    expect(await fixture.until(() => fixture.replicaSets().length === 2)).toBe(true);
  });

  test("gives way where a ReplicaSet's name is taken", async () => {
    const donor = await started();
    const [rs] = donor.replicaSets();
    const fixture = makeFixture();
    fixture.seedNamespace();
    runPods(fixture);
    fixture.start();
    fixture.cluster.seed(REPLICA_SETS, {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: rs?.metadata?.name, namespace: "default" },
      spec: { replicas: 0, selector: { matchLabels: { app: "other" } }, template: template("other", "x") },
    });
    fixture.cluster.seed(DEPLOYMENTS, deployment());
    expect(await fixture.until(complete(fixture, 3))).toBe(true);
    expect(fixture.deployment()?.status?.collisionCount).toBe(1);
  });
});

describe("replicaset", () => {
  test("never makes a pod twice, whatever the answers to its creates", async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const fixture = makeFixture({ seed });
      fixture.seedNamespace();
      runPods(fixture);
      let most = 0;
      fixture.cluster.onChange(() => (most = Math.max(most, fixture.pods().length)));
      const random = fixture.env.random;
      fixture.cluster.inject({
        verb: "create",
        resource: "pods",
        subresource: "",
        when: () => random.float() < 0.2,
        error: timeoutError(),
        lands: true,
      });
      fixture.cluster.inject({
        verb: "create",
        resource: "pods",
        subresource: "",
        when: () => random.float() < 0.2,
        error: timeoutError(),
      });
      fixture.start();
      fixture.cluster.seed(DEPLOYMENTS, deployment("web", { replicas: 10 }));
      expect(await fixture.until(complete(fixture, 10), 3_000_000)).toBe(true);
      expect(most).toBe(10);
    }
  });

  test("500 replicas are there within seconds", async () => {
    const fixture = await started({ replicas: 500 });
    expect(fixture.pods()).toHaveLength(500);
    expect(fixture.env.elapsedMs).toBeLessThan(15_000);
  });

  test("reports what hinders it", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    const { StatusError } = await import("@coxswain/apimachinery");
    const error = new StatusError("Forbidden", 403, 'pods "web" is forbidden: exceeded quota');
    const fault = fixture.cluster.inject({ verb: "create", resource: "pods", error });
    fixture.start();
    fixture.cluster.seed(DEPLOYMENTS, deployment());
    const failure = () => fixture.deployment()?.status?.conditions?.find((one) => one.type === "ReplicaFailure");
    expect(await fixture.until(() => failure() !== undefined)).toBe(true);
    expect(failure()).toMatchObject({ status: "True", reason: "FailedCreate", message: error.message });
    expect(fixture.events("FailedCreate")[0]?.message).toBe(`Error creating: ${error.message}`);
    fault.remove();
    runPods(fixture);
    expect(await fixture.until(complete(fixture, 3), 2_000_000)).toBe(true);
    expect(failure()).toBeUndefined();
  });

  test("adopts matching pods and releases those that stop matching", async () => {
    const fixture = await started();
    const [pod] = fixture.pods();
    const target = { namespace: "default", name: pod?.metadata?.name ?? "" };
    await fixture.settle(fixture.admin.patch(PODS, target, MERGE, { metadata: { labels: { app: "other" } } }));
    expect(await fixture.until(() => fixture.pods().length === 4)).toBe(true);
    const released = () => fixture.pods().find((one) => one.metadata?.name === target.name);
    expect(
      await fixture.until(
        () =>
          released()?.metadata?.ownerReferences === undefined || released()?.metadata?.ownerReferences?.length === 0,
      ),
    ).toBe(true);
    await fixture.settle(fixture.admin.patch(PODS, target, MERGE, { metadata: { labels: { app: "web" } } }));
    // Adopted again, it is one too many.
    expect(await fixture.until(() => fixture.pods().length === 3)).toBe(true);
  });
});

test("pods on their way out are told apart", async () => {
  const fixture = makeFixture({ measured: true });
  fixture.seedNamespace();
  runPods(fixture, { delayMs: 2_000 });
  fixture.start();
  fixture.cluster.seed(DEPLOYMENTS, deployment("web", { replicas: 2 }));
  expect(await fixture.until(() => fixture.deployment()?.status?.availableReplicas === 2)).toBe(true);
  expect(fixture.deployment()?.status?.terminatingReplicas).toBe(0);
  const patch = { spec: { replicas: 1 } };
  const at = { namespace: "default", name: "web" };
  await fixture.settle(fixture.admin.patch(DEPLOYMENTS, at, "application/merge-patch+json", patch));
  expect(await fixture.until(() => fixture.deployment()?.status?.terminatingReplicas === 1)).toBe(true);
  expect(fixture.replicaSets()[0]?.status).toMatchObject({ replicas: 1, terminatingReplicas: 1 });
  // Both are of an age.
  expect(await fixture.figures("replicaset_controller_sorting_deletion_age_ratio")).toEqual({
    replicaset_controller_sorting_deletion_age_ratio_sum: 1,
    replicaset_controller_sorting_deletion_age_ratio_count: 1,
  });
  expect(await fixture.until(() => fixture.deployment()?.status?.terminatingReplicas === 0)).toBe(true);
});
