// The scheduler's view of nodes and of the pods on them, in columns. Guarantees:
// - Updated incrementally, it equals at any time what a snapshot built afresh from the same nodes and pods would be.
// - A pod counts once: as assumed from the decision on, as confirmed once the informer shows it bound.
// - Pods of a node that is not known yet are kept aside, and count as soon as the node appears.
import type { Node, Pod, Taint } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import { isTerminal, makePodInfo, parseAmount, type PodInfo } from "../pod-info.ts";
import { FloatColumn, IntColumn } from "./columns.ts";
import { Interner } from "./interner.ts";
import { RowLog } from "./derived-column.ts";
import { DisruptionBudgets } from "./disruption-budgets.ts";
import { ImageStates } from "./image-states.ts";
import { Nominations } from "./nominations.ts";
import { PodCounters, type PodCounter, type Selection } from "./pod-counters.ts";
import { TermCounters } from "./term-counters.ts";
import { ClusterDevices } from "./cluster-devices.ts";
import { ClusterVolumes } from "./cluster-volumes.ts";
import { Workloads } from "./workloads.ts";
import { Topologies, type Topology } from "./topologies.ts";

/** Value of a label column where the node has no such label. */
export const NO_LABEL = -1;

interface ResourceColumns {
  readonly allocatable: FloatColumn;
  readonly requested: FloatColumn;
}

interface PodPlace {
  readonly info: PodInfo;
  readonly node: string;
  readonly assumed: boolean;
}

const FIRST_CAPACITY = 64;
const NO_TAINT_SET = -1;

function labelOf(node: Node, key: string): string | undefined {
  return node.metadata?.labels?.[key];
}

export class ClusterSnapshot {
  /** Allocatable pods, and pods that are there. */
  readonly allowedPods: IntColumn;
  readonly podCount: IntColumn;
  readonly nonZeroCpu: FloatColumn;
  readonly nonZeroMemory: FloatColumn;
  /** 1 where spec.unschedulable. */
  readonly unschedulable: IntColumn;
  /** Which list of taints the node has: an index for `taintSet`. */
  readonly taintSets: IntColumn;
  /** How many pods are nominated to the node. */
  readonly nominated: IntColumn;
  readonly nodes: Node[] = [];
  readonly names: string[] = [];
  /** Label values, topology domains and names share one table. */
  readonly strings = new Interner();
  /** Pods on each node, by key. */
  readonly pods: Map<string, PodInfo>[] = [];
  /** The affinity terms of the pods that are placed. */
  readonly terms: TermCounters;
  readonly workloads = new Workloads();
  readonly volumes = new ClusterVolumes();
  readonly devices = new ClusterDevices();
  readonly images = new ImageStates();
  /** The rows of which anything has changed: the node, the pods on it, the pods that are nominated to it. */
  readonly changes = new RowLog();
  /** Nodes with spec.unschedulable. */
  cordoned = 0;
  readonly nominations = new Nominations((node) => this.#countNominated(node));
  /** By "namespace/name". */
  readonly budgets = new DisruptionBudgets();

  readonly #capacityColumns: (FloatColumn | IntColumn)[];
  readonly #resources = new Map<string, ResourceColumns>();
  readonly #labels = new Map<string, IntColumn>();
  readonly #rows = new Map<string, number>();
  readonly #places = new Map<string, PodPlace>();
  readonly #waiting = new Map<string, Set<string>>();
  readonly #counters: PodCounters;
  readonly #topologies = new Topologies();
  readonly #namespaces = new Map<string, Readonly<Record<string, string>>>();
  readonly #taintKeys = new Interner();
  readonly #taintLists: Taint[][] = [];
  readonly #taintSetNodes: number[] = [];
  #capacity = FIRST_CAPACITY;
  #assumedCount = 0;
  /** Grows with each change of a node; pods do not count. */
  nodeGeneration = 0;

  constructor() {
    this.allowedPods = new IntColumn(FIRST_CAPACITY);
    this.podCount = new IntColumn(FIRST_CAPACITY);
    this.nonZeroCpu = new FloatColumn(FIRST_CAPACITY);
    this.nonZeroMemory = new FloatColumn(FIRST_CAPACITY);
    this.unschedulable = new IntColumn(FIRST_CAPACITY);
    this.taintSets = new IntColumn(FIRST_CAPACITY);
    this.nominated = new IntColumn(FIRST_CAPACITY);
    this.#capacityColumns = [
      this.allowedPods,
      this.podCount,
      this.nonZeroCpu,
      this.nonZeroMemory,
      this.unschedulable,
      this.taintSets,
      this.nominated,
    ];
    this.#counters = new PodCounters(() => this.pods);
    this.terms = new TermCounters((key) => this.topology(key), this.namespaceLabels);
  }

