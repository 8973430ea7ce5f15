// Admission policies end to end through the pipeline: whom they refuse and how, what they change, and what is wrong with them.
import {
  CONFIG_MAPS,
  CUSTOM_RESOURCE_DEFINITIONS,
  DEPLOYMENTS,
  NAMESPACES,
  PODS,
  SERVICE_ACCOUNTS,
  type ConfigMap,
  type Pod,
} from "@coxswain/api";
import type { KubeObject, ResourceRef, StatusError } from "@coxswain/apimachinery";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { createValidatingPolicies } from "../src/admission/policies/validating.ts";
import type { ApiRequest, VersionedObject } from "../src/pipeline/contract.ts";
import type { ObjectSource } from "../src/pipeline/extension.ts";
import { eventually } from "./eventually.ts";
import { MUTATING_POLICIES_ON } from "./support/mutating-policies.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const GROUP = "admissionregistration.k8s.io";
const resource = (name: string, version = "v1"): ResourceRef => ({ group: GROUP, version, resource: name });
const VALIDATING = resource("validatingadmissionpolicies");
const VALIDATING_BINDINGS = resource("validatingadmissionpolicybindings");
const MUTATING = resource("mutatingadmissionpolicies", "v1beta1");
const MUTATING_BINDINGS = resource("mutatingadmissionpolicybindings", "v1beta1");

let server: TestServer;
const made: { ref: ResourceRef; name: string; namespace: string }[] = [];

beforeAll(async () => {
  server = await startTestServer(MUTATING_POLICIES_ON);
  for (const name of ["shop", "other"]) {
    const metadata = { name, labels: { team: name } };
    await server.client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata });
  }
});
afterAll(async () => await server.stop());
afterEach(async () => {
  for (const { ref, name, namespace } of made.splice(0).toReversed()) {
    await server.client.delete(ref, { name, namespace });
    await eventually(() => expect(server.api.source.get(ref, namespace, name)).toBeUndefined());
  }
});

async function make<T extends KubeObject>(ref: ResourceRef, object: T): Promise<T> {
  const created = await server.client.create<T>(ref, object);
  const { name = "", namespace = "" } = created.metadata ?? {};
  made.push({ ref, name, namespace });
  await eventually(() => expect(server.api.source.get(ref, namespace, name)).toBeDefined());
  return created;
}

const rule = (resources: string[], more: object = {}): object => ({
  operations: ["*"],
  apiGroups: ["*"],
  apiVersions: ["*"],
  resources,
  ...more,
});

async function validating(name: string, spec: object, binding: object = {}): Promise<void> {
  await make(VALIDATING, {
    apiVersion: `${GROUP}/v1`,
    kind: "ValidatingAdmissionPolicy",
    metadata: { name },
    spec: { matchConstraints: { resourceRules: [rule(["configmaps"])] }, ...spec },
  } as KubeObject);
  await make(VALIDATING_BINDINGS, {
    apiVersion: `${GROUP}/v1`,
    kind: "ValidatingAdmissionPolicyBinding",
    metadata: { name: `${name}-binding` },
    spec: { policyName: name, validationActions: ["Deny"], ...binding },
  } as KubeObject);
}

async function mutating(name: string, spec: object, binding: object = {}): Promise<void> {
  await make(MUTATING, {
    apiVersion: `${GROUP}/v1beta1`,
    kind: "MutatingAdmissionPolicy",
    metadata: { name },
    spec: {
      matchConstraints: { resourceRules: [rule(["configmaps", "deployments"])] },
      reinvocationPolicy: "Never",
      ...spec,
    },
  } as KubeObject);
  await make(MUTATING_BINDINGS, {
    apiVersion: `${GROUP}/v1beta1`,
    kind: "MutatingAdmissionPolicyBinding",
    metadata: { name: `${name}-binding` },
    spec: { policyName: name, ...binding },
  } as KubeObject);
}

const applies = (expression: string): object => ({
  patchType: "ApplyConfiguration",
  applyConfiguration: { expression },
});
const patches = (expression: string): object => ({ patchType: "JSONPatch", jsonPatch: { expression } });

