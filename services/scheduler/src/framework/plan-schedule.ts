// One scheduling decision: which node a pod goes to, or why to none. Pure: reads the snapshot, draws ties from the given
// randomness, changes nothing else.
import type { Random } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import type { Candidate } from "../plugins/preemption-candidates.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import {
  MAX_NODE_SCORE,
  type CycleState,
  type ExtensionPoint,
  type Plugin,
  type Profile,
  type Rejection,
  type WeightedPlugin,
} from "./contract.ts";
import { fitMessage, NO_NODES_AVAILABLE, preFilterMessage } from "./fit-error.ts";
import { pluginsAt, DEFAULT_BINDER, POINTS } from "./extension-points.ts";
import { Rankings, type Ranked } from "./rankings.ts";
import { RowProbe, type FilterStep } from "./row-probe.ts";
import { Verdicts } from "./verdicts.ts";

export interface ScheduleOptions {
  readonly random: Random;
  /** 0: adaptive, as upstream: 50% less 1% for each 125 nodes, at least 5%. */
  readonly percentageOfNodesToScore: number;
}

/** What extenders say about the nodes that plugins let pass. */
export interface Consulted {
  /** By the name of each node that they were asked about; undefined where it may be used. No other node is. */
  readonly verdicts: ReadonlyMap<string, Rejection | undefined>;
  /** Points to add to a node's total. */
  readonly scores: ReadonlyMap<string, number>;
}

/** The name under which extenders turn nodes down. */
export const EXTENDER = "Extender";

export type SchedulePlan =
  | { readonly kind: "node"; readonly node: string; readonly cycle: CycleState; readonly feasible: number }
  | {
      readonly kind: "unschedulable";
      readonly message: string;
      readonly plugins: ReadonlySet<string>;
      readonly cycle: CycleState;
      /** The node where the pod will fit once `victims` have left; "" takes a nomination back; absent: it stays. */
      readonly nominated?: string;
      readonly victims: readonly PodInfo[];
      /** All nodes where preemption would help; none where no plugin names them. */
      readonly candidates: readonly Candidate[];
      /** What plugins decided to do, so that the pod may be placed later. */
      readonly carryOut?: readonly (() => Promise<void>)[];
    };

/** Fewer nodes than this are always all looked at. */
const MIN_FEASIBLE_NODES = 100;
/** Rows that plugins get at once, at least; more where more nodes have to be found anyway. */
const MIN_RANGE = 256;

/** How many fitting nodes suffice for a good choice. */
export function nodesToFind(nodes: number, percentage: number): number {
  if (nodes < MIN_FEASIBLE_NODES || percentage >= 100) return nodes;
  const adaptive = percentage > 0 ? percentage : Math.max(5, Math.trunc(50 - nodes / 125));
  return Math.max(MIN_FEASIBLE_NODES, Math.trunc((nodes * adaptive) / 100));
}

interface PreFilterRejection {
  readonly plugin: string;
  readonly rejection: Rejection;
}

interface PostFiltered {
  readonly message: string;
  readonly nominated?: string;
  readonly victims: readonly PodInfo[];
  readonly candidates: readonly Candidate[];
  readonly carryOut?: readonly (() => Promise<void>)[];
}

interface PreFiltered {
  readonly rejection?: PreFilterRejection;
  readonly nodeNames?: ReadonlySet<string>;
  /** The plugins that narrowed `nodeNames`. */
  readonly narrowedBy: readonly string[];
}

/** The framework of one profile. Keeps between decisions scratch columns, rankings, and where the last one stopped. */
export class Framework {
  readonly profile: Profile;
  /** Filter plugins in their order. */
  readonly filters: readonly FilterStep[];
  /** Score plugins in their order. */
  readonly scoring: readonly WeightedPlugin[];
  /** Whether the scheduler binds what no plugin has bound. */
  readonly bindsItself: boolean;
  readonly #points: ReadonlyMap<ExtensionPoint, readonly Plugin[]>;
  readonly #plugins: readonly Plugin[];
  readonly #verdicts: Verdicts;
  #feasible = new Int32Array(64);
  #totals = new Float64Array(64);
  #scores = new Float64Array(64);
  #nextStart = 0;
  readonly #rankings: Rankings;