  get size(): number {
    return this.nodes.length;
  }
  get assumedCount(): number {
    return this.#assumedCount;
  }

  rowOf(node: string): number {
    return this.#rows.get(node) ?? -1;
  }
  taintList(set: number): readonly Taint[] {
    return this.#taintLists[set] ?? [];
  }
  /** How many nodes have this list. */
  taintSetNodes(set: number): number {
    return this.#taintSetNodes[set] ?? 0;
  }
  get taintSetCount(): number {
    return this.#taintLists.length;
  }

  /** What the nodes have and what is taken of a resource; undefined where no node and no pod has named it. */
  resource(name: string): { allocatable: Float64Array; requested: Float64Array } | undefined {
    const found = this.#resources.get(name);
    return found && { allocatable: found.allocatable.values, requested: found.requested.values };
  }

  /** Value ids of a label by node (`strings.text`), NO_LABEL where absent. Kept up to date from the first call on. */
  labelColumn(key: string): Int32Array {
    let column = this.#labels.get(key);
    if (column === undefined) {
      column = new IntColumn(this.#capacity, NO_LABEL);
      for (let row = 0; row < this.size; row++) column.values[row] = this.#labelId(this.nodes[row]!, key);
      this.#labels.set(key, column);
      this.#capacityColumns.push(column);
    }
    return column.values;
  }

  /** How many pods of a selection are on each node and in each domain; maintained from the first call on. */
  counter(selection: Selection): PodCounter {
    return this.#counters.counter(selection, this.#capacity);
  }

  /** The domains of a topology key; maintained from the first call on. */
  topology(key: string): Topology {
    return this.#topologies.topology(key, this.size, this.#capacity, (row) => labelOf(this.nodes[row]!, key));
  }

  readonly namespaceLabels = (namespace: string): Readonly<Record<string, string>> | undefined =>
    this.#namespaces.get(namespace);

  /** Follows a namespace's labels; undefined where it has gone. */
  setNamespace(name: string, labels: Readonly<Record<string, string>> | undefined): void {
    const old = this.#namespaces.get(name);
    if (labels === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, labels);
    if (old !== undefined && labels !== undefined && JSON.stringify(old) === JSON.stringify(labels)) return;
    this.#counters.forgetNamespaceLabels();
    this.terms.forgetNamespaceLabels();
  }

  upsertNode(node: Node): void {
    const name = node.metadata?.name ?? "";
    this.nodeGeneration++;
    let row = this.#rows.get(name);
    if (row === undefined) {
      row = this.nodes.length;
      if (row >= this.#capacity) this.#grow();
      this.#rows.set(name, row);
      this.nodes.push(node);
      this.names.push(name);
      this.pods.push(new Map());
      this.taintSets.values[row] = NO_TAINT_SET;
      this.#fillRow(row, node);
      this.#countNominated(name);
      for (const key of this.#waiting.get(name) ?? []) this.#count(row, this.#places.get(key)!.info, 1);
      this.#waiting.delete(name);
      return;
    }
    const moves = this.#moves(row, node);
    if (moves) this.#relabel(row, -1);
    this.nodes[row] = node;
    this.#fillRow(row, node);
    if (moves) this.#relabel(row, 1);
  }

  removeNode(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.nodeGeneration++;
    const stranded = [...this.pods[row]!.values()];
    for (const info of stranded) this.#count(row, info, -1);
    if (stranded.length > 0) this.#waiting.set(name, new Set(stranded.map((info) => info.key)));
    this.images.set(name, undefined);
    this.changes.void();
    this.#clearRow(row);
    const last = this.nodes.length - 1;
    if (row !== last) this.#moveRow(last, row);
    this.nodes.pop();
    this.names.pop();
    this.pods.pop();
    this.#rows.delete(name);
  }

  /** Follows a pod as the informer shows it: bound pods count, ended ones do not. */
  upsertPod(pod: Pod): void {
    const node = pod.spec?.nodeName ?? "";
    if (node === "" || isTerminal(pod)) {
      const key = objectKey(pod);
      const place = this.#places.get(key);
      // A pod that is assumed stays so while the informer still shows it unbound.
      if (place !== undefined && (node !== "" || !place.assumed)) this.#remove(key);
      return;
    }
    this.#place(makePodInfo(pod, this.#places.get(objectKey(pod))?.info), node, false);
  }

  removePod(key: string): void {
    this.#remove(key);
  }

  /** Counts a pod on `node` before its binding is known to have happened. */
  assume(info: PodInfo, node: string): void {
    this.#place(info, node, true);
  }

  /** Takes an assumption back; a pod that the informer has confirmed, or another of the same name, stays. */
  forget(key: string, uid: string): void {
    const place = this.#places.get(key);
    if (place?.assumed === true && place.info.uid === uid) this.#remove(key);
  }

  isAssumed(key: string): boolean {
    return this.#places.get(key)?.assumed === true;
  }

  nodeOfPod(key: string): string | undefined {
    return this.#places.get(key)?.node;
  }

  /** Takes a placed pod off its row, for a while: `put` must follow. Nothing but what counts pods notices. */
  take(row: number, info: PodInfo): void {
    this.#count(row, info, -1);
  }
  /** Counts a pod on a row, for a while: `take` must follow; or undoes a `take`. */
  put(row: number, info: PodInfo): void {
    this.#count(row, info, 1);
  }

  #countNominated(node: string): void {
    const row = this.#rows.get(node);
    if (row === undefined) return;
    this.nominated.values[row] = this.nominations.countOn(node);
    this.changes.touch(row);
  }

  #place(info: PodInfo, node: string, assumed: boolean): void {
    this.#remove(info.key);
    this.#places.set(info.key, { info, node, assumed });
    if (assumed) this.#assumedCount++;
    const row = this.#rows.get(node);
    if (row !== undefined) {
      this.#count(row, info, 1);
      this.changes.touch(row);
      return;
    }
    const waiting = this.#waiting.get(node) ?? new Set<string>();
    waiting.add(info.key);
    this.#waiting.set(node, waiting);
  }

  #remove(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    if (place.assumed) this.#assumedCount--;
    const row = this.#rows.get(place.node);
    if (row !== undefined) {
      this.#count(row, place.info, -1);
      this.changes.touch(row);
      return;
    }
    const waiting = this.#waiting.get(place.node);
    waiting?.delete(key);
    if (waiting?.size === 0) this.#waiting.delete(place.node);
  }

