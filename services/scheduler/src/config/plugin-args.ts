// The arguments of the plugins that take some, from a profile's pluginConfig. Pure. What is wrong with a single value is told to
// the reader; what plugins themselves refuse comes as RangeError with the path below the arguments.
// https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
import { childPath, fieldInvalid, fieldRequired } from "@coxswain/apimachinery";
import type { Plugin } from "../framework/contract.ts";
import { createDefaultPreemption } from "../plugins/default-preemption.ts";
import { createInterPodAffinity } from "../plugins/inter-pod-affinity.ts";
import { createNodeAffinity } from "../plugins/node-affinity.ts";
import { createBalancedAllocation } from "../plugins/node-resources-balanced-allocation.ts";
import { createNodeResourcesFit } from "../plugins/node-resources-fit.ts";
import type { PodTopologySpreadArgs } from "../plugins/pod-topology-spread-constraints.ts";
import { createPodTopologySpread } from "../plugins/pod-topology-spread.ts";
import type { ResourceWeight, ScoringStrategy } from "../plugins/resource-scores.ts";
import { createVolumeBinding } from "../plugins/volume-binding.ts";
import { within, type ConfigReader } from "./config-reader.ts";

type Make = (reader: ConfigReader, args: unknown, path: string) => Plugin;

const TYPE = ["kind", "apiVersion"];
const WEIGHT = (value: number): string | undefined =>
  value >= 1 && value <= 100 ? undefined : "resource weight of cpu not in valid range [1, 100]";

function readResources(reader: ConfigReader, value: unknown, path: string): ResourceWeight[] | undefined {
  if (value === undefined) return undefined;
  return reader.list(value, path, (item, at) => {
    const fields = reader.object(item, at, ["name", "weight"]);
    const name = reader.text(fields["name"], childPath(at, "name")) ?? "";
    if (name === "") reader.errors.push(fieldRequired(childPath(at, "name")));
    const problem = (weight: number): string | undefined => WEIGHT(weight)?.replace("cpu", name);
    return { name, weight: reader.integer(fields["weight"], childPath(at, "weight"), problem) ?? 1 };
  });
}

function readStrategy(reader: ConfigReader, value: unknown, path: string): ScoringStrategy | undefined {
  if (value === undefined) return undefined;
  const fields = reader.object(value, path, ["type", "resources", "requestedToCapacityRatio"]);
  const types = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] as const;
  const type = reader.oneOf(fields["type"], childPath(path, "type"), types);
  const resources = readResources(reader, fields["resources"], childPath(path, "resources"));
  const common = resources === undefined ? {} : { resources };
  if (type === undefined) {
    if (fields["type"] === undefined) reader.errors.push(fieldRequired(childPath(path, "type")));
    return undefined;
  }
  if (type !== "RequestedToCapacityRatio") return { type, ...common };
  const at = childPath(path, "requestedToCapacityRatio");
  const ratio = reader.object(fields["requestedToCapacityRatio"], at, ["shape"]);
  const shape = reader.list(ratio["shape"], childPath(at, "shape"), (item, where) => {
    const point = reader.object(item, where, ["utilization", "score"]);
    const number = (name: string, limit: number): number =>
      reader.integer(point[name], childPath(where, name), within(0, limit)) ?? 0;
    return { utilization: number("utilization", 100), score: number("score", 10) };
  });
  return { type, ...common, requestedToCapacityRatio: { shape } };
}

const resourcesFit: Make = (reader, args, path) => {
  const fields = reader.object(args, path, [...TYPE, "ignoredResources", "ignoredResourceGroups", "scoringStrategy"]);
  const names = (name: string): string[] =>
    reader.list(fields[name], childPath(path, name), (item, at) => reader.text(item, at) ?? "");
  const groups = names("ignoredResourceGroups");
  for (const [index, group] of groups.entries()) {
    if (!group.includes("/")) continue;
    const at = `${childPath(path, "ignoredResourceGroups")}[${index}]`;
    reader.errors.push(fieldInvalid(at, group, "resource group name can't contain '/'"));
  }
  const scoringStrategy = readStrategy(reader, fields["scoringStrategy"], childPath(path, "scoringStrategy"));
  return createNodeResourcesFit({
    ignoredResources: names("ignoredResources"),
    ignoredResourceGroups: groups,
    ...(scoringStrategy === undefined ? {} : { scoringStrategy }),
  });
};

const balancedAllocation: Make = (reader, args, path) => {
  const fields = reader.object(args, path, [...TYPE, "resources"]);
  const resources = readResources(reader, fields["resources"], childPath(path, "resources"));
  return createBalancedAllocation(resources === undefined ? {} : { resources });
};

