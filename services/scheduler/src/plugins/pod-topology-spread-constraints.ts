// Spread constraints of a pod, compiled against the columns of the snapshot.
// https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
import type { Pod, TopologySpreadConstraint } from "@coxswain/api";
import { untolerated } from "@coxswain/api/core-v1/node-match";
import type { CycleState } from "../framework/contract.ts";
import type { PodCounter } from "../snapshot/pod-counters.ts";
import { NO_DOMAIN, type Topology } from "../snapshot/topologies.ts";
import { compileLabelSelector, type LabelMatcher } from "./label-matcher.ts";
import { compileRequired, type RowMatcher } from "./node-selector.ts";
import { HARD_EFFECTS } from "./tolerations.ts";

export const HOSTNAME = "kubernetes.io/hostname";
const ZONE = "topology.kubernetes.io/zone";

export interface Constraint {
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly topology: Topology;
  readonly selector: LabelMatcher;
  readonly counter: PodCounter;
  /** Whether a row counts, by the constraint's inclusion policies; undefined where all do. */
  readonly included: RowMatcher | undefined;
}

export interface Constraints {
  readonly list: readonly Constraint[];
  /** Nodes that lack the label of any constraint are left out. */
  readonly requireAll: boolean;
}

export type DefaultConstraint = Omit<
  TopologySpreadConstraint,
  "labelSelector" | "matchLabelKeys" | "minDomains" | "nodeAffinityPolicy" | "nodeTaintsPolicy"
>;

export interface PodTopologySpreadArgs {
  /** "System" (where unset): hosts and zones, softly. "List": `defaultConstraints`, for pods without any of their own. */
  readonly defaultingType?: "System" | "List";
  readonly defaultConstraints?: readonly DefaultConstraint[];
}

const SYSTEM_DEFAULTS: readonly DefaultConstraint[] = [
  { topologyKey: HOSTNAME, whenUnsatisfiable: "ScheduleAnyway", maxSkew: 3 },
  { topologyKey: ZONE, whenUnsatisfiable: "ScheduleAnyway", maxSkew: 5 },
];

/** Throws RangeError where the arguments contradict each other. */
export function defaultsOf(args: PodTopologySpreadArgs): {
  constraints: readonly DefaultConstraint[];
  system: boolean;
} {
  const system = (args.defaultingType ?? "System") === "System";
  const listed = args.defaultConstraints ?? [];
  if (system && listed.length > 0) {
    throw new RangeError('defaultingType: Invalid value: "System": when .defaultConstraints are not empty');
  }
  return { constraints: system ? SYSTEM_DEFAULTS : listed, system };
}

/** The values that this pod has of the constraint's matchLabelKeys. */
function matchLabels(pod: Pod, constraint: TopologySpreadConstraint): Record<string, string> {
  const labels = pod.metadata?.labels ?? {};
  const out: Record<string, string> = {};
  for (const key of constraint.matchLabelKeys ?? []) {
    const value = labels[key];
    if (value !== undefined) out[key] = value;
  }
  return out;
}

function inclusion(cycle: CycleState, constraint: TopologySpreadConstraint): RowMatcher | undefined {
  const required =
    (constraint.nodeAffinityPolicy ?? "Honor") === "Honor"
      ? compileRequired(cycle.info.pod, cycle.snapshot)
      : undefined;
  if (constraint.nodeTaintsPolicy !== "Honor") return required;
  const tolerations = cycle.info.pod.spec?.tolerations ?? [];
  const sets = cycle.snapshot.taintSets.values;
  const tolerated = new Map<number, boolean>();
  const tolerates = (set: number): boolean => {
    let verdict = tolerated.get(set);
    if (verdict === undefined) {
      verdict = untolerated(cycle.snapshot.taintList(set), tolerations, HARD_EFFECTS) === undefined;
      tolerated.set(set, verdict);
    }
    return verdict;
  };
  return (row) => (required === undefined || required(row)) && tolerates(sets[row]!);
}

function compile(cycle: CycleState, constraint: TopologySpreadConstraint, selector: LabelMatcher): Constraint {
  const { info, snapshot } = cycle;
  const { namespace } = info;
  return {
    maxSkew: constraint.maxSkew,
    minDomains: constraint.minDomains ?? 1,
    selector,
    topology: snapshot.topology(constraint.topologyKey),
    counter: snapshot.counter({
      key: `spread ${namespace} ${selector.key}`,
      matches: (other) => other.namespace === namespace && selector.matches(other.labels),
      terminating: false,
      byNamespaceLabels: false,
    }),
    included: inclusion(cycle, constraint),
  };
}

const NONE: Constraints = { list: [], requireAll: true };

/** The constraints of one kind that hold for the pod: its own, or the defaults where it has none. */
export function constraintsOf(
  cycle: CycleState,
  whenUnsatisfiable: string,
  defaults: { readonly constraints: readonly DefaultConstraint[]; readonly system: boolean },
): Constraints {
  const { pod } = cycle.info;
  const own = pod.spec?.topologySpreadConstraints ?? [];
  if (own.length > 0) {
    const list = own
      .filter((one) => one.whenUnsatisfiable === whenUnsatisfiable)
      .map((one) => compile(cycle, one, compileLabelSelector(one.labelSelector, matchLabels(pod, one))));
    return { list, requireAll: true };
  }
  const wanted = defaults.constraints.filter((one) => one.whenUnsatisfiable === whenUnsatisfiable);
  if (wanted.length === 0) return NONE;
  const group = cycle.snapshot.workloads.groupOf(cycle.info);
  if (group === undefined) return NONE;
  const selector = compileLabelSelector(group.selector, group.labels);
  return { list: wanted.map((one) => compile(cycle, one, selector)), requireAll: !defaults.system };
}

export function hasAllDomains(constraints: readonly Constraint[], row: number): boolean {
  for (const one of constraints) if (one.topology.domains[row] === NO_DOMAIN) return false;
  return true;
}

/** Whether every node counts for every constraint, so that the sums of the snapshot hold as they are. */
export function countsAllRows({ list, requireAll }: Constraints, nodes: number): boolean {
  return (
    list.every((one) => one.included === undefined) &&
    (!requireAll || list.length === 1 || list.every((one) => one.topology.labelled === nodes))
  );
}
