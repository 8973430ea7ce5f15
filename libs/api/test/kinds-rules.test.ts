// What is refused of Services, limits, quotas, nodes and workloads, in upstream's words and field paths.
import type { KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { LimitRangeItem, Node, ResourceQuotaSpec, Service, ServiceSpec, StatefulSetSpec } from "../src/index.ts";
import { created, createErrors, kindNamed, updateErrors } from "./support/kind-cases.ts";
import { fieldErrorText } from "@coxswain/apimachinery";

const GENERATION = "deprecated.daemonset.template.generation";

describe("a Service", () => {
  const service = (spec: ServiceSpec, annotations: Record<string, string> = {}): Service => ({
    metadata: { name: "web", namespace: "default", annotations },
    spec: { ports: [{ port: 80 }], ...spec },
  });
  test.each<[string, ServiceSpec, Record<string, string>, string[]]>([
    ["a good one", {}, {}, []],
    [
      "families that nobody knows, and twice",
      { ipFamilies: ["IPv5", "IPv5"], ipFamilyPolicy: "Triple" },
      {},
      [
        'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
        'spec.ipFamilies[1]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
        'spec.ipFamilies[1]: Duplicate value: "IPv5"',
        'spec.ipFamilyPolicy: Unsupported value: "Triple": supported values: "PreferDualStack", "RequireDualStack", "SingleStack"',
      ],
    ],
    [
      "none, and more than that",
      { clusterIP: "None", clusterIPs: ["None", "10.0.0.1"] },
      {},
      [`spec.clusterIPs: Invalid value: ["None","10.0.0.1"]: 'None' must be the first and only value`],
    ],
    [
      "addresses without the first",
      { clusterIPs: ["10.0.0.1"] },
      {},
      ['spec.clusterIPs: Invalid value: ["10.0.0.1"]: must be empty when `clusterIP` is not specified'],
    ],
    [
      "two names of one annotation",
      {},
      { "service.kubernetes.io/topology-aware-hints": "auto", "service.kubernetes.io/topology-mode": "other" },
      [
        'metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "other": must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified',
      ],
    ],
    [
      "ranges in an annotation",
      {},
      { "service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, x" },
      [
        "metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: Forbidden: may only be used when `type` is 'LoadBalancer'",
        expect.stringContaining('Invalid value: "x": must be a valid CIDR value'),
      ],
    ],
  ])("%s", (_, spec, annotations, errors) => {
    expect(createErrors("services", service(spec, annotations))).toEqual(errors);
  });

  test("keeps the first of its families", () => {
    const good = service({ clusterIP: "10.0.0.1", clusterIPs: ["10.0.0.1"], ipFamilies: ["IPv4"] });
    expect(
      updateErrors("services", good, (next) => {
        next.spec!.ipFamilies = ["IPv6"];
        next.spec!.clusterIP = "None";
        next.spec!.clusterIPs = ["None"];
      }),
    ).toEqual([expect.stringContaining("spec.clusterIPs[0]: Invalid value")]);
    expect(updateErrors("services", good, (next) => (next.spec!.ipFamilies = ["IPv6"]))).toEqual([
      'spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
      'spec.clusterIPs[0]: Invalid value: "10.0.0.1": expected an IPv6 value as indicated by `ipFamilies[0]`',
    ]);
  });

  test("is balanced to names and addresses, each in its place", () => {
    const spec: ServiceSpec = { type: "LoadBalancer" };
    const object: Service = {
      ...service(spec),
      status: { loadBalancer: { ingress: [{ hostname: "10.0.0.1", ipMode: "VIP" }] } },
    };
    const errors = kindNamed("services").validateStatusUpdate?.(object, object) ?? [];
    expect(errors.map(fieldErrorText)).toEqual([
      "status.loadBalancer.ingress[0].ipMode: Forbidden: may not be specified when `ip` is not set",
      'status.loadBalancer.ingress[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ]);
  });
});

const L = "spec.limits[0]";
test.each<[string, LimitRangeItem, string[]]>([
  [
    "a type that nobody knows",
    { type: "Some" },
    [`${L}.type: Invalid value: "Some": must be a standard limit type or fully qualified`],
  ],
  ["a type of others", { type: "example.com/Some", max: { "example.com/a": "1" } }, []],
  [
    "a resource that containers have not",
    { type: "Container", max: { storage: "1" } },
    expect.arrayContaining([`${L}.max[storage]: Invalid value: "storage": must be a standard resource for containers`]),
  ],
  ["storage of claims", { type: "PersistentVolumeClaim", max: { storage: "1Gi" } }, []],
  [
    "bounds that contradict each other",
    {
      type: "Container",
      min: { cpu: "2" },
      max: { cpu: "4" },
      default: { cpu: "1" },
      defaultRequest: { cpu: "5" },
    },
    [
      `${L}.defaultRequest[cpu]: Invalid value: "5": default request value 5 is greater than max value 4`,
      `${L}.defaultRequest[cpu]: Invalid value: "5": default request value 5 is greater than default limit value 1`,
      `${L}.default[cpu]: Invalid value: "2": min value 2 is greater than default value 1`,
    ],
  ],
  [
    "a default above the highest",
    { type: "Container", max: { cpu: "1" }, default: { cpu: "2" }, defaultRequest: { cpu: "1" } },
    [`${L}.default[cpu]: Invalid value: "1": default value 2 is greater than max value 1`],
  ],
  [
    "a ratio that the bounds cannot have",
    { type: "Container", min: { cpu: "1" }, max: { cpu: "2" }, maxLimitRequestRatio: { cpu: "3" } },
    [`${L}.maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000`],
  ],
  [
    "devices of which more may be used than asked for",
    { type: "Container", default: { "example.com/gpu": "2" }, defaultRequest: { "example.com/gpu": "1" } },
    [
      `${L}.defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu`,
    ],
  ],
])("limits: %s", (_, item, errors) => {
  expect(createErrors("limitranges", { metadata: { name: "l" }, spec: { limits: [item] } } as KubeObject)).toEqual(
    errors,
  );
});

const Q = "spec.scopeSelector.matchExpressions";
test.each<[string, ResourceQuotaSpec, string[]]>([
  ["parts of pods", { hard: { pods: "1500m" } }, ['spec.hard[pods]: Invalid value: "1500m": must be an integer']],
  [
    "a scope that nobody knows",
    { scopeSelector: { matchExpressions: [{ scopeName: "Some", operator: "Exists" }] } },
    [`${Q}.scopeName: Invalid value: "Some": unsupported scope`],
  ],
  [
    "a scope that has no values",
    {
      hard: { pods: "1" },
      scopeSelector: { matchExpressions: [{ scopeName: "BestEffort", operator: "In", values: ["a"] }] },
    },
    [expect.stringContaining(`${Q}.operator: Invalid value: "In": must be 'Exists' when scope is any of `)],
  ],
  [
    "a value of what only exists",
    { scopeSelector: { matchExpressions: [{ scopeName: "PriorityClass", operator: "Exists", values: ["a"] }] } },
    [
      `${Q}.values: Invalid value: ["a"]: must be no value when \`operator\` is 'Exist' or 'DoesNotExist' for scope selector`,
    ],
  ],
  [
    "scopes that shut each other out",
    {
      scopeSelector: {
        matchExpressions: [
          { scopeName: "Terminating", operator: "Exists" },
          { scopeName: "NotTerminating", operator: "Exists" },
        ],
      },
    },
    [`${Q}: Invalid value: null: conflicting scopes`],
  ],
])("a quota of %s", (_, spec, errors) => {
  expect(createErrors("resourcequotas", { metadata: { name: "q" }, spec } as KubeObject)).toEqual(errors);
});

test("a node keeps its external ID, and its amounts have upstream's paths", () => {
  const node: Node = { metadata: { name: "n" }, spec: { externalID: "a" }, status: { capacity: { cpu: "-1" } } };
  expect(updateErrors("nodes", node, (next) => (next.spec!.externalID = "b"))).toEqual([
    'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
    'status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0',
    "spec.externalID: Forbidden: may not be updated",
  ]);
});

const labels = { app: "web" };
const workload = (spec: object, podSpec: object = {}) => ({
  metadata: { name: "w", namespace: "default" },
  spec: {
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }], ...podSpec } },
    ...spec,
  },
});

