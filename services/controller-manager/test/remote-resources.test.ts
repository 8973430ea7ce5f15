// What other api-servers serve goes with its owner and with its namespace, and holds up nothing while such a server is away.
import { API_SERVICES, CONFIG_MAPS, NAMESPACES, type APIService, type ConfigMap, type Namespace } from "@coxswain/api";
import { newNotFound, newServiceUnavailable, type KubeObject, type OwnerReference } from "@coxswain/apimachinery";
import type { AggregatedClient } from "@coxswain/client";
import { expect, test } from "vitest";
import { resourcesOf } from "../src/remote-resources/discover.ts";
import { makeFixture } from "./cluster-fixture.ts";

const GROUP = "wardle.example.com";
const VERBS = ["get", "list", "delete", "patch"];

/** An api-server of another's, as the api-servers of the cluster forward to it. */
class Wardle implements AggregatedClient {
  readonly objects = new Map<string, KubeObject>();
  readonly verbs: readonly string[];
  away = false;
  /** Answers no lists of objects. */
  mute = false;
  #next = 0;

  constructor(verbs: readonly string[] = VERBS) {
    this.verbs = verbs;
  }

  add(name: string, metadata: Partial<KubeObject["metadata"]> = {}): KubeObject {
    const uid = `remote-${this.#next++}`;
    const object = {
      apiVersion: `${GROUP}/v1alpha1`,
      kind: "Flunder",
      metadata: { name, namespace: "default", uid, resourceVersion: "opaque", ...metadata },
    };
    this.objects.set(name, object);
    return object;
  }

  async read(path: string): Promise<unknown> {
    if (this.away) throw newServiceUnavailable("the server is currently unable to handle the request");
    if (path === `/apis/${GROUP}/v1alpha1`) {
      const resources = [
        { name: "flunders", kind: "Flunder", namespaced: true, verbs: this.verbs },
        { name: "flunders/status", kind: "Flunder", namespaced: true, verbs: ["get"] },
      ];
      return { kind: "APIResourceList", resources };
    }
    const name = /\/namespaces\/default\/flunders\/([^/?]+)$/.exec(path)?.[1];
    if (name === undefined && this.mute) throw newServiceUnavailable("the server cannot list");
    if (name === undefined) return { kind: "FlunderList", metadata: {}, items: [...this.objects.values()] };
    return this.#find(name);
  }

  async write(method: "PATCH" | "DELETE", path: string, body: object): Promise<unknown> {
    if (this.away) throw newServiceUnavailable("the server is currently unable to handle the request");
    const name = /\/flunders\/([^/?]+)$/.exec(path)?.[1];
    if (name === undefined) {
      this.objects.clear();
      return { kind: "Status" };
    }
    const found = this.#find(name);
    if (method === "DELETE") this.objects.delete(name);
    else {
      const { metadata } = body as KubeObject;
      this.objects.set(name, { ...found, metadata: { ...found.metadata, ...metadata } });
    }
    return found;
  }

  #find(name: string): KubeObject {
    const found = this.objects.get(name);
    if (found === undefined) throw newNotFound({ group: GROUP, resource: "flunders" }, name);
    return found;
  }
}

const registered = (available: "True" | "False" = "True"): APIService => ({
  apiVersion: "apiregistration.k8s.io/v1",
  kind: "APIService",
  metadata: { name: `v1alpha1.${GROUP}` },
  spec: {
    group: GROUP,
    version: "v1alpha1",
    groupPriorityMinimum: 100,
    versionPriority: 100,
    service: { name: "wardle", namespace: "kube-system" },
  },
  status: { conditions: [{ type: "Available", status: available }] },
});

const config = (name: string, owners: OwnerReference[] = []): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default", ...(owners.length === 0 ? {} : { ownerReferences: owners }) },
});

const referenceTo = ({ apiVersion = "", kind = "", metadata }: KubeObject): OwnerReference => ({
  apiVersion,
  kind,
  name: metadata?.name ?? "",
  uid: metadata?.uid ?? "",
});

function started(wardle: Wardle) {
  const fixture = makeFixture({ remotes: wardle, measured: true });
  fixture.seedNamespace();
  const service = fixture.cluster.seed(API_SERVICES, registered());
  fixture.start();
  return { fixture, service };
}

test("a list of resources gives those that are no subresources", () => {
  const resources = [{ name: "a", kind: "A", verbs: ["get", 1] }, { name: "a/status", kind: "A" }, { name: 1 }, null];
  const ref = { group: "g", version: "v1", resource: "a" };
  expect(resourcesOf({ resources }, "g", "v1")).toEqual([{ ref, kind: "A", namespaced: false, verbs: ["get"] }]);
  expect(() => resourcesOf({}, "g", "v1")).toThrow("g/v1 answered no list of resources");
});

