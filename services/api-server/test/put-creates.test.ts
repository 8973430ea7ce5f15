// PUT of what is not there: of some kinds it makes the object, of all others it is an error.
import { allKinds, CLUSTER_ROLES } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

test("the kinds are those of v1.35", () => {
  const found = allKinds()
    .filter(({ strategy }) => strategy.allowCreateOnUpdate)
    .map(({ group, resource }) => `${resource}.${group}`);
  expect([...new Set(found)].toSorted()).toEqual([
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "endpoints.",
    "events.",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "limitranges.",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "runtimeclasses.node.k8s.io",
    "services.",
  ]);
});

test("a role is made, and found", async () => {
  const role = {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "made" },
    rules: [],
  };
  const { client } = server;
  await client.update(CLUSTER_ROLES, role);
  expect(await client.get(CLUSTER_ROLES, { name: "made" })).toMatchObject({ metadata: { name: "made" } });
});