const configMap = (data: Record<string, string> = {}, more: object = {}): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { generateName: "c-", namespace: "shop", labels: { app: "web" }, ...more },
  data,
});

const create = async (data?: Record<string, string>, more?: object): Promise<ConfigMap> =>
  await server.client.create(CONFIG_MAPS, configMap(data, more));

async function refusal(creating: Promise<unknown>): Promise<StatusError> {
  return await creating.then(
    () => expect.fail("it was let through"),
    (error: unknown) => error as StatusError,
  );
}

test("a rule that does not hold refuses, in upstream's words", async () => {
  await validating("few-keys", { validations: [{ expression: "object.data.size() <= 1" }] });
  await create({ a: "1" });
  const text =
    "ValidatingAdmissionPolicy 'few-keys' with binding 'few-keys-binding' denied request: failed expression: object.data.size() <= 1";
  expect(await refusal(create({ a: "1", b: "2" }, { generateName: undefined, name: "big" }))).toMatchObject({
    reason: "Invalid",
    code: 422,
    message: `configmaps "big" is forbidden: ${text}`,
    details: { name: "big", kind: "configmaps", causes: [{ message: text }] },
  });
});

test("a rule is asked before it is seen that a new object comes with a version", async () => {
  await validating("no-data", {
    validations: [{ expression: "!has(object.data) || object.data.size() == 0", message: "no data, please" }],
  });
  expect((await refusal(create({ a: "1" }, { resourceVersion: "5" }))).message).toContain("no data, please");
  expect((await refusal(create({}, { resourceVersion: "5" }))).message).toBe(
    "resourceVersion should not be set on objects to be created",
  );
});

test.each<[string, object, string, number]>([
  ["a message", { message: " too many " }, "too many", 422],
  ["a message expression", { message: "m", messageExpression: "'has ' + string(object.data.size())" }, "has 2", 422],
  ["a message expression that fails", { message: "m", messageExpression: "string(object.none)" }, "m", 422],
  [
    "a message expression of two lines",
    { messageExpression: "'a\\nb'" },
    "failed expression: object.data.size() < 2",
    422,
  ],
  ["a reason", { message: "m", reason: "Forbidden" }, "m", 403],
  ["another reason", { message: "m", reason: "RequestEntityTooLarge" }, "m", 413],
])("%s tells why", async (_what, more, said, code) => {
  await validating("told", { validations: [{ expression: "object.data.size() < 2", ...more }] });
  const error = await refusal(create({ a: "1", b: "2" }));
  expect(error.message).toMatch(new RegExp(`denied request: ${said.replace(/[()]/g, "\\$&")}$`));
  expect(error.code).toBe(code);
});

test.each<[string, string, boolean]>([
  ["the old object", "oldObject == null", true],
  [
    "the request",
    "request.operation == 'CREATE' && request.resource.resource == 'configmaps' && request.kind.kind == 'ConfigMap'",
    true,
  ],
  ["the user", "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups", true],
  ["the namespace", "namespaceObject.metadata.labels.team == 'shop' && request.namespace == 'shop'", true],
  ["another namespace", "namespaceObject.metadata.name == 'other'", false],
  ["variables of variables", "variables.twice == 4", true],
  [
    "what is allowed",
    "authorizer.group('apps').resource('deployments').namespace('shop').check('create').allowed()",
    true,
  ],
  ["the requested resource", "authorizer.requestResource.check('delete').allowed()", true],
  [
    "parts of objects",
    "object.metadata.labels.exists(k, k == 'app') && object.?data[?'none'].orValue('x') == 'x'",
    true,
  ],
])("rules see %s", async (_what, expression, allowed) => {
  const variables = [
    { name: "one", expression: "object.data.size() + 1" },
    { name: "twice", expression: "variables.one * 2" },
  ];
  await validating("sees", { variables, validations: [{ expression }] });
  const creating = create({ a: "1" });
  if (allowed) await creating;
  else expect((await refusal(creating)).message).toContain("failed expression");
});