test.each([
  ["deployments.apps", "ReplicaSet"],
  ["replicasets.apps", "ReplicaSet"],
  ["daemonsets.apps", "DaemonSet"],
  ["statefulsets.apps", "StatefulSet"],
  ["replicationcontrollers", "ReplicationController"],
])("%s have pods without an end and without ephemeral containers", (name, kind) => {
  const selector = name === "replicationcontrollers" ? { selector: labels } : {};
  const podSpec = {
    activeDeadlineSeconds: 1,
    ephemeralContainers: [{ name: "debug", image: "i", terminationMessagePolicy: "File", imagePullPolicy: "Always" }],
  };
  expect(createErrors(name, workload(selector, podSpec) as KubeObject)).toEqual([
    "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
    `spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ${kind} is not Supported`,
  ]);
});

test.each([
  ["deployments.apps", ["spec.selector: Required value"]],
  ["replicasets.apps", ["spec.selector: Required value"]],
  ["statefulsets.apps", ["spec.selector: Required value"]],
  ["daemonsets.apps", []],
])("%s without a selector have a template that matches nothing", (resource, errors) => {
  const template = {
    metadata: { labels: { b: "2", a: "1" } },
    spec: { containers: [{ name: "c", image: "i:1" }] },
  };
  expect(createErrors(resource, { metadata: { name: "w" }, spec: { template } } as KubeObject)).toEqual([
    ...errors,
    'spec.template.metadata.labels: Invalid value: {"a":"1","b":"2"}: `selector` does not match template `labels`',
  ]);
});

