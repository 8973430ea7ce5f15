// The figures of requests, as dashboards and alerts for upstream's api-server read them.
import { afterAll, beforeAll, expect, test } from "vitest";
import { createMetrics, type MetricsRegistry } from "@coxswain/component-base/metrics";
import { createFakePipeline } from "./support/fake-pipeline.ts";
import { startTestFront, type TestFront } from "./support/test-front.ts";

let front: TestFront;
let metrics: MetricsRegistry;

beforeAll(async () => {
  metrics = createMetrics();
  const pipeline = createFakePipeline();
  front = await startTestFront((extensions) => {
    if (typeof extensions.authorizer === "function") pipeline.authorizer = extensions.authorizer(pipeline);
    return pipeline;
  }, metrics);
  pipeline.put({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default" } }, "configmaps");
});

afterAll(() => front.close());

type Series = Readonly<Record<string, string>>;

/** What is told under a name: labels, without empty ones and the component, and the value. */
async function told(name: string): Promise<(Series & { readonly value: string })[]> {
  const lines = (await metrics.text()).split("\n").filter((line) => line.startsWith(`${name}{`));
  return lines.map((line) => {
    const labels = [...line.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = "", value = ""]) => [label, value] as const);
    const kept = labels.filter(([label, value]) => value !== "" && label !== "component");
    return { ...Object.fromEntries(kept), value: line.slice(line.lastIndexOf(" ") + 1) };
  });
}

const MAPS = "/api/v1/namespaces/default/configmaps";
const OF_MAPS = { version: "v1", resource: "configmaps", value: "1" };
const OF_DEPLOYMENTS = { group: "apps", version: "v1", resource: "deployments", value: "1" };
const APPLY = "application/apply-patch+yaml";

test.each([
  ["GET", `${MAPS}/a`, undefined, { ...OF_MAPS, verb: "GET", scope: "resource", code: "200" }],
  ["GET", `${MAPS}/absent`, undefined, { ...OF_MAPS, verb: "GET", scope: "resource", code: "404" }],
  ["GET", MAPS, undefined, { ...OF_MAPS, verb: "LIST", scope: "namespace", code: "200" }],
  ["GET", "/api/v1/configmaps", undefined, { ...OF_MAPS, verb: "LIST", scope: "cluster", code: "200" }],
  [
    "PATCH",
    "/apis/apps/v1/namespaces/default/deployments/d/scale?dryRun=All",
    APPLY,
    { ...OF_DEPLOYMENTS, subresource: "scale", verb: "APPLY", scope: "resource", dry_run: "All" },
  ],
  ["GET", "/api/v1/secret-things", undefined, { verb: "GET", code: "404" }],
  ["GET", `${MAPS}/a/made-up`, undefined, { verb: "GET" }],
  ["GET", "/version", undefined, { verb: "GET", code: "200" }],
  ["OPTIONS", MAPS, undefined, { verb: "other", code: "405" }],
] as const)("%s %s", async (method, path, type, expected) => {
  const before = await told("apiserver_request_total");
  await front.call(method, path, type === undefined ? {} : { headers: { "content-type": type }, body: "{}" });
  const { value: _value, ...labels } = { value: "1", ...expected };
  const matching = (all: readonly Series[]): number =>
    all
      .filter((each) => Object.entries(labels).every(([label, value]) => each[label] === value))
      .filter((each) => "resource" in labels || each["resource"] === undefined)
      .reduce((sum, each) => sum + Number(each["value"]), 0);
  await expect.poll(async () => matching(await told("apiserver_request_total"))).toBe(matching(before) + 1);
});

test("how long each took, and what is under way", async () => {
  await expect
    .poll(async () => await told("apiserver_request_duration_seconds_count"))
    .toContainEqual({ ...OF_MAPS, verb: "LIST", scope: "namespace" });
  expect(await told("apiserver_current_inflight_requests")).toEqual(
    expect.arrayContaining([
      { request_kind: "readOnly", value: "0" },
      { request_kind: "mutating", value: "0" },
    ]),
  );
  expect(await told("apiserver_longrunning_requests")).toEqual([]);
});
