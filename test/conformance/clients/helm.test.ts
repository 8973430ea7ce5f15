// Helm 4 with a chart that has a definition, hooks, a sub-chart and tests: installed, upgraded, rolled back, tested and removed,
// with server-side apply, Helm's default, and without.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ConfigMap, Deployment, Job, Pod, StatefulSet } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type Kubectl, type KubectlResult } from "../../integration/cluster-fixture.ts";
import { realHelm, realKubectl } from "./real-clients.ts";

const chart = path.join(import.meta.dirname, "charts", "harbour");
const NS = "helm-dock";
const CRD = "berths.harbour.example.test";

let k: Kubectl;
let run: (args: readonly string[]) => Promise<KubectlResult>;

beforeAll(async () => {
  [k, run] = await Promise.all([realKubectl(), realHelm()]);
});
afterAll(async () => {
  await k?.kubectl(["delete", "namespace", NS, "--ignore-not-found", "--wait=false"]);
  await k?.kubectl(["delete", "crd", CRD, "--ignore-not-found"]);
});

async function helm(...args: string[]): Promise<string> {
  const result = await run(args);
  if (result.code !== 0) throw new Error(`helm ${args.join(" ")} exited with ${result.code}: ${result.stderr}`);
  return result.stdout;
}

const inDock = (...args: string[]): string[] => [...args, "-n", NS];
const waiting = ["--wait", "--timeout", "60s"];

interface Revision {
  readonly revision: number;
  readonly status: string;
  readonly description: string;
}
const history = async (name: string): Promise<Revision[]> =>
  JSON.parse(await helm(...inDock("history", name, "-o", "json"))) as Revision[];
const deployment = (name: string): Promise<Deployment> => k.get<Deployment>(inDock("deployment", name));
const jobsOf = async (name: string): Promise<string[]> =>
  (await k.get<{ items: Job[] }>(inDock("jobs"))).items
    .map(({ metadata }) => metadata?.name ?? "")
    .filter((job) => job.startsWith(`${name}-`));

