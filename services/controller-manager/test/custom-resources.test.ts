// Controllers that look at all resources know those that definitions add, while they are there.
import { CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, type ConfigMap } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import type { KubeObject, OwnerReference, ResourceRef } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { customResourceOf } from "../src/custom-resources/custom-resources.ts";
import { makeFixture } from "./cluster-fixture.ts";

const WIDGETS: ResourceRef = { group: "stable.example.com", version: "v1", resource: "widgets" };

const definition = (): CustomResourceDefinition => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.stable.example.com" },
  spec: {
    group: "stable.example.com",
    scope: "Namespaced",
    names: { plural: "widgets", kind: "Widget" },
    versions: [
      { name: "v1beta1", served: true, storage: false },
      { name: "v1", served: true, storage: true },
    ],
  },
  status: { conditions: [{ type: "Established", status: "True" }] },
});

const widget = (name: string, owners: OwnerReference[] = []): KubeObject => ({
  apiVersion: "stable.example.com/v1",
  kind: "Widget",
  metadata: { name, namespace: "default", ...(owners.length === 0 ? {} : { ownerReferences: owners }) },
});

test("a definition gives a resource once it is established, in the version that is stored where that is served", () => {
  const crd = definition();
  expect(customResourceOf(crd)).toEqual({ ref: WIDGETS, kind: "Widget", namespaced: true });
  expect(customResourceOf({ ...crd, status: {} })).toBeUndefined();
});

test("custom objects own and are owned", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  fixture.start();
  const { cluster, admin } = fixture;
  cluster.seed(CUSTOM_RESOURCE_DEFINITIONS, definition());
  const owner = await fixture.settle(admin.create(WIDGETS, widget("owner")));
  const reference = {
    apiVersion: "stable.example.com/v1",
    kind: "Widget",
    name: "owner",
    uid: owner.metadata?.uid ?? "",
  };
  await fixture.settle(admin.create(WIDGETS, widget("owned", [reference])));
  const config = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c", namespace: "default" } };
  await fixture.settle(
    admin.create<ConfigMap>(CONFIG_MAPS, { ...config, metadata: { ...config.metadata, ownerReferences: [reference] } }),
  );
  const left = (): number => cluster.objects(WIDGETS).length + cluster.objects(CONFIG_MAPS).length;
  expect(left()).toBe(3);
  await fixture.settle(admin.delete(WIDGETS, { namespace: "default", name: "owner" }));
  expect(await fixture.until(() => left() === 0)).toBe(true);
});

test("a namespace takes its custom objects along", async () => {
  const fixture = makeFixture();
  fixture.seedNamespace();
  fixture.start();
  fixture.cluster.seed(CUSTOM_RESOURCE_DEFINITIONS, definition());
  await fixture.settle(fixture.admin.create(WIDGETS, widget("one")));
  await fixture.settle(fixture.admin.delete(NAMESPACES, { name: "default" }));
  expect(await fixture.until(() => fixture.cluster.objects(NAMESPACES).length === 0)).toBe(true);
  expect(fixture.cluster.objects(WIDGETS)).toEqual([]);
});
