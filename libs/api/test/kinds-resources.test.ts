// Claims, volumes, limits, quotas, budgets, endpoints: defaults, refusals, rows.
import { describe, expect, test } from "vitest";
import type {
  LimitRange,
  PersistentVolume,
  PersistentVolumeClaim,
  PodDisruptionBudget,
  ResourceQuota,
} from "../src/index.ts";
import { cells, created, createErrors, updateErrors } from "./support/kind-cases.ts";

const claim = (spec: object = {}): PersistentVolumeClaim => ({
  metadata: { name: "c" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
});

describe("a claim", () => {
  test.each<[string, object, string[]]>([
    ["a good one", {}, []],
    ["no access mode", { accessModes: [] }, ["spec.accessModes: Required value: at least 1 access mode is required"]],
    ["no storage", { resources: {} }, ["spec.resources[storage]: Required value"]],
    [
      "once among others",
      { accessModes: ["ReadWriteOncePod", "ReadWriteOnce"] },
      ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
    ],
    [
      "an odd mode",
      { volumeMode: "Tape" },
      ['spec.volumeMode: Unsupported value: "Tape": supported values: "Block", "Filesystem"'],
    ],
  ])("%s", (_, spec, errors) => expect(createErrors("persistentvolumeclaims", claim(spec))).toEqual(errors));

  test("is bound once and grows only when bound", () => {
    const bind = ({ spec }: PersistentVolumeClaim) => Object.assign(spec ?? {}, { volumeName: "v" });
    const grow = ({ spec }: PersistentVolumeClaim) =>
      Object.assign(spec ?? {}, { resources: { requests: { storage: "2Gi" } } });
    expect(updateErrors("persistentvolumeclaims", claim(), bind)).toEqual([]);
    expect(updateErrors("persistentvolumeclaims", claim(), grow)).toEqual([
      "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ]);
  });

  test("names its source in both ways", () => {
    const source = { kind: "PersistentVolumeClaim", name: "old" };
    expect(created("persistentvolumeclaims", claim({ dataSource: source })).spec?.dataSourceRef).toEqual(source);
  });
});

const volume = (spec: object = {}): PersistentVolume => ({
  metadata: { name: "v", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/data" }, ...spec },
});

test.each<[string, object, string[]]>([
  ["a good one", {}, []],
  ["no type", { hostPath: undefined }, ["spec: Required value: must specify a volume type"]],
  [
    "two types",
    { csi: { driver: "d", volumeHandle: "h" } },
    ["spec.csi: Forbidden: may not specify more than 1 volume type"],
  ],
  [
    "no capacity",
    { capacity: {} },
    ["spec.capacity: Required value", 'spec.capacity: Unsupported value: {}: supported values: "storage"'],
  ],
  [
    "a local one anywhere",
    { hostPath: undefined, local: { path: "/x" } },
    ["spec.nodeAffinity: Required value: Local volume requires node affinity"],
  ],
])("a volume: %s", (_, spec, errors) => expect(createErrors("persistentvolumes", volume(spec))).toEqual(errors));

test("what kubectl shows of a volume", () => {
  const bound = {
    ...volume({ claimRef: { namespace: "n", name: "c" }, persistentVolumeReclaimPolicy: "Delete" }),
    status: { phase: "Bound" },
  };
  expect(cells("persistentvolumes", bound, Date.UTC(2026, 0, 1, 0, 5))).toEqual({
    Name: "v",
    Capacity: "1Gi",
    "Access Modes": "RWO",
    "Reclaim Policy": "Delete",
    Status: "Bound",
    Claim: "n/c",
    StorageClass: "",
    VolumeAttributesClass: "<unset>",
    Reason: "",
    Age: "5m",
  });
});

test("limits fill each other in", () => {
  const range: LimitRange = {
    metadata: { name: "l" },
    spec: { limits: [{ type: "Container", max: { cpu: "2" }, min: { cpu: "100m", memory: "1Mi" } }] },
  };
  expect(created("limitranges", range).spec?.limits[0]).toEqual({
    type: "Container",
    max: { cpu: "2" },
    min: { cpu: "100m", memory: "1Mi" },
    default: { cpu: "2" },
    defaultRequest: { cpu: "2", memory: "1Mi" },
  });
  const wrong: LimitRange = { spec: { limits: [{ type: "Pod", max: { cpu: "1" }, min: { cpu: "2" } }] } };
  expect(createErrors("limitranges", wrong)).toEqual([
    'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
  ]);
});

test("quotas: names, scopes, and what is used", () => {
  const quota = (spec: object): ResourceQuota => ({
    metadata: { name: "q", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec,
  });
  expect(
    createErrors("resourcequotas", quota({ hard: { pods: "3", "requests.cpu": "1", "count/jobs.batch": "2" } })),
  ).toEqual([]);
  expect(createErrors("resourcequotas", quota({ hard: { apples: "3" } }))).toEqual([
    'spec.hard[apples]: Invalid value: "apples": must be a standard resource for quota',
  ]);
  expect(createErrors("resourcequotas", quota({ scopes: ["BestEffort", "NotBestEffort"] }))).toEqual([
    'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
  ]);
  const misfit = "unsupported scope applied to resource";
  expect(createErrors("resourcequotas", quota({ hard: { pods: "1", services: "1" }, scopes: ["BestEffort"] }))).toEqual(
    [`spec.scopes: Invalid value: ["BestEffort"]: ${misfit}`],
  );
  expect(
    createErrors("resourcequotas", quota({ hard: { pods: "1", "limits.cpu": "1" }, scopes: ["Terminating"] })),
  ).toEqual([]);
  const byPriority = { matchExpressions: [{ scopeName: "PriorityClass", operator: "Exists" }] };
  expect(
    createErrors("resourcequotas", quota({ hard: { "requests.storage": "1Gi" }, scopeSelector: byPriority })),
  ).toEqual([`spec.scopeSelector.matchExpressions: Invalid value: ${JSON.stringify(byPriority)}: ${misfit}`]);
  expect(
    updateErrors(
      "resourcequotas",
      quota({ scopes: ["BestEffort"] }),
      (object) => (object.spec = { scopes: ["Terminating"] }),
    ),
  ).toEqual(['spec.scopes: Invalid value: ["Terminating"]: field is immutable']);
  const used = { ...quota({}), status: { hard: { pods: "3", "limits.cpu": "2" }, used: { pods: "1" } } };
  expect(cells("resourcequotas", used, Date.UTC(2026, 0, 1))).toMatchObject({
    Request: "pods: 1/3",
    Limit: "limits.cpu: 0/2",
  });
});

test("budgets: one of the two bounds", () => {
  const budget = (spec: object): PodDisruptionBudget => ({ metadata: { name: "b" }, spec });
  expect(createErrors("poddisruptionbudgets.policy", budget({ minAvailable: 1 }))).toEqual([]);
  expect(createErrors("poddisruptionbudgets.policy", budget({ minAvailable: 1, maxUnavailable: 1 }))).toEqual([
    'spec: Invalid value: {"minAvailable":1,"maxUnavailable":1}: minAvailable and maxUnavailable cannot be both set',
  ]);
  expect(createErrors("poddisruptionbudgets.policy", budget({ maxUnavailable: "120%" }))).toEqual([
    'spec.maxUnavailable: Invalid value: "120%": must not be greater than 100%',
  ]);
});

test("endpoints need an address, and say so", () => {
  const endpoints = { metadata: { name: "e" }, subsets: [{ addresses: [{ ip: "10.0.0.1" }], ports: [{ port: 80 }] }] };
  expect(createErrors("endpoints", endpoints)).toEqual([]);
  expect(cells("endpoints", endpoints, 0)).toMatchObject({ Endpoints: "10.0.0.1:80" });
  expect(createErrors("endpoints", { subsets: [{ ports: [{ port: 80 }] }] } as object)).toEqual([
    "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
  ]);
});