describe("a release", () => {
  test("is installed: the definition first, then hooks, then all else, awaited", async () => {
    const text = await helm(...inDock("install", "main", chart, "--create-namespace", ...waiting));
    expect(text).toMatch(/STATUS: deployed\nREVISION: 1\n/);
    expect(text).toMatch(/main says ahoy from 2 pods\./);
    expect((await deployment("main")).status).toMatchObject({ readyReplicas: 2, availableReplicas: 2 });
    expect((await k.get<StatefulSet>(inDock("statefulset", "main-buoy"))).status?.readyReplicas).toBe(1);
    expect(await k.ok(inDock("get", "berths", "-o", "name"))).toBe("berth.harbour.example.test/main\n");
    // The hook before the install stays by its policy, the one after it does not.
    expect(await jobsOf("main")).toEqual(["main-pre-install"]);
    expect((await k.get<Job>(inDock("job", "main-pre-install"))).status?.succeeded).toBe(1);
  });

  test("sees the cluster from its templates", async () => {
    const { data } = await k.get<ConfigMap>(inDock("configmap", "main"));
    expect(data).toMatchObject({ HAS_DEPLOYMENTS: "yes", API_ADDRESS: "10.96.0.1" });
    expect(data?.["KUBE_VERSION"]).toMatch(/^v1\.35\.2\+coxswain\./);
  });

  test("is owned by Helm's field manager", async () => {
    const { metadata } = await k.get<Deployment>(inDock("deployment", "main", "--show-managed-fields"));
    expect(metadata?.managedFields?.[0]).toMatchObject({ manager: "helm", operation: "Apply", apiVersion: "apps/v1" });
  });

  test("is told of by list, status and get", async () => {
    expect(JSON.parse(await helm(...inDock("list", "-o", "json")))).toMatchObject([
      { name: "main", namespace: NS, revision: "1", status: "deployed", chart: "harbour-0.1.0", app_version: "1" },
    ]);
    const status = await helm(...inDock("status", "main"));
    for (const line of [/==> v1\/Berth\nNAME +AGE\nmain /, /==> v1\/Deployment\nNAME +READY .*\nmain +2\/2 /])
      expect(status).toMatch(line);
    expect(status).toMatch(/==> v1\/Pod\(related\)\nNAME +READY +STATUS .*\n(main-[^\n]*Running[^\n]*\n){3}/);
    const all = await helm(...inDock("get", "all", "main"));
    expect(all).toMatch(/HOOKS:[\s\S]*helm\.sh\/hook: post-rollback[\s\S]*MANIFEST:[\s\S]*kind: Berth/);
    expect(JSON.parse(await helm(...inDock("get", "metadata", "main", "-o", "json")))).toMatchObject({
      chart: "harbour",
      applyMethod: "ssa",
    });
  });

  test("runs its tests, shows their logs, and tells of one that fails", async () => {
    const text = await helm(...inDock("test", "main", "--logs"));
    expect(text).toMatch(/TEST SUITE: +main-answers\n[\s\S]*Phase: +Succeeded/);
    expect(text).toMatch(/POD LOGS: main-answers\nsimulated: container ask /);
    await helm(...inDock("upgrade", "main", chart, "--set-json", 'test.command=["false"]', ...waiting));
    const failed = await run(inDock("test", "main"));
    expect(failed.code).toBe(1);
    expect(failed.stdout + failed.stderr).toMatch(/Phase: +Failed/);
    expect((await k.get<Pod>(inDock("pod", "main-answers"))).status?.phase).toBe("Failed");
  });

  test("is upgraded, rolled out and awaited", async () => {
    const text = await helm(
      ...inDock("upgrade", "main", chart, "--set", "greeting=hello,replicas=3,buoy.colour=green", ...waiting),
    );
    expect(text).toMatch(/has been upgraded\. Happy Helming!/);
    const { spec, status } = await deployment("main");
    expect(spec?.template.metadata?.annotations).toMatchObject({ greeting: "hello" });
    expect(status).toMatchObject({ replicas: 3, updatedReplicas: 3, readyReplicas: 3 });
    expect((await k.get<StatefulSet>(inDock("statefulset", "main-buoy"))).spec?.template.metadata?.annotations).toEqual(
      { colour: "green" },
    );
    expect((await history("main")).map(({ status }) => status)).toEqual(["superseded", "superseded", "deployed"]);
  });

  test("goes back by itself when a hook fails, with the failure in its history", async () => {
    const args = ["--reuse-values", "--set-json", 'hook.command=["false"]', "--rollback-on-failure", ...waiting];
    const failed = await run(inDock("upgrade", "main", chart, ...args));
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /has been rolled back due to rollback-on-failure being set: pre-upgrade hooks failed/,
    );
    const revisions = await history("main");
    expect(revisions.at(-2)?.status).toBe("failed");
    expect(revisions.at(-1)).toMatchObject({ status: "deployed", description: "Rollback to 3" });
  });

  test("is rolled back, with the hook for it", async () => {
    expect(await helm(...inDock("rollback", "main", "1", ...waiting))).toMatch(/^Rollback was a success!/);
    const { spec, status } = await deployment("main");
    expect([spec?.replicas, status?.readyReplicas, status?.replicas]).toEqual([2, 2, 2]);
    expect(spec?.template.metadata?.annotations).toMatchObject({ greeting: "ahoy" });
    expect((await history("main")).at(-1)?.description).toBe("Rollback to 1");
  });

  test("meets what others changed as a conflict, until it is told to take it", async () => {
    await k.ok(inDock("scale", "deployment", "main", "--replicas=5"));
    const conflict = await run(inDock("upgrade", "main", chart, "--set", "replicas=1"));
    expect(conflict.code).toBe(1);
    expect(conflict.stderr).toMatch(
      /Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps\/v1: \.spec\.replicas/,
    );
    expect((await deployment("main")).spec?.replicas).toBe(5);
    await helm(...inDock("upgrade", "main", chart, "--set", "replicas=1", "--force-conflicts", ...waiting));
    expect((await deployment("main")).spec?.replicas).toBe(1);
  });

  test("that breaks a definition's schema is refused with upstream's words, and a dry run changes nothing", async () => {
    const words = /spec\.depth: Invalid value: 0: spec\.depth in body should be greater than or equal to 1/;
    for (const way of ["--server-side=true", "--server-side=false"]) {
      const refused = await run(inDock("upgrade", "main", chart, "--set", "berthDepth=0", way));
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(words);
    }
    const before = await deployment("main");
    const text = await helm(...inDock("upgrade", "main", chart, "--set", "replicas=9", "--dry-run=server"));
    expect(text).toMatch(/replicas: 9/);
    expect((await deployment("main")).metadata?.resourceVersion).toBe(before.metadata?.resourceVersion);
  });

  test("is uninstalled and leaves what hooks keep, and its history where that is asked for", async () => {
    const gone = ["--cascade", "foreground", "--keep-history", ...waiting];
    expect(await helm(...inDock("uninstall", "main", ...gone))).toBe('release "main" uninstalled\n');
    // Helm waits only for what it still saw being deleted when it began to wait.
    const kinds = "deployments,replicasets,statefulsets,services,berths,roles";
    await eventually(
      () => k.ok(inDock("get", kinds, "-o", "name")),
      (left) => left === "",
    );
    expect(await helm(...inDock("status", "main"))).toMatch(/STATUS: uninstalled/);
    // Definitions outlive the releases that brought them.
    expect(await k.ok(["get", "crd", CRD, "-o", "name"])).toMatch(/berths/);
  });
});