test("a DaemonSet's kind of update stands for itself, and its status does not count its templates", () => {
  const spec = {
    selector: { matchLabels: { a: "1" } },
    template: { metadata: { labels: { a: "1" } }, spec: { containers: [{ name: "c", image: "i:1" }] } },
  };
  const set = (updateStrategy: object): KubeObject =>
    ({ metadata: { name: "d" }, spec: { ...spec, updateStrategy } }) as KubeObject;
  expect(createErrors("daemonsets.apps", set({ type: "Random" }))).toEqual([
    'spec.updateStrategy: Unsupported value: {"type":"Random"}: supported values: "RollingUpdate", "OnDelete"',
  ]);
  const old = created("daemonsets.apps", set({ type: "OnDelete" }));
  const changed: KubeObject = { ...old, metadata: { name: "d", annotations: { [GENERATION]: "7" } } };
  kindNamed("daemonsets.apps").strategy.prepareForStatusUpdate?.(changed, old, { nowMs: 0 });
  expect(changed.metadata?.annotations).toEqual({ [GENERATION]: "1" });
});

describe("a StatefulSet", () => {
  const create = (spec: StatefulSetSpec | object, podSpec: object = {}) =>
    createErrors("statefulsets.apps", workload(spec, podSpec));
  test("has no figures of an update where only its kind is named", () => {
    const rollingUpdate = { partition: 0, maxUnavailable: 1 };
    const strategy = (spec: object) =>
      (created("statefulsets.apps", workload(spec)) as { spec: StatefulSetSpec }).spec.updateStrategy;
    expect(strategy({})).toEqual({ type: "RollingUpdate", rollingUpdate });
    expect(strategy({ updateStrategy: { type: "RollingUpdate" } })).toEqual({ type: "RollingUpdate" });
    expect(strategy({ updateStrategy: { type: "RollingUpdate", rollingUpdate: {} } })?.rollingUpdate).toEqual(
      rollingUpdate,
    );
    expect(create({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "101%" } } })).toEqual([
      'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
    ]);
  });
  test("is named as its pods' host names begin", () => {
    const sets = kindNamed("statefulsets.apps");
    expect(sets.validateName?.("a.b", false)).toEqual(["must not contain dots"]);
    expect(sets.validateName?.("a".repeat(64), false)).toEqual(["must be no more than 63 characters"]);
  });
  test("may change where its template was wrong before", () => {
    const bad = workload({}, { dnsPolicy: "Nobody" });
    expect(
      updateErrors("statefulsets.apps", bad, (set) => {
        (set as { spec: StatefulSetSpec }).spec.replicas = 3;
      }),
    ).toEqual([]);
  });
  test("may keep all of its history", () => expect(create({ revisionHistoryLimit: -1 })).toEqual([]));
  test("names its Service as Services are named", () => {
    expect(create({ serviceName: "Not" })).toEqual([
      expect.stringContaining('spec.serviceName: Invalid value: "Not": a lowercase RFC 1123 label must'),
    ]);
  });
  test("makes good claims, and gives host names itself", () => {
    const volumeClaimTemplates = [{ metadata: { name: "data" }, spec: { accessModes: ["ReadWriteOnce"] } }];
    expect(create({ volumeClaimTemplates }, { hostname: "Not a name" })).toEqual([
      "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
    ]);
  });
});

