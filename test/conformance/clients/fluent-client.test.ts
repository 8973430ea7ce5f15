// kubernetes-fluent-client: its own way to fetch, apply, patch and watch, on built-in and custom kinds.
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { ConfigMap, Deployment, Pod } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually, type Kubectl } from "../../integration/cluster-fixture.ts";
import { clientPackages, realKubectl } from "./real-clients.ts";

const NS = "fluent";

/** The part of the library that this suite uses. */
interface Query<T> {
  InNamespace(namespace: string): Query<T>;
  WithLabel(key: string, value?: string): Query<T>;
  WithField(path: string, value: string): Query<T>;
  Get(): Promise<{ items: T[] }>;
  Get(name: string): Promise<T>;
  Apply(object: object, options?: { force: boolean }): Promise<T>;
  Create(object: object): Promise<T>;
  Patch(operations: readonly object[]): Promise<T>;
  PatchStatus(object: object): Promise<T>;
  Delete(name?: string): Promise<void>;
  Evict(name: string): Promise<void>;
  Logs(name: string): Promise<string[]>;
  Scale(replicas: number, name: string): Promise<void>;
  Finalize(operation: "add" | "remove", finalizer: string, name: string): Promise<void>;
  Raw(path: string): Promise<{ gitVersion?: string }>;
  Watch(
    seen: (object: T, phase: string) => void,
    config?: { resyncDelaySec: number },
  ): { start(): Promise<unknown>; close(): void; events: NodeJS.EventEmitter };
}
type Model<T> = new () => T;
interface Library {
  K8s<T>(model: Model<T>, filters?: { namespace?: string; name?: string }): Query<T>;
  RegisterKind(model: Model<unknown>, gvk: { group: string; version: string; kind: string; plural?: string }): void;
  readonly GenericKind: Model<KubeObject>;
  readonly kind: {
    readonly ConfigMap: Model<ConfigMap>;
    readonly Deployment: Model<Deployment>;
    readonly Pod: Model<Pod>;
    readonly Namespace: Model<KubeObject>;
    readonly CustomResourceDefinition: Model<KubeObject>;
  };
}

let kfc: Library;
let k: Kubectl;

beforeAll(async () => {
  process.env["KUBECONFIG"] = inject("kubeconfig");
  const require = createRequire(path.join(await clientPackages(), "package.json"));
  kfc = (await import(pathToFileURL(require.resolve("kubernetes-fluent-client")).href)) as Library;
  k = await realKubectl();
  await kfc.K8s(kfc.kind.Namespace).Apply({ metadata: { name: NS } });
});
afterAll(async () => {
  await k?.kubectl(["delete", "namespace", NS, "--wait=false"]);
});

const maps = () => kfc.K8s(kfc.kind.ConfigMap).InNamespace(NS);