describe("which requests a policy is for", () => {
  const refuses = { validations: [{ expression: "false", message: "no" }] };

  test.each<[string, object, object]>([
    ["another resource", { resourceRules: [rule(["secrets"])] }, {}],
    ["another operation", { resourceRules: [rule(["configmaps"], { operations: ["DELETE"] })] }, {}],
    ["another name", { resourceRules: [rule(["configmaps"], { resourceNames: ["x"] })] }, {}],
    ["an exception", { resourceRules: [rule(["*"])], excludeResourceRules: [rule(["configmaps"])] }, {}],
    ["other labels", { resourceRules: [rule(["*"])], objectSelector: { matchLabels: { app: "db" } } }, {}],
    ["another namespace", { resourceRules: [rule(["*"])], namespaceSelector: { matchLabels: { team: "other" } } }, {}],
    [
      "a binding for others",
      { resourceRules: [rule(["*"])] },
      { matchResources: { objectSelector: { matchLabels: { app: "db" } } } },
    ],
    ["a binding's rules", { resourceRules: [rule(["*"])] }, { matchResources: { resourceRules: [rule(["secrets"])] } }],
  ])("%s is not asked about", async (_what, matchConstraints, binding) => {
    await validating("elsewhere", { matchConstraints, ...refuses }, binding);
    await create();
  });

  test("a condition that is false lets pass, whatever becomes of the others", async () => {
    const matchConditions = [
      { name: "fails", expression: "object.none.x == 1" },
      { name: "false", expression: "request.operation == 'DELETE'" },
    ];
    await validating("conditional", { matchConditions, ...refuses });
    await create();
  });

  test("a condition that cannot be told refuses, or not, as the policy says", async () => {
    const matchConditions = [{ name: "fails", expression: "object.none.x == 1" }];
    await validating("strict", { matchConditions, ...refuses });
    expect((await refusal(create())).message).toContain(
      "denied request: expression 'object.none.x == 1' resulted in error: no such key: none",
    );
  });

  test("without a binding nobody is asked", async () => {
    await validating("unbound", refuses, { policyName: "another" });
    await create();
  });

  test("policies are never asked about policies", async () => {
    await validating("everything", { matchConstraints: { resourceRules: [rule(["*"])] }, ...refuses });
    await server.client.delete(VALIDATING, { name: "everything" });
    made.splice(0, 1);
  });

  test("deletions are asked about with the old object", async () => {
    const created = await create({ keep: "yes" });
    await validating("keeps", {
      validations: [{ expression: "object != null || oldObject.data.keep != 'yes'", message: "kept" }],
    });
    const { name = "", namespace = "" } = created.metadata ?? {};
    expect((await refusal(server.client.delete(CONFIG_MAPS, { name, namespace }))).message).toContain(
      "denied request: kept",
    );
  });
});

test("what cannot be evaluated refuses, or not, as the policy says", async () => {
  const validations = [{ expression: "object.none.x == 1" }];
  await validating("fails", { validations });
  expect(await refusal(create())).toMatchObject({ code: 422, reason: "Invalid" });
  await validating("ignores", { validations, failurePolicy: "Ignore" });
  expect((await refusal(create())).message).toContain("'fails' with binding 'fails-binding'");
});

test("a failing variable is told by its name", async () => {
  const variables = [{ name: "bad", expression: "object.none" }];
  await validating("composed", { variables, validations: [{ expression: "variables.bad == 1" }] });
  expect((await refusal(create())).message).toContain(
    `expression 'variables.bad == 1' resulted in error: composited variable "bad" fails to evaluate: no such key: none`,
  );
});

test("no policy runs on", async () => {
  const variables = [
    { name: "long", expression: "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != 'x')))" },
  ];
  await validating("long", { variables, validations: [{ expression: "variables.long && true" }] });
  const data = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`k${n}`, "v"]));
  expect((await refusal(create(data))).message).toContain(
    `composited variable "long" fails to evaluate: operation cancelled: actual cost limit exceeded`,
  );
  await create({ a: "1" });
});

