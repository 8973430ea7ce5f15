// The FlowSchemas and PriorityLevelConfigurations that are in every cluster as they stand here: nobody may change them.
// https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#mandatory-configuration-objects
import type {
  FlowSchema,
  FlowSchemaSpec,
  FlowSubject,
  PolicyRulesWithSubjects,
  PriorityLevelConfiguration,
  PriorityLevelConfigurationSpec,
} from "../types.gen.ts";

const API_VERSION = "flowcontrol.apiserver.k8s.io/v1";
const ALL = ["*"];

const group = (name: string): FlowSubject => ({ kind: "Group", group: { name } });

export const EVERYBODY: readonly FlowSubject[] = ["system:unauthenticated", "system:authenticated"].map(group);

/** Rules that take all requests. */
export const EVERYTHING: Readonly<Pick<PolicyRulesWithSubjects, "nonResourceRules" | "resourceRules">> = {
  resourceRules: [{ verbs: ALL, apiGroups: ALL, resources: ALL, namespaces: ALL, clusterScope: true }],
  nonResourceRules: [{ verbs: ALL, nonResourceURLs: ALL }],
};

function level(name: string, spec: PriorityLevelConfigurationSpec): PriorityLevelConfiguration {
  return { apiVersion: API_VERSION, kind: "PriorityLevelConfiguration", metadata: { name }, spec };
}

function schema(name: string, spec: FlowSchemaSpec): FlowSchema {
  return { apiVersion: API_VERSION, kind: "FlowSchema", metadata: { name }, spec };
}

export const MANDATORY_LEVELS: readonly PriorityLevelConfiguration[] = [
  level("exempt", { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } }),
  level("catch-all", {
    type: "Limited",
    limited: { nominalConcurrencyShares: 5, lendablePercent: 0, limitResponse: { type: "Reject" } },
  }),
];

export const MANDATORY_SCHEMAS: readonly FlowSchema[] = [
  schema("exempt", {
    priorityLevelConfiguration: { name: "exempt" },
    matchingPrecedence: 1,
    rules: [{ subjects: [group("system:masters")], ...EVERYTHING }],
  }),
  schema("catch-all", {
    priorityLevelConfiguration: { name: "catch-all" },
    matchingPrecedence: 10_000,
    distinguisherMethod: { type: "ByUser" },
    rules: [{ subjects: [...EVERYBODY], ...EVERYTHING }],
  }),
];