describe("the older ways", () => {
  test("client-side apply, then over to server-side apply and back", async () => {
    await helm(...inDock("install", "old", chart, "--server-side=false", ...waiting));
    await helm(...inDock("upgrade", "old", chart, "--server-side=false", "--set", "greeting=x", ...waiting));
    await helm(...inDock("upgrade", "old", chart, "--server-side=true", "--set", "greeting=y", ...waiting));
    expect((await deployment("old")).spec?.template.metadata?.annotations).toMatchObject({ greeting: "y" });
    await helm(...inDock("upgrade", "old", chart, "--server-side=false", "--set", "greeting=z", ...waiting));
    expect((await deployment("old")).spec?.template.metadata?.annotations).toMatchObject({ greeting: "z" });
    await helm(...inDock("uninstall", "old", ...waiting));
    expect(await k.ok(inDock("get", "secrets", "-l", "owner=helm,name=old", "-o", "name"))).toBe("");
  });

  test("template asks the server what it has", async () => {
    expect(await helm("template", "dry", chart, "--validate")).toMatch(/KUBE_VERSION: "v1\.35\.2\+coxswain/);
    expect(await helm("template", "dry", chart, "--dry-run=server")).toMatch(/HAS_DEPLOYMENTS: "yes"/);
    expect(await helm("lint", chart)).toMatch(/0 chart\(s\) failed/);
  });

  test("upgrade --install takes over objects that are there, when it is told to", async () => {
    await k.ok(inDock("create", "configmap", "adopted", "--from-literal=GREETING=mine"));
    const args = ["upgrade", "--install", "adopted", chart, "--set", "buoy.enabled=false"];
    const refused = await run(inDock(...args));
    expect(refused.stderr).toMatch(/ConfigMap "adopted" in namespace "helm-dock" exists and cannot be imported/);
    await helm(...inDock(...args, "--take-ownership", "--force-conflicts", ...waiting));
    const { data } = await k.get<ConfigMap>(inDock("configmap", "adopted"));
    expect(data).toMatchObject({ GREETING: "ahoy" });
    await helm(...inDock("uninstall", "adopted", ...waiting));
  });

  test("a packaged chart is the same as its folder", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "cox-chart-"));
    try {
      await helm("package", chart, "--destination", folder);
      const values = path.join(folder, "values.yaml");
      writeFileSync(values, "greeting: packed\nreplicas: 1\n");
      await helm(...inDock("install", "packed", path.join(folder, "harbour-0.1.0.tgz"), "-f", values, ...waiting));
      expect((await k.get<ConfigMap>(inDock("configmap", "packed"))).data).toMatchObject({ GREETING: "packed" });
      await helm(...inDock("uninstall", "packed", ...waiting));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