test("actions say whether one is refused, warned or noted", async () => {
  const validations = [{ expression: "false", message: "hm" }];
  await validating("soft", { validations }, { validationActions: ["Warn", "Audit"] });
  const result = await server.api.pipeline.handle({
    user: { username: "u", groups: ["system:masters"] },
    verb: "create",
    group: "",
    version: "v1",
    resource: "configmaps",
    subresource: "",
    namespace: "shop",
    name: "",
    body: Buffer.from(JSON.stringify(configMap())),
    options: {},
    signal: new AbortController().signal,
  });
  expect("warnings" in result && result.warnings).toEqual([
    "Validation failed for ValidatingAdmissionPolicy 'soft' with binding 'soft-binding': hm",
  ]);
});

describe("parameters", () => {
  const paramKind = { apiVersion: "v1", kind: "ConfigMap" };
  const uses = {
    paramKind,
    validations: [
      { expression: "object.data.size() <= int(params.data.max)", messageExpression: "'at most ' + params.data.max" },
    ],
  };
  const limit = (
    name: string,
    max: string,
    namespace = "other",
    labels: Record<string, string> = {},
  ): Promise<ConfigMap> => make(CONFIG_MAPS, { ...configMap({ max }), metadata: { name, namespace, labels } });
  const elsewhere = { matchResources: { namespaceSelector: { matchLabels: { team: "shop" } } } };
  const ref = (more: object): object => ({
    paramRef: { parameterNotFoundAction: "Deny", namespace: "other", ...more },
    ...elsewhere,
  });

  test("are found by name", async () => {
    await limit("limit", "1");
    await validating("limited", uses, ref({ name: "limit" }));
    await create({ a: "1" });
    expect((await refusal(create({ a: "1", b: "2" }))).message).toMatch(/at most 1$/);
  });

  test("are found by labels, and each is asked", async () => {
    await limit("one", "3", "other", { limits: "yes" });
    await limit("two", "1", "other", { limits: "yes" });
    await validating("limited", uses, ref({ selector: { matchLabels: { limits: "yes" } } }));
    expect((await refusal(create({ a: "1", b: "2" }))).message).toMatch(/at most 1$/);
  });

  test("that are missing refuse or let pass", async () => {
    await validating("limited", uses, ref({ name: "none" }));
    expect((await refusal(create())).message).toContain(
      "ValidatingAdmissionPolicy 'limited' with binding 'limited-binding' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
    );
    await validating("lenient", uses, ref({ name: "none", parameterNotFoundAction: "Allow" }));
    expect((await refusal(create())).message).toContain("'limited'");
  });

  test("of a kind that nobody knows are the policy's fault", async () => {
    const unknown = { apiVersion: "rules.example.com/v1", kind: "Limit" };
    await validating("limited", { ...uses, paramKind: unknown }, ref({ name: "none" }));
    expect((await refusal(create())).message).toContain(
      "ValidatingAdmissionPolicy 'limited' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'rules.example.com/v1, Kind=Limit'",
    );
  });

  test("may be of a custom kind, of the cluster", async () => {
    const schema = { openAPIV3Schema: { type: "object", properties: { max: { type: "integer" } } } };
    await make(CUSTOM_RESOURCE_DEFINITIONS, {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "limits.rules.example.com" },
      spec: {
        group: "rules.example.com",
        names: { plural: "limits", kind: "Limit" },
        scope: "Cluster",
        versions: ["v1", "v2"].map((name) => ({ name, served: true, storage: name === "v2", schema })),
      },
    } as KubeObject);
    const limits: ResourceRef = { group: "rules.example.com", version: "v1", resource: "limits" };
    await eventually(() => expect(server.api.kinds.kindFor(limits)).toBeDefined());
    await make(limits, {
      apiVersion: "rules.example.com/v1",
      kind: "Limit",
      metadata: { name: "all" },
      max: 1,
    } as KubeObject);
    const validations = [
      { expression: "object.data.size() <= params.max && params.apiVersion == 'rules.example.com/v1'" },
    ];
    const spec = { paramKind: { apiVersion: "rules.example.com/v1", kind: "Limit" }, validations };
    await validating("custom", spec, { paramRef: { name: "all", parameterNotFoundAction: "Deny" } });
    await create({ a: "1" });
    await refusal(create({ a: "1", b: "2" }));
  });
});

