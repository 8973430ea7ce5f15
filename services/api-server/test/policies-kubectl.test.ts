// Admission policies as a user of kubectl meets them.
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "./eventually.ts";
import { MUTATING_POLICIES_ON } from "./support/mutating-policies.ts";
import {
  kubectl,
  prepareKubectl,
  startTestServer,
  type KubectlResult,
  type TestServer,
} from "./support/test-server.ts";

let server: TestServer;
const run = async (args: string, input = ""): Promise<KubectlResult> => await kubectl(server, args.split(" "), input);

beforeAll(async () => {
  await prepareKubectl();
  server = await startTestServer(["ServiceAccount"], MUTATING_POLICIES_ON);
});
afterAll(async () => await server.close());

const deployment = (name: string, replicas: number): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, labels: {environment: test}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {containers: [{name: main, image: main:1}]}
`;

const rules = `
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}`;

async function applied(text: string, expected: string): Promise<void> {
  const { err, out } = await run("apply -f -", text);
  expect(err).toBe("");
  expect(out).toContain(expected);
}

test("a policy refuses a Deployment, in the words of the real thing", async () => {
  await applied(
    `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: demo-policy.example.com}
spec:
  failurePolicy: Fail${rules}
  validations:
  - expression: "object.spec.replicas <= 5"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: demo-binding-test.example.com}
spec:
  policyName: demo-policy.example.com
  validationActions: [Deny]
  matchResources: {objectSelector: {matchLabels: {environment: test}}}
`,
    "validatingadmissionpolicybinding.admissionregistration.k8s.io/demo-binding-test.example.com created",
  );
  await eventually(async () => expect((await run("create --dry-run=server -f -", deployment("big", 6))).code).toBe(1));
  const { err } = await run("create -f -", deployment("big", 6));
  const denied =
    "ValidatingAdmissionPolicy 'demo-policy.example.com' with binding 'demo-binding-test.example.com' denied request: failed expression: object.spec.replicas <= 5";
  expect(err).toBe(`The deployments "big" is invalid: : ${denied}\n`);
  await applied(deployment("small", 3), "deployment.apps/small created");
  expect((await run("scale deployment/small --replicas=9")).code).toBe(0);
  const { out } = await run("get validatingadmissionpolicy,validatingadmissionpolicybinding");
  expect(out).toMatch(/demo-policy\.example\.com +1 +<unset>/);
  expect((await run("delete validatingadmissionpolicy,validatingadmissionpolicybinding --all")).code).toBe(0);
});

test("a policy with an error in an expression is refused with its place", async () => {
  const { err } = await run(
    "create -f -",
    `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: wrong}
spec:${rules}
  validations: [{expression: "object.spec.replicas <="}]
`,
  );
  expect(err).toContain(
    'The ValidatingAdmissionPolicy "wrong" is invalid: spec.validations[0].expression: Invalid value:',
  );
  expect(err).toContain("compilation failed: ERROR: <input>:1:24: Syntax error:");
});

test("a policy changes a Deployment", async () => {
  await applied(
    `
apiVersion: admissionregistration.k8s.io/v1beta1
kind: MutatingAdmissionPolicy
metadata: {name: sidecar}
spec:${rules}
  reinvocationPolicy: IfNeeded
  matchConditions: [{name: not-there, expression: "!object.spec.template.spec.containers.exists(c, c.name == 'mesh')"}]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{
          metadata: Object.metadata{annotations: {'mesh': 'on'}},
          spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{
            containers: [Object.spec.template.spec.containers{name: 'mesh', image: 'mesh:1'}]
          }}}
        }
  - patchType: JSONPatch
    jsonPatch:
      expression: "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/patched'), value: 'yes'}]"
---
apiVersion: admissionregistration.k8s.io/v1beta1
kind: MutatingAdmissionPolicyBinding
metadata: {name: sidecar}
spec: {policyName: sidecar}
`,
    "mutatingadmissionpolicybinding.admissionregistration.k8s.io/sidecar created",
  );
  const annotation = ["-o", "jsonpath={.metadata.annotations.mesh}"];
  await eventually(async () => {
    const dry = await kubectl(
      server,
      ["create", "--dry-run=server", "-f", "-", ...annotation],
      deployment("meshed", 1),
    );
    expect([dry.out, dry.err]).toEqual(["on", ""]);
  });
  await applied(deployment("meshed", 1), "deployment.apps/meshed created");
  const path =
    "jsonpath={.metadata.annotations.mesh} {.metadata.labels.example\\.com/patched} {.spec.template.spec.containers[*].name} {.spec.template.spec.containers[1].imagePullPolicy}";
  expect((await kubectl(server, ["get", "deployment", "meshed", "-o", path])).out).toBe(
    "on yes main mesh IfNotPresent",
  );
  expect((await run("api-resources --api-group=admissionregistration.k8s.io")).out).toMatch(
    /mutatingadmissionpolicies +admissionregistration.k8s.io\/v1beta1/,
  );
});

test("a policy for everything hinders no review", async () => {
  await applied(
    `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: nothing}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}
  validations: [{expression: "false", message: nothing goes}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: nothing}
spec: {policyName: nothing, validationActions: [Deny]}
`,
    "validatingadmissionpolicybinding.admissionregistration.k8s.io/nothing created",
  );
  await eventually(async () =>
    expect((await run("create configmap none --dry-run=server")).err).toContain("nothing goes"),
  );
  expect(await run("auth can-i get pods")).toMatchObject({ code: 0, out: "yes\n" });
  expect((await run("delete validatingadmissionpolicy,validatingadmissionpolicybinding --all")).code).toBe(0);
});
