// Claims of devices: made from templates, reserved, released with the last consumer, and gone with their pods.
import {
  NODES,
  PODS,
  RESOURCE_CLAIM_TEMPLATES,
  RESOURCE_CLAIMS,
  type DeviceResourceClaim,
  type Pod,
  type ResourceClaimStatus,
} from "@coxswain/api";
import { CLAIM_FINALIZER } from "@coxswain/api/resource-v1/pod-device-claims";
import { timeoutError } from "@coxswain/client/memory/faults";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  claimFromTemplate,
  generatedBase,
  isLeftOver,
  judgeConsumer,
  lacksClaim,
  needsWork,
  planRelease,
} from "../src/resource-claim/plan.ts";
import { makeFixture, readyNode, type Fixture } from "./cluster-fixture.ts";

const allocation = { devices: { results: [{ request: "r", driver: "a.example", pool: "p", device: "d" }] } };

function pod(name: string, { status = {}, spec = {}, uid = `${name}-uid`, deleted = false } = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid, ...(deleted ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}) },
    spec: { containers: [], resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "gpus" }], ...spec },
    status,
  };
}

function claim(name: string, status: ResourceClaimStatus = {}, metadata: object = {}): DeviceResourceClaim {
  const finalizers = status.allocation ? { finalizers: [CLAIM_FINALIZER] } : {};
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { name, namespace: "default", ...finalizers, ...metadata },
    spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "gpu" } }] } },
    status,
  };
}

const consumer = (name: string, uid = `${name}-uid`) => ({ resource: "pods", name, uid });
const ownedBy = (name: string, uid = `${name}-uid`) => ({
  annotations: { "resource.kubernetes.io/pod-claim-name": "gpu" },
  ownerReferences: [{ apiVersion: "v1", kind: "Pod", name, uid, controller: true }],
});
const template = {
  apiVersion: "resource.k8s.io/v1",
  kind: "ResourceClaimTemplate",
  metadata: { name: "gpus", namespace: "default" },
  spec: { metadata: { labels: { a: "b" }, annotations: { c: "d" } }, spec: claim("x").spec },
};

test("a claim from a template is the pod's, and bears both names, cut where they are too long", () => {
  expect(claimFromTemplate(pod("web"), "gpu", template)).toEqual({
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: {
      generateName: "web-gpu-",
      namespace: "default",
      labels: { a: "b" },
      annotations: { c: "d", "resource.kubernetes.io/pod-claim-name": "gpu" },
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "web", uid: "web-uid", controller: true }],
    },
    spec: template.spec.spec,
  });
  const word = fc.stringMatching(/^[a-z]{1,80}$/);
  fc.assert(
    fc.property(word, word, (a, b) => {
      const base = generatedBase(a, b);
      expect(base.length).toBeLessThanOrEqual(57);
      expect(base.startsWith(a.slice(0, 1))).toBe(true);
    }),
  );
});

describe("a pod needs the controller", () => {
  const made = { resourceClaimStatuses: [{ name: "gpu", resourceClaimName: "c" }] };
  const running = { nodeName: "n" };
  const mine = claim("c", {}, ownedBy("web"));
  test.each<[string, Pod, DeviceResourceClaim | undefined, boolean, boolean]>([
    ["whose claim is not recorded", pod("web"), undefined, true, true],
    ["whose claim went away", pod("web", { status: made }), undefined, true, true],
    ["not, whose claim is there", pod("web", { status: made }), mine, false, false],
    ["not, whose claim is another's, which is made anew", pod("web", { status: made }), claim("c"), false, true],
    ["not, being deleted", pod("web", { deleted: true }), undefined, false, true],
    [
      "not, that needs no claim",
      pod("web", { status: { resourceClaimStatuses: [{ name: "gpu" }] } }),
      mine,
      false,
      false,
    ],
    [
      "that has its node, though its claim is not reserved",
      pod("web", { status: made, spec: running }),
      claim("c", { allocation }, ownedBy("web")),
      true,
      false,
    ],
    [
      "not, whose claim is reserved",
      pod("web", { status: made, spec: running }),
      claim("c", { allocation, reservedFor: [consumer("web")] }, ownedBy("web")),
      false,
      false,
    ],
  ])("%s", (_, given, present, needs, lacks) => {
    const lookup = { claim: () => present };
    expect(needsWork(given, lookup)).toBe(needs);
    expect(lacksClaim(given, given.spec!.resourceClaims![0]!, lookup)).toBe(lacks);
  });
});

