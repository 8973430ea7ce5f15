// Pods that want to be near or away from other pods. Filter: required terms of the pod, and required anti-affinity of the
// pods that are there. Score: preferred terms of both sides, and required affinity of the pods that are there.
// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
import { termSelects, type AffinityTerm } from "../affinity-terms.ts";
import {
  MAX_NODE_SCORE,
  type CycleState,
  type Plugin,
  type PreFilterOutcome,
  type Rejection,
} from "../framework/contract.ts";
import type { PodInfo } from "../pod-info.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import type { Selection } from "../snapshot/pod-counters.ts";
import type { TermGroup } from "../snapshot/term-counters.ts";
import { NO_DOMAIN, type DomainSums, type Topology } from "../snapshot/topologies.ts";
import { affinityEvents } from "./inter-pod-affinity-events.ts";

const NAME = "InterPodAffinity";
const NOT_NEAR: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match pod affinity rules"],
};
const NOT_AWAY: Rejection = { code: "Unschedulable", reasons: ["node(s) didn't match pod anti-affinity rules"] };
const UNWANTED: Rejection = {
  code: "Unschedulable",
  reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"],
};

export interface InterPodAffinityArgs {
  /** What a required affinity term of a placed pod adds to the score, 0..100; 1 where unset. */
  readonly hardPodAffinityWeight?: number;
  /** Whether preferred terms of placed pods count for pods without any of their own; true where unset. */
  readonly ignorePreferredTermsOfExistingPods?: boolean;
}

interface FilterState {
  /** By required term: the pods that all required terms select. */
  readonly near: readonly DomainSums[];
  readonly away: readonly DomainSums[];
  /** The pod itself is one that it wants to be near of. */
  readonly selfNear: boolean;
}

/** The pods that all of `terms` select. */
function selection(terms: readonly AffinityTerm[], snapshot: ClusterSnapshot): Selection {
  const labels = snapshot.namespaceLabels;
  return {
    key: `terms ${terms.map((term) => term.selects).join(" ")}`,
    matches: (info) => terms.every((term) => termSelects(term, info.namespace, info.labels, labels)),
    terminating: true,
    byNamespaceLabels: terms.some((term) => term.namespaceSelector !== undefined),
  };
}

function sumsOf(terms: readonly AffinityTerm[], topologyKey: string, snapshot: ClusterSnapshot): DomainSums {
  return snapshot.counter(selection(terms, snapshot)).sums(snapshot.topology(topologyKey), snapshot.size);
}

function filterState({ info, snapshot }: CycleState): FilterState {
  const { required, requiredAnti } = info.terms;
  return {
    near: required.map((term) => sumsOf(required, term.topologyKey, snapshot)),
    away: requiredAnti.map((term) => sumsOf([term], term.topologyKey, snapshot)),
    selfNear: required.length > 0 && selection(required, snapshot).matches(info),
  };
}

/** Required anti-affinity of placed pods that is against this pod. */
function unwelcoming(info: PodInfo, snapshot: ClusterSnapshot): TermGroup[] {
  const against = (group: TermGroup): boolean => group.term.kind === "requiredAnti" && group.holders.total > 0;
  return snapshot.terms.selecting(info).filter(against);
}

function isNear(state: FilterState, row: number): boolean {
  let found = true;
  let anywhere = 0;
  for (const sums of state.near) {
    const domain = sums.topology.domains[row]!;
    if (domain === NO_DOMAIN) return false;
    anywhere += sums.total;
    found &&= sums.values[domain]! > 0;
  }
  // The first of a group of pods that want to be near each other may go anywhere.
  return found || (anywhere === 0 && state.selfNear);
}

function meets(all: readonly DomainSums[], row: number): boolean {
  for (const sums of all) {
    const domain = sums.topology.domains[row]!;
    if (domain !== NO_DOMAIN && sums.values[domain]! > 0) return true;
  }
  return false;
}

/** Scores by domain, a topology at a time. */
type DomainScores = ReadonlyMap<Topology, Float64Array>;

