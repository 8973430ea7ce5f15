// Admission policies in CEL: their lives, and what they refuse and change.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { walkLifecycle } from "./lifecycle.ts";
import { at, type Resource, type Rest } from "./rest-client.ts";
import { type Part, workload } from "./workload.ts";

const policies = conformsShared("CEL admission policy");
const V1 = "admissionregistration.k8s.io/v1";
const V1BETA1 = "admissionregistration.k8s.io/v1beta1";

const onDeployments = (label: string): Part => ({
  namespaceSelector: { matchLabels: { policies: label } },
  resourceRules: [{ apiGroups: ["apps"], apiVersions: ["v1"], operations: ["CREATE"], resources: ["deployments"] }],
});

const validations = [
  {
    expression: "object.spec.replicas > 1",
    messageExpression: "'wants replicas > 1, got ' + string(object.spec.replicas)",
  },
];
const annotates = {
  patchType: "ApplyConfiguration",
  applyConfiguration: {
    expression: "Object{metadata: Object.metadata{annotations: {'my-foo-annotation': 'myAnnotationValue'}}}",
  },
};

policies("ValidatingAdmissionPolicy v1 API operations", async ({ api }) => {
  await walkLifecycle(api, {
    groupVersion: V1,
    plural: "validatingadmissionpolicies",
    kind: "ValidatingAdmissionPolicy",
    body: () => ({ spec: { matchConstraints: onDeployments("nobody"), validations, failurePolicy: "Fail" } }),
    status: {
      conditions: [
        {
          type: "E2E",
          status: "True",
          reason: "Set",
          message: "by a test",
          lastTransitionTime: "2025-01-01T00:00:00Z",
        },
      ],
    },
  });
  await walkLifecycle(api, {
    groupVersion: V1,
    plural: "validatingadmissionpolicybindings",
    kind: "ValidatingAdmissionPolicyBinding",
    body: () => ({ spec: { policyName: "replicalimit-policy.example.com", validationActions: ["Deny"] } }),
  });
});

policies("MutatingAdmissionPolicy v1 API operations", async ({ api }) => {
  await walkLifecycle(api, {
    groupVersion: V1BETA1,
    plural: "mutatingadmissionpolicies",
    kind: "MutatingAdmissionPolicy",
    body: () => ({
      spec: {
        matchConstraints: onDeployments("nobody"),
        mutations: [annotates],
        failurePolicy: "Fail",
        reinvocationPolicy: "Never",
      },
    }),
  });
});

policies("MutatingAdmissionPolicyBinding v1 API operations", async ({ api }) => {
  await walkLifecycle(api, {
    groupVersion: V1BETA1,
    plural: "mutatingadmissionpolicybindings",
    kind: "MutatingAdmissionPolicyBinding",
    body: () => ({ spec: { policyName: "add-annotation-policy.example.com" } }),
  });
});

interface Ground {
  readonly api: Rest;
  readonly namespace: (word: string, labels?: Record<string, string>) => Promise<string>;
}

let bindings = 0;

/** Makes a policy and its binding for a namespace of its own; resolves with the namespace's Deployments. */
async function bound(c: Ground, kind: "validating" | "mutating", policy: Part, binding: Part): Promise<Resource> {
  const label = `${kind}-${process.pid}-${++bindings}`;
  const ns = await c.namespace("policy", { policies: label });
  const version = kind === "validating" ? V1 : V1BETA1;
  const name = `${label}.example.com`;
  await c.api
    .resource(version, `${kind}admissionpolicies`)
    .create({ metadata: { name }, spec: { matchConstraints: onDeployments(label), failurePolicy: "Fail", ...policy } });
  await c.api
    .resource(version, `${kind}admissionpolicybindings`)
    .create({ metadata: { name }, spec: { policyName: name, ...binding } });
  return c.api.resource("apps/v1", "deployments", ns);
}

policies("ValidatingAdmissionPolicy rejects a bad Deployment", async (c) => {
  const deployments = await bound(c, "validating", { validations }, { validationActions: ["Deny"] });
  const send = (name: string, replicas: number) =>
    c.api.send("POST", deployments.path, { body: workload(name, "d", { replicas }), query: { dryRun: "All" } });
  const refused = await eventually(
    () => send("marker", 1),
    ({ code }) => code !== 201,
  );
  expect([refused.code, (JSON.parse(refused.text) as { message: string }).message]).toEqual([
    422,
    expect.stringMatching(/ValidatingAdmissionPolicy '.*' with binding '.*' denied request: wants replicas > 1, got 1/),
  ]);
  await deployments.create(workload("good", "d", { replicas: 2 }));
  await expect(deployments.create(workload("bad", "d", { replicas: 1 }))).rejects.toMatchObject({ code: 422 });
  expect((await deployments.list()).items.map((one) => one.metadata.name)).toEqual(["good"]);
});

policies("MutatingAdmissionPolicy adds annotations to a Deployment", async (c) => {
  const deployments = await bound(c, "mutating", { mutations: [annotates], reinvocationPolicy: "Never" }, {});
  const query = { dryRun: "All" };
  const made = await eventually(
    () => deployments.create(workload("d", "d", { replicas: 1 }), query),
    (now) => now.metadata.annotations?.["my-foo-annotation"] !== undefined,
  );
  expect(made.metadata.annotations).toEqual({ "my-foo-annotation": "myAnnotationValue" });
  const stored = await deployments.create(workload("stored", "d", { replicas: 1 }));
  expect(stored.metadata.annotations?.["my-foo-annotation"]).toBe("myAnnotationValue");
});

policies("MutatingAdmissionPolicy mutates a Deployment", async (c) => {
  const mutation = {
    patchType: "JSONPatch",
    jsonPatch: { expression: "[JSONPatch{op: 'replace', path: '/spec/replicas', value: object.spec.replicas + 2}]" },
  };
  const deployments = await bound(c, "mutating", { mutations: [mutation], reinvocationPolicy: "Never" }, {});
  await eventually(
    () => deployments.create(workload("d", "d", { replicas: 1 }), { dryRun: "All" }),
    (now) => at(now, "spec.replicas") === 3,
  );
  await deployments.create(workload("stored", "d", { replicas: 2 }));
  expect(at(await deployments.get("stored"), "spec.replicas")).toBe(4);
});