test.each<[string, Pod | undefined, boolean, string]>([
  ["runs", pod("web"), false, "keep"],
  ["has ended", pod("web", { status: { phase: "Succeeded" } }), false, "drop"],
  ["was deleted before it had a node", pod("web", { deleted: true }), false, "drop"],
  ["is being deleted on its node", pod("web", { deleted: true, spec: { nodeName: "n" } }), false, "keep"],
  ["was replaced", pod("web", { uid: "other" }), false, "drop"],
  ["was seen to go", undefined, true, "drop"],
  ["is not known", undefined, false, "ask"],
])("the reservation of a pod that %s", (_, known, gone, verdict) => {
  expect(judgeConsumer(consumer("web"), known, () => gone)).toBe(verdict);
});

test("only reservations of pods are understood", () => {
  const odd = { ...consumer("web"), resource: "jobs", apiGroup: "batch" };
  expect(() => judgeConsumer(odd, undefined, () => false)).toThrow("unsupported ReservedFor entry");
});

describe("a claim is released", () => {
  const [a, b] = [consumer("a"), consumer("b")];
  test("with the last of its consumers", () => {
    const given = claim("c", { allocation, reservedFor: [a, b] });
    expect(planRelease(given, [a, b])).toEqual({ release: false });
    expect(planRelease(given, [b])).toEqual({ status: claim("c", { allocation, reservedFor: [b] }), release: false });
    const after = planRelease(given, []);
    expect(after.status?.status).toEqual({});
    expect(after.release).toBe(true);
  });
  test("when it is deleted and nobody uses it", () => {
    const deleted = { deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [CLAIM_FINALIZER] };
    expect(planRelease(claim("c", { allocation }), [])).toEqual({ release: false });
    expect(planRelease(claim("c", { allocation }, deleted), []).status?.status).toEqual({});
    expect(planRelease(claim("c", {}, deleted), [])).toEqual({ release: true });
    expect(planRelease(claim("c", { allocation, reservedFor: [a] }, deleted), [a])).toEqual({ release: false });
  });
});

test("a generated claim is left over once its pod is done or another has its name", () => {
  const given = claim("c", {}, ownedBy("web"));
  expect(isLeftOver(given, pod("web"))).toBe(false);
  expect(isLeftOver(given, undefined)).toBe(false);
  expect(isLeftOver(given, pod("web", { uid: "other" }))).toBe(true);
  expect(isLeftOver(given, pod("web", { status: { phase: "Failed" } }))).toBe(true);
  expect(isLeftOver(claim("c"), pod("web", { status: { phase: "Failed" } }))).toBe(false);
});