test.each([
  [undefined, "data: Required value: data is mandatory"],
  [["a"], "data: Required value: data must be a valid JSON object"],
])("a revision of %j", (data, error) => {
  const revision = { metadata: { name: "r" }, revision: 1, data } as KubeObject;
  expect(createErrors("controllerrevisions.apps", revision)).toEqual([error]);
});

test("an Ingress may name its class twice, where both names are one", () => {
  const ingress = (name: string) => ({
    metadata: { name: "i", annotations: { "kubernetes.io/ingress.class": name } },
    spec: { ingressClassName: "nginx", defaultBackend: { service: { name: "web", port: { number: 80 } } } },
  });
  expect(createErrors("ingresses.networking.k8s.io", ingress("nginx"))).toEqual([]);
  expect(createErrors("ingresses.networking.k8s.io", ingress("other"))).toEqual([
    'annotations.kubernetes.io/ingress.class: Invalid value: "other": must match `ingressClassName` when both are specified',
  ]);
});

test("a class of attributes stays as it is", () => {
  const good = { metadata: { name: "gold" }, driverName: "a.b", parameters: { iops: "1" } };
  expect(
    updateErrors("volumeattributesclasses.storage.k8s.io", good, (next) => {
      next.driverName = "c.d";
      next.parameters = { iops: "2" };
    }),
  ).toEqual([
    "driverName: Forbidden: updates to driverName are forbidden.",
    "parameters: Forbidden: updates to parameters are forbidden.",
  ]);
});

test.each([
  [{}, "target.averageValue: Required value: must set either a target value for metric or a per-pod target"],
  [
    { value: "1", averageValue: "1" },
    "target.value: Forbidden: may not set both a target value for metric and a per-pod target",
  ],
])("an external metric with the target %j", (target, error) => {
  const external = { metric: { name: "queue" }, target: { type: "Value", ...target } };
  const scaler = {
    metadata: { name: "h" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      maxReplicas: 2,
      metrics: [{ type: "External", external }],
    },
  };
  expect(createErrors("horizontalpodautoscalers.autoscaling/v2", scaler)).toContain(
    `spec.metrics[0].external.${error}`,
  );
});

test("an indexed Job can name its pods", () => {
  const name = "j".repeat(62);
  const spec = {
    completionMode: "Indexed",
    completions: 2,
    template: { spec: { containers: [{ name: "c", image: "i" }], restartPolicy: "Never" } },
  };
  expect(createErrors("jobs.batch", { metadata: { name, uid: "u" }, spec } as KubeObject)).toEqual([
    `metadata.name: Invalid value: "${name}": will not able to create pod with invalid DNS label: ${name}-1`,
  ]);
});

test.each([
  ["nothing", "must contain at least one CERTIFICATE PEM block"],
  ["-----BEGIN KEY-----\nAA==\n-----END KEY-----\n", 'only CERTIFICATE PEM blocks are allowed, found "KEY"'],
  ["-----BEGIN CERTIFICATE-----\na: b\n\nAA==\n-----END CERTIFICATE-----\n", "no PEM block headers are permitted"],
  ["-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "x509: malformed certificate"],
])("a certificate of %j", (text, issue) => {
  const old = { metadata: { name: "c" }, spec: {}, status: {} } as KubeObject;
  const request = { ...old, status: { certificate: Buffer.from(text).toString("base64") } } as KubeObject;
  const errors = kindNamed("certificatesigningrequests.certificates.k8s.io").validateStatusUpdate?.(request, old) ?? [];
  expect(errors.map(fieldErrorText)).toEqual([`status.certificate: Invalid value: "<certificate data>": ${issue}`]);
});
