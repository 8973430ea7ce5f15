// What is refused, in upstream's words and field paths. Each row changes a good object in one way.
import type { KubeObject } from "@coxswain/apimachinery";
import { deepClone, fieldErrorText } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { ConfigMap, Deployment, EndpointSlice, Node, Pod, RoleBinding, Secret, Service } from "../src/index.ts";
import { kindFor } from "../src/index.ts";

function kind(resource: string, group = "") {
  const found = kindFor({ group, version: "v1", resource });
  if (!found) throw new Error(`no kind ${resource}`);
  return found;
}

function create(resource: string, group: string, object: KubeObject): string[] {
  const definition = kind(resource, group);
  definition.defaults(object);
  return definition.validateCreate(object).map(fieldErrorText);
}

function update<T extends KubeObject>(resource: string, group: string, good: T, change: (object: T) => void): string[] {
  const definition = kind(resource, group);
  const old = deepClone(good);
  definition.defaults(old);
  definition.strategy.prepareForCreate(old, { nowMs: 0 });
  const object = deepClone(old);
  change(object);
  definition.defaults(object);
  return definition.validateUpdate(object, old).map(fieldErrorText);
}

const pod = (): Pod & { spec: NonNullable<Pod["spec"]> } => ({
  metadata: { name: "web", namespace: "default", labels: { app: "web" } },
  spec: { containers: [{ name: "main", image: "nginx:1.27" }] },
});

type PodChange = (spec: NonNullable<Pod["spec"]>) => void;
const container = (spec: NonNullable<Pod["spec"]>) => {
  const [first] = spec.containers;
  if (!first) throw new Error("no container");
  return first;
};

test.each([
  [{ kind: "Node", name: "node-1.example" }, []],
  [
    { kind: "Pod", name: "" },
    ['target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"', "target.name: Required value"],
  ],
  [
    { name: "*" },
    [expect.stringMatching(/^target\.name: Invalid value: "\*": a lowercase RFC 1123 subdomain must consist of/)],
  ],
])("a binding to %j", (target, errors) => {
  expect(create("bindings", "", { metadata: { name: "web" }, target } as KubeObject)).toEqual(errors);
});

const BAD_PODS: [string, PodChange, string[]][] = [
  ["a good pod", () => {}, []],
  ["no containers", (s) => (s.containers = []), ["spec.containers: Required value"]],
  ["no image", (s) => delete container(s).image, ["spec.containers[0].image: Required value"]],
  [
    "two containers of one name",
    (s) => s.containers.push({ name: "main", image: "x" }),
    ['spec.containers[1].name: Duplicate value: "main"'],
  ],
  [
    "a bad restart policy",
    (s) => (s.restartPolicy = "Sometimes"),
    ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
  ],
  [
    "a request above the limit",
    (s) => (container(s).resources = { requests: { cpu: "2" }, limits: { cpu: "500m" } }),
    ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 500m'],
  ],
  [
    "a mount of no volume",
    (s) => (container(s).volumeMounts = [{ name: "data", mountPath: "/data" }]),
    ['spec.containers[0].volumeMounts[0].name: Not found: "data"'],
  ],
  [
    "a port out of range",
    (s) => (container(s).ports = [{ containerPort: 70_000 }]),
    ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
  ],
  [
    "a probe with no handler",
    (s) => (container(s).livenessProbe = {}),
    ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
  ],
  [
    "a liveness probe that must succeed twice",
    (s) => (container(s).livenessProbe = { exec: { command: ["true"] }, successThreshold: 2 }),
    ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
  ],
  [
    "a probe on an init container",
    (s) => (s.initContainers = [{ name: "init", image: "x", readinessProbe: { exec: { command: ["true"] } } }]),
    [
      "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
    ],
  ],
  [
    "a variable with value and source",
    (s) => (container(s).env = [{ name: "A", value: "1", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }]),
    ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
  ],
  [
    "a volume of two types",
    (s) => (s.volumes = [{ name: "v", emptyDir: {}, hostPath: { path: "/x" } }]),
    ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
  ],
  [
    "an image volume of no image, pulled as nobody knows",
    (s) => (s.volumes = [{ name: "v", image: { pullPolicy: "Sometimes" } }]),
    [
      "spec.volumes[0].image.reference: Required value",
      'spec.volumes[0].image.pullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ],
  ],
  [
    "claims of devices that stand for nothing, or for two things, or twice",
    (s) =>
      (s.resourceClaims = [
        { name: "a" },
        { name: "a", resourceClaimName: "x" },
        { name: "b", resourceClaimName: "x", resourceClaimTemplateName: "y" },
      ]),
    [
      'spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
      'spec.resourceClaims[1].name: Duplicate value: "a"',
      'spec.resourceClaims[2]: Invalid value: {"name":"b","resourceClaimName":"x","resourceClaimTemplateName":"y"}: at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified',
    ],
  ],
  [
    "a container that uses claims which the pod has not, or the same twice",
    (s) => {
      s.resourceClaims = [
        { name: "b", resourceClaimName: "x" },
        { name: "a", resourceClaimName: "x" },
      ];
      const uses = [
        { name: "a", request: "r" },
        { name: "a" },
        { name: "b" },
        { name: "b", request: "r" },
        { name: "c" },
      ];
      container(s).resources = { claims: uses };
    },
    [
      'spec.containers[0].resources.claims[1]: Duplicate value: "a"',
      'spec.containers[0].resources.claims[3]: Duplicate value: "b"',
      'spec.containers[0].resources.claims[4]: Not found: "c": must be one of the names in pod.spec.resourceClaims: a, b',
    ],
  ],
  [
    "a toleration of everything that is not Exists",
    (s) => (s.tolerations = [{ effect: "NoSchedule" }]),
    [
      'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"',
    ],
  ],
  [
    "no skew",
    (s) => (s.topologySpreadConstraints = [{ maxSkew: 0, topologyKey: "zone", whenUnsatisfiable: "DoNotSchedule" }]),
    ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
  ],
  [
    "node affinity without terms",
    (s) =>
      (s.affinity = {
        nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } },
      }),
    [
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
    ],
  ],
];