test.each<[object, string]>([
  [
    { validations: [{ expression: "object.x ==" }] },
    'spec.validations[0].expression: Invalid value: "object.x ==": compilation failed: ERROR: <input>:1:12: Syntax error:',
  ],
  [
    { validations: [{ expression: "1" }] },
    'spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int',
  ],
  [{ validations: [{ expression: "object.x" }] }, "must evaluate to bool but got dyn"],
  [{ validations: [{ expression: "params.x == 1" }] }, "undeclared reference to 'params' (in container '')"],
  [{ validations: [{ expression: "request.nothing == 'x'" }] }, "undefined field 'nothing'"],
  [{ validations: [{ expression: "namespaceObject.spec.x == 'x'" }] }, "undefined field 'x'"],
  [
    { validations: [{ expression: "variables.a" }], variables: [{ name: "a", expression: "1" }] },
    "must evaluate to bool but got int",
  ],
  [
    { validations: [{ expression: "true", messageExpression: "1" }] },
    'spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int',
  ],
  [
    { validations: [{ expression: "true", messageExpression: "authorizer.path('/x').check('get').reason()" }] },
    "undeclared reference to 'authorizer'",
  ],
  [
    {
      validations: [{ expression: "true" }],
      variables: [
        { name: "a", expression: "variables.b" },
        { name: "b", expression: "1" },
      ],
    },
    "spec.variables[0].expression: Invalid value: \"variables.b\": compilation failed: ERROR: <input>:1:10: undefined field 'b'",
  ],
  [
    { validations: [{ expression: "true" }], variables: [{ name: "in", expression: "1" }] },
    'spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier',
  ],
  [
    { validations: [{ expression: "true" }], matchConditions: [{ name: "a", expression: "'x'" }] },
    "spec.matchConditions[0].expression: Invalid value: \"'x'\": must evaluate to bool but got string",
  ],
  [
    { auditAnnotations: [{ key: "k", valueExpression: "1" }] },
    'spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int',
  ],
  [{ auditAnnotations: [{ key: "not a key", valueExpression: "'x'" }] }, "spec.auditAnnotations[0].key: Invalid value"],
  [{ validations: [{ expression: "true", message: "a\nb" }] }, "must not contain line breaks"],
  [{ validations: [{ expression: "Object{}.x == 1" }] }, "undeclared reference to 'Object'"],
  [
    { paramKind: { apiVersion: "a/b/c", kind: "X" }, validations: [{ expression: "true" }] },
    "unexpected GroupVersion string: a/b/c",
  ],
  [
    { validations: [{ expression: "true", reason: "Unauthorized" }] },
    'Unsupported value: "Unauthorized": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge"',
  ],
  [
    {
      validations: [{ expression: "true" }],
      matchConditions: Array.from({ length: 65 }, (_, n) => ({ name: `c${n}`, expression: "true" })),
    },
    "spec.matchConditions: Too many: 65: must have at most 64 items",
  ],
  [
    {
      validations: [{ expression: "true" }],
      matchConstraints: { resourceRules: [rule(["configmaps"], { resourceNames: ["a/b", "a", "a"] })] },
    },
    'resourceNames[0]: Invalid value: "a/b": may not contain \'/\', spec.matchConstraints.resourceRules[0].resourceNames[2]: Duplicate value: "a"',
  ],
])("a policy like %j is refused", async (spec, message) => {
  expect((await refusal(validating("wrong", spec))).message).toContain(message);
});

