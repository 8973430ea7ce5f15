// Spreads pods over topology domains. Filter: hard constraints (DoNotSchedule). Score: soft ones (ScheduleAnyway).
// https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
import type { Pod, TopologySpreadConstraint } from "@coxswain/api";
import { untolerated } from "@coxswain/api/core-v1/node-match";
import {
  MAX_NODE_SCORE,
  type CycleState,
  type Plugin,
  type PreFilterOutcome,
  type Rejection,
} from "../framework/contract.ts";
import { NO_LABEL } from "../snapshot/cluster-snapshot.ts";
import { compileLabelSelector, type LabelMatcher } from "./label-matcher.ts";
import { compileRequired, type RowMatcher } from "./node-selector.ts";
import { HARD_EFFECTS } from "./tolerations.ts";

const NAME = "PodTopologySpread";
const HOSTNAME = "kubernetes.io/hostname";
const SKEWED: Rejection = {
  code: "Unschedulable",
  reasons: ["node(s) didn't match pod topology spread constraints"],
};
const UNLABELLED: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match pod topology spread constraints (missing required label)"],
};
/** In a column of domains: no eligible node has this value. */
const NO_DOMAIN = -1;

interface Constraint {
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly topologyKey: string;
  readonly selector: LabelMatcher;
  /** Value ids of the topology key by row. */
  readonly domains: Int32Array;
  /** Matching pods by row. */
  readonly pods: Int32Array;
  /** Whether a row counts at all, by the constraint's inclusion policies. */
  readonly included: RowMatcher;
}

interface HardConstraint extends Constraint {
  /** Matching pods by domain. */
  readonly counts: Int32Array;
  readonly minimum: number;
  readonly self: number;
}

function matchLabels(pod: Pod, constraint: TopologySpreadConstraint): Record<string, string> {
  const labels = pod.metadata?.labels ?? {};
  const out: Record<string, string> = {};
  for (const key of constraint.matchLabelKeys ?? []) {
    const value = labels[key];
    if (value !== undefined) out[key] = value;
  }
  return out;
}

function inclusion(
  cycle: CycleState,
  constraint: TopologySpreadConstraint,
  required: RowMatcher | undefined,
): RowMatcher {
  const honorAffinity = (constraint.nodeAffinityPolicy ?? "Honor") === "Honor" && required !== undefined;
  const honorTaints = constraint.nodeTaintsPolicy === "Honor";
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
  return (row) => (!honorAffinity || required(row)) && (!honorTaints || tolerates(sets[row]!));
}

function constraintsOf(cycle: CycleState, whenUnsatisfiable: string): Constraint[] {
  const { pod, namespace } = cycle.info;
  const wanted = (pod.spec?.topologySpreadConstraints ?? []).filter(
    (one) => one.whenUnsatisfiable === whenUnsatisfiable,
  );
  if (wanted.length === 0) return [];
  const required = compileRequired(pod, cycle.snapshot);
  return wanted.map((one) => {
    const selector = compileLabelSelector(one.labelSelector, matchLabels(pod, one));
    return {
      maxSkew: one.maxSkew,
      minDomains: one.minDomains ?? 1,
      topologyKey: one.topologyKey,
      selector,
      domains: cycle.snapshot.labelColumn(one.topologyKey),
      pods: cycle.snapshot.matchingPods(namespace, selector.key, (labels) => selector.matches(labels)),
      included: inclusion(cycle, one, required),
    };
  });
}

function hasAllDomains(constraints: readonly Constraint[], row: number): boolean {
  return constraints.every((one) => one.domains[row] !== NO_LABEL);
}

/** Counts the pods of each domain over the rows that count. */
function hardConstraints(cycle: CycleState): HardConstraint[] {
  const constraints = constraintsOf(cycle, "DoNotSchedule");
  return constraints.map((one) => {
    const counts = new Int32Array(cycle.snapshot.strings.size).fill(NO_DOMAIN);
    for (let row = 0; row < cycle.snapshot.size; row++) {
      if (!hasAllDomains(constraints, row) || !one.included(row)) continue;
      const domain = one.domains[row]!;
      counts[domain] = Math.max(0, counts[domain]!) + one.pods[row]!;
    }
    let domains = 0;
    let minimum = Number.MAX_SAFE_INTEGER;
    for (const count of counts) {
      if (count === NO_DOMAIN) continue;
      domains++;
      minimum = Math.min(minimum, count);
    }
    if (domains < one.minDomains) minimum = 0;
    return { ...one, counts, minimum, self: one.selector.matches(cycle.info.labels) ? 1 : 0 };
  });
}

