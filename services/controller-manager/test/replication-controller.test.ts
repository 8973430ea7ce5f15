// ReplicationControllers run by the ReplicaSet's rules: pods are made, adopted, released and counted.
import { PODS, REPLICATION_CONTROLLERS, type Pod, type ReplicationController } from "@coxswain/api";
import { expect, test } from "vitest";
import { makeFixture, runPods, template } from "./cluster-fixture.ts";

const MERGE = "application/merge-patch+json";
const WEB = { namespace: "default", name: "web" };

test("keeps as many pods as it asks for, with those that match its selector", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  runPods(fixture);
  const rc: ReplicationController = {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata: WEB,
    spec: { replicas: 2, selector: { app: "web" }, template: template("web", "v1") },
  };
  const orphan: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...WEB, name: "stray" },
    spec: template("web", "v1").spec,
  };
  fixture.cluster.seed(PODS, { ...orphan, metadata: { ...orphan.metadata, labels: { app: "web" } } });
  fixture.cluster.seed(REPLICATION_CONTROLLERS, rc);
  fixture.start();
  const status = () => fixture.cluster.objects<ReplicationController>(REPLICATION_CONTROLLERS)[0]?.status;
  expect(await fixture.until(() => status()?.readyReplicas === 2)).toBe(true);
  expect(status()).toMatchObject({ replicas: 2, fullyLabeledReplicas: 2, availableReplicas: 2 });
  expect(fixture.pods().map(({ metadata }) => metadata?.ownerReferences)).toEqual(
    Array.from({ length: 2 }, () => [
      expect.objectContaining({ apiVersion: "v1", kind: "ReplicationController", name: "web", controller: true }),
    ]),
  );
  const stray = { namespace: "default", name: "stray" };
  await fixture.settle(fixture.admin.patch(PODS, stray, MERGE, { metadata: { labels: { app: "other" } } }));
  const released = (): boolean =>
    fixture.pods().find(({ metadata }) => metadata?.name === "stray")?.metadata?.ownerReferences?.length !== 1;
  expect(await fixture.until(() => released() && fixture.pods().length === 3)).toBe(true);
  await fixture.settle(fixture.admin.patch(REPLICATION_CONTROLLERS, WEB, MERGE, { spec: { replicas: 0 } }));
  expect(await fixture.until(() => fixture.pods().length === 1 && status()?.replicas === 0)).toBe(true);
});