  #count(row: number, info: PodInfo, sign: 1 | -1): void {
    for (const [resource, amount] of info.requests) this.#columns(resource).requested.values[row]! += sign * amount;
    this.nonZeroCpu.values[row]! += sign * info.nonZeroCpu;
    this.nonZeroMemory.values[row]! += sign * info.nonZeroMemory;
    this.podCount.values[row]! += sign;
    if (sign === 1) this.pods[row]!.set(info.key, info);
    else this.pods[row]!.delete(info.key);
    this.#counters.pod(row, info, sign);
    if (info.terms.all.length > 0) this.terms.pod(row, info, sign);
  }

  /** Whether a new version of a node is in other domains than the old one. */
  #moves(row: number, node: Node): boolean {
    const old = this.nodes[row]!;
    for (const { key } of this.#topologies.values()) if (labelOf(old, key) !== labelOf(node, key)) return true;
    return false;
  }

  #relabel(row: number, sign: 1 | -1): void {
    this.#counters.relabel(row, sign);
    for (const info of this.pods[row]!.values()) this.terms.pod(row, info, sign);
  }

  #fillRow(row: number, node: Node): void {
    const allocatable = node.status?.allocatable ?? {};
    for (const columns of this.#resources.values()) columns.allocatable.values[row] = 0;
    this.allowedPods.values[row] = 0;
    for (const [resource, quantity] of Object.entries(allocatable)) {
      const amount = parseAmount(resource, quantity);
      if (resource === "pods") this.allowedPods.values[row] = amount;
      else this.#columns(resource).allocatable.values[row] = amount;
    }
    const cordoned = node.spec?.unschedulable === true ? 1 : 0;
    this.cordoned += cordoned - this.unschedulable.values[row]!;
    this.unschedulable.values[row] = cordoned;
    this.#setTaints(row, node.spec?.taints ?? []);
    this.images.set(node.metadata?.name ?? "", node.status?.images);
    this.changes.touch(row);
    for (const [key, column] of this.#labels) column.values[row] = this.#labelId(node, key);
    for (const topology of this.#topologies.values()) topology.set(row, labelOf(node, topology.key));
  }

  #setTaints(row: number, taints: readonly Taint[]): void {
    this.#leaveTaintSet(row);
    const set = this.#taintSet(taints);
    this.taintSets.values[row] = set;
    this.#taintSetNodes[set] = this.taintSetNodes(set) + 1;
  }

  #leaveTaintSet(row: number): void {
    const set = this.taintSets.values[row]!;
    if (set !== NO_TAINT_SET) this.#taintSetNodes[set]!--;
  }

  #taintSet(taints: readonly Taint[]): number {
    const id = this.#taintKeys.id(JSON.stringify(taints.map((taint) => [taint.key, taint.value ?? "", taint.effect])));
    this.#taintLists[id] ??= [...taints];
    return id;
  }

  #labelId(node: Node, key: string): number {
    const value = labelOf(node, key);
    return value === undefined ? NO_LABEL : this.strings.id(value);
  }

  #columns(resource: string): ResourceColumns {
    let columns = this.#resources.get(resource);
    if (columns === undefined) {
      columns = { allocatable: new FloatColumn(this.#capacity), requested: new FloatColumn(this.#capacity) };
      this.#resources.set(resource, columns);
      this.#capacityColumns.push(columns.allocatable, columns.requested);
    }
    return columns;
  }

  #grow(): void {
    this.#capacity *= 2;
    for (const column of this.#capacityColumns) column.grow(this.#capacity);
    this.#counters.grow(this.#capacity);
    for (const topology of this.#topologies.values()) topology.grow(this.#capacity);
  }

  #clearRow(row: number): void {
    this.cordoned -= this.unschedulable.values[row]!;
    this.#leaveTaintSet(row);
    for (const column of this.#capacityColumns) column.move(row, row);
    this.#counters.clearRow(row);
    for (const topology of this.#topologies.values()) topology.set(row, undefined);
  }

  #moveRow(from: number, to: number): void {
    for (const column of this.#capacityColumns) column.move(from, to);
    this.#counters.moveRow(from, to);
    for (const topology of this.#topologies.values()) topology.moveRow(from, to);
    this.nodes[to] = this.nodes[from]!;
    this.names[to] = this.names[from]!;
    this.pods[to] = this.pods[from]!;
    this.#rows.set(this.names[to], to);
  }
}