describe("mutations", () => {
  test("ApplyConfiguration merges as server-side apply does", async () => {
    await mutating("labels", {
      mutations: [
        applies("Object{metadata: Object.metadata{labels: {'added': 'yes'}}, data: {'n': string(object.data.size())}}"),
      ],
    });
    const created = await create({ a: "1" });
    expect(created.metadata?.labels).toEqual({ app: "web", added: "yes" });
    expect(created.data).toEqual({ a: "1", n: "1" });
  });

  test("lists of containers merge by name, and defaults are filled in", async () => {
    await mutating("sidecar", {
      mutations: [
        applies(
          "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'side', image: 'side:1'}]}}}}",
        ),
      ],
    });
    const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "main", image: "main:1" }] } };
    const deployment = await server.client.create(DEPLOYMENTS, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "shop" },
      spec: { selector: { matchLabels: { a: "b" } }, template },
    } as KubeObject);
    const { containers } =
      (deployment as { spec?: { template?: { spec?: { containers?: object[] } } } }).spec?.template?.spec ?? {};
    expect(containers).toMatchObject([
      { name: "main" },
      { name: "side", image: "side:1", imagePullPolicy: "IfNotPresent" },
    ]);
    await server.client.delete(DEPLOYMENTS, { name: "web", namespace: "shop" });
  });

  test("JSONPatch adds, tests and escapes", async () => {
    await mutating("patch", {
      mutations: [
        patches("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/x'), value: 'y'}]"),
        patches(
          "[JSONPatch{op: 'test', path: '/data/a', value: 'other'}, JSONPatch{op: 'add', path: '/data/b', value: 'no'}]",
        ),
        patches(
          "has(object.data.a) ? [JSONPatch{op: 'replace', path: '/data/a', value: object.metadata.labels['example.com/x']}] : []",
        ),
      ],
    });
    const created = await create({ a: "1" });
    expect(created.metadata?.labels).toEqual({ app: "web", "example.com/x": "y" });
    expect(created.data).toEqual({ a: "y" });
  });

  test.each<[object, string]>([
    [
      applies("Object{spec: Object.wrong{}}"),
      'type mismatch: unexpected type name "Object.wrong", expected "Object.spec"',
    ],
    [
      applies("Object{nothing: 1}"),
      "error applying patch: failed to convert patch object to typed object: .nothing: field not declared in schema",
    ],
    [
      applies("Object{data: object.none}"),
      "expression 'Object{data: object.none}' resulted in error: no such key: none",
    ],
    [patches("[JSONPatch{op: 'remove', path: '/data/none'}]"), "JSONPath: remove operation does not apply"],
  ])("%j refuses, or not, as the policy says", async (mutation, message) => {
    await mutating("bad", { mutations: [mutation] });
    expect(await refusal(create({ a: "1" }))).toMatchObject({
      reason: "Invalid",
      message: expect.stringContaining(`policy 'bad' with binding 'bad-binding' denied request: ${message}`),
    });
    await server.client.delete(MUTATING_BINDINGS, { name: "bad-binding" });
    made.pop();
    await mutating("lenient", { mutations: [mutation], failurePolicy: "Ignore" });
    await eventually(() => expect(server.api.source.get(MUTATING_BINDINGS, "", "bad-binding")).toBeUndefined());
    expect((await create({ a: "1" })).data).toEqual({ a: "1" });
  });

  test("what is one value as a whole is not replaced by a part", async () => {
    await mutating("atomic", {
      mutations: [applies("Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'a': 'b'}}}}")],
    });
    const template = { metadata: { labels: { a: "b" } }, spec: { containers: [{ name: "main", image: "main:1" }] } };
    const deployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: "shop" },
      spec: { selector: { matchLabels: { a: "b" } }, template },
    };
    expect((await refusal(server.client.create(DEPLOYMENTS, deployment as KubeObject))).message).toContain(
      "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector",
    );
  });

  test("who asks for it is called again where somebody has changed the object after it", async () => {
    const counts = (name: string): object => applies(`Object{data: {'${name}': string(object.data.size())}}`);
    await mutating("a-again", { mutations: [counts("a")], reinvocationPolicy: "IfNeeded" });
    await mutating("b-once", { mutations: [counts("b")] });
    const created = await create({ own: "1" });
    // a: 1, then b: 2, then a again: 3 (a, b and own).
    expect(created.data).toEqual({ own: "1", a: "3", b: "2" });
  });

  test("conditions, parameters and variables hold as for validation", async () => {
    await make(CONFIG_MAPS, {
      ...configMap({ value: "from params" }),
      metadata: { name: "values", namespace: "other" },
    });
    await mutating(
      "params",
      {
        paramKind: { apiVersion: "v1", kind: "ConfigMap" },
        variables: [{ name: "value", expression: "params.data.value" }],
        matchConditions: [{ name: "marked", expression: "has(object.data.marked)" }],
        mutations: [applies("Object{data: {'set': variables.value}}")],
      },
      { paramRef: { name: "values", namespace: "other", parameterNotFoundAction: "Deny" } },
    );
    expect((await create({ marked: "1" })).data).toEqual({ marked: "1", set: "from params" });
    expect((await create({ a: "1" })).data).toEqual({ a: "1" });
  });

  test("come before validation", async () => {
    await mutating("fills", { mutations: [applies("Object{data: {'owner': 'me'}}")] });
    await validating("owned", { validations: [{ expression: "has(object.data.owner)" }] });
    expect((await create()).data).toEqual({ owner: "me" });
  });

  test.each<[object, string]>([
    [
      applies("{'a': 1}"),
      "spec.mutations[0].applyConfiguration.expression: Invalid value: \"{'a': 1}\": must evaluate to Object but got map(string, int)",
    ],
    [patches(" [1]\n"), 'Invalid value: "[1]": must evaluate to list(JSONPatch) but got list(int)'],
    [patches(" "), "spec.mutations[0].jsonPatch.expression: Required value"],
    [patches("[JSONPatch{op: 1}]"), "expected type of field 'op' is 'string' but provided type is 'int'"],
  ])("%j is refused", async (mutation, message) => {
    expect((await refusal(mutating("wrong", { mutations: [mutation] }))).message).toContain(message);
  });

  test("are for what comes or changes, and say whether they are made again", async () => {
    const rules = { resourceRules: [rule(["configmaps"], { operations: ["DELETE"] })] };
    const mutations = [applies("Object{}")];
    const supported = 'operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE"';
    const wrong = await refusal(mutating("wrong", { mutations, matchConstraints: rules, reinvocationPolicy: "" }));
    expect(wrong.message).toContain(`spec.matchConstraints.resourceRules.${supported}`);
    expect(wrong.message).toContain("spec.reinvocationPolicy: Required value");
    const bound = await refusal(mutating("wrong-binding", { mutations }, { matchResources: rules }));
    expect(bound.message).toContain(`spec.matchResources.resourceRules.${supported}`);
  });
});