const nodeAffinity: Make = (reader, args, path) => {
  const fields = reader.object(args, path, [...TYPE, "addedAffinity"]);
  const at = childPath(path, "addedAffinity");
  const known = ["requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"];
  const addedAffinity = reader.object(fields["addedAffinity"], at, known);
  if (fields["addedAffinity"] === undefined) return createNodeAffinity();
  if (Object.keys(addedAffinity).length === 0) {
    reader.errors.push(fieldRequired(at, "at least one of preferred or required must be set"));
  }
  return createNodeAffinity({ addedAffinity: addedAffinity });
};

const topologySpread: Make = (reader, args, path) => {
  const fields = reader.object(args, path, [...TYPE, "defaultConstraints", "defaultingType"]);
  const typePath = childPath(path, "defaultingType");
  const defaultingType = reader.oneOf(fields["defaultingType"], typePath, ["System", "List"]);
  const listPath = childPath(path, "defaultConstraints");
  const known = ["maxSkew", "topologyKey", "whenUnsatisfiable"];
  const constraints = reader.list(fields["defaultConstraints"], listPath, (item, at) => {
    const constraint = reader.object(item, at, known);
    const skew = (value: number): string | undefined => (value > 0 ? undefined : "not in valid range (0, inf)");
    const topologyKey = reader.text(constraint["topologyKey"], childPath(at, "topologyKey")) ?? "";
    if (topologyKey === "") reader.errors.push(fieldRequired(childPath(at, "topologyKey"), "can not be empty"));
    const unsatisfiable = childPath(at, "whenUnsatisfiable");
    const values = ["DoNotSchedule", "ScheduleAnyway"] as const;
    const whenUnsatisfiable = reader.oneOf(constraint["whenUnsatisfiable"], unsatisfiable, values);
    if (constraint["whenUnsatisfiable"] === undefined) reader.errors.push(fieldRequired(unsatisfiable));
    const maxSkew = reader.integer(constraint["maxSkew"], childPath(at, "maxSkew"), skew) ?? 1;
    return { maxSkew, topologyKey, whenUnsatisfiable: whenUnsatisfiable ?? "ScheduleAnyway" };
  });
  const spread: PodTopologySpreadArgs = { defaultingType: defaultingType ?? "System", defaultConstraints: constraints };
  return createPodTopologySpread(spread);
};

const interPodAffinity: Make = (reader, args, path) => {
  const known = ["hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"];
  const fields = reader.object(args, path, [...TYPE, ...known]);
  const weight = reader.integer(fields[known[0]!], childPath(path, known[0]!), within(0, 100));
  const ignores = reader.flag(fields[known[1]!], childPath(path, known[1]!));
  return createInterPodAffinity({
    ...(weight === undefined ? {} : { hardPodAffinityWeight: weight }),
    ...(ignores === undefined ? {} : { ignorePreferredTermsOfExistingPods: ignores }),
  });
};

const preemption: Make = (reader, args, path) => {
  const [percentage, absolute] = ["minCandidateNodesPercentage", "minCandidateNodesAbsolute"] as const;
  const fields = reader.object(args, path, [...TYPE, percentage, absolute]);
  const share = reader.integer(fields[percentage], childPath(path, percentage), within(0, 100));
  const least = reader.integer(fields[absolute], childPath(path, absolute), (value) =>
    value >= 0 ? undefined : "not in valid range [0, inf)",
  );
  return createDefaultPreemption({
    ...(share === undefined ? {} : { minCandidateNodesPercentage: share }),
    ...(least === undefined ? {} : { minCandidateNodesAbsolute: least }),
  });
};

const volumes: Make = (reader, args, path) => {
  const fields = reader.object(args, path, [...TYPE, "bindTimeoutSeconds", "shape"]);
  const timeout = reader.integer(fields["bindTimeoutSeconds"], childPath(path, "bindTimeoutSeconds"), (value) =>
    value >= 0 ? undefined : "invalid BindTimeoutSeconds, should not be a negative value",
  );
  const gated = "unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring";
  if (fields["shape"] !== undefined) reader.errors.push(fieldInvalid(childPath(path, "shape"), fields["shape"], gated));
  return createVolumeBinding(timeout === undefined ? {} : { bindTimeoutSeconds: timeout });
};

/** By the plugin's name; a plugin that is not here takes no arguments. */
export const ARGUMENTS: ReadonlyMap<string, Make> = new Map([
  ["NodeResourcesFit", resourcesFit],
  ["NodeResourcesBalancedAllocation", balancedAllocation],
  ["NodeAffinity", nodeAffinity],
  ["PodTopologySpread", topologySpread],
  ["InterPodAffinity", interPodAffinity],
  ["DefaultPreemption", preemption],
  ["VolumeBinding", volumes],
]);
