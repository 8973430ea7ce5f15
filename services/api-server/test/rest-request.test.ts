// Requests of the REST front as the pipeline has them: what they say, and that nothing keeps them.
import type { IncomingMessage } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { NOBODY } from "../src/rest/audit-request.ts";
import type { RestCall } from "../src/rest/deps.ts";
import { parseRequest, type ResourceInfo } from "../src/rest/request-info.ts";
import { RestRequest } from "../src/rest/rest-request.ts";

const info = parseRequest("GET", "/api/v1/namespaces/default/pods/boat?resourceVersion=7") as ResourceInfo;

function callWith(signal: () => AbortSignal): RestCall {
  const request = { headers: { "user-agent": "kubectl" } } as unknown as IncomingMessage;
  return {
    request,
    user: NOBODY,
    audit: undefined,
    get signal() {
      return signal();
    },
  } as unknown as RestCall;
}

test("a request says what its path and headers do, and asks for a signal when it is asked for its own", () => {
  let asked = 0;
  const { signal } = new AbortController();
  const call = callWith(() => {
    asked++;
    return signal;
  });
  const request = new RestRequest(info, call, Buffer.from("{}"), "application/json");
  expect(request).toMatchObject({
    user: NOBODY,
    verb: "get",
    group: "",
    version: "v1",
    resource: "pods",
    subresource: "",
    namespace: "default",
    name: "boat",
    body: Buffer.from("{}"),
    contentType: "application/json",
    options: { resourceVersion: "7" },
    userAgent: "kubectl",
    annotate: undefined,
  });
  expect(asked).toBe(0);
  expect(request.signal).toBe(signal);
});

test("a request that is over is garbage for a scavenge, with its call", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as (options: { readonly type: "major" | "minor" }) => void;
  const REQUESTS = 20_000;
  const NUMBERS = 100;
  const { signal } = new AbortController();
  const headers = { "user-agent": "kubectl" };
  collect({ type: "major" });
  const before = process.memoryUsage().heapUsed;
  for (let at = 0; at < REQUESTS; at++) {
    const held = Array.from({ length: NUMBERS }, () => 0.5);
    const call = { request: { headers }, user: NOBODY, audit: undefined, signal, held } as unknown as RestCall;
    expect(new RestRequest(info, call).name).toBe("boat");
  }
  collect({ type: "minor" });
  expect(process.memoryUsage().heapUsed - before).toBeLessThan((REQUESTS * NUMBERS * 8) / 4);
});
