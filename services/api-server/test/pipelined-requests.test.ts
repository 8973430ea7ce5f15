// Several requests on one connection before the first answer: served in order, and forgotten when the client goes away.
import { readFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { noMetrics, type Metrics } from "@coxswain/component-base";
import { certificateFiles } from "@coxswain/component-base/identity/pki";
import { MAX_WAITING } from "../src/rest/pipelined.ts";
import { createFakePipeline, type FakePipeline } from "./support/fake-pipeline.ts";
import { startTestFront, type TestFront } from "./support/test-front.ts";

const PATIENCE = { timeout: 30_000 };
const LARGE = "/api/v1/namespaces/large/configmaps";
const SMALL = "/api/v1/namespaces/small/configmaps";

let pipeline: FakePipeline;
let front: TestFront;
/** Verbs of the requests that are over. */
const over: string[] = [];

const metrics: Metrics = {
  ...noMetrics,
  counter: (name, help, labels) => {
    if (name !== "apiserver_request_total") return noMetrics.counter(name, help, labels);
    const inc = (values: Record<string, string> = {}): void => void over.push(String(values["verb"]));
    return { inc, of: (values) => ({ inc: () => inc(values) }) };
  },
};

beforeAll(async () => {
  front = await startTestFront(() => (pipeline = createFakePipeline()), metrics);
  const put = (namespace: string, name: string, data: Record<string, string>): void => {
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data };
    pipeline.put(object, "configmaps");
  };
  // More than the buffers of a loopback connection hold.
  for (let at = 0; at < 200; at++) put("large", `large-${at}`, { filler: "x".repeat(100_000) });
  put("small", "small", {});
});

beforeEach(() => {
  over.length = 0;
  pipeline.requests.length = 0;
});

afterAll(() => front.close());

async function dial(): Promise<TLSSocket> {
  const { certFile, keyFile, caFile } = certificateFiles(front.dir, "admin");
  const [cert, key, ca] = [certFile, keyFile, caFile].map((file) => readFileSync(file));
  const { hostname: host, port } = new URL(front.url);
  const socket = connect({ host, port: Number(port), cert, key, ca });
  socket.on("error", () => undefined);
  await new Promise((resolve) => {
    socket.once("secureConnect", resolve);
  });
  return socket;
}

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`;

/** Reads no more than the beginning of the first answer. */
async function readABit(socket: TLSSocket): Promise<void> {
  await new Promise((resolve) => {
    socket.once("data", resolve);
  });
  socket.pause();
}

test("answers come in the order of the requests", async () => {
  const socket = await dial();
  let text = "";
  socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
  socket.write(get(LARGE) + get(`${SMALL}/small`) + get(`${SMALL}/absent`));
  await vi.waitUntil(() => text.includes('"code":404'), PATIENCE);
  const kinds = [...text.matchAll(/HTTP\/1\.1 (\d+)|"kind":"(ConfigMapList|ConfigMap|Status)"/g)].map(
    ([found]) => found,
  );
  expect(kinds.filter((kind, at) => kind !== kinds[at - 1])).toEqual([
    "HTTP/1.1 200",
    '"kind":"ConfigMapList"',
    '"kind":"ConfigMap"',
    "HTTP/1.1 200",
    '"kind":"ConfigMap"',
    "HTTP/1.1 404",
    '"kind":"Status"',
  ]);
  socket.destroy();
});

test.each([
  ["another large answer", LARGE],
  ["a watch", `${SMALL}?watch=1`],
])("nothing is left of %s when the client goes away in the middle of the first", async (_name, second) => {
  const socket = await dial();
  socket.write(get(LARGE) + get(second));
  await readABit(socket);
  socket.destroy();
  await vi.waitUntil(() => over.length > 0, PATIENCE);
  // Whatever the server took up before this request, it has begun by the time that this one is answered.
  await front.call("GET", `${SMALL}/small`);
  await vi.waitUntil(() => pipeline.watches() === 0 && over.length === pipeline.requests.length, PATIENCE);
});

test("who sends more requests than may wait is cut off", async () => {
  const socket = await dial();
  const closed = new Promise((resolve) => {
    socket.once("close", resolve);
  });
  // The watch may have begun to answer, and a socket with something to read does not close.
  socket.resume();
  socket.write(get(`${SMALL}?watch=1`) + get(`${SMALL}/small`).repeat(MAX_WAITING + 1));
  await closed;
});
