// What autoscalers ask of the metrics APIs, and how they tell of what they do not get: paths and wording are upstream's.
import { StatusError } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { preferredFirst } from "../src/pod-autoscaler/api-versions.ts";
import { createMetricsSource } from "../src/pod-autoscaler/metrics-source.ts";

const CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2";
const PODS = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods";
const NOT_SERVED = new StatusError("NotFound", 404, "the server could not find the requested resource");
const METRIC = { name: "depth", selector: "" };
const timestamp = "2026-01-01T00:00:00Z";
const value = (text: string) => ({ timestamp, value: text });

/** A source on what `answers` has for a path; nobody serves the rest. `versions`: of custom metrics, as discovery has them. */
function sourceOf(answers: Readonly<Record<string, object | Error>>, versions: readonly string[] = ["v1beta2"]) {
  const read = async (path: string): Promise<unknown> => {
    const answer = answers[path] ?? NOT_SERVED;
    if (answer instanceof Error) throw answer;
    return Array.isArray(answer) ? { items: answer as unknown[] } : answer;
  };
  const resolve = ({ kind }: { kind: string }) =>
    kind === "Service" ? { ref: { group: "", version: "v1", resource: "services" }, namespaced: true } : undefined;
  return createMetricsSource({ read }, { resolve }, (group) => (group === "custom.metrics.k8s.io" ? versions : []));
}

const front = { apiVersion: "v1", kind: "Service", name: "front" };
const unavailable = (message: string) => new StatusError("ServiceUnavailable", 503, message);

test("a metric of a Namespace is that of the autoscaler's own, whatever the reference says", async () => {
  const source = sourceOf({ [`${CUSTOM}/namespaces/shop/metrics/depth`]: [value("2")] });
  expect(await source.object(METRIC, "shop", { apiVersion: "v1", kind: "Namespace", name: "kube-system" })).toBe(2_000);
});

test.each([
  [[], 0],
  [[value("1"), value("2")], 2],
])("an object has one figure, not %j", async (items, count) => {
  const source = sourceOf({ [`${CUSTOM}/namespaces/shop/services/front/depth`]: items });
  await expect(source.object(METRIC, "shop", front)).rejects.toThrow(
    `unable to fetch metrics from custom metrics API: the custom metrics API server returned ${count} results when we asked for exactly one`,
  );
});

test("a kind that nobody serves", async () => {
  const boat = { apiVersion: "example.com/v1", kind: "Boat", name: "eight" };
  await expect(sourceOf({}).object(METRIC, "shop", boat)).rejects.toThrow(
    'unable to fetch metrics from custom metrics API: unable to map kind Boat.example.com to resource: no matches for kind "Boat" in group "example.com"',
  );
});

test.each([
  [["v1beta1", "v1beta2"], 1_000],
  [["v1beta2", "v1beta1"], 2_000],
  [["v1beta1"], 1_000],
  [["v1", "v1beta1"], 1_000],
])("the version that discovery prefers is asked for, of those that are known: %j", async (versions, amount) => {
  const answers = Object.fromEntries(
    [1, 2].map((at) => [
      `/apis/custom.metrics.k8s.io/v1beta${at}/namespaces/shop/services/front/depth`,
      [value(`${at}`)],
    ]),
  );
  expect(await sourceOf(answers, versions).object(METRIC, "shop", front)).toBe(amount);
});

test.each([
  [[], "no custom metrics API (custom.metrics.k8s.io) registered"],
  [["v1", "v2alpha1"], "no known available metric versions found"],
])("with the versions %j there is nobody to ask: %s", async (versions, message) => {
  await expect(sourceOf({}, versions).object(METRIC, "shop", front)).rejects.toThrow(
    `unable to fetch metrics from custom metrics API: ${message}`,
  );
});

test("versions come by their priority, and newer ones first where it is the same", () => {
  const registered = [
    { version: "v1beta1", priority: 10 },
    { version: "v1beta2", priority: 10 },
    { version: "v1alpha1", priority: 200 },
  ];
  expect(preferredFirst(registered)).toEqual(["v1alpha1", "v1beta2", "v1beta1"]);
});

test.each([
  ["the server could not find the requested resource (get services.custom.metrics.k8s.io front)", NOT_SERVED],
  [
    "the server could not find the requested resource (get services.custom.metrics.k8s.io front)",
    unavailable("the server answered 404: page"),
  ],
  [
    "the server is currently unable to handle the request (get services.custom.metrics.k8s.io front)",
    unavailable("error trying to reach service: connect ECONNREFUSED 127.0.0.1:1"),
  ],
  [
    'an error on the server ("broken") has prevented the request from succeeding (get services.custom.metrics.k8s.io front)',
    unavailable("the server answered 500: broken"),
  ],
  ["depth is not measured", new StatusError("NotFound", 404, "depth is not measured")],
])("fails with: %s", async (message, failure) => {
  const source = sourceOf({ [`${CUSTOM}/namespaces/shop/services/front/depth`]: failure });
  await expect(source.object(METRIC, "shop", front)).rejects.toThrow(
    `unable to fetch metrics from custom metrics API: ${message}`,
  );
});

test("a pod without the figures of all its containers is not counted", async () => {
  const pod = (name: string, ...usages: object[]) => ({
    metadata: { name },
    timestamp,
    window: "15s",
    containers: usages.map((usage, at) => ({ name: `c${at}`, usage })),
  });
  const source = sourceOf({ [PODS]: [pod("empty"), pod("half", { cpu: "1" }, {}), pod("whole", { cpu: "1" })] });
  expect([...(await source.resource("cpu", "shop", "", "")).keys()]).toEqual(["whole"]);
  await expect(source.resource("cpu", "shop", "", "c1")).rejects.toThrow(
    "failed to get container metrics: container c1 not present in metrics for pod shop/empty",
  );
});
