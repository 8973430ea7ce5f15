// Webhooks, policies, APIServices, flow control, certificates, devices: defaults, refusals, rows.
import { deepClone, fieldErrorText } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type {
  CertificateSigningRequest,
  PriorityLevelConfiguration,
  ValidatingAdmissionPolicyBinding,
} from "../src/index.ts";
import { cells, created, createErrors, kindNamed, updateErrors } from "./support/kind-cases.ts";

/** Somebody signed it themselves. */
const CERTIFICATE = Buffer.from(`-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUFrFi0KD0ZoGGiyQrZJdRPJuFWdwwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAeFw0yNjExMzAxOTAwMDVaFw0zNjExMjcxOTAwMDVaMAwx
CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT1sAtOuASAMAC2
B/HBZJ90m5yErMeuHGnRpLIGVGoI6o75lYMIN+4VlEgoiyD3HJ2W+mAOuSouQJnV
/HAYy56Ho1MwUTAdBgNVHQ4EFgQUqnqYnVjzYIXFn9W8Irar5XmuL2AwHwYDVR0j
BBgwFoAUqnqYnVjzYIXFn9W8Irar5XmuL2AwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEAtUFFmAnPsq163YNOHimDAZJ/mvDwUcPCKRus/uGT+o8C
IHHxrfM5HItGbfqR98+j80tG84mmzJpRGVgOMfK2MoO+
-----END CERTIFICATE-----
`).toString("base64");

const WEBHOOKS = "validatingwebhookconfigurations.admissionregistration.k8s.io";
const webhook = (parts: object = {}) => ({
  metadata: { name: "w" },
  webhooks: [
    {
      name: "a.example.com",
      clientConfig: { service: { namespace: "n", name: "s" } },
      rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] }],
      sideEffects: "None",
      admissionReviewVersions: ["v1"],
      ...parts,
    },
  ],
});

describe("webhooks", () => {
  test("get upstream's defaults", () => {
    expect(created(WEBHOOKS, webhook()).webhooks[0]).toMatchObject({
      failurePolicy: "Fail",
      matchPolicy: "Equivalent",
      timeoutSeconds: 10,
      namespaceSelector: {},
      objectSelector: {},
      clientConfig: { service: { port: 443 } },
      rules: [{ scope: "*" }],
    });
  });
  test.each<[string, object, string[]]>([
    ["a good one", {}, []],
    [
      "a short name",
      { name: "web" },
      ['webhooks[0].name: Invalid value: "web": should be a domain with at least three segments separated by dots'],
    ],
    [
      "nowhere to ask",
      { clientConfig: {} },
      ["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
    ],
    [
      "plain http",
      { clientConfig: { url: "http://a.example" } },
      [
        `webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]`,
      ],
    ],
    ["no path", { clientConfig: { service: { namespace: "n", name: "s", path: "" } } }, []],
    [
      "half a path",
      { clientConfig: { service: { namespace: "n", name: "s", path: "check" } } },
      [`webhooks[0].clientConfig.service.path: Invalid value: "check": must start with a '/'`],
    ],
    [
      "too much patience",
      { timeoutSeconds: 31 },
      ["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
    ],
    [
      "a URL of much more than a host",
      { clientConfig: { url: "https://u:p@a.example/x?q=1#f" } },
      [
        'webhooks[0].clientConfig.url: Invalid value: "u:p": user information is not permitted in the URL',
        'webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL',
        'webhooks[0].clientConfig.url: Invalid value: "q=1": query parameters are not permitted in the URL',
      ],
    ],
    [
      "a URL of no host",
      { clientConfig: { url: "https:///x" } },
      ['webhooks[0].clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[/path]'],
    ],
    [
      "a service with a path of empty segments, and no port",
      { clientConfig: { service: { namespace: "n", name: "s", path: "/a//B", port: 70_000 } } },
      [
        "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
        'webhooks[0].clientConfig.service.path: Invalid value: "/a//B": segment[1] may not be empty',
        expect.stringContaining(
          'webhooks[0].clientConfig.service.path: Invalid value: "/a//B": segment[2]: a lowercase',
        ),
      ],
    ],
    [
      "versions twice, and no version",
      { admissionReviewVersions: ["v1", "v1", "V2"] },
      [
        'webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
        expect.stringContaining('webhooks[0].admissionReviewVersions[2]: Invalid value: "V2": a DNS-1035 label must'),
      ],
    ],
    ...(
      [
        [["*/*", "pods"], "", `["*/*","pods"]: if '*/*' is present, must not specify other resources`],
        [["*", "pods"], "", `["*","pods"]: if '*' is present, must not specify other resources without subresources`],
        [["pods/*", "pods/log"], "[1]", `"pods/log": if 'pods/*' is present, must not specify pods/log`],
        [["*/scale", "pods/scale"], "[1]", `"pods/scale": if '*/scale' is present, must not specify pods/scale`],
      ] as const
    ).map(([resources, at, error]): [string, object, string[]] => [
      `resources ${resources.join(" ")}`,
      { rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources }] },
      [`webhooks[0].rules[0].resources${at}: Invalid value: ${error}`],
    ]),
  ])("%s", (_, parts, errors) => expect(createErrors(WEBHOOKS, webhook(parts))).toEqual(errors));
});

