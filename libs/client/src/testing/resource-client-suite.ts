// The contract suite of ResourceClient. The in-memory double runs it, and so do the clients of a real api-server; it asks
// only for what a real server does. Each test works in a namespace of its own.
import { beforeEach, describe, expect, test } from "vitest";
import {
  compareResourceVersions,
  isReason,
  type KubeObject,
  type ObjectMeta,
  type ResourceRef,
} from "@coxswain/apimachinery";
import type { ResourceClient, WatchEvent } from "../resource-client.ts";

const core = (resource: string): ResourceRef => ({ group: "", version: "v1", resource });
const NAMESPACES = core("namespaces");
const CONFIG_MAPS = core("configmaps");
const PODS = core("pods");
const SERVICE_ACCOUNTS = core("serviceaccounts");
const DEPLOYMENTS: ResourceRef = { group: "apps", version: "v1", resource: "deployments" };
const LEASES: ResourceRef = { group: "coordination.k8s.io", version: "v1", resource: "leases" };

interface Loose extends KubeObject {
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
  data?: Record<string, string>;
}

export interface ResourceClientSuiteOptions {
  /** A client with all rights; called once a test. */
  readonly makeClient: () => Promise<ResourceClient> | ResourceClient;
  /** Makes namespace names unique between runs against one server. */
  readonly unique?: () => string;
}

const configMap = (namespace: string, name: string, data: Record<string, string> = {}): Loose => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace },
  data,
});

function pod(namespace: string, name: string, labels: Record<string, string> = {}): Loose {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels },
    spec: { containers: [{ name: "c", image: "example.test/app:1" }] },
  };
}

function deployment(namespace: string, name: string): Loose {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "example.test/app:1" }] } },
    },
  };
}

const rv = (object: KubeObject): string => object.metadata?.resourceVersion ?? "";
const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "no error",
    (error: unknown) => (isReason(error, (error as { reason: "NotFound" }).reason) ? error.reason : String(error)),
  );

/** Reads `count` events that are no bookmarks, then ends the watch. */
async function take<T extends KubeObject>(
  client: ResourceClient,
  ref: ResourceRef,
  options: Parameters<ResourceClient["watch"]>[1],
  count: number,
): Promise<WatchEvent<T>[]> {
  const abort = new AbortController();
  const events: WatchEvent<T>[] = [];
  for await (const event of client.watch<T>(ref, options, abort.signal)) {
    if (event.type !== "BOOKMARK") events.push(event);
    if (events.length >= count) break;
  }
  abort.abort();
  return events;
}

let counter = 0;

/** Registers the suite under `name`. */
export function resourceClientSuite(name: string, options: ResourceClientSuiteOptions): void {
  describe(`ResourceClient contract: ${name}`, () => {
    let client: ResourceClient;
    let namespace = "";
    beforeEach(async () => {
      client = await options.makeClient();
      namespace = `suite-${options.unique?.() ?? "a"}-${++counter}`;
      await client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    });
    const context = { client: () => client, namespace: () => namespace };
    objectTests(context);
    concurrencyTests(context);
    describe("patches", () => patchTests(context));
    subresourceTests(context);
    deletionTests(context);
    watchTests(context);
    batchAndFenceTests(context);
  });
}

interface Context {
  readonly client: () => ResourceClient;
  readonly namespace: () => string;
}

