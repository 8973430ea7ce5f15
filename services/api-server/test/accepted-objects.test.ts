// What a writer's object becomes before it is stored, whatever its kind.
import { afterAll, beforeAll, expect, test } from "vitest";
import { CLUSTER_ROLES, CONFIG_MAPS } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ApiRequest } from "../src/pipeline/contract.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(() => server.stop());

type Target = Pick<ApiRequest, "group" | "version" | "resource" | "verb" | "namespace" | "name">;

/** A request as it is sent: a client would choose the path by the object. */
const asked = (target: Target, body: object, contentType = "application/json"): ApiRequest => ({
  user: { username: "admin", groups: ["system:masters"] },
  subresource: "",
  contentType,
  options: { fieldManager: "m" },
  signal: new AbortController().signal,
  ...target,
  body: Buffer.from(JSON.stringify(body)),
});

test("an object that lies in no namespace loses the one that it names", async () => {
  const role = {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "charted", namespace: "default" },
    rules: [],
  };
  const request = asked({ ...CLUSTER_ROLES, verb: "create", namespace: "", name: "" }, role);
  expect(await server.api.pipeline.handle(request)).toMatchObject({ code: 201 });
  const made = await server.client.get(CLUSTER_ROLES, { name: "charted" });
  expect(made.metadata?.namespace).toBeUndefined();
});

test("an object that its managedFields make too large is kept without them, but not where it is applied", async () => {
  const { client } = server;
  const at = { namespace: "default", name: "large" };
  const data = Object.fromEntries(
    Array.from({ length: 10_500 }, (_, n) => [
      `a-key-that-is-so-long-that-the-set-of-fields-is-longer-than-the-data-${n}`,
      "A",
    ]),
  );
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata: at, data };
  const made = await client.create<KubeObject>(CONFIG_MAPS, map);
  expect(made.metadata?.managedFields).toBeUndefined();
  const applied = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "large" }, data: { b: "B" } };
  const request = asked({ ...CONFIG_MAPS, verb: "patch", ...at }, applied, "application/apply-patch+yaml");
  await expect(server.api.pipeline.handle(request)).rejects.toMatchObject({ code: 413 });
});
