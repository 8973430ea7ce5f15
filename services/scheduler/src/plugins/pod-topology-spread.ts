// Spreads pods over topology domains. Filter: hard constraints (DoNotSchedule). Score: soft ones (ScheduleAnyway).
// https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
import {
  MAX_NODE_SCORE,
  type CycleState,
  type Plugin,
  type PreFilterOutcome,
  type Rejection,
  type VerdictColumn,
} from "../framework/contract.ts";
import type { PodInfo } from "../pod-info.ts";
import { NO_DOMAIN } from "../snapshot/topologies.ts";
import {
  constraintsOf,
  countsAllRows,
  defaultsOf,
  hasAllDomains,
  HOSTNAME,
  type Constraint,
  type Constraints,
  type PodTopologySpreadArgs,
} from "./pod-topology-spread-constraints.ts";
import { spreadEvents } from "./pod-topology-spread-events.ts";

const NAME = "PodTopologySpread";
const SKEWED: Rejection = {
  code: "Unschedulable",
  reasons: ["node(s) didn't match pod topology spread constraints"],
};
const UNLABELLED: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) didn't match pod topology spread constraints (missing required label)"],
};
/** In a column of counts: no eligible node is in this domain. */
const NOT_ELIGIBLE = -1;

interface HardConstraint extends Constraint {
  /** Own counts by domain; undefined where the snapshot's sums hold. */
  readonly counted: Int32Array | undefined;
  /** Pods of the domain with the fewest. */
  minimum: number;
  readonly self: number;
}

/** Counts pods by domain over the rows that count. */
function countEligible(all: Constraints, one: Constraint, cycle: CycleState): Int32Array {
  const counts = new Int32Array(one.topology.limit).fill(NOT_ELIGIBLE);
  const { domains } = one.topology;
  for (let row = 0; row < cycle.snapshot.size; row++) {
    if (!hasAllDomains(all.list, row) || one.included?.(row) === false) continue;
    const domain = domains[row]!;
    counts[domain] = Math.max(0, counts[domain]!) + one.counter.rows[row]!;
  }
  return counts;
}

/** Pods by domain, NOT_ELIGIBLE or left-over numbers in domains that do not count. */
function countsOf(one: HardConstraint, nodes: number): Int32Array {
  return one.counted ?? one.counter.sums(one.topology, nodes).values;
}

function setMinimum(one: HardConstraint, nodes: number): void {
  const counts = countsOf(one, nodes);
  const { limit, nodes: members } = one.topology;
  let domains = 0;
  let minimum = Number.MAX_SAFE_INTEGER;
  for (let domain = 0; domain < limit; domain++) {
    if (members[domain] === 0 || counts[domain] === NOT_ELIGIBLE) continue;
    domains++;
    if (counts[domain]! < minimum) minimum = counts[domain]!;
  }
  one.minimum = domains < one.minDomains ? 0 : minimum;
}

function hardConstraints(cycle: CycleState, constraints: Constraints): HardConstraint[] {
  const nodes = cycle.snapshot.size;
  const simple = countsAllRows(constraints, nodes);
  return constraints.list.map((one) => {
    const counted = simple ? undefined : countEligible(constraints, one, cycle);
    const hard = { ...one, counted, minimum: 0, self: one.selector.matches(cycle.info.labels) ? 1 : 0 };
    setMinimum(hard, nodes);
    return hard;
  });
}

/** A pod was put on a row or taken away: the sums of the snapshot know already, own counts do not. */
function followPod(
  constraints: readonly HardConstraint[],
  cycle: CycleState,
  row: number,
  other: PodInfo,
  sign: 1 | -1,
) {
  for (const one of constraints) {
    const selected = !other.terminating && one.counter.selection.matches(other);
    if (!selected) continue;
    if (one.counted !== undefined && hasAllDomains(constraints, row) && one.included?.(row) !== false) {
      one.counted[one.topology.domains[row]!]! += sign;
    }
    setMinimum(one, cycle.snapshot.size);
  }
}

/** Rejects the rows that one constraint leaves no room on. */
function judge(one: HardConstraint, counts: Int32Array, column: VerdictColumn, from: number, to: number): void {
  const { domains } = one.topology;
  const most = one.maxSkew + one.minimum - one.self;
  for (let row = from; row < to; row++) {
    const domain = domains[row]!;
    if (domain !== NO_DOMAIN && Math.max(0, counts[domain]!) <= most) continue;
    if (column.open(row)) column.reject(row, domain === NO_DOMAIN ? UNLABELLED : SKEWED);
  }
}

interface SoftState {
  readonly constraints: readonly Constraint[];
  readonly requireAll: boolean;
  /** By constraint: pods by domain; undefined for the hostname, where nodes are counted themselves. */
  readonly counts: readonly (Int32Array | undefined)[];
  /** Smaller topologies weigh more, so that many small domains do not drown them. */
  readonly weights: readonly number[];
}