function objectTests({ client, namespace }: Context): void {
  test("a created object has uid, version and time, and is read back the same", async () => {
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a", { k: "v" }));
    expect(made.metadata?.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(made.metadata?.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(rv(made)).toMatch(/^\d+$/);
    expect(await client().get(CONFIG_MAPS, { namespace: namespace(), name: "a" })).toEqual(made);
  });
  test("generateName gives names that differ", async () => {
    const object: KubeObject = {
      ...configMap(namespace(), ""),
      metadata: { namespace: namespace(), generateName: "g-" },
    };
    const one = await client().create(CONFIG_MAPS, object);
    const two = await client().create(CONFIG_MAPS, object);
    expect(one.metadata?.name).toMatch(/^g-[a-z0-9]{5}$/);
    expect(one.metadata?.name).not.toBe(two.metadata?.name);
  });
  test("absent objects are NotFound, present ones AlreadyExist", async () => {
    await client().create(CONFIG_MAPS, configMap(namespace(), "a"));
    expect(await reasonOf(client().create(CONFIG_MAPS, configMap(namespace(), "a")))).toBe("AlreadyExists");
    const missing = { namespace: namespace(), name: "b" };
    expect(await reasonOf(client().get(CONFIG_MAPS, missing))).toBe("NotFound");
    expect(await reasonOf(client().delete(CONFIG_MAPS, missing))).toBe("NotFound");
    expect(await reasonOf(client().update(CONFIG_MAPS, configMap(namespace(), "b")))).toBe("NotFound");
    await expect(client().get(DEPLOYMENTS, missing)).rejects.toThrow('deployments.apps "b" not found');
  });
  test("lists select by label and field, and come in pages", async () => {
    for (const name of ["a", "b", "c"]) {
      await client().create(PODS, pod(namespace(), name, { tier: name === "c" ? "back" : "front" }));
    }
    const names = async (selection: object): Promise<string[]> =>
      (await client().list(PODS, { namespace: namespace(), ...selection })).items.map((o) => o.metadata?.name ?? "");
    expect(await names({})).toEqual(["a", "b", "c"]);
    expect(await names({ labelSelector: "tier=front" })).toEqual(["a", "b"]);
    expect(await names({ labelSelector: "tier notin (front),tier" })).toEqual(["c"]);
    expect(await names({ labelSelector: "!tier" })).toEqual([]);
    expect(await names({ fieldSelector: "metadata.name=b" })).toEqual(["b"]);
    expect(await names({ fieldSelector: "spec.nodeName!=" })).toEqual([]);
    const first = await client().list(PODS, { namespace: namespace(), limit: 2 });
    expect(first.items).toHaveLength(2);
    const rest = await client().list(PODS, { namespace: namespace(), limit: 2, continue: first.metadata.continue });
    expect(rest.items.map((o) => o.metadata?.name)).toEqual(["c"]);
    expect(rest.metadata.continue ?? "").toBe("");
  });
  test("a dry run changes nothing", async () => {
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a"), { dryRun: true });
    expect(made.metadata?.name).toBe("a");
    expect(await reasonOf(client().get(CONFIG_MAPS, { namespace: namespace(), name: "a" }))).toBe("NotFound");
  });
}

function concurrencyTests({ client, namespace }: Context): void {
  test("an update at a stale version is a Conflict and changes nothing", async () => {
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a", { n: "0" }));
    const changed = await client().update<Loose>(CONFIG_MAPS, { ...made, data: { n: "1" } });
    expect(compareResourceVersions(rv(changed), rv(made))).toBeGreaterThan(0);
    const stale = client().update<Loose>(CONFIG_MAPS, { ...made, data: { n: "2" } });
    await expect(stale).rejects.toThrow(
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    );
    const now = await client().get<Loose>(CONFIG_MAPS, { namespace: namespace(), name: "a" });
    expect(now.data).toEqual({ n: "1" });
  });
  test("an update that changes nothing keeps the version", async () => {
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a", { n: "0" }));
    expect(rv(await client().update(CONFIG_MAPS, made))).toBe(rv(made));
  });
  test("an update for another uid is a Conflict", async () => {
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a"));
    await client().delete(CONFIG_MAPS, { namespace: namespace(), name: "a" });
    await client().create(CONFIG_MAPS, configMap(namespace(), "a"));
    const old = { ...made, metadata: { ...made.metadata, resourceVersion: "" } };
    expect(await reasonOf(client().update(CONFIG_MAPS, old))).toBe("Conflict");
  });
}

function patchTests({ client, namespace }: Context): void {
  const target = { namespace: "", name: "a" };
  beforeEach(async () => {
    target.namespace = namespace();
    await client().create(CONFIG_MAPS, configMap(namespace(), "a", { k: "v", gone: "x" }));
  });
  test("a merge patch sets and removes", async () => {
    const patched = await client().patch<Loose>(CONFIG_MAPS, target, "application/merge-patch+json", {
      data: { k: "w", gone: null },
    });
    expect(patched.data).toEqual({ k: "w" });
  });
  test("a strategic merge patch sets and removes", async () => {
    const patched = await client().patch<Loose>(CONFIG_MAPS, target, "application/strategic-merge-patch+json", {
      metadata: { labels: { l: "1" } },
      data: { gone: null },
    });
    expect(patched.data).toEqual({ k: "v" });
    expect(patched.metadata?.labels).toEqual({ l: "1" });
  });
  test("a JSON patch applies whole or not at all", async () => {
    const type = "application/json-patch+json";
    const good = [
      { op: "test", path: "/data/k", value: "v" },
      { op: "add", path: "/data/n", value: "new" },
      { op: "remove", path: "/data/gone" },
    ];
    const patched = await client().patch<Loose>(CONFIG_MAPS, target, type, good);
    expect(patched.data).toEqual({ k: "v", n: "new" });
    const bad = [
      { op: "replace", path: "/data/k", value: "z" },
      { op: "remove", path: "/data/absent" },
    ];
    await expect(client().patch(CONFIG_MAPS, target, type, bad)).rejects.toThrow();
    const now = await client().get<Loose>(CONFIG_MAPS, target);
    expect(now.data).toEqual({ k: "v", n: "new" });
  });
  test("a patch at a stale version is a Conflict", async () => {
    const patch = { metadata: { resourceVersion: "1" }, data: { k: "w" } };
    expect(await reasonOf(client().patch(CONFIG_MAPS, target, "application/merge-patch+json", patch))).toBe("Conflict");
  });
}

function subresourceTests({ client, namespace }: Context): void {
  test("status and spec are written apart, and generation counts spec changes", async () => {
    const made = await client().create(DEPLOYMENTS, deployment(namespace(), "d"));
    expect(made.metadata?.generation).toBe(1);
    const status = { observedGeneration: 1, replicas: 2 };
    const reported = await client().update<Loose>(
      DEPLOYMENTS,
      { ...made, status, spec: { ...made.spec, replicas: 9 } },
      { subresource: "status" },
    );
    expect(reported.spec?.["replicas"]).toBe(2);
    expect(reported.status).toMatchObject(status);
    expect(reported.metadata?.generation).toBe(1);
    const scaled = await client().update<Loose>(DEPLOYMENTS, {
      ...reported,
      spec: { ...reported.spec, replicas: 3 },
      status: { replicas: 77 },
    });
    expect(scaled.status).toMatchObject(status);
    expect(scaled.metadata?.generation).toBe(2);
  });
  test("scale reads and sets replicas", async () => {
    await client().create(DEPLOYMENTS, deployment(namespace(), "d"));
    const target = { namespace: namespace(), name: "d" };
    const scale = await client().get<Loose>(DEPLOYMENTS, target, { subresource: "scale" });
    expect(scale).toMatchObject({ kind: "Scale", spec: { replicas: 2 }, status: { selector: "app=d" } });
    await client().update<Loose>(DEPLOYMENTS, { ...scale, spec: { replicas: 5 } }, { subresource: "scale" });
    expect((await client().get<Loose>(DEPLOYMENTS, target)).spec?.["replicas"]).toBe(5);
  });
  test("a pod is bound once", async () => {
    await client().create(PODS, pod(namespace(), "p"));
    const bind = (node: string): Promise<KubeObject> =>
      client().create(
        PODS,
        {
          apiVersion: "v1",
          kind: "Binding",
          metadata: { name: "p", namespace: namespace() },
          target: { kind: "Node", name: node },
        } as KubeObject,
        { namespace: namespace(), name: "p", subresource: "binding" },
      );
    await bind("n1");
    const bound = await client().get<Loose>(PODS, { namespace: namespace(), name: "p" });
    expect(bound.spec?.["nodeName"]).toBe("n1");
    await expect(bind("n2")).rejects.toThrow('pod p is already assigned to node "n1"');
    const listed = await client().list(PODS, { namespace: namespace(), fieldSelector: "spec.nodeName=n1" });
    expect(listed.items).toHaveLength(1);
  });
}

function deletionTests({ client, namespace }: Context): void {
  test("finalizers hold an object until the last is taken off", async () => {
    const object = configMap(namespace(), "a");
    const made = await client().create(CONFIG_MAPS, {
      ...object,
      metadata: { ...object.metadata, finalizers: ["example.test/hold"] },
    });
    const target = { namespace: namespace(), name: "a" };
    const kept = await client().delete(CONFIG_MAPS, target);
    expect(kept?.metadata?.deletionTimestamp).toBeDefined();
    await client().patch(CONFIG_MAPS, target, "application/merge-patch+json", { metadata: { finalizers: null } });
    expect(await reasonOf(client().get(CONFIG_MAPS, target))).toBe("NotFound");
    expect(made.metadata?.deletionTimestamp).toBeUndefined();
  });
  test("a bound pod is deleted gracefully, an unbound one at once", async () => {
    const target = { namespace: namespace(), name: "p" };
    await client().create(PODS, pod(namespace(), "p"));
    const gone = await client().delete(PODS, target);
    expect(gone?.metadata).toMatchObject({ name: "p", deletionGracePeriodSeconds: 0 });
    expect(gone?.metadata?.deletionTimestamp).toBeDefined();
    expect(await reasonOf(client().get(PODS, target))).toBe("NotFound");
    const bound = pod(namespace(), "p");
    await client().create(PODS, { ...bound, spec: { ...bound.spec, nodeName: "n1" } });
    const kept = await client().delete(PODS, target, { gracePeriodSeconds: 7 });
    expect(kept?.metadata?.deletionGracePeriodSeconds).toBe(7);
    expect((await client().get(PODS, target)).metadata?.deletionTimestamp).toBeDefined();
    await client().delete(PODS, target, { gracePeriodSeconds: 0 });
    expect(await reasonOf(client().get(PODS, target))).toBe("NotFound");
  });
  test("what goes at once is answered with as it was last by kinds that do so, at the version of its deletion", async () => {
    const { metadata: before } = await client().list(CONFIG_MAPS, { namespace: namespace() });
    const metadata = { namespace: namespace(), name: "gone" };
    await client().create(CONFIG_MAPS, configMap(namespace(), "gone"));
    expect(await client().delete(CONFIG_MAPS, metadata)).toBeUndefined();
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata };
    const made = await client().create(SERVICE_ACCOUNTS, account);
    const gone = await client().delete(SERVICE_ACCOUNTS, metadata);
    const { resourceVersion, ...same }: ObjectMeta = made.metadata;
    expect(gone).toMatchObject({ kind: "ServiceAccount", metadata: same });
    expect(gone!.metadata!.deletionTimestamp).toBeUndefined();
    const from = {
      namespace: namespace(),
      resourceVersion: before.resourceVersion,
      fieldSelector: "metadata.name=gone",
    };
    const [, deleted] = await take(client(), SERVICE_ACCOUNTS, from, 2);
    expect(deleted).toMatchObject({
      type: "DELETED",
      object: { metadata: { resourceVersion: gone!.metadata!.resourceVersion } },
    });
    expect(BigInt(gone!.metadata!.resourceVersion!)).toBeGreaterThan(BigInt(resourceVersion!));
  });
  test("preconditions guard a deletion", async () => {
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a"));
    const target = { namespace: namespace(), name: "a" };
    const wrong = { preconditions: { uid: "00000000-0000-4000-8000-000000000000" } };
    expect(await reasonOf(client().delete(CONFIG_MAPS, target, wrong))).toBe("Conflict");
    await client().delete(CONFIG_MAPS, target, { preconditions: { uid: made.metadata?.uid } });
    expect(await reasonOf(client().get(CONFIG_MAPS, target))).toBe("NotFound");
  });
  test("deleteCollection deletes what is selected", async () => {
    for (const name of ["a", "b"]) {
      const object = configMap(namespace(), name);
      await client().create(CONFIG_MAPS, { ...object, metadata: { ...object.metadata, labels: { name } } });
    }
    await client().deleteCollection(CONFIG_MAPS, { namespace: namespace(), labelSelector: "name=a" });
    const left = await client().list(CONFIG_MAPS, { namespace: namespace(), labelSelector: "name" });
    expect(left.items.map((o) => o.metadata?.name)).toEqual(["b"]);
  });
}

function watchTests({ client, namespace }: Context): void {
  test("a watch from a list's version sees every later change once, in order", async () => {
    const { metadata } = await client().list(CONFIG_MAPS, { namespace: namespace() });
    const made = await client().create(CONFIG_MAPS, configMap(namespace(), "a", { n: "0" }));
    const changed = await client().update<Loose>(CONFIG_MAPS, { ...made, data: { n: "1" } });
    await client().delete(CONFIG_MAPS, { namespace: namespace(), name: "a" });
    const from = { namespace: namespace(), resourceVersion: metadata.resourceVersion };
    const events = await take<Loose>(client(), CONFIG_MAPS, from, 3);
    expect(events.map((event) => event.type)).toEqual(["ADDED", "MODIFIED", "DELETED"]);
    expect(rv(events[0]!.object)).toBe(rv(made));
    expect(rv(events[1]!.object)).toBe(rv(changed));
    expect(compareResourceVersions(rv(events[2]!.object), rv(changed))).toBeGreaterThan(0);
    expect(events[2]!.object.data).toEqual({ n: "1" });
    const resumed = await take<Loose>(client(), CONFIG_MAPS, { ...from, resourceVersion: rv(made) }, 2);
    expect(resumed.map((event) => event.type)).toEqual(["MODIFIED", "DELETED"]);
  });
  test("a watch without a version starts with the present objects", async () => {
    await client().create(CONFIG_MAPS, configMap(namespace(), "a"));
    const events = await take(client(), CONFIG_MAPS, { namespace: namespace(), fieldSelector: "metadata.name=a" }, 1);
    expect(events[0]).toMatchObject({ type: "ADDED", object: { metadata: { name: "a" } } });
  });
  test("an object that leaves the selection is DELETED, one that enters is ADDED", async () => {
    const { metadata } = await client().list(PODS, { namespace: namespace() });
    const target = { namespace: namespace(), name: "p" };
    await client().create(PODS, pod(namespace(), "p", { on: "no" }));
    const relabel = (on: string): Promise<KubeObject> =>
      client().patch(PODS, target, "application/merge-patch+json", { metadata: { labels: { on } } });
    await relabel("yes");
    await relabel("no");
    const selection = { namespace: namespace(), labelSelector: "on=yes", resourceVersion: metadata.resourceVersion };
    const events = await take(client(), PODS, selection, 2);
    expect(events.map((event) => event.type)).toEqual(["ADDED", "DELETED"]);
  });
  test("an abort ends a waiting watch quietly", async () => {
    const abort = new AbortController();
    const seen: string[] = [];
    const from = { namespace: namespace(), fieldSelector: "metadata.name=x" };
    const reading = (async () => {
      for await (const event of client().watch(CONFIG_MAPS, from, abort.signal)) {
        seen.push(event.type);
        abort.abort();
      }
    })();
    await client().create(CONFIG_MAPS, configMap(namespace(), "x"));
    await reading;
    expect(seen).toEqual(["ADDED"]);
  });
}

function batchAndFenceTests({ client, namespace }: Context): void {
  test("a batch answers each operation on its own, in order", async () => {
    await client().create(CONFIG_MAPS, configMap(namespace(), "a", { k: "v" }));
    const target = { namespace: namespace(), name: "a" };
    const outcomes = await client().batch<Loose>([
      { op: "create", ref: CONFIG_MAPS, namespace: namespace(), object: configMap(namespace(), "b") },
      { op: "create", ref: CONFIG_MAPS, namespace: namespace(), object: configMap(namespace(), "a") },
      { op: "patch", ref: CONFIG_MAPS, target, type: "application/merge-patch+json", patch: { data: { k: "w" } } },
      { op: "delete", ref: CONFIG_MAPS, target: { namespace: namespace(), name: "absent" } },
    ]);
    expect(outcomes.map((outcome) => outcome.ok)).toEqual([true, false, true, false]);
    expect(outcomes[1]).toMatchObject({ error: { reason: "AlreadyExists" } });
    expect(outcomes[3]).toMatchObject({ error: { reason: "NotFound" } });
  });
  test("a fenced write passes for the holder only", async () => {
    const spec = { holderIdentity: "me", leaseDurationSeconds: 15, leaseTransitions: 1 };
    const lease: Loose = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "l", namespace: namespace() },
      spec,
    };
    const held = await client().create(LEASES, lease);
    let lost = false;
    const fence = { lease: `${namespace()}/l`, holder: "me", transitions: 1 };
    const fenced = client().fenced(() => (lost ? undefined : fence));
    await fenced.create(CONFIG_MAPS, configMap(namespace(), "a"));
    await client().update(LEASES, { ...held, spec: { ...spec, holderIdentity: "you", leaseTransitions: 2 } });
    expect(await reasonOf(fenced.create(CONFIG_MAPS, configMap(namespace(), "b")))).toBe("Conflict");
    lost = true;
    await expect(fenced.create(CONFIG_MAPS, configMap(namespace(), "c"))).rejects.toThrow();
    const { items } = await client().list(CONFIG_MAPS, { namespace: namespace() });
    expect(items.map((o) => o.metadata?.name).filter((name) => name !== "kube-root-ca.crt")).toEqual(["a"]);
  });
}