  constructor(profile: Profile) {
    this.profile = profile;
    this.#plugins = profile.plugins.map((one) => one.plugin);
    this.#verdicts = new Verdicts([...this.#plugins.map((plugin) => plugin.name), EXTENDER]);
    this.#points = new Map(POINTS.map((point) => [point, pluginsAt(profile, point)]));
    this.filters = this.at("filter").map((plugin) => ({ plugin, at: this.#plugins.indexOf(plugin) }));
    const weights = new Map(profile.plugins.map(({ plugin, weight }) => [plugin, weight]));
    this.scoring = this.at("score")
      .map((plugin) => ({ plugin, weight: weights.get(plugin)! }))
      .filter(({ plugin, weight }) => plugin.score !== undefined && weight > 0);
    this.#rankings = new Rankings(this.filters, this.scoring);
    this.bindsItself = profile.order?.get("bind")?.includes(DEFAULT_BINDER) ?? true;
  }

  /** The plugins of an extension point, in the order in which they run. */
  at(point: ExtensionPoint): readonly Plugin[] {
    return this.#points.get(point)!;
  }

  get plugins(): readonly Plugin[] {
    return this.#plugins;
  }

  /** The first PreEnqueue plugin that holds the pod back, with its reason. */
  heldBack(info: PodInfo, snapshot: ClusterSnapshot): { plugin: string; reason: string } | undefined {
    for (const plugin of this.at("preEnqueue")) {
      const reason = plugin.preEnqueue?.(info, snapshot);
      if (reason !== undefined) return { plugin: plugin.name, reason };
    }
    return undefined;
  }

  /**
   * Names of the nodes that extenders have to be asked about: those that plugins let pass, as many as suffice; or the one
   * that the pod is nominated to, unless `all`.
   */
  findNodes(info: PodInfo, snapshot: ClusterSnapshot, options: ScheduleOptions, all: boolean): string[] {
    if (snapshot.size === 0) return [];
    const cycle: CycleState = { info, snapshot, state: new Map() };
    const skipped = new Set<string>();
    const pre = this.runPreFilter(cycle, skipped);
    if (pre.rejection !== undefined) return [];
    const probe = new RowProbe(cycle, this.filters, skipped, options.random);
    const nominated = all ? -1 : nominatedRow(cycle, pre);
    if (nominated >= 0 && probe.fits(nominated, false) === undefined) return [snapshot.names[nominated]!];
    const percentage = this.profile.percentageOfNodesToScore ?? options.percentageOfNodesToScore;
    const found = this.#findFeasible(cycle, pre, skipped, nodesToFind(snapshot.size, percentage), probe);
    return Array.from({ length: found }, (_, at) => snapshot.names[this.#feasible[at]!]!);
  }

  /** Decides for one pod. `consulted`: what extenders said about the nodes of `findNodes`. */
  planSchedule(
    info: PodInfo,
    snapshot: ClusterSnapshot,
    options: ScheduleOptions,
    consulted?: Consulted,
  ): SchedulePlan {
    const cycle: CycleState = { info, snapshot, state: new Map() };
    if (snapshot.size === 0) {
      const message = NO_NODES_AVAILABLE;
      return { kind: "unschedulable", message, plugins: new Set(), cycle, nominated: "", victims: [], candidates: [] };
    }
    const skipped = new Set<string>();
    const pre = this.runPreFilter(cycle, skipped);
    const probe = new RowProbe(cycle, this.filters, skipped, options.random);
    if (pre.rejection !== undefined) return this.#rejectedByPreFilter(cycle, pre.rejection, probe);
    const nominated = nominatedRow(cycle, pre);
    const mayUse = (name: string): boolean =>
      consulted === undefined || (consulted.verdicts.has(name) && consulted.verdicts.get(name) === undefined);
    if (nominated >= 0 && mayUse(snapshot.names[nominated]!) && probe.fits(nominated, false) === undefined) {
      return { kind: "node", node: snapshot.names[nominated]!, cycle, feasible: 1 };
    }
    const percentage = this.profile.percentageOfNodesToScore ?? options.percentageOfNodesToScore;
    const wanted = nodesToFind(snapshot.size, percentage);
    const ranked =
      consulted === undefined && pre.nodeNames === undefined ? this.#rankings.of(cycle, skipped) : undefined;
    if (ranked !== undefined) {
      const found = this.#planRanked(cycle, ranked, wanted, probe, options.random);
      if (found !== undefined) return found;
    }
    const feasible =
      consulted === undefined
        ? this.#findFeasible(cycle, pre, skipped, wanted, probe)
        : this.#findConsulted(cycle, pre, skipped, probe, consulted);
    if (feasible === 0) return this.#unschedulable(cycle, probe);
    if (feasible === 1) {
      return { kind: "node", node: snapshot.names[this.#feasible[0]!]!, cycle, feasible };
    }
    this.#totals.fill(0, 0, feasible);
    this.#addScores(this.scoring, cycle, feasible);
    if (consulted !== undefined) {
      for (let at = 0; at < feasible; at++) {
        this.#totals[at]! += consulted.scores.get(snapshot.names[this.#feasible[at]!]!) ?? 0;
      }
    }
    return { kind: "node", node: snapshot.names[this.#pick(feasible, options.random)]!, cycle, feasible };
  }

  /** The same decision as without the ranking; undefined where no node fits, as that does not know why. */
  #planRanked(
    cycle: CycleState,
    { ranking, filters, scoring }: Ranked,
    wanted: number,
    probe: RowProbe,
    random: Random,
  ): SchedulePlan | undefined {
    const { size, names, nominations } = cycle.snapshot;
    if (ranking.open === 0) return undefined;
    const node = (row: number, feasible: number): SchedulePlan => ({
      kind: "node",
      node: names[row]!,
      cycle,
      feasible,
    });
    if (wanted >= size && filters.length === 0 && scoring.length === 0 && nominations.size === 0) {
      return node(ranking.pick(this.#nextStart % size, random), ranking.open);
    }
    this.#reserveScratch(size);
    this.#verdicts.reset(size, ranking.closed);
    const feasible = this.#search(cycle, filters, wanted, probe);
    if (feasible === 0) return undefined;
    if (feasible === 1) return node(this.#feasible[0]!, feasible);
    for (let at = 0; at < feasible; at++) this.#totals[at] = ranking.totals[this.#feasible[at]!]!;
    this.#addScores(scoring, cycle, feasible);
    return node(this.#pick(feasible, random), feasible);
  }

  runPreFilter(cycle: CycleState, skipped: Set<string>): PreFiltered {
    let nodeNames: ReadonlySet<string> | undefined;
    const narrowedBy: string[] = [];
    for (const plugin of this.at("preFilter")) {
      const outcome = plugin.preFilter?.(cycle);
      if (outcome === undefined) continue;
      if (outcome.kind === "skip") skipped.add(plugin.name);
      if (outcome.kind === "reject") {
        return { rejection: { plugin: plugin.name, rejection: outcome.rejection }, narrowedBy };
      }
      if (outcome.kind === "success" && outcome.nodeNames !== undefined) {
        const names = outcome.nodeNames;
        nodeNames = nodeNames === undefined ? names : new Set([...nodeNames].filter((name) => names.has(name)));
        narrowedBy.push(plugin.name);
      }
    }
    return nodeNames === undefined ? { narrowedBy } : { nodeNames, narrowedBy };
  }

  /** Filters from where the last decision stopped, until enough nodes fit; fills #feasible and returns how many. */
  #findFeasible(
    cycle: CycleState,
    pre: PreFiltered,
    skipped: ReadonlySet<string>,
    wanted: number,
    probe: RowProbe,
  ): number {
    this.#verdicts.reset(cycle.snapshot.size);
    this.#reserveScratch(cycle.snapshot.size);
    if (pre.nodeNames !== undefined) this.#narrow(cycle, pre.nodeNames, pre.narrowedBy);
    const filters = this.filters.filter(({ plugin }) => !skipped.has(plugin.name));
    return this.#search(cycle, filters, wanted, probe);
  }

  /** As `#findFeasible`, among the rows that are open. */
  #search(cycle: CycleState, filters: readonly FilterStep[], wanted: number, probe: RowProbe): number {
    const total = cycle.snapshot.size;
    const nominated = cycle.snapshot.nominated.values;
    const verdicts = this.#verdicts;
    const start = this.#nextStart % total;
    const range = Math.max(MIN_RANGE, wanted);
    const feasible = this.#feasible;
    const closed = this.#verdicts.closed;
    let found = 0;
    let looked = 0;
    while (looked < total && found < wanted) {
      const from = (start + looked) % total;
      const to = Math.min(total, from + range, from + (total - looked));
      for (const { plugin, at } of filters) {
        verdicts.plugin = at;
        plugin.filter!(cycle, verdicts, from, to);
      }
      looked += to - from;
      for (let row = from; row < to; row++) {
        if (closed[row] !== 0) continue;
        if (nominated[row] !== 0 && this.#takenByNominated(row, probe)) continue;
        if (found === wanted) {
          looked -= to - row;
          break;
        }
        feasible[found++] = row;
      }
    }
    this.#nextStart = (start + looked) % total;
    return found;
  }

  /** Of all nodes those that extenders let pass, too. Where the next decision starts was settled when they were found. */
  #findConsulted(
    cycle: CycleState,
    pre: PreFiltered,
    skipped: ReadonlySet<string>,
    probe: RowProbe,
    { verdicts }: Consulted,
  ): number {
    const { size, names } = cycle.snapshot;
    const start = this.#nextStart;
    const found = this.#findFeasible(cycle, pre, skipped, size, probe);
    this.#nextStart = start;
    this.#verdicts.plugin = this.#plugins.length;
    let left = 0;
    for (let at = 0; at < found; at++) {
      const row = this.#feasible[at]!;
      const name = names[row]!;
      const rejection = verdicts.get(name);
      if (rejection !== undefined) this.#verdicts.reject(row, rejection);
      else if (verdicts.has(name)) this.#feasible[left++] = row;
    }
    return left;
  }

  #takenByNominated(row: number, probe: RowProbe): boolean {
    const rejection = probe.withNominated(row);
    if (rejection === undefined) return false;
    this.#verdicts.plugin = probe.plugin;
    this.#verdicts.reject(row, rejection);
    return true;
  }

  #narrow(cycle: CycleState, nodeNames: ReadonlySet<string>, by: readonly string[]): void {
    const rejection: Rejection = {
      code: "UnschedulableAndUnresolvable",
      reasons: [`node(s) didn't satisfy plugin(s) [${by.join(" ")}]`],
    };
    this.#verdicts.plugin = this.#plugins.findIndex((plugin) => plugin.name === by[0]);
    for (let row = 0; row < cycle.snapshot.size; row++) {
      if (!nodeNames.has(cycle.snapshot.names[row]!)) this.#verdicts.reject(row, rejection);
    }
  }

  #reserveScratch(rows: number): void {
    if (this.#feasible.length >= rows) return;
    this.#feasible = new Int32Array(rows * 2);
    this.#totals = new Float64Array(rows * 2);
    this.#scores = new Float64Array(rows * 2);
  }

  #addScores(scoring: readonly WeightedPlugin[], cycle: CycleState, count: number): void {
    const totals = this.#totals;
    const scores = this.#scores;
    for (const { plugin, weight } of scoring) {
      if (!this.#scoreWith(plugin, cycle, this.#feasible, count, scores)) continue;
      for (let at = 0; at < count; at++) totals[at]! += weight * scores[at]!;
    }
  }

  /** One plugin's normalized scores; false where it has none to give, or the same to all. */
  #scoreWith(plugin: Plugin, cycle: CycleState, rows: Int32Array, count: number, scores: Float64Array): boolean {
    if (plugin.preScore?.(cycle, rows, count) !== undefined) return false;
    plugin.score!(cycle, rows, count, scores);
    plugin.normalizeScore?.(cycle, rows, count, scores);
    return true;
  }

  /** The row with the highest total; among equals each is as likely. */
  #pick(count: number, random: Random): number {
    const totals = this.#totals;
    let best = totals[0]!;
    let first = 0;
    let ties = 1;
    for (let at = 1; at < count; at++) {
      const total = totals[at]!;
      if (total > best) {
        best = total;
        first = at;
        ties = 1;
      } else if (total === best) ties++;
    }
    if (ties === 1) return this.#feasible[first]!;
    let skip = random.int(ties);
    for (let at = first; ; at++) if (totals[at] === best && skip-- === 0) return this.#feasible[at]!;
  }

  #rejectedByPreFilter(cycle: CycleState, by: PreFilterRejection, probe: RowProbe): SchedulePlan {
    this.#verdicts.reset(cycle.snapshot.size);
    this.#verdicts.plugin = this.#plugins.findIndex((plugin) => plugin.name === by.plugin);
    // What PreFilter computes is not there: nobody can try out whether the pod would fit without others.
    const rejection: Rejection = { ...by.rejection, code: "UnschedulableAndUnresolvable" };
    for (let row = 0; row < cycle.snapshot.size; row++) this.#verdicts.reject(row, rejection);
    const plugins = new Set([by.plugin]);
    const { message, ...rest } = this.#postFilter(cycle, probe);
    return {
      kind: "unschedulable",
      message: preFilterMessage(cycle.snapshot.size, by.rejection, message),
      plugins,
      cycle,
      ...rest,
    };
  }

  #unschedulable(cycle: CycleState, probe: RowProbe): SchedulePlan {
    const plugins = this.#verdicts.plugins();
    const { message, ...rest } = this.#postFilter(cycle, probe);
    return { kind: "unschedulable", message: fitMessage(this.#verdicts, message), plugins, cycle, ...rest };
  }

  #postFilter(cycle: CycleState, probe: RowProbe): PostFiltered {
    const messages: string[] = [];
    const todo: (() => Promise<void>)[] = [];
    // Nobody makes room for the pod who could not say so here.
    let nominated: { nominated?: string } = this.at("postFilter").length === 0 ? { nominated: "" } : {};
    for (const plugin of this.at("postFilter")) {
      const outcome = plugin.postFilter?.(cycle, this.#verdicts, probe);
      if (outcome === undefined) continue;
      if (outcome.carryOut !== undefined) todo.push(outcome.carryOut);
      const carryOut = todo.length === 0 ? {} : { carryOut: todo };
      if (outcome.nominated !== undefined) nominated = { nominated: outcome.nominated };
      if (outcome.code === "Success") {
        const { victims = [], candidates = [] } = outcome;
        return { message: "", ...nominated, victims, candidates, ...carryOut };
      }
      if (outcome.code === "UnschedulableAndUnresolvable") {
        return { message: outcome.message, ...nominated, victims: [], candidates: [], ...carryOut };
      }
      messages.push(outcome.message);
    }
    const carryOut = todo.length === 0 ? {} : { carryOut: todo };
    return { message: messages.join(", "), ...nominated, victims: [], candidates: [], ...carryOut };
  }
}

/** The row that the pod is nominated to, -1 where there is none that PreFilter left. */
function nominatedRow({ info, snapshot }: CycleState, pre: PreFiltered): number {
  const node = snapshot.nominations.nodeOf(info.key);
  if (node === undefined || pre.nodeNames?.has(node) === false) return -1;
  return snapshot.rowOf(node);
}

/** Scales scores so that the largest is 100; `reverse` turns them round, so that the smallest raw score wins. */
export function defaultNormalize(count: number, scores: Float64Array, reverse: boolean): void {
  let max = 0;
  for (let at = 0; at < count; at++) max = Math.max(max, scores[at]!);
  for (let at = 0; at < count; at++) {
    const scaled = max === 0 ? 0 : Math.trunc((MAX_NODE_SCORE * scores[at]!) / max);
    scores[at] = reverse ? MAX_NODE_SCORE - scaled : scaled;
  }
}