describe("kubernetes-fluent-client", () => {
  test("applies, creates, reads, filters and deletes", async () => {
    const applied = await kfc
      .K8s(kfc.kind.ConfigMap)
      .Apply({ metadata: { name: "a", namespace: NS, labels: { in: "yes" } }, data: { x: "1" } });
    expect(applied.metadata?.managedFields).toMatchObject([{ manager: "pepr", operation: "Apply" }]);
    await kfc.K8s(kfc.kind.ConfigMap).Create({ metadata: { name: "b", namespace: NS } });
    const twice = kfc.K8s(kfc.kind.ConfigMap).Create({ metadata: { name: "b", namespace: NS } });
    await expect(twice).rejects.toMatchObject({ status: 409, data: { reason: "AlreadyExists" } });
    expect((await maps().Get("a")).data).toEqual({ x: "1" });
    expect((await maps().WithLabel("in", "yes").Get()).items.map(({ metadata }) => metadata?.name)).toEqual(["a"]);
    expect((await maps().WithField("metadata.name", "b").Get()).items.length).toBe(1);
    await expect(maps().Get("ghost")).rejects.toMatchObject({ status: 404 });
    await maps().WithLabel("in").Delete("a");
    await expect(maps().Get("a")).rejects.toMatchObject({ status: 404 });
    expect((await kfc.K8s(kfc.kind.ConfigMap).Raw("/version")).gitVersion).toMatch(/^v1\.35\.2\+coxswain/);
  });

  test("patches, scales, finalizes, reads logs and evicts", async () => {
    const labels = { app: "web" };
    const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "example.test/c:v1" }] } };
    await kfc.K8s(kfc.kind.Deployment).Apply({
      metadata: { name: "web", namespace: NS },
      spec: { replicas: 1, selector: { matchLabels: labels }, template },
    });
    await kfc
      .K8s(kfc.kind.Deployment, { namespace: NS, name: "web" })
      .Patch([{ op: "add", path: "/metadata/labels", value: { patched: "yes" } }]);
    await kfc.K8s(kfc.kind.Deployment).InNamespace(NS).Scale(2, "web");
    const read = () => kfc.K8s(kfc.kind.Deployment).InNamespace(NS).Get("web");
    await eventually(read, ({ status }) => status?.readyReplicas === 2);
    expect((await read()).metadata?.labels).toEqual({ patched: "yes" });
    await kfc.K8s(kfc.kind.Deployment).InNamespace(NS).Finalize("add", "example.test/hold", "web");
    expect((await read()).metadata?.finalizers).toEqual(["example.test/hold"]);
    await kfc.K8s(kfc.kind.Deployment).InNamespace(NS).Finalize("remove", "example.test/hold", "web");
    expect((await read()).metadata?.finalizers).toBeUndefined();
    const pods = () => kfc.K8s(kfc.kind.Pod).InNamespace(NS).WithLabel("app", "web");
    const name = (await pods().Get()).items[0]?.metadata?.name ?? "";
    expect((await kfc.K8s(kfc.kind.Pod).InNamespace(NS).Logs(name)).join("\n")).toMatch(/simulated: container c /);
    await kfc.K8s(kfc.kind.Pod).InNamespace(NS).Evict(name);
    await eventually(
      () => k.kubectl(["-n", NS, "get", "pod", name]),
      ({ stderr }) => stderr.includes("NotFound"),
    );
  });

  test("watches what is there, what comes, changes and goes", async () => {
    await kfc.K8s(kfc.kind.ConfigMap).Apply({ metadata: { name: "there", namespace: NS } });
    const seen: string[] = [];
    const watcher = maps().Watch(({ metadata }, phase) => void seen.push(`${phase} ${metadata?.name}`), {
      resyncDelaySec: 1,
    });
    await watcher.start();
    await kfc.K8s(kfc.kind.ConfigMap).Apply({ metadata: { name: "comes", namespace: NS } });
    await eventually(
      async () => seen,
      (events) => events.includes("ADDED comes") && events.includes("ADDED there"),
    );
    await kfc.K8s(kfc.kind.ConfigMap).Apply({ metadata: { name: "comes", namespace: NS }, data: { x: "1" } });
    await maps().Delete("comes");
    await eventually(
      async () => seen,
      (events) => events.includes("DELETED comes"),
    );
    expect(seen.filter((event) => event.endsWith(" comes"))).toEqual([
      "ADDED comes",
      "MODIFIED comes",
      "DELETED comes",
    ]);
    watcher.close();
  });

  test("knows kinds that it registers", async () => {
    const group = "fluent.example.test";
    class Sail extends kfc.GenericKind {}
    kfc.RegisterKind(Sail, { group, version: "v1", kind: "Sail" });
    const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    const schema = { openAPIV3Schema: { type: "object", properties: { spec: open, status: open } } };
    await kfc.K8s(kfc.kind.CustomResourceDefinition).Apply({
      metadata: { name: `sails.${group}` },
      spec: {
        group,
        scope: "Namespaced",
        names: { plural: "sails", singular: "sail", kind: "Sail" },
        versions: [{ name: "v1", served: true, storage: true, schema, subresources: { status: {} } }],
      },
    });
    try {
      await k.ok(["wait", "--for=condition=Established", `crd/sails.${group}`, "--timeout=30s"]);
      await kfc.K8s(Sail).Apply({ metadata: { name: "jib", namespace: NS }, spec: { area: 20 } });
      await kfc.K8s(Sail).PatchStatus({ metadata: { name: "jib", namespace: NS }, status: { set: true } });
      expect(await kfc.K8s(Sail).InNamespace(NS).Get("jib")).toMatchObject({
        spec: { area: 20 },
        status: { set: true },
      });
    } finally {
      await k.kubectl(["delete", "crd", `sails.${group}`]);
    }
  });
});