test("a binding says what to do, once", () => {
  const binding = (validationActions: string[]): ValidatingAdmissionPolicyBinding => ({
    metadata: { name: "b" },
    spec: { policyName: "p", validationActions },
  });
  const name = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
  expect(createErrors(name, binding(["Deny"]))).toEqual([]);
  expect(createErrors(name, binding([]))).toEqual([
    "spec.validationActions: Required value: at least one validation action is required",
  ]);
  expect(createErrors(name, binding(["Deny", "Warn"]))).toHaveLength(1);
});

test("a changing policy holds the change that it names", () => {
  const name = "mutatingadmissionpolicies.admissionregistration.k8s.io/v1beta1";
  const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["pods"] };
  const mutations = [{ patchType: "JSONPatch" }];
  const spec = { matchConstraints: { resourceRules: [rule] }, reinvocationPolicy: "Never", mutations };
  expect(createErrors(name, { metadata: { name: "m" }, spec } as object)).toEqual([
    "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
  ]);
});

test("an APIService is named by what it serves", () => {
  const spec = { group: "example.com", version: "v1", groupPriorityMinimum: 100, versionPriority: 10 };
  const service = (name: string, parts: object = {}) => ({ metadata: { name }, spec: { ...spec, ...parts } });
  const local = service("v1.example.com");
  expect(createErrors("apiservices.apiregistration.k8s.io", local)).toEqual([]);
  expect(createErrors("apiservices.apiregistration.k8s.io", service("v2.example.com"))).toEqual([
    'metadata.name: Invalid value: "v2.example.com": must be `spec.version+"."+spec.group`: "v1.example.com"',
  ]);
  const stored = created("apiservices.apiregistration.k8s.io", local);
  expect(cells("apiservices.apiregistration.k8s.io", stored, 0)).toMatchObject({ Service: "Local", Available: "True" });
});

test("a level of priority queues as upstream's", () => {
  const name = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io";
  const level: PriorityLevelConfiguration = {
    metadata: { name: "l" },
    spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: {} } } },
  };
  expect(createErrors(name, level)).toEqual([]);
  expect(cells(name, created(name, level), 0)).toMatchObject({
    NominalConcurrencyShares: 30,
    Queues: 64,
    HandSize: 8,
    QueueLengthLimit: 50,
  });
});