test("the second round finds what the first has filled in", async () => {
  const own = await startTestServer({ ...MUTATING_POLICIES_ON, disabledAdmission: [] });
  const create = async (
    ref: ResourceRef,
    kind: string,
    name: string,
    spec: object,
    more: object = {},
  ): Promise<KubeObject> => {
    const apiVersion = ref.group === "" ? ref.version : `${ref.group}/${ref.version}`;
    const made = await own.client.create(ref, { apiVersion, kind, metadata: { name, ...more }, spec } as KubeObject);
    await eventually(() => expect(own.api.source.get(ref, made.metadata?.namespace ?? "", name)).toBeDefined());
    return made;
  };
  const inDefault = { namespace: "default" };
  await own.client.create(SERVICE_ACCOUNTS, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "default", ...inDefault },
  });
  const limits = [{ type: "Container", defaultRequest: { cpu: "100m" }, default: { cpu: "200m" } }];
  await create({ group: "", version: "v1", resource: "limitranges" }, "LimitRange", "limits", { limits }, inDefault);
  const pods = rule(["pods"], { operations: ["CREATE"] });
  const mutations = [applies("Object{metadata: Object.metadata{labels: {'seen': 'yes'}}}")];
  await create(MUTATING, "MutatingAdmissionPolicy", "labels", {
    matchConstraints: { resourceRules: [pods] },
    reinvocationPolicy: "Never",
    mutations,
  });
  await create(MUTATING_BINDINGS, "MutatingAdmissionPolicyBinding", "labels", { policyName: "labels" });
  const pod = (await create(PODS, "Pod", "twice", { containers: [{ name: "c", image: "i" }] }, inDefault)) as Pod;
  expect(pod.metadata?.labels).toEqual({ seen: "yes" });
  expect(pod.spec?.volumes).toHaveLength(1);
  expect(pod.spec?.containers[0]?.volumeMounts).toHaveLength(1);
  expect(pod.spec?.tolerations).toHaveLength(2);
  expect(pod.metadata?.annotations).toEqual({
    "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container c; cpu limit for container c",
  });
  await own.stop();
});

