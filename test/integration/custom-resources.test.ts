// Custom resources on real processes: two api-servers over etcd, the change feed over NATS, the controller-manager.
import { CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, type ConfigMap } from "@coxswain/api";
import { crdConditionTrue, type CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import { createInformerFactory, type ResourceClient } from "@coxswain/client";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createNatsBus } from "@coxswain/event-bus";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "./cluster-fixture.ts";
import { startControlPlane, type ControlPlane } from "./control-plane-fixture.ts";

type Custom = KubeObject & { spec?: Record<string, unknown> };

const WIDGETS: ResourceRef = { group: "stable.example.com", version: "v1", resource: "widgets" };
const NAME = "widgets.stable.example.com";
const DEFINITION: CustomResourceDefinition = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: NAME },
  spec: {
    group: "stable.example.com",
    scope: "Namespaced",
    names: { plural: "widgets", kind: "Widget" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: "object",
            properties: {
              spec: {
                type: "object",
                properties: { size: { type: "integer", default: 1 } },
                "x-kubernetes-validations": [
                  { rule: "self.size >= oldSelf.size", message: "widgets do not shrink" },
                  { rule: "self.size < 100", message: "a widget is smaller than that" },
                ],
              },
            },
          },
        },
      },
    ],
  },
};

const env = createRealEnv();
const widget = (name: string, namespace = "default", spec: Record<string, unknown> = {}): Custom => ({
  apiVersion: "stable.example.com/v1",
  kind: "Widget",
  metadata: { name, namespace },
  spec,
});

let plane: ControlPlane;
let clients: ResourceClient[];
beforeAll(async () => {
  plane = await startControlPlane({ apiServers: 2, components: ["controller-manager"] });
  clients = [0, 1].map((n) => plane.client({ addresses: [plane.process(`api-server/${n}`).grpc] }));
});
afterAll(async () => {
  await Promise.all((clients ?? []).map((client) => client.close()));
  await plane?.[Symbol.asyncDispose]();
});

const [one, two] = [0, 1].map((at) => (): ResourceClient => clients[at] as ResourceClient) as [
  () => ResourceClient,
  () => ResourceClient,
];

async function define(): Promise<void> {
  await one().create(CUSTOM_RESOURCE_DEFINITIONS, DEFINITION);
  const read = () => two().get<CustomResourceDefinition>(CUSTOM_RESOURCE_DEFINITIONS, { name: NAME });
  await eventually(read, (crd) => crdConditionTrue(crd, "Established"), 20_000);
}

test("a definition is served by every api-server, with defaults and rules", async () => {
  await define();
  const made = await one().create(WIDGETS, widget("first"));
  expect(made.spec).toEqual({ size: 1 });
  expect((await two().get<Custom>(WIDGETS, { namespace: "default", name: "first" })).spec).toEqual({ size: 1 });
  const patch = (size: number): Promise<Custom> =>
    two().patch(WIDGETS, { namespace: "default", name: "first" }, "application/merge-patch+json", { spec: { size } });
  expect((await patch(5)).metadata?.generation).toBe(2);
  await expect(patch(4)).rejects.toThrow("spec: Invalid value: widgets do not shrink");
  await expect(one().create(WIDGETS, widget("large", "default", { size: 100 }))).rejects.toThrow(
    "a widget is smaller than that",
  );
});

test("informers follow custom resources by the change feed", async () => {
  const { ca, cert, key } = plane.tls("scheduler");
  const servers = [`127.0.0.1:${plane.process("nats/0").spec.ports.main}`];
  const bus = createNatsBus({ env, logger: silentLogger, servers, tls: { ca, cert, key }, name: "test" });
  const stop = new AbortController();
  let watches = 0;
  const counted = new Proxy(two(), {
    get(target, property, receiver) {
      if (property === "watch") watches++;
      const value: unknown = Reflect.get(target, property, receiver);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  try {
    const informers = createInformerFactory({ env, logger: silentLogger, client: counted, bus });
    const informer = informers.informer<Custom>(WIDGETS);
    informers.start(stop.signal);
    await informers.waitForSync(stop.signal);
    const sizes = (): Promise<unknown[]> =>
      Promise.resolve(informer.lister.list("default").map(({ spec }) => spec?.["size"]));
    await eventually(sizes, (seen) => seen.length === 1);
    for (let n = 0; n < 20; n++) await one().create(WIDGETS, widget(`many-${n}`, "default", { size: n + 1 }));
    await eventually(sizes, (seen) => seen.length === 21);
    await one().deleteCollection(WIDGETS, { namespace: "default" });
    await eventually(sizes, (seen) => seen.length === 0);
    expect(watches).toBeLessThan(10);
  } finally {
    stop.abort();
    await bus.close();
  }
});

test("owners take custom objects along, and custom owners take others", async () => {
  const owner = await one().create(WIDGETS, widget("owner"));
  const ownerReferences = [
    { apiVersion: "stable.example.com/v1", kind: "Widget", name: "owner", uid: owner.metadata?.uid ?? "" },
  ];
  const owned = widget("owned");
  await one().create(WIDGETS, { ...owned, metadata: { ...owned.metadata, ownerReferences } });
  const config = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "c", namespace: "default", ownerReferences },
  };
  await one().create<ConfigMap>(CONFIG_MAPS, config);
  await one().delete(WIDGETS, { namespace: "default", name: "owner" });
  const left = async (): Promise<number> => {
    const widgets = await two().list(WIDGETS, { namespace: "default" });
    const configs = await two().list(CONFIG_MAPS, { namespace: "default", fieldSelector: "metadata.name=c" });
    return widgets.items.length + configs.items.length;
  };
  await eventually(left, (count) => count === 0, 30_000);
});

test("a namespace takes its custom objects along", async () => {
  await one().create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "full" } });
  await eventually(
    () => two().create(WIDGETS, widget("inside", "full")),
    () => true,
    10_000,
  );
  await one().delete(NAMESPACES, { name: "full" });
  const gone = async (): Promise<boolean> => {
    try {
      await two().get(NAMESPACES, { name: "full" });
      return false;
    } catch (error) {
      if (isReason(error, "NotFound")) return true;
      throw error;
    }
  };
  await eventually(gone, (is) => is, 30_000);
  expect((await one().list(WIDGETS, { namespace: "full" })).items).toEqual([]);
});

test("when an api-server dies, the other establishes and ends definitions", async () => {
  await one().create(WIDGETS, widget("last"));
  await plane.process("api-server/0").kill();
  await two().delete(CUSTOM_RESOURCE_DEFINITIONS, { name: NAME });
  const served = async (): Promise<boolean> => {
    try {
      await two().list(WIDGETS, {});
      return true;
    } catch (error) {
      if (isReason(error, "NotFound")) return false;
      throw error;
    }
  };
  await eventually(served, (is) => !is, 60_000);
  await plane.process("api-server/0").start();
  await define();
  expect((await two().list(WIDGETS, {})).items).toEqual([]);
});