/** Domains among the candidates; candidates without the label are a domain of their own. */
function domainsAmong(one: Constraint, rows: Int32Array, count: number): number {
  const { topology } = one;
  const seen = new Uint8Array(topology.limit + 1);
  let domains = 0;
  for (let at = 0; at < count; at++) {
    const domain = topology.domains[rows[at]!]! + 1;
    if (seen[domain] === 1) continue;
    seen[domain] = 1;
    domains++;
  }
  return domains;
}

function softState(cycle: CycleState, soft: Constraints, rows: Int32Array, count: number): SoftState {
  const nodes = cycle.snapshot.size;
  const { list, requireAll } = soft;
  const everyLabelled = list.every((one) => one.topology.labelled === nodes);
  const candidates =
    !requireAll || everyLabelled
      ? rows.subarray(0, count)
      : rows.subarray(0, count).filter((row) => hasAllDomains(list, row));
  const simple = countsAllRows(soft, nodes);
  const counts = list.map((one) => {
    if (one.topology.key === HOSTNAME) return undefined;
    if (simple) return one.counter.sums(one.topology, nodes).values;
    const counted = new Int32Array(one.topology.limit);
    for (let row = 0; row < nodes; row++) {
      const domain = one.topology.domains[row]!;
      if (domain === NO_DOMAIN || (requireAll && !hasAllDomains(list, row)) || one.included?.(row) === false) continue;
      counted[domain]! += one.counter.rows[row]!;
    }
    return counted;
  });
  const weights = list.map((one) => {
    const all = count === nodes && everyLabelled;
    const domains = all ? one.topology.count : domainsAmong(one, candidates, candidates.length);
    return Math.log((one.topology.key === HOSTNAME ? candidates.length : domains) + 2);
  });
  return { constraints: list, requireAll, counts, weights };
}

function ignored(soft: SoftState, row: number): boolean {
  return soft.requireAll && !hasAllDomains(soft.constraints, row);
}

function softScore(soft: SoftState, row: number): number {
  let score = 0;
  for (let at = 0; at < soft.constraints.length; at++) {
    const one = soft.constraints[at]!;
    const domain = one.topology.domains[row]!;
    if (domain === NO_DOMAIN) continue;
    const counts = soft.counts[at];
    const pods = counts === undefined ? one.counter.rows[row]! : counts[domain]!;
    score += pods * soft.weights[at]! + (one.maxSkew - 1);
  }
  return Math.round(score);
}

const SOFT = `${NAME}/soft`;
const SCORE_STATE = `${NAME}/score`;
const IGNORED = -1;

/** Throws RangeError where the arguments contradict each other. */
export function createPodTopologySpread(args: PodTopologySpreadArgs = {}): Plugin {
  const defaults = defaultsOf(args);

  function softConstraints(cycle: CycleState): Constraints {
    let constraints = cycle.state.get(SOFT) as Constraints | undefined;
    if (constraints === undefined) {
      constraints = constraintsOf(cycle, "ScheduleAnyway", defaults);
      cycle.state.set(SOFT, constraints);
    }
    return constraints;
  }

  return {
    name: NAME,
    preFilter(cycle): PreFilterOutcome {
      const constraints = constraintsOf(cycle, "DoNotSchedule", defaults);
      if (constraints.list.length === 0) return { kind: "skip" };
      cycle.state.set(NAME, hardConstraints(cycle, constraints));
      return { kind: "success" };
    },
    follow(cycle, row, other, sign) {
      followPod(cycle.state.get(NAME) as HardConstraint[], cycle, row, other, sign);
    },
    filter(cycle, column, from, to) {
      for (const one of cycle.state.get(NAME) as HardConstraint[]) {
        judge(one, countsOf(one, cycle.snapshot.size), column, from, to);
      }
    },
    scoresNothing: (cycle) => softConstraints(cycle).list.length === 0,
    preScore(cycle, rows, count) {
      const constraints = softConstraints(cycle);
      if (constraints.list.length === 0) return "skip";
      cycle.state.set(SCORE_STATE, softState(cycle, constraints, rows, count));
      return undefined;
    },
    score(cycle, rows, count, scores) {
      const soft = cycle.state.get(SCORE_STATE) as SoftState;
      for (let at = 0; at < count; at++) scores[at] = ignored(soft, rows[at]!) ? IGNORED : softScore(soft, rows[at]!);
    },
    normalizeScore(_cycle, _rows, count, scores) {
      let min = Number.MAX_SAFE_INTEGER;
      let max = 0;
      for (let at = 0; at < count; at++) {
        if (scores[at] === IGNORED) continue;
        min = Math.min(min, scores[at]!);
        max = Math.max(max, scores[at]!);
      }
      for (let at = 0; at < count; at++) {
        if (scores[at] === IGNORED) scores[at] = 0;
        else if (max === 0) scores[at] = MAX_NODE_SCORE;
        else scores[at] = Math.trunc((MAX_NODE_SCORE * (max + min - scores[at]!)) / max);
      }
    },
    events: () => spreadEvents,
  };
}

export const podTopologySpread = createPodTopologySpread();
