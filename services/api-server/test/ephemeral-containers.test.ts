// pods/ephemeralcontainers, by the API and by `kubectl debug`: containers are added to a pod that runs, and nothing else
// of it changes.
import type { Pod } from "@coxswain/api";
import { Agent, request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

let server: TestServer;
let agent: Agent;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  const { ca, cert, key } = server.tls("admin");
  agent = new Agent({ connect: { ca, cert, key } });
  const spec = { containers: [{ name: "c", image: "example.test/app:1" }] };
  const made = await call("POST", "pods", { metadata: { name: "p", labels: { a: "b" } }, spec });
  expect(made.code).toBe(201);
  await prepareKubectl();
}, 120_000);

afterAll(async () => {
  await agent.destroy();
  await server.close();
});

async function call(
  method: "GET" | "POST" | "PUT" | "PATCH",
  path: string,
  body?: unknown,
): Promise<{ code: number; pod: Pod; message: string }> {
  const type = method === "PATCH" ? "application/strategic-merge-patch+json" : "application/json";
  const { statusCode, body: answer } = await request(`${server.url}/api/v1/namespaces/default/${path}`, {
    method,
    dispatcher: agent,
    headers: { "content-type": type },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const json = (await answer.json()) as Pod & { message: string };
  return { code: statusCode, pod: json, message: json.message };
}

const debuggers = (...containers: object[]) => ({ spec: { ephemeralContainers: containers } });
const PATH = "pods/p/ephemeralcontainers";
const FIRST = { name: "first", image: "example.test/debug:1" };

test("containers are added, with defaults, and the generation counts", async () => {
  const before = await call("GET", PATH);
  expect(before.pod.kind).toBe("Pod");
  const { code, pod } = await call("PATCH", PATH, debuggers({ ...FIRST, targetContainerName: "c" }));
  expect(code).toBe(200);
  expect(pod.spec?.ephemeralContainers).toMatchObject([{ ...FIRST, terminationMessagePath: "/dev/termination-log" }]);
  expect(pod.metadata?.generation).toBe((before.pod.metadata?.generation ?? 0) + 1);
  const next = { ...pod, spec: { ...pod.spec!, ephemeralContainers: [...(pod.spec?.ephemeralContainers ?? [])] } };
  next.spec.ephemeralContainers.push({ name: "second", image: "example.test/debug:1" });
  next.metadata = { ...next.metadata, labels: { a: "changed" } };
  const put = await call("PUT", PATH, next);
  expect(put.pod.spec?.ephemeralContainers?.map(({ name }) => name)).toEqual(["first", "second"]);
  expect(put.pod.metadata?.labels).toEqual({ a: "b" });
});

test.each([
  [{ name: "c", image: "x" }, 'spec.ephemeralContainers[2].name: Duplicate value: "c"'],
  [{ name: "third", image: "x", ports: [{ containerPort: 80 }] }, "ports: Forbidden: cannot be set for an Ephemeral"],
  [{ name: "third", image: "x", targetContainerName: "z" }, 'targetContainerName: Not found: "z"'],
])("%j is refused", async (container, message) => {
  const { pod } = await call("GET", PATH);
  const containers = [...(pod.spec?.ephemeralContainers ?? []), container];
  const answer = await call("PUT", PATH, { ...pod, spec: { ...pod.spec, ephemeralContainers: containers } });
  expect([answer.code, answer.message]).toEqual([422, expect.stringContaining(message)]);
});

test("what was added neither changes nor goes, and not through the pod itself", async () => {
  const { pod } = await call("GET", PATH);
  const [first, second] = pod.spec?.ephemeralContainers ?? [];
  const put = (containers: object[]) =>
    call("PUT", PATH, { ...pod, spec: { ...pod.spec, ephemeralContainers: containers } });
  expect(await put([first!])).toMatchObject({ code: 422, message: expect.stringContaining("may not be removed") });
  const changed = { ...second, image: "example.test/other:1" };
  expect(await put([first!, changed])).toMatchObject({
    code: 422,
    message: expect.stringContaining("may not be changed"),
  });
  const third = { ...pod, spec: { ...pod.spec, ephemeralContainers: [first, second, { name: "third", image: "x" }] } };
  expect(await call("PUT", "pods/p", third)).toMatchObject({ code: 422 });
});

test("kubectl debug", async () => {
  const { code, err } = await kubectl(server, ["debug", "p", "--image=example.test/tools:1", "-c", "tools"]);
  expect([code, err]).toEqual([0, expect.not.stringContaining("rror")]);
  const { pod } = await call("GET", "pods/p");
  expect(pod.spec?.ephemeralContainers?.at(-1)).toMatchObject({ name: "tools", image: "example.test/tools:1" });
});