describe("pods", () => {
  test.each(BAD_PODS)("%s", (_, change, expected) => {
    const object = pod();
    change(object.spec);
    expect(create("pods", "", object)).toEqual(expected);
  });

  test("an image may change, a command may not", () => {
    expect(update("pods", "", pod(), (p) => (container(p.spec).image = "nginx:1.28"))).toEqual([]);
    const [error = ""] = update("pods", "", pod(), (p) => (container(p.spec).command = ["sh"]));
    expect(error).toContain(
      "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)",
    );
  });

  test("containers may not be added", () => {
    const errors = update("pods", "", pod(), (p) => p.spec.containers.push({ name: "more", image: "x" }));
    expect(errors).toEqual(["spec.containers: Forbidden: pod updates may not add or remove containers"]);
  });

  test("an update by a client that drops zero values changes nothing", () => {
    const explicit = pod();
    explicit.spec.hostNetwork = false;
    container(explicit.spec).tty = false;
    const dropped = update("pods", "", explicit, (p) => {
      delete p.spec.hostNetwork;
      delete container(p.spec).tty;
    });
    expect(dropped).toEqual([]);
  });

  test("tolerations may be added and not removed", () => {
    const tolerant = pod();
    tolerant.spec.tolerations = [{ key: "a", operator: "Exists" }];
    expect(update("pods", "", tolerant, (p) => p.spec.tolerations?.push({ key: "b", operator: "Exists" }))).toEqual([]);
    expect(update("pods", "", tolerant, (p) => (p.spec.tolerations = []))).toEqual([
      "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
    ]);
  });
});

const deployment = (): Deployment & { spec: NonNullable<Deployment["spec"]> } => ({
  metadata: { name: "web", namespace: "default" },
  spec: {
    selector: { matchLabels: { app: "web" } },
    template: { metadata: { labels: { app: "web" } }, spec: pod().spec },
  },
});

describe("deployments", () => {
  const rows: [string, (spec: NonNullable<Deployment["spec"]>) => void, string[]][] = [
    ["a good one", () => {}, []],
    [
      "a selector that misses its pods",
      (s) => (s.selector = { matchLabels: { app: "other" } }),
      ['spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`'],
    ],
    [
      "a rollout that cannot move",
      (s) => (s.strategy = { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } }),
      ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
    ],
    [
      "negative replicas",
      (s) => (s.replicas = -1),
      ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ],
    [
      "pods that end",
      (s) => (s.template.spec = { ...pod().spec, restartPolicy: "Never" }),
      ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ],
    [
      "a deadline before pods can be ready",
      (s) => Object.assign(s, { minReadySeconds: 60, progressDeadlineSeconds: 60 }),
      ["spec.progressDeadlineSeconds: Invalid value: 60: must be greater than minReadySeconds"],
    ],
  ];
  test.each(rows)("%s", (_, change, expected) => {
    const object = deployment();
    change(object.spec);
    expect(create("deployments", "apps", object)).toEqual(expected);
  });

  test("the selector never changes", () => {
    const errors = update("deployments", "apps", deployment(), (d) => {
      d.spec.selector = { matchLabels: { tier: "x" } };
      d.spec.template.metadata = { labels: { tier: "x" } };
    });
    expect(errors).toEqual(['spec.selector: Invalid value: {"matchLabels":{"tier":"x"}}: field is immutable']);
  });
});