test("a remote object goes with its owner, and an object with its remote owner", async () => {
  const wardle = new Wardle();
  const { fixture } = started(wardle);
  const { admin, cluster } = fixture;
  const owner = await fixture.settle(admin.create(CONFIG_MAPS, config("owner")));
  wardle.add("owned", { ownerReferences: [referenceTo(owner)] });
  const flunder = wardle.add("owner");
  await fixture.settle(admin.create(CONFIG_MAPS, config("owned", [referenceTo(flunder)])));
  await fixture.env.advance(30_000);
  expect(wardle.objects.size + cluster.objects(CONFIG_MAPS).length).toBe(4);
  await fixture.settle(admin.delete(CONFIG_MAPS, { namespace: "default", name: "owner" }));
  expect(await fixture.until(() => !wardle.objects.has("owned"))).toBe(true);
  expect(cluster.objects(CONFIG_MAPS)).toHaveLength(1);
  wardle.objects.delete("owner");
  expect(await fixture.until(() => cluster.objects(CONFIG_MAPS).length === 0)).toBe(true);
});

test("a look that does not see everything is counted", async () => {
  const wardle = new Wardle();
  const { fixture } = started(wardle);
  const errors = "garbagecollector_controller_resources_sync_error_total";
  await fixture.env.advance(40_000);
  expect(await fixture.figures(errors)).toEqual({ [errors]: 0 });
  wardle.mute = true;
  await fixture.env.advance(40_000);
  expect((await fixture.figures(errors))[errors]).toBeGreaterThanOrEqual(1);
});

test("a remote object that keeps an owner loses only the reference to the one that is gone", async () => {
  const wardle = new Wardle();
  const { fixture } = started(wardle);
  const { admin } = fixture;
  const [a, b] = [
    await fixture.settle(admin.create(CONFIG_MAPS, config("a"))),
    await fixture.settle(admin.create(CONFIG_MAPS, config("b"))),
  ];
  wardle.add("owned", { ownerReferences: [referenceTo(a), referenceTo(b)] });
  await fixture.env.advance(15_000);
  await fixture.settle(admin.delete(CONFIG_MAPS, { namespace: "default", name: "a" }));
  const owners = () => wardle.objects.get("owned")?.metadata?.ownerReferences;
  expect(await fixture.until(() => owners()?.length === 1)).toBe(true);
  expect(owners()).toEqual([referenceTo(b)]);
});

test("while the other server is away its owners are not taken for gone, and others are collected", async () => {
  const wardle = new Wardle();
  const { fixture } = started(wardle);
  const { admin, cluster } = fixture;
  const flunder = wardle.add("owner");
  await fixture.settle(admin.create(CONFIG_MAPS, config("kept", [referenceTo(flunder)])));
  await fixture.env.advance(15_000);
  wardle.away = true;
  const unseen = { ...referenceTo(flunder), name: "other", uid: "never-seen" };
  await fixture.settle(admin.create(CONFIG_MAPS, config("unknown", [unseen])));
  const gone = { apiVersion: "v1", kind: "ConfigMap", name: "none", uid: "none" };
  await fixture.settle(admin.create(CONFIG_MAPS, config("garbage", [gone])));
  const names = () => cluster.objects(CONFIG_MAPS).map(({ metadata }) => metadata?.name);
  expect(await fixture.until(() => !names().includes("garbage"))).toBe(true);
  await fixture.env.advance(60_000);
  expect(names()).toEqual(["kept", "unknown"]);
  // Now it can say that there is no such owner.
  wardle.away = false;
  expect(await fixture.until(() => !names().includes("unknown"), 1_200_000)).toBe(true);
  expect(names()).toEqual(["kept"]);
});

test.each([
  ["at once where the other server can do that", [...VERBS, "deletecollection"]],
  ["one by one where it cannot", VERBS],
])("a namespace takes its remote objects along, %s", async (_how, verbs) => {
  const wardle = new Wardle(verbs);
  const { fixture } = started(wardle);
  wardle.add("one");
  wardle.add("two");
  await fixture.settle(fixture.admin.delete(NAMESPACES, { name: "default" }));
  expect(await fixture.until(() => fixture.cluster.objects(NAMESPACES).length === 0)).toBe(true);
  expect(wardle.objects.size).toBe(0);
});

test("a namespace waits for a server that does not answer, whatever its APIService says", async () => {
  const wardle = new Wardle();
  const { fixture } = started(wardle);
  wardle.add("one");
  wardle.away = true;
  await fixture.settle(fixture.admin.delete(NAMESPACES, { name: "default" }));
  const conditions = () => fixture.cluster.objects<Namespace>(NAMESPACES)[0]?.status?.conditions ?? [];
  const failure = () => conditions().find(({ type }) => type === "NamespaceDeletionDiscoveryFailure");
  expect(await fixture.until(() => failure()?.status === "True")).toBe(true);
  expect(failure()?.message).toContain(`${GROUP}/v1alpha1: stale GroupVersion discovery: ${GROUP}/v1alpha1`);
  wardle.away = false;
  expect(await fixture.until(() => fixture.cluster.objects(NAMESPACES).length === 0, 300_000)).toBe(true);
  expect(wardle.objects.size).toBe(0);
});
