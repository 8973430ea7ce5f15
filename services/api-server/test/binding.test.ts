// What a binding carries reaches the pod with its node: labels and annotations, in one write.
import { afterAll, beforeAll, expect, test } from "vitest";
import { PODS, type Pod } from "@coxswain/api";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({});
});

afterAll(async () => {
  await server.stop();
});

test("a pod takes over the labels and annotations of its binding", async () => {
  const { client } = server;
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default", labels: { app: "a", rack: "none" }, annotations: { kept: "yes" } },
    spec: { containers: [{ name: "c", image: "i" }] },
  };
  await client.create(PODS, pod);
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "p", namespace: "default", labels: { rack: "r1" }, annotations: { device: "d1" } },
    target: { kind: "Node", name: "n1" },
  };
  const target = { namespace: "default", name: "p" };
  await client.create(PODS, binding, { ...target, subresource: "binding" });
  const bound = await client.get<Pod>(PODS, target);
  expect(bound.spec?.nodeName).toBe("n1");
  expect(bound.metadata?.labels).toEqual({ app: "a", rack: "r1" });
  expect(bound.metadata?.annotations).toEqual({ kept: "yes", device: "d1" });
});
