// --runtime-config and --feature-gates: what is said, what is refused, and what an api-server then serves and does.
import { allKinds, CONFIG_MAPS } from "@coxswain/api";
import { apiVersionOf, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import { Agent, request } from "undici";
import { afterEach, describe, expect, test } from "vitest";
import { parseFeatureGates } from "../src/features/feature-gates.ts";
import { parseRuntimeConfig } from "../src/features/runtime-config.ts";
import { MUTATING_POLICIES_ON } from "./support/mutating-policies.ts";
import { startTestServer as startOnLoopback, type TestServer as LoopbackServer } from "./support/test-server.ts";
import { startTestServer } from "./test-server.ts";

const GROUP = "admissionregistration.k8s.io";
const POLICIES: ResourceRef = { group: GROUP, version: "v1beta1", resource: "mutatingadmissionpolicies" };
const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** The versions that are served of those that there are. */
function versionsBy(...texts: string[]): Set<string> {
  return new Set(
    allKinds()
      .filter(parseRuntimeConfig(texts))
      .map((kind) => apiVersionOf(kind)),
  );
}

const all = new Set(allKinds().map((kind) => apiVersionOf(kind)));
const stable = new Set([...all].filter((version) => !version.includes("beta") && !version.includes("alpha")));
const without = (set: ReadonlySet<string>, ...gone: string[]): Set<string> =>
  new Set([...set].filter((each) => !gone.includes(each)));

describe("runtime-config", () => {
  test.each<[readonly string[], ReadonlySet<string>]>([
    [[], stable],
    [["api/all=true"], all],
    [["api/beta=true"], all],
    [["api/beta=true", "admissionregistration.k8s.io/v1beta1=false"], stable],
    [["api/beta=true,admissionregistration.k8s.io/v1beta1=0"], stable],
    [["admissionregistration.k8s.io/v1beta1"], all],
    [["admissionregistration.k8s.io/v1beta1=true"], all],
    [["batch/v1=false"], without(stable, "batch/v1")],
    [["batch/v1beta1=false"], stable],
    [["api/all=false,/v1=true"], new Set(["v1"])],
    [["api/all=false", "api/ga=true"], stable],
    [["api/all=true,api/beta=false"], stable],
    [["api/ga=false,apps/v1=true"], new Set(["apps/v1"])],
  ])("%j", (texts, served) => {
    expect(versionsBy(...texts)).toEqual(served);
  });

  test("tells resources of one version apart", () => {
    const served = parseRuntimeConfig(["apps/v1=false", "apps/v1/deployments=true,batch/v1/cronjobs=false"]);
    const names = allKinds().filter((kind) => ["apps", "batch"].includes(kind.group) && served(kind));
    expect(names.map(({ resource }) => resource)).toEqual(["deployments", "jobs"]);
  });

  test.each([
    [["api/all=false"], "invalid key with only api/all=false"],
    [["api/beta=1"], "invalid value api/beta=1"],
    [["api/beta"], "invalid value api/beta="],
    [["v1=true"], "runtime-config invalid key v1"],
    [["a/b/c/d=true"], "runtime-config invalid key a/b/c/d"],
    [["api/legacy=true"], "unknown api groups api"],
    [["example.com/v1=true,other.com/v1=false"], "unknown api groups example.com,other.com"],
    [["apps/v2=true"], "group version apps/v2 that has not been registered"],
    [["apps/v1=yes"], 'invalid value of apps/v1: yes, err: strconv.ParseBool: parsing "yes": invalid syntax'],
    [
      ["apps/v1/Deployments=true"],
      'invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, not "Deployments"',
    ],
    [["batch/v1beta1=true"], "batch/v1beta1 cannot be served: there is nothing of it here"],
  ])("%j is refused", (texts, message) => {
    expect(() => parseRuntimeConfig(texts)).toThrow(new Error(message));
  });
});

describe("feature-gates", () => {
  test.each([
    [[], false],
    [["MutatingAdmissionPolicy=true"], true],
    [["kube:MutatingAdmissionPolicy=T", ""], true],
    [["MutatingAdmissionPolicy=true,MutatingAdmissionPolicy=false"], false],
    [["AllAlpha=false, MutatingAdmissionPolicy = 1"], true],
    [["DynamicResourceAllocation=true"], false],
  ])("%j", (texts, on) => {
    expect(parseFeatureGates(texts)).toEqual({ MutatingAdmissionPolicy: on });
  });

  test.each([
    [["Unheard=true"], "unrecognized feature gate: Unheard"],
    [["MutatingAdmissionPolicy"], "missing bool value for MutatingAdmissionPolicy"],
    [
      ["MutatingAdmissionPolicy=on"],
      'invalid value of MutatingAdmissionPolicy=on, err: strconv.ParseBool: parsing "on": invalid syntax',
    ],
    [["other:MutatingAdmissionPolicy=true"], "component not registered: other"],
    [
      ["kube:AllAlpha=false", "AllAlpha=false"],
      "set kube feature gates with default empty prefix or kube: prefix consistently, do not mix use",
    ],
    [
      ["DynamicResourceAllocation=false"],
      "cannot set feature gate DynamicResourceAllocation to false, feature is locked to true",
    ],
    [
      ["AllBeta=true"],
      "cannot set feature gate AllBeta to true, of those that are not locked only MutatingAdmissionPolicy can be changed here",
    ],
    [
      ["AllBeta=false"],
      "cannot set feature gate AllBeta to false, of those that are not locked only MutatingAdmissionPolicy can be changed here",
    ],
  ])("%j is refused", (texts, message) => {
    expect(() => parseFeatureGates(texts)).toThrow(new Error(message));
  });
});

const policy = {
  apiVersion: `${GROUP}/v1beta1`,
  kind: "MutatingAdmissionPolicy",
  metadata: { name: "label" },
  spec: {
    reinvocationPolicy: "Never",
    matchConstraints: {
      resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] }],
    },
    mutations: [
      {
        patchType: "ApplyConfiguration",
        applyConfiguration: { expression: "Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}" },
      },
    ],
  },
};
const binding = {
  apiVersion: `${GROUP}/v1beta1`,
  kind: "MutatingAdmissionPolicyBinding",
  metadata: { name: "label" },
  spec: { policyName: "label" },
};

