// The devices that drivers publish, by the nodes that reach them. Guarantees: what is out of date is not shown; of a pool that is
// being replaced, or names a device twice, no device is shown, and the pool says so. Order is by driver, pool and slice name.
// https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#resourceslice
import type { Device, Node, ResourceSlice } from "@coxswain/api";
import { termMatchesNode } from "@coxswain/api/core-v1/node-match";
import { SelectableDevice } from "@coxswain/api/resource-v1/device-expressions";

/** Expressions whose verdict on a device is remembered. */
const REMEMBERED = 64;

/** One device of a slice. It lives as long as that version of the slice. */
export class DeviceEntry {
  readonly device: Device;
  readonly slice: ResourceSlice;
  readonly driver: string;
  readonly pool: string;
  /** driver/pool/name */
  readonly id: string;
  readonly #verdicts = new Map<string, boolean>();
  #value: SelectableDevice | undefined;

  constructor(device: Device, slice: ResourceSlice) {
    this.device = device;
    this.slice = slice;
    this.driver = slice.spec.driver;
    this.pool = slice.spec.pool.name;
    this.id = deviceId({ driver: this.driver, pool: this.pool, device: device.name });
  }

  /** As expressions see it. */
  get value(): SelectableDevice {
    return (this.#value ??= new SelectableDevice(this.driver, this.device));
  }

  /** What an expression said of the device, asked once. */
  verdict(expression: string, ask: () => boolean): boolean {
    let known = this.#verdicts.get(expression);
    if (known !== undefined) return known;
    known = ask();
    if (this.#verdicts.size >= REMEMBERED) this.#verdicts.clear();
    this.#verdicts.set(expression, known);
    return known;
  }
}

export const deviceId = (one: { readonly driver: string; readonly pool: string; readonly device: string }): string =>
  `${one.driver}/${one.pool}/${one.device}`;

/** A pool as one node sees it. */
export interface NodePool {
  /** driver/pool */
  readonly id: string;
  /** "incomplete": slices are missing. "invalid": a name stands for two devices. */
  readonly state: "usable" | "incomplete" | "invalid";
  /** Those that the node reaches, of a usable pool. */
  readonly devices: readonly DeviceEntry[];
}

const poolId = ({ spec }: ResourceSlice): string => `${spec.driver}/${spec.pool.name}`;
const nameOf = (slice: ResourceSlice): string => slice.metadata?.name ?? "";
const byName = (a: ResourceSlice, b: ResourceSlice): number => (nameOf(a) < nameOf(b) ? -1 : 1);

interface Known {
  readonly node: Node;
  readonly version: number;
  readonly pools: readonly NodePool[];
}

function addTo<K>(map: Map<K, Set<ResourceSlice>>, key: K, slice: ResourceSlice): void {
  const set = map.get(key) ?? new Set();
  map.set(key, set.add(slice));
}

function takeFrom<K>(map: Map<K, Set<ResourceSlice>>, key: K, slice: ResourceSlice): void {
  const set = map.get(key);
  set?.delete(slice);
  if (set?.size === 0) map.delete(key);
}

export class DevicePools {
  readonly #slices = new Map<string, ResourceSlice>();
  readonly #entries = new Map<ResourceSlice, readonly DeviceEntry[]>();
  readonly #byNode = new Map<string, Set<ResourceSlice>>();
  /** On all nodes, or on those that a selector picks. */
  readonly #shared = new Set<ResourceSlice>();
  readonly #byPool = new Map<string, Set<ResourceSlice>>();
  readonly #known = new Map<string, Known>();
  #version = 0;

  set(name: string, slice: ResourceSlice | undefined): void {
    this.#version++;
    const before = this.#slices.get(name);
    if (before !== undefined) this.#remove(before);
    if (slice === undefined) this.#slices.delete(name);
    else this.#add(name, slice);
  }

  #add(name: string, slice: ResourceSlice): void {
    this.#slices.set(name, slice);
    addTo(this.#byPool, poolId(slice), slice);
    const { nodeName, allNodes, nodeSelector, perDeviceNodeSelection } = slice.spec;
    // Devices that say their nodes themselves, like what shares counters, are for a feature that is off.
    if (perDeviceNodeSelection !== undefined || (slice.spec.sharedCounters ?? []).length > 0) return;
    if (nodeName) addTo(this.#byNode, nodeName, slice);
    else if (allNodes === true || nodeSelector !== undefined) this.#shared.add(slice);
  }

  #remove(slice: ResourceSlice): void {
    takeFrom(this.#byPool, poolId(slice), slice);
    takeFrom(this.#byNode, slice.spec.nodeName ?? "", slice);
    this.#shared.delete(slice);
    this.#entries.delete(slice);
  }

  /** All pools of which the node reaches a slice. */
  on(node: Node): readonly NodePool[] {
    const name = node.metadata?.name ?? "";
    const known = this.#known.get(name);
    if (known?.version === this.#version && known.node === node) return known.pools;
    if (known !== undefined && known.version !== this.#version) this.#known.clear();
    const pools = this.#gather(node);
    this.#known.set(name, { node, version: this.#version, pools });
    return pools;
  }

  #gather(node: Node): NodePool[] {
    const reached = [...(this.#byNode.get(node.metadata?.name ?? "") ?? [])];
    for (const slice of this.#shared) if (reaches(slice, node)) reached.push(slice);
    const newest = new Map<string, ResourceSlice[]>();
    for (const slice of reached.toSorted(byName)) {
      const id = poolId(slice);
      const others = newest.get(id);
      const generation = others?.[0]?.spec.pool.generation ?? -1;
      if (others === undefined || slice.spec.pool.generation > generation) newest.set(id, [slice]);
      else if (slice.spec.pool.generation === generation) others.push(slice);
    }
    const ids = [...newest.keys()].toSorted((a, b) => (a < b ? -1 : 1));
    return ids.flatMap((id) => this.#pool(id, newest.get(id)!) ?? []);
  }

  /** Undefined where a newer generation has replaced these slices, and has none for the node. */
  #pool(id: string, slices: readonly ResourceSlice[]): NodePool | undefined {
    const { generation, resourceSliceCount } = slices[0]!.spec.pool;
    if (slices.length !== resourceSliceCount) {
      const all = [...(this.#byPool.get(id) ?? [])];
      if (all.some(({ spec }) => spec.pool.generation > generation)) return undefined;
      const count = all.filter(({ spec }) => spec.pool.generation === generation).length;
      if (count !== resourceSliceCount) return { id, state: "incomplete", devices: [] };
    }
    const devices = slices.flatMap((slice) => this.#entriesOf(slice));
    if (new Set(devices.map((entry) => entry.device.name)).size < devices.length) {
      return { id, state: "invalid", devices: [] };
    }
    return { id, state: "usable", devices };
  }

  #entriesOf(slice: ResourceSlice): readonly DeviceEntry[] {
    let entries = this.#entries.get(slice);
    if (entries === undefined) {
      entries = (slice.spec.devices ?? []).map((device) => new DeviceEntry(device, slice));
      this.#entries.set(slice, entries);
    }
    return entries;
  }
}

function reaches({ spec }: ResourceSlice, node: Node): boolean {
  if (spec.allNodes === true) return true;
  return spec.nodeSelector?.nodeSelectorTerms.some((term) => termMatchesNode(term, node)) === true;
}
