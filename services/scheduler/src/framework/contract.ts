// The plugin interface: upstream's extension points, on columns instead of one node at a time.
// https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
//
// A plugin is an object with a name and the methods of the extension points that it takes part in. Filter, Score and
// everything before Reserve run synchronously and must only read. Filter gets a range of rows and rejects those that do
// not fit; rows that an earlier plugin rejected must be left alone (`column.open(row)`). Score writes one number a row.
import type { Random } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import type { Candidate } from "../plugins/preemption-candidates.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import type { EventRegistration } from "../queue/cluster-event.ts";

export type Code = "Success" | "Unschedulable" | "UnschedulableAndUnresolvable" | "Error";

/** Why a pod, or a node for a pod, was turned down. */
export interface Rejection {
  readonly code: Exclude<Code, "Success">;
  readonly reasons: readonly string[];
}

/** What one attempt to schedule one pod shares among plugins. `state` is keyed by plugin name. */
export interface CycleState {
  readonly info: PodInfo;
  readonly snapshot: ClusterSnapshot;
  readonly state: Map<string, unknown>;
}

export type PreFilterOutcome =
  | { readonly kind: "success"; readonly nodeNames?: ReadonlySet<string> }
  /** The plugin's Filter need not run. */
  | { readonly kind: "skip" }
  | { readonly kind: "reject"; readonly rejection: Rejection };

/** The verdicts of one attempt, by row. */
export interface VerdictColumn {
  /** True where no plugin has rejected the row yet. */
  open(row: number): boolean;
  /** Rejects a row; `rejection` should be one shared object per distinct reason. */
  reject(row: number, rejection: Rejection): void;
}

export interface Plugin {
  readonly name: string;
  /** Filter reads nothing of the pods on a node: a dry run asks once a node. */
  readonly ignoresPods?: boolean;
  /**
   * For a Filter that reads nothing of the cluster but the row's node and the pods on it: all that it reads of the pod, as
   * text. What was found out about a row then holds for other pods of the same text. Absent: Filter looks further.
   */
  filterKey?(info: PodInfo): string;
  /** PreEnqueue: a reason keeps the pod out of the active queue. */
  preEnqueue?(info: PodInfo, snapshot: ClusterSnapshot): string | undefined;
  /** QueueSort: negative where `a` goes first. One plugin of a profile has it. */
  less?(a: QueueOrder, b: QueueOrder): number;
  preFilter?(cycle: CycleState): PreFilterOutcome;
  /**
   * A pod has been put on a row (1) or taken off it (-1) in the snapshot for a while, after PreFilter: brings the plugin's
   * state up to date. Needed where PreFilter computed something from the pods of the snapshot. Not called where it skipped.
   */
  follow?(cycle: CycleState, row: number, other: PodInfo, sign: 1 | -1): void;
  /** Rows `from` to `to`, exclusive. */
  filter?(cycle: CycleState, column: VerdictColumn, from: number, to: number): void;
  /** Runs when no node fits. The first success ends it; else the messages of all plugins are appended to the pod's. */
  postFilter?(cycle: CycleState, verdicts: NodeVerdicts, probe: Probe): PostFilterOutcome;
  /**
   * True where PreScore would leave the plugin out, or give every node the same, whatever the rows: they need then not be
   * gathered for it. Where it is false, or absent, PreScore is asked.
   */
  scoresNothing?(cycle: CycleState): boolean;
  /** "skip" leaves the plugin out of scoring; a number is the normalized score of every node. */
  preScore?(cycle: CycleState, rows: Int32Array, count: number): "skip" | number | undefined;
  /** Writes `scores[i]` for `rows[i]`; whole numbers. */
  score?(cycle: CycleState, rows: Int32Array, count: number, scores: Float64Array): void;
  /**
   * For a Score that reads nothing of the cluster but the row's node and the pods on it, and scores that need not be
   * normalized: all that PreScore and Score read of the pod, as text. As with `filterKey`, a row's score then holds for other
   * pods of the same text; PreScore is called with no rows. Absent: Score looks further.
   */
  scoreKey?(info: PodInfo): string;
  /** Brings the scores into 0..100, in place. */
  normalizeScore?(cycle: CycleState, rows: Int32Array, count: number, scores: Float64Array): void;
  /** A rejection undoes the reservations made so far. */
  reserve?(cycle: CycleState, node: string): Rejection | undefined;
  unreserve?(cycle: CycleState, node: string): void;
  /**
   * For a pod that is placed only to see what would be: takes from others what it would get, and returns how to give that back,
   * within the same turn. Nothing is written.
   */
  imagine?(cycle: CycleState, node: string): () => void;
  /** Undefined lets the pod go on. A pod that has to wait keeps its node meanwhile; see WaitingPods. */
  permit?(cycle: CycleState, node: string): Rejection | PermitWait | undefined;
  /** "skip": PreBind has nothing to do for this pod, which may then be bound in a batch with others. */
  preBindPreFlight?(cycle: CycleState, node: string): "skip" | undefined;
  preBind?(cycle: CycleState, node: string, signal: AbortSignal): Promise<Rejection | undefined>;
  /** Binds the pod itself; where no plugin has it, the scheduler binds in batches. */
  bind?(cycle: CycleState, node: string, signal: AbortSignal): Promise<"bound" | "skip" | Rejection>;
  postBind?(cycle: CycleState, node: string): void;
  /** The events that may make a pod schedulable that this plugin rejected; absent: each may. Hints may look at the snapshot. */
  events?(snapshot: ClusterSnapshot): readonly EventRegistration[];
}

