// The FlowSchemas and PriorityLevelConfigurations that every cluster has besides the mandatory ones, and that an administrator may
// change.
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#defaults
import { EVERYBODY, EVERYTHING } from "@coxswain/api";
import type { FlowSchema, FlowSubject, PriorityLevelConfiguration, ResourcePolicyRule } from "@coxswain/api";
import { NODE_PACKS_GROUP, NODES_GROUP } from "@coxswain/component-base/identity/node-identity";

const API_VERSION = "flowcontrol.apiserver.k8s.io/v1";
const ALL = ["*"];
const LEASES = "coordination.k8s.io";

/** Says that a suggested object follows these pages until somebody sets it to false. */
export const AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec";

type LevelRow = readonly [name: string, shares: number, lendable: number, queues: number, handSize: number];

const SUGGESTED_LEVELS: readonly LevelRow[] = [
  ["system", 30, 33, 64, 6],
  ["node-high", 40, 25, 64, 6],
  ["leader-election", 10, 0, 16, 4],
  ["workload-high", 40, 50, 128, 6],
  ["workload-low", 100, 90, 128, 6],
  ["global-default", 20, 50, 128, 6],
];
const QUEUE_LENGTH = 50;

function level(name: string, spec: PriorityLevelConfiguration["spec"]): PriorityLevelConfiguration {
  return { apiVersion: API_VERSION, kind: "PriorityLevelConfiguration", metadata: { name }, ...(spec ? { spec } : {}) };
}

function queued([
  name,
  nominalConcurrencyShares,
  lendablePercent,
  queues,
  handSize,
]: LevelRow): PriorityLevelConfiguration {
  const queuing = { queues, handSize, queueLengthLimit: QUEUE_LENGTH };
  const limited = { nominalConcurrencyShares, lendablePercent, limitResponse: { type: "Queue", queuing } };
  return level(name, { type: "Limited", limited });
}

export const SUGGESTED_PRIORITY_LEVELS: readonly PriorityLevelConfiguration[] = SUGGESTED_LEVELS.map(queued);

const groups = (...names: string[]): FlowSubject[] => names.map((name) => ({ kind: "Group", group: { name } }));
const users = (...names: string[]): FlowSubject[] => names.map((name) => ({ kind: "User", user: { name } }));
const accounts = (...names: string[]): FlowSubject[] =>
  names.map((name) => ({ kind: "ServiceAccount", serviceAccount: { namespace: "kube-system", name } }));

/** Kubelets, and the packs of simulated ones. */
const NODES = groups(NODES_GROUP, NODE_PACKS_GROUP);
const MANAGER = "system:kube-controller-manager";
const SCHEDULER = "system:kube-scheduler";
function writes(group: string, ...resources: string[]): ResourcePolicyRule {
  return { verbs: ["get", "create", "update"], apiGroups: [group], resources, namespaces: ALL };
}

type Rules = NonNullable<NonNullable<FlowSchema["spec"]>["rules"]>[number];

function schema(
  name: string,
  to: string,
  matchingPrecedence: number,
  by: "ByUser" | "ByNamespace" | undefined,
  rules: Rules,
): FlowSchema {
  return {
    apiVersion: API_VERSION,
    kind: "FlowSchema",
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: to },
      matchingPrecedence,
      ...(by === undefined ? {} : { distinguisherMethod: { type: by } }),
      rules: [rules],
    },
  };
}

export const SUGGESTED_SCHEMAS: readonly FlowSchema[] = [
  schema("probes", "exempt", 2, undefined, {
    subjects: [...EVERYBODY],
    nonResourceRules: [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }],
  }),
  schema("system-leader-election", "leader-election", 100, "ByUser", {
    subjects: [...users(MANAGER, SCHEDULER), ...accounts("*")],
    resourceRules: [writes(LEASES, "leases")],
  }),
  schema("endpoint-controller", "workload-high", 150, "ByUser", {
    subjects: [...users(MANAGER), ...accounts("endpoint-controller", "endpointslicemirroring-controller")],
    resourceRules: [writes("", "endpoints")],
  }),
  schema("workload-leader-election", "leader-election", 200, "ByUser", {
    subjects: accounts("*"),
    resourceRules: [writes("", "endpoints", "configmaps"), writes(LEASES, "leases")],
  }),
  schema("system-node-high", "node-high", 400, "ByUser", {
    subjects: NODES,
    resourceRules: [
      { verbs: ALL, apiGroups: [""], resources: ["nodes", "nodes/status"], namespaces: ALL, clusterScope: true },
      { verbs: ALL, apiGroups: [LEASES], resources: ["leases"], namespaces: ALL },
    ],
  }),
  schema("system-nodes", "system", 500, "ByUser", { subjects: NODES, ...EVERYTHING }),
  schema("kube-controller-manager", "workload-high", 800, "ByNamespace", { subjects: users(MANAGER), ...EVERYTHING }),
  schema("kube-scheduler", "workload-high", 800, "ByNamespace", { subjects: users(SCHEDULER), ...EVERYTHING }),
  schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", {
    subjects: accounts("*"),
    ...EVERYTHING,
  }),
  schema("service-accounts", "workload-low", 9000, "ByUser", {
    subjects: groups("system:serviceaccounts"),
    ...EVERYTHING,
  }),
  schema("global-default", "global-default", 9900, "ByUser", { subjects: [...EVERYBODY], ...EVERYTHING }),
];