function judge(constraints: readonly HardConstraint[], row: number): Rejection | undefined {
  for (const one of constraints) {
    const domain = one.domains[row]!;
    if (domain === NO_LABEL) return UNLABELLED;
    if (Math.max(0, one.counts[domain]!) + one.self - one.minimum > one.maxSkew) return SKEWED;
  }
  return undefined;
}

interface SoftState {
  readonly constraints: readonly Constraint[];
  /** By constraint: pods by domain, NO_DOMAIN for domains of no candidate. Unused for the hostname. */
  readonly counts: readonly Int32Array[];
  /** Smaller topologies weigh more, so that many small domains do not drown them. */
  readonly weights: readonly number[];
}

function softState(cycle: CycleState, rows: Int32Array, count: number): SoftState | undefined {
  const constraints = constraintsOf(cycle, "ScheduleAnyway");
  if (constraints.length === 0) return undefined;
  const labelled = rows.subarray(0, count).filter((row) => hasAllDomains(constraints, row));
  const counts = constraints.map(() => new Int32Array(cycle.snapshot.strings.size).fill(NO_DOMAIN));
  const weights = constraints.map((one, at) => {
    if (one.topologyKey === HOSTNAME) return Math.log(labelled.length + 2);
    let domains = 0;
    for (const row of labelled) {
      if (counts[at]![one.domains[row]!] !== NO_DOMAIN) continue;
      counts[at]![one.domains[row]!] = 0;
      domains++;
    }
    return Math.log(domains + 2);
  });
  for (let row = 0; row < cycle.snapshot.size; row++) {
    if (!hasAllDomains(constraints, row)) continue;
    for (const [at, one] of constraints.entries()) {
      const domain = one.domains[row]!;
      if (counts[at]![domain] !== NO_DOMAIN && one.included(row)) counts[at]![domain]! += one.pods[row]!;
    }
  }
  return { constraints, counts, weights };
}

function softScore(soft: SoftState, row: number): number {
  let score = 0;
  for (const [at, one] of soft.constraints.entries()) {
    const pods = one.topologyKey === HOSTNAME ? one.pods[row]! : soft.counts[at]![one.domains[row]!]!;
    score += pods * soft.weights[at]! + (one.maxSkew - 1);
  }
  return Math.round(score);
}

const SCORE_STATE = `${NAME}/score`;

export const podTopologySpread: Plugin = {
  name: NAME,
  preFilter(cycle): PreFilterOutcome {
    const constraints = hardConstraints(cycle);
    if (constraints.length === 0) return { kind: "skip" };
    cycle.state.set(NAME, constraints);
    return { kind: "success" };
  },
  filter(cycle, column, from, to) {
    const constraints = cycle.state.get(NAME) as HardConstraint[];
    for (let row = from; row < to; row++) {
      if (!column.open(row)) continue;
      const rejection = judge(constraints, row);
      if (rejection !== undefined) column.reject(row, rejection);
    }
  },
  preScore(cycle, rows, count) {
    const soft = softState(cycle, rows, count);
    if (soft === undefined) return "skip";
    cycle.state.set(SCORE_STATE, soft);
    return undefined;
  },
  score(cycle, rows, count, scores) {
    const soft = cycle.state.get(SCORE_STATE) as SoftState;
    for (let at = 0; at < count; at++) {
      scores[at] = hasAllDomains(soft.constraints, rows[at]!) ? softScore(soft, rows[at]!) : 0;
    }
  },
  normalizeScore(cycle, rows, count, scores) {
    const soft = cycle.state.get(SCORE_STATE) as SoftState;
    let min = Number.MAX_SAFE_INTEGER;
    let max = 0;
    for (let at = 0; at < count; at++) {
      if (!hasAllDomains(soft.constraints, rows[at]!)) continue;
      min = Math.min(min, scores[at]!);
      max = Math.max(max, scores[at]!);
    }
    for (let at = 0; at < count; at++) {
      if (!hasAllDomains(soft.constraints, rows[at]!)) scores[at] = 0;
      else if (max === 0) scores[at] = MAX_NODE_SCORE;
      else scores[at] = Math.trunc((MAX_NODE_SCORE * (max + min - scores[at]!)) / max);
    }
  },
  events: () => [
    {
      resource: "AssignedPod",
      actions: ["Add", "Delete", "UpdatePodLabel"],
      hint: (waiting, event) => (event.pod ?? event.oldPod)?.metadata?.namespace === waiting.namespace,
    },
    { resource: "Node", actions: ["Add", "Delete", "UpdateNodeLabel", "UpdateNodeTaint"] },
    { resource: "TargetPod", actions: ["UpdatePodLabel"] },
  ],
};