describe("in a cluster", () => {
  const claims = (fixture: Fixture) => fixture.cluster.objects<DeviceResourceClaim>(RESOURCE_CLAIMS);
  const at = (name: string) => ({ namespace: "default", name });
  const MERGE = "application/merge-patch+json";

  function start(): Fixture {
    const fixture = makeFixture({ measured: true });
    fixture.seedNamespace();
    fixture.cluster.seed(NODES, readyNode("n", fixture.env.clock.now()));
    fixture.start();
    return fixture;
  }
  const web = (fixture: Fixture) => fixture.pods().find((one) => one.metadata?.name === "web");

  test("a pod without its template is told so, and gets its claim when that is there", async () => {
    const fixture = start();
    fixture.cluster.seed(PODS, pod("web"));
    expect(await fixture.until(() => fixture.events("FailedResourceClaimCreation").length > 0)).toBe(true);
    expect(fixture.events("FailedResourceClaimCreation")[0]).toMatchObject({
      type: "Warning",
      message:
        'PodResourceClaim gpu: resource claim template "gpus": resourceclaimtemplate.resource.k8s.io "gpus" not found',
      source: { component: "resource_claim" },
    });
    fixture.cluster.seed(RESOURCE_CLAIM_TEMPLATES, template);
    expect(await fixture.until(() => web(fixture)?.status?.resourceClaimStatuses !== undefined)).toBe(true);
    const [made] = claims(fixture);
    expect(made?.metadata?.name).toMatch(/^web-gpu-[a-z0-9]{5}$/);
    expect(web(fixture)?.status?.resourceClaimStatuses).toEqual([
      { name: "gpu", resourceClaimName: made?.metadata?.name },
    ]);
    const source = 'allocated="false",admin_access="false",source="resource_claim_template"';
    expect(await fixture.figures("resourceclaim_controller_")).toEqual({
      'resourceclaim_controller_creates_total{status="success",admin_access="false"}': 1,
      [`resourceclaim_controller_resource_claims{${source}}`]: 1,
    });
  });

  test("lost answers and failed status writes lead to one claim, not two", async () => {
    const fixture = makeFixture();
    fixture.seedNamespace();
    fixture.cluster.seed(RESOURCE_CLAIM_TEMPLATES, template);
    fixture.cluster.inject({ verb: "patch", resource: "pods", times: 3 });
    fixture.cluster.inject({ resource: "resourceclaims", nth: 1, lands: true, error: timeoutError() });
    fixture.start();
    fixture.cluster.seed(PODS, pod("web"));
    expect(await fixture.until(() => web(fixture)?.status?.resourceClaimStatuses !== undefined)).toBe(true);
    expect(claims(fixture)).toHaveLength(1);
  });

  test("devices are given back when the last consumer ends, and a generated claim goes with its pod", async () => {
    const fixture = start();
    const status = { phase: "Running", resourceClaimStatuses: [{ name: "gpu", resourceClaimName: "mine" }] };
    const resourceClaims = [
      { name: "gpu", resourceClaimTemplateName: "gpus" },
      { name: "s", resourceClaimName: "shared" },
    ];
    const { uid } = fixture.cluster.seed(
      PODS,
      pod("web", { status, spec: { nodeName: "n", resourceClaims } }),
    ).metadata!;
    const me = consumer("web", uid);
    fixture.cluster.seed(RESOURCE_CLAIMS, claim("shared", { allocation, reservedFor: [me, consumer("ghost")] }));
    const meta = { ...ownedBy("web", uid), finalizers: [CLAIM_FINALIZER] };
    fixture.cluster.seed(RESOURCE_CLAIMS, claim("mine", { allocation, reservedFor: [me] }, meta));
    const by = (name: string) => claims(fixture).find((one) => one.metadata?.name === name);
    // Who is nowhere has no reservation.
    expect(await fixture.until(() => by("shared")?.status?.reservedFor?.length === 1)).toBe(true);
    expect(by("shared")?.status?.allocation).toEqual(allocation);
    expect(by("mine")?.status?.reservedFor).toEqual([me]);
    const done = { status: { phase: "Succeeded" } };
    await fixture.settle(fixture.admin.patch(PODS, at("web"), MERGE, done, { subresource: "status" }));
    expect(await fixture.until(() => by("mine") === undefined)).toBe(true);
    expect(await fixture.until(() => by("shared")?.metadata?.finalizers === undefined)).toBe(true);
    expect(by("shared")?.status).toEqual({});
    await fixture.env.advance(1_000);
    expect(await fixture.figures("resourceclaim_controller_resource_claims")).toEqual({
      'resourceclaim_controller_resource_claims{allocated="false",admin_access="false",source=""}': 1,
    });
  });

  test("a pod that was bound by hand runs with its allocated claim", async () => {
    const fixture = start();
    const spec = { nodeName: "n", resourceClaims: [{ name: "g", resourceClaimName: "c" }] };
    const other = consumer("other", fixture.cluster.seed(PODS, pod("other", { spec })).metadata?.uid);
    fixture.cluster.seed(PODS, pod("web", { spec }));
    fixture.cluster.seed(RESOURCE_CLAIMS, claim("c", { allocation, reservedFor: [other] }));
    expect(await fixture.until(() => claims(fixture)[0]?.status?.reservedFor?.length === 2)).toBe(true);
    await fixture.settle(fixture.admin.delete(PODS, at("web"), { gracePeriodSeconds: 0 }));
    expect(await fixture.until(() => claims(fixture)[0]?.status?.reservedFor?.length === 1)).toBe(true);
    expect(claims(fixture)[0]?.status?.reservedFor).toEqual([other]);
  });
});