describe("a request for a certificate", () => {
  const NAME = "certificatesigningrequests.certificates.k8s.io";
  const PEM = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
  const request = (parts: object = {}): CertificateSigningRequest => ({
    metadata: { name: "c" },
    spec: {
      request: Buffer.from(PEM).toString("base64"),
      signerName: "example.com/mine",
      usages: ["client auth"],
      ...parts,
    },
  });
  test.each<[string, object, string[]]>([
    ["a good one", {}, []],
    ["no usage", { usages: [] }, ["spec.usages: Required value"]],
    [
      "a signer without a domain",
      { signerName: "mine" },
      [
        "spec.signerName: Invalid value: \"mine\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
      ],
    ],
    [
      "no time at all",
      { expirationSeconds: 5 },
      ["spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)"],
    ],
  ])("%s", (_, parts, errors) => expect(createErrors(NAME, request(parts))).toEqual(errors));

  test("is approved by one and signed by another", () => {
    const kind = kindNamed(NAME);
    const approval = kind.subresources.find(({ name }) => name === "approval")?.rules;
    const old = created(NAME, request());
    const approved = deepClone(old);
    approved.status = { certificate: "eA==", conditions: [{ type: "Approved", status: "True" }] };
    approval?.prepare(approved, old, { nowMs: 5_000 });
    const now = "1970-01-01T00:00:05Z";
    const decision = { type: "Approved", status: "True", lastUpdateTime: now, lastTransitionTime: now };
    expect(approved.status).toEqual({ conditions: [decision] });
    const signed = deepClone(approved);
    const other = { type: "Ready", status: "False" };
    signed.status = { certificate: CERTIFICATE, conditions: [other, { ...decision, message: "mine" }] };
    kind.strategy.prepareForStatusUpdate?.(signed, approved, { nowMs: 9_000 });
    expect(kind.validateStatusUpdate?.(signed, approved)).toEqual([]);
    const later = "1970-01-01T00:00:09Z";
    const stamped = { ...other, lastUpdateTime: later, lastTransitionTime: later };
    expect(signed.status?.conditions).toEqual([stamped, decision]);
    expect(cells(NAME, signed, 0)).toMatchObject({ SignerName: "example.com/mine", Condition: "Approved,Issued" });
  });

  test("is not approved by who signs it, nor is that taken back", () => {
    const kind = kindNamed(NAME);
    const statusErrors = (before: string[], after: string[]): string[] => {
      const having = (types: string[]): CertificateSigningRequest => ({
        ...created(NAME, request()),
        status: { conditions: types.map((type) => ({ type, status: "True" })) },
      });
      const [old, next] = [having(before), having(after)];
      kind.strategy.prepareForStatusUpdate?.(next, old, { nowMs: 0 });
      return (kind.validateStatusUpdate?.(next, old) ?? []).map(fieldErrorText);
    };
    const forbidden = (what: string) => [`status.conditions: Forbidden: updates may not ${what}`];
    expect(statusErrors([], ["Approved"])).toEqual(forbidden('add a condition of type "Approved"'));
    expect(statusErrors(["Denied"], [])).toEqual(forbidden('remove a condition of type "Denied"'));
    expect(statusErrors(["Failed"], [])).toEqual(forbidden('remove a condition of type "Failed"'));
    expect(statusErrors(["Ready"], ["Failed"])).toEqual([]);
  });
});

test("a claim of devices names a class, and stays", () => {
  const name = "resourceclaims.resource.k8s.io";
  const claim = (exactly: object) => ({
    metadata: { name: "r" },
    spec: { devices: { requests: [{ name: "gpu", exactly }] } },
  });
  expect(createErrors(name, claim({ deviceClassName: "gpu.example" }))).toEqual([]);
  expect(createErrors(name, claim({}))).toEqual(["spec.devices.requests[0].exactly.deviceClassName: Required value"]);
  const changed = updateErrors(name, claim({ deviceClassName: "a" }), (object) => (object.spec.devices.requests = []));
  expect(changed).toEqual(['spec: Invalid value: {"devices":{"requests":[]}}: field is immutable']);
});