describe("an api-server", () => {
  test.each([
    ["does not serve MutatingAdmissionPolicies by itself", {}, false, false],
    ["serves them and does not act by them without the feature", { served: MUTATING_POLICIES_ON.served }, true, false],
    ["does nothing by the feature alone", { features: MUTATING_POLICIES_ON.features }, false, false],
    ["serves them and acts by them with both", MUTATING_POLICIES_ON, true, true],
  ])("%s", async (_, options, serves, acts) => {
    const server = await startTestServer(options);
    closing.push(() => server.stop());
    const { client, api } = server;
    const made = client.create(POLICIES, policy);
    if (serves) {
      await made;
      await client.create({ ...POLICIES, resource: "mutatingadmissionpolicybindings" }, binding);
    } else {
      await expect(made).rejects.toMatchObject({
        reason: "NotFound",
        message: "the server could not find the requested resource",
      });
    }
    expect(api.kinds.all().some((kind) => kind.version === "v1beta1")).toBe(serves);
    const names = await client.list({ group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" });
    expect(names.items.some((each) => each.metadata?.name === `v1beta1.${GROUP}`)).toBe(serves);
    const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { namespace: "default", name: "map" } };
    const changed = await client.create<KubeObject>(CONFIG_MAPS, map);
    expect(changed.metadata?.labels).toEqual(acts ? { seen: "yes" } : undefined);
  });

  test("that has a version turned off tells of it nowhere, and keeps its own objects of it", async () => {
    const served = parseRuntimeConfig(["flowcontrol.apiserver.k8s.io/v1=false"]);
    const server: LoopbackServer = await startOnLoopback(["ServiceAccount"], { served });
    const agent = new Agent({ connect: { ...server.tls("admin"), checkServerIdentity: () => undefined } as never });
    closing.push(
      () => agent.close(),
      () => server.close(),
    );
    const read = async (path: string, accept = "application/json"): Promise<{ code: number; text: string }> => {
      const { statusCode, body } = await request(server.url + path, { dispatcher: agent, headers: { accept } });
      return { code: statusCode, text: await body.text() };
    };
    const off = "flowcontrol.apiserver.k8s.io";
    expect((await read(`/apis/${off}/v1`)).code).toBe(404);
    expect((await read(`/apis/${off}/v1/flowschemas`)).code).toBe(404);
    expect((await read(`/openapi/v3/apis/${off}/v1`)).code).toBe(404);
    expect((await read("/apis")).text).not.toContain(off);
    expect(
      (await read("/apis", "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io")).text,
    ).not.toContain(off);
    expect((await read("/openapi/v2")).text).not.toContain(`/apis/${off}`);
    const own = await server.component.server.loopback.list({ group: off, version: "v1", resource: "flowschemas" });
    expect(own.items.length).toBeGreaterThan(5);
  });
});