test("annotations are published once for a value, joined where bindings give several", async () => {
  const published: Record<string, string> = {};
  const policies = createValidatingPolicies({
    kinds: () => server.api.kinds,
    authorizer: undefined,
    source: fakeSource({
      validatingadmissionpolicies: [
        stored("notes", {
          matchConstraints: { resourceRules: [rule(["configmaps"])] },
          paramKind: { apiVersion: "v1", kind: "ConfigMap" },
          auditAnnotations: [
            { key: "value", valueExpression: "params.data.value" },
            { key: "empty", valueExpression: "' '" },
            { key: "none", valueExpression: "null" },
          ],
        }),
      ],
      validatingadmissionpolicybindings: ["a", "b", "c"].map((name) =>
        stored(name, {
          policyName: "notes",
          validationActions: ["Audit"],
          paramRef: { name: name === "c" ? "a" : name, namespace: "other", parameterNotFoundAction: "Deny" },
        }),
      ),
      configmaps: ["a", "b"].map((name) => ({
        ...stored(name, {}),
        namespace: "other",
        object: { data: { value: name } } as KubeObject,
      })),
    }),
  });
  const kind = server.api.kinds.kindFor(CONFIG_MAPS)!;
  const request = { user: { username: "u", groups: [] }, verb: "create", options: {} } as unknown as ApiRequest;
  const about = { namespace: "shop", name: "x", subresource: "", old: undefined, dryRun: false };
  await policies.validate!({
    ...about,
    request,
    kind,
    operation: "CREATE",
    object: configMap(),
    annotate: (key, value) => void (published[key] = value),
  });
  expect(published).toEqual({ "notes/value": "a, b" });
});

test("types are checked on the kinds that a policy names, and told in its status", async () => {
  const wrong = { validations: [{ expression: "object.replicas > 1" }, { expression: "object.spec.replicas > 1" }] };
  const apps = rule(["deployments", "statefulsets/scale"], { apiGroups: ["apps"], apiVersions: ["v1"] });
  await validating("typed", { matchConstraints: { resourceRules: [apps] }, ...wrong });
  const status = async (name: string): Promise<object | undefined> => {
    const policy = (await server.client.get(VALIDATING, { name })) as { status?: object };
    return policy.status;
  };
  await eventually(async () =>
    expect(await status("typed")).toEqual({
      observedGeneration: 1,
      typeChecking: {
        expressionWarnings: [
          {
            fieldRef: "spec.validations[0].expression",
            warning:
              "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^\n",
          },
        ],
      },
    }),
  );
  const parts =
    "object.spec.template.spec.containers.all(c, c.image.startsWith('x') && c.ports.exists(p, p.containerPort > 80))";
  const meta =
    "object.metadata.labels['a'] == 'b' && object.metadata.creationTimestamp > timestamp('2020-01-01T00:00:00Z')";
  const validations = [{ expression: parts }, { expression: meta }, { expression: "variables.n == 1" }];
  const variables = [{ name: "n", expression: "object.spec.replicas" }];
  await validating("sound", { matchConstraints: { resourceRules: [apps] }, variables, validations });
  await eventually(async () => expect(await status("sound")).toEqual({ observedGeneration: 1, typeChecking: {} }));
});

function stored(name: string, spec: object): VersionedObject {
  return { name, namespace: "", rv: 1n, json: Buffer.from(""), object: { metadata: { name }, spec } as KubeObject };
}

function fakeSource(objects: Readonly<Record<string, readonly VersionedObject[]>>): ObjectSource {
  return {
    get: ({ resource: name }, namespace, one) =>
      objects[name]?.find((each) => each.name === one && each.namespace === namespace),
    list: ({ resource: name }) => objects[name] ?? [],
    onChange: () => () => {},
  };
}