describe("flow control", () => {
  const rule = { subjects: [{ kind: "Group", group: { name: "g" } }], resourceRules: [] as object[] };
  const schema = (spec: object, name = "s") => ({
    metadata: { name },
    spec: { priorityLevelConfiguration: { name: "l" }, matchingPrecedence: 10, rules: [], ...spec },
  });
  const resources = { verbs: ["get"], apiGroups: [""], resources: ["pods"], namespaces: ["*"] };
  const urls = { verbs: ["get"], nonResourceURLs: ["/healthz"] };
  const R = "spec.rules[0]";
  test.each<[string, object, string[]]>([
    ["a good one", { rules: [{ ...rule, resourceRules: [resources], nonResourceRules: [urls] }] }, []],
    [
      "a low precedence",
      { matchingPrecedence: -1 },
      ["spec.matchingPrecedence: Invalid value: -1: must be a positive value"],
    ],
    [
      "a high precedence",
      { matchingPrecedence: 10_001 },
      ["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
    ],
    [
      "a service account of no namespace",
      {
        rules: [{ subjects: [{ kind: "ServiceAccount", serviceAccount: { name: "*" } }], resourceRules: [resources] }],
      },
      [`${R}.subjects[0].serviceAccount.namespace: Required value: must specify namespace for service account`],
    ],
    [
      "a group that is a user",
      { rules: [{ subjects: [{ kind: "Group", user: { name: "u" } }], resourceRules: [resources] }] },
      [
        `${R}.subjects[0].group: Required value: group is required when subject kind is 'Group'`,
        `${R}.subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'`,
      ],
    ],
    [
      "others beside all",
      {
        rules: [
          {
            ...rule,
            resourceRules: [
              { verbs: ["*", "get"], apiGroups: ["*", "a"], resources: ["*", "b"], namespaces: ["*", "c"] },
            ],
            nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["*", "/a"] }],
          },
        ],
      },
      [
        `${R}.resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs`,
        `${R}.resourceRules[0].apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other api groups`,
        `${R}.resourceRules[0].resources: Invalid value: ["*","b"]: if '*' is present, must not specify other resources`,
        `${R}.resourceRules[0].namespaces: Invalid value: ["*","c"]: if '*' is present, must not specify other namespaces`,
        `${R}.nonResourceRules[0].nonResourceURLs: Invalid value: ["*","/a"]: if '*' is present, must not specify other non-resource URLs`,
      ],
    ],
    [
      "paths that are none",
      {
        rules: [{ ...rule, nonResourceRules: [{ ...urls, nonResourceURLs: ["", "a", "/a b", "//", "/a*", "/a/*"] }] }],
      },
      [
        `${R}.nonResourceRules[0].nonResourceURLs[0]: Invalid value: "": must not be empty`,
        `${R}.nonResourceRules[0].nonResourceURLs[1]: Invalid value: "a": must start with slash`,
        `${R}.nonResourceRules[0].nonResourceURLs[2]: Invalid value: "/a b": must not contain white-space`,
        `${R}.nonResourceRules[0].nonResourceURLs[3]: Invalid value: "//": must not contain double slash`,
        `${R}.nonResourceRules[0].nonResourceURLs[4]: Invalid value: "/a*": wildcard can only do suffix matching`,
      ],
    ],
  ])("a schema: %s", (_, spec, errors) => {
    expect(createErrors("flowschemas.flowcontrol.apiserver.k8s.io", schema(spec))).toEqual(errors);
  });

  const LEVELS = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io";
  const level = (spec: object, name = "l") => ({ metadata: { name }, spec });
  const queuing = (parts: object) => ({
    type: "Limited",
    limited: {
      limitResponse: { type: "Queue", queuing: parts },
      borrowingLimitPercent: -1,
      nominalConcurrencyShares: -1,
    },
  });
  const Q = "spec.limited.limitResponse.queuing";
  test.each<[string, object, string[]]>([
    [
      "amounts below nothing",
      queuing({ queues: -1, handSize: -1, queueLengthLimit: -1 }),
      [
        "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        `${Q}.queueLengthLimit: Invalid value: -1: must be positive`,
        `${Q}.queues: Invalid value: -1: must be positive`,
        `${Q}.handSize: Invalid value: -1: must be positive`,
      ],
    ],
    [
      "hands that nobody can deal",
      { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: { queues: 1024, handSize: 7 } } } },
      [
        `${Q}.handSize: Invalid value: 7: required entropy bits of deckSize 1024 and handSize 7 should not be greater than 60`,
      ],
    ],
    [
      "an exempt level of another name",
      { type: "Exempt", exempt: { lendablePercent: 101 } },
      [
        "spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'",
        "spec.exempt.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
      ],
    ],
  ])("a level: %s", (_, spec, errors) => expect(createErrors(LEVELS, level(spec))).toEqual(errors));

  test("what is mandatory stays as it is, but for the shares of the exempt level", () => {
    expect(createErrors(LEVELS, level({ type: "Exempt", exempt: { nominalConcurrencyShares: 5 } }, "exempt"))).toEqual(
      [],
    );
    expect(
      createErrors(LEVELS, level({ type: "Limited", limited: { limitResponse: { type: "Reject" } } }, "catch-all")),
    ).toEqual([expect.stringMatching(/^spec: Invalid value: .*: spec of 'catch-all' must equal the fixed value$/)]);
    expect(createErrors("flowschemas.flowcontrol.apiserver.k8s.io", schema({}, "catch-all"))).toEqual([
      expect.stringMatching(/^spec: Invalid value: .*: spec of 'catch-all' must equal the fixed value$/),
    ]);
  });
});