const service = (): Service & { spec: NonNullable<Service["spec"]> } => ({
  metadata: { name: "web", namespace: "default" },
  spec: { selector: { app: "web" }, ports: [{ port: 80 }], clusterIP: "10.96.0.7", clusterIPs: ["10.96.0.7"] },
});

describe("services", () => {
  const rows: [string, (spec: NonNullable<Service["spec"]>) => void, string[]][] = [
    ["a good one", () => {}, []],
    ["no ports", (s) => (s.ports = []), ["spec.ports: Required value"]],
    [
      "two ports without names",
      (s) => s.ports?.push({ port: 81 }),
      ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
    ],
    [
      "a node port on a cluster IP",
      (s) => (s.ports = [{ port: 80, nodePort: 30_000 }]),
      ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ],
    [
      "an unknown type",
      (s) => (s.type = "Magic"),
      [
        'spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
      ],
    ],
  ];
  test.each(rows)("%s", (_, change, expected) => {
    const object = service();
    change(object.spec);
    expect(create("services", "", object)).toEqual(expected);
  });

  test("the address never changes", () => {
    const errors = update("services", "", service(), (s) => {
      s.spec.clusterIP = "10.96.0.8";
      s.spec.clusterIPs = ["10.96.0.8"];
    });
    expect(errors).toEqual(['spec.clusterIPs[0]: Invalid value: ["10.96.0.8"]: may not change once set']);
  });
});

test("config maps: keys, and immutability once asked for", () => {
  const map: ConfigMap = { metadata: { name: "m", namespace: "x" }, data: { a: "1" }, immutable: true };
  expect(create("configmaps", "", { ...map, data: { "a b": "1" } } as ConfigMap)[0]).toMatch(
    /^data\[a b\]: Invalid value: "a b": a valid config key must consist of/,
  );
  expect(update("configmaps", "", map, (m) => (m.data = { a: "2" }))).toEqual([
    "data: Forbidden: field is immutable when `immutable` is set",
  ]);
});

test("secrets: the type never changes, and TLS needs both halves", () => {
  const secret: Secret = { metadata: { name: "s", namespace: "x" }, stringData: { "tls.crt": "x" } };
  expect(create("secrets", "", { ...secret, type: "kubernetes.io/tls" } as Secret)).toEqual([
    "data[tls.key]: Required value",
  ]);
  expect(update("secrets", "", secret, (s) => (s.type = "other"))).toEqual([
    'type: Invalid value: "other": field is immutable',
  ]);
});

test("nodes: taints are unique, and pod addresses never change", () => {
  const node: Node = { metadata: { name: "n" }, spec: { podCIDR: "10.244.0.0/24" } };
  const taint = { key: "a", effect: "NoSchedule" };
  expect(create("nodes", "", { ...node, spec: { taints: [taint, taint] } } as Node)[0]).toMatch(
    /^metadata.taints\[1\]: Duplicate value: .*taints must be unique by key and effect pair$/,
  );
  expect(update("nodes", "", node, (n) => (n.spec = { podCIDRs: ["10.244.1.0/24"] }))).toEqual([
    'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
  ]);
});

test("role bindings: the role never changes", () => {
  const binding: RoleBinding = {
    metadata: { name: "b", namespace: "x" },
    roleRef: { apiGroup: "", kind: "Role", name: "r" },
    subjects: [{ kind: "Robot", name: "x" }],
  };
  const group = "rbac.authorization.k8s.io";
  expect(create("rolebindings", group, binding)).toEqual([
    'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
  ]);
  binding.subjects = [];
  expect(update("rolebindings", group, binding, (b) => (b.roleRef.name = "other"))[0]).toMatch(
    /^roleRef: Invalid value: .*: cannot change roleRef$/,
  );
});

test("endpoint slices: addresses of their family", () => {
  const slice: EndpointSlice = {
    metadata: { name: "e", namespace: "x" },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"] }, { addresses: ["fd00::1"] }, { addresses: [] }],
  };
  expect(create("endpointslices", "discovery.k8s.io", slice)).toEqual([
    'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    'endpoints[1].addresses: Invalid value: "fd00::1": must be an IPv4 address',
    "endpoints[2].addresses: Required value: must contain at least 1 address",
  ]);
});