/** The pod waits until somebody lets it go (`WaitingPod.allow`), or is turned away after the time. */
export interface PermitWait {
  readonly code: "Wait";
  readonly timeoutMs: number;
}

/** Lets PostFilter try things out. What is taken off or put on must be undone before it returns. */
export interface Probe {
  readonly random: Random;
  /** Equal for pods that fit on a row alike as long as nothing changes there; undefined where other rows count, too. */
  readonly key: string | undefined;
  /**
   * Why the pod does not fit on a row as the snapshot is now, with the pods that are nominated to it; undefined where it
   * fits. `again`: only pods have changed since the last question about this row.
   */
  fits(row: number, again: boolean): Rejection | undefined;
  take(row: number, other: PodInfo): void;
  put(row: number, other: PodInfo): void;
}

export interface PostFilterOutcome {
  /** Unresolvable: no other plugin is asked. */
  readonly code: "Success" | "Unschedulable" | "UnschedulableAndUnresolvable";
  readonly message: string;
  /** The node where the pod will fit; "" takes an earlier nomination back; absent: it stays as it is. */
  readonly nominated?: string;
  /** Who has to leave that node. */
  readonly victims?: readonly PodInfo[];
  /** All nodes among which it was chosen; extenders may choose another. */
  readonly candidates?: readonly Candidate[];
  /** What was decided besides: done where the decision is acted on, not where it is only asked for. */
  readonly carryOut?: () => Promise<void>;
}

export interface QueueOrder {
  readonly info: PodInfo;
  /** When the pod was added to the queue, ms. */
  readonly addedMs: number;
  /** Order of arrival, to break ties. */
  readonly order: number;
}

/** What filtering found, row by row. */
export interface NodeVerdicts {
  readonly rows: number;
  rejectionOf(row: number): Rejection | undefined;
  pluginOf(row: number): string;
}

export interface WeightedPlugin {
  readonly plugin: Plugin;
  /** Of its score; 0 leaves it out of scoring. */
  readonly weight: number;
}

export type ExtensionPoint =
  | "preEnqueue"
  | "queueSort"
  | "preFilter"
  | "filter"
  | "postFilter"
  | "preScore"
  | "score"
  | "reserve"
  | "permit"
  | "preBind"
  | "bind"
  | "postBind";

/** A named set of plugins. A pod picks one with spec.schedulerName. */
export interface Profile {
  readonly schedulerName: string;
  readonly plugins: readonly WeightedPlugin[];
  /** Names in the order in which they run, with the default binder's at `bind`. A point that is not there: as in `plugins`. */
  readonly order?: ReadonlyMap<ExtensionPoint, readonly string[]>;
  /** In place of the scheduler's own. */
  readonly percentageOfNodesToScore?: number;
}

export const MAX_NODE_SCORE = 100;