function addScores(scores: Map<Topology, Float64Array>, sums: DomainSums, weight: number): void {
  if (sums.total === 0) return;
  const { topology } = sums;
  let own = scores.get(topology);
  if (own === undefined) scores.set(topology, (own = new Float64Array(topology.limit)));
  const counts = sums.fit();
  for (let domain = 0; domain < own.length; domain++) own[domain]! += weight * counts[domain]!;
}

const WEIGHTS = { preferred: 1, preferredAnti: -1 } as const;

function domainScores({ info, snapshot }: CycleState, hardWeight: number, ignoreOthers: boolean): DomainScores {
  const scores = new Map<Topology, Float64Array>();
  const { preferred, preferredAnti } = info.terms;
  for (const term of preferred) addScores(scores, sumsOf([term], term.topologyKey, snapshot), term.weight);
  for (const term of preferredAnti) addScores(scores, sumsOf([term], term.topologyKey, snapshot), -term.weight);
  if (ignoreOthers && preferred.length + preferredAnti.length === 0) return scores;
  for (const { term, holders } of snapshot.terms.selecting(info)) {
    if (term.kind === "requiredAnti") continue;
    const weight = term.kind === "required" ? hardWeight : WEIGHTS[term.kind] * term.weight;
    if (weight !== 0) addScores(scores, holders, weight);
  }
  return scores;
}

const SCORES = `${NAME}/scores`;

/** Throws RangeError where a weight is out of range. */
export function createInterPodAffinity(args: InterPodAffinityArgs = {}): Plugin {
  const hardWeight = args.hardPodAffinityWeight ?? 1;
  if (!Number.isInteger(hardWeight) || hardWeight < 0 || hardWeight > 100) {
    throw new RangeError(`hardPodAffinityWeight: Invalid value: ${hardWeight}: not in valid range [0-100]`);
  }
  function scoresOf(cycle: CycleState): DomainScores {
    let scores = cycle.state.get(SCORES) as DomainScores | undefined;
    if (scores === undefined) {
      scores = domainScores(cycle, hardWeight, args.ignorePreferredTermsOfExistingPods === true);
      cycle.state.set(SCORES, scores);
    }
    return scores;
  }

  return {
    name: NAME,
    preFilter(cycle): PreFilterOutcome {
      const { info, snapshot } = cycle;
      const own = info.terms.required.length + info.terms.requiredAnti.length;
      if (own === 0 && unwelcoming(info, snapshot).length === 0) return { kind: "skip" };
      cycle.state.set(NAME, filterState(cycle));
      return { kind: "success" };
    },
    filter(cycle, column, from, to) {
      const state = cycle.state.get(NAME) as FilterState;
      // Asked for again: pods that are put on a row for a while may bring terms of their own.
      const against = unwelcoming(cycle.info, cycle.snapshot).map((group) => group.holders);
      for (let row = from; row < to; row++) {
        if (!column.open(row)) continue;
        if (state.near.length > 0 && !isNear(state, row)) column.reject(row, NOT_NEAR);
        else if (meets(state.away, row)) column.reject(row, NOT_AWAY);
        else if (meets(against, row)) column.reject(row, UNWANTED);
      }
    },
    scoresNothing: (cycle) => scoresOf(cycle).size === 0,
    preScore: (cycle) => (scoresOf(cycle).size === 0 ? "skip" : undefined),
    score(cycle, rows, count, scores) {
      scores.fill(0, 0, count);
      for (const [{ domains }, own] of scoresOf(cycle)) {
        for (let at = 0; at < count; at++) {
          const domain = domains[rows[at]!]!;
          if (domain !== NO_DOMAIN) scores[at]! += own[domain]!;
        }
      }
    },
    normalizeScore(_cycle, _rows, count, scores) {
      let min = Number.POSITIVE_INFINITY;
      let max = Number.NEGATIVE_INFINITY;
      for (let at = 0; at < count; at++) {
        min = Math.min(min, scores[at]!);
        max = Math.max(max, scores[at]!);
      }
      const span = max - min;
      for (let at = 0; at < count; at++) {
        scores[at] = span > 0 ? Math.trunc(MAX_NODE_SCORE * ((scores[at]! - min) / span)) : 0;
      }
    },
    events: () => affinityEvents,
  };
}

export const interPodAffinity = createInterPodAffinity();
