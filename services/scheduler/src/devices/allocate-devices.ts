// Finds devices on one node for several claims at once. Guarantees:
// - An exhaustive search: where there is a way to satisfy all claims it is found, unless that takes more than `MOST_TRIES`.
// - The first alternatives of a request go first, and devices in the order of their pools.
// - No device is given twice, but for admin access, which takes nothing away.
// The bound counts tries, not time: the same cluster gives the same decisions.
import type { AllocationResult } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import { allocationResult, type ChosenDevice } from "./allocation-result.ts";
import { AllocationError, isSelectable, type ClaimRequests, type DeviceRequestPlan } from "./claim-requests.ts";
import type { DeviceEntry, NodePool } from "./device-pools.ts";
import { attributeOf, MatchAttribute } from "./match-attribute.ts";

/** Devices that one claim can have. */
const MOST_RESULTS = 32;
/** Devices that are tried on one node; a second's work, about. */
const MOST_TRIES = 1_000_000;

export type NodeAllocation =
  | { readonly kind: "allocated"; readonly results: readonly AllocationResult[] }
  /** Not on this node, with the reason. */
  | { readonly kind: "failed"; readonly reason: string };

/**
 * One result a claim, in order. `isAllocated` knows devices by id.
 * @throws AllocationError for what is wrong wherever the pod would go.
 */
export function allocateDevices(
  claims: readonly ClaimRequests[],
  pools: readonly NodePool[],
  isAllocated: (id: string) => boolean,
): NodeAllocation {
  const search = new Search(claims, pools, isAllocated);
  const outcome = search.run();
  if (outcome === "found") return { kind: "allocated", results: search.results() };
  if (outcome === "tired") return { kind: "failed", reason: "timed out trying to allocate devices" };
  const invalid = pools.some(({ state }) => state === "invalid");
  return {
    kind: "failed",
    reason: invalid ? "invalid resource pools were encountered" : "cannot allocate all claims",
  };
}

/** "too-many": more devices than a claim can have, whichever they are. */
type Outcome = "found" | "failed" | "too-many" | "tired";

const UNKNOWN = 0;
const TAKES = 1;
const LEAVES = 2;

/** The devices that one request may have, found one after the other: an expression is asked no sooner than it has to be. */
class Candidates {
  readonly request: DeviceRequestPlan;
  readonly verdicts: Int8Array;
  /** Indices into the node's devices. */
  readonly found: number[] = [];
  readonly #devices: readonly DeviceEntry[];
  readonly #isAllocated: (id: string) => boolean;
  #looked = 0;

  constructor(request: DeviceRequestPlan, devices: readonly DeviceEntry[], isAllocated: (id: string) => boolean) {
    this.request = request;
    this.verdicts = new Int8Array(devices.length);
    this.#devices = devices;
    this.#isAllocated = isAllocated;
  }

  get isComplete(): boolean {
    return this.#looked === this.#devices.length;
  }
  get isStarted(): boolean {
    return this.#looked > 0;
  }

  /** The device at a place among the candidates; -1 where there are no more. */
  at(place: number): number {
    while (this.found.length <= place && !this.isComplete) {
      const index = this.#looked;
      const takes = this.#judge(this.#devices[index]!);
      this.verdicts[index] = takes ? TAKES : LEAVES;
      if (takes) this.found.push(index);
      this.#looked++;
    }
    return this.found[place] ?? -1;
  }

  #judge(entry: DeviceEntry): boolean {
    if (!this.request.adminAccess && this.#isAllocated(entry.id)) return false;
    // What consumes counters is for a feature that is off.
    return (entry.device.consumesCounters ?? []).length === 0 && isSelectable(this.request, entry);
  }
}

interface Alternative {
  readonly request: DeviceRequestPlan;
  readonly candidates: Candidates;
  readonly count: number;
  /** Of a request for all devices. */
  readonly all: readonly number[] | undefined;
}

class Search {
  readonly #claims: readonly ClaimRequests[];
  readonly #pools: readonly NodePool[];
  readonly #devices: readonly DeviceEntry[];
  readonly #isAllocated: (id: string) => boolean;
  /** By claim, then by request. */
  readonly #alternatives: Alternative[][][] = [];
  readonly #constraints: readonly (readonly MatchAttribute[])[];
  /** The claims that hold a device by now. */
  readonly #holders: (Set<number> | undefined)[] = [];
  readonly #given: ChosenDevice[][];
  readonly #chosen: DeviceRequestPlan[][];
  #tries = 0;

  constructor(claims: readonly ClaimRequests[], pools: readonly NodePool[], isAllocated: (id: string) => boolean) {
    this.#claims = claims;
    this.#pools = pools;
    this.#isAllocated = isAllocated;
    this.#devices = pools.flatMap(({ devices }) => devices);
    this.#constraints = claims.map(({ constraints }) => constraints.map((plan) => new MatchAttribute(plan)));
    this.#given = claims.map(() => []);
    this.#chosen = claims.map(() => []);
  }

  run(): Outcome {
    for (const claim of this.#claims) this.#alternatives.push(this.#prepare(claim));
    return this.#request(0, 0);
  }

  results(): AllocationResult[] {
    return this.#claims.map((claim, at) => allocationResult(claim, this.#chosen[at]!, this.#given[at]!));
  }

  #prepare({ claim, requests }: ClaimRequests): Alternative[][] {
    const prepared = requests.map((alternatives) => alternatives.map((request) => this.#alternative(request)));
    const least = prepared
      .map((alternatives) => Math.min(...alternatives.map(({ count }) => count)))
      .reduce((sum, count) => sum + count, 0);
    if (least <= MOST_RESULTS) return prepared;
    const limit = `number of requested devices ${least} exceeds the claim limit of ${MOST_RESULTS}`;
    throw new AllocationError(`claim ${objectKey(claim)}: ${limit}`);
  }

  #alternative(request: DeviceRequestPlan): Alternative {
    const candidates = new Candidates(request, this.#devices, this.#isAllocated);
    if (request.count !== undefined) return { request, candidates, count: request.count, all: undefined };
    for (const { id, state } of this.#pools) {
      if (state === "usable") continue;
      const how = state === "incomplete" ? "being updated" : "invalid";
      throw new AllocationError(`${request.where}: asks for all devices, but resource pool ${id} is currently ${how}`);
    }
    const all = [...this.#devices.keys()].filter((index) => isSelectable(request, this.#devices[index]!));
    return { request, candidates, count: all.length, all };
  }

  #request(claim: number, request: number): Outcome {
    if (claim === this.#claims.length) return "found";
    const alternatives = this.#alternatives[claim]![request];
    if (alternatives === undefined) return this.#request(claim + 1, 0);
    let tooMany = true;
    for (const alternative of alternatives) {
      this.#chosen[claim]![request] = alternative.request;
      const outcome =
        alternative.all === undefined
          ? this.#device(claim, request, alternative, 0, 0)
          : this.#allDevices(claim, request, alternative, 0);
      if (outcome === "found" || outcome === "tired") return outcome;
      tooMany &&= outcome === "too-many";
    }
    return tooMany ? "too-many" : "failed";
  }

  #exceeds(claim: number, { count }: Alternative, had: number): boolean {
    return this.#given[claim]!.length + count - had > MOST_RESULTS;
  }

  /** Gives the request the rest of its devices, of which it has `had`. */
  #allDevices(claim: number, request: number, alternative: Alternative, had: number): Outcome {
    const all = alternative.all!;
    if (all.length === 0) return "failed";
    if (had === all.length) return this.#request(claim, request + 1);
    if (this.#exceeds(claim, alternative, had)) return "too-many";
    const index = all[had]!;
    const entry = this.#devices[index]!;
    const counted = (entry.device.consumesCounters ?? []).length > 0;
    const taken = !alternative.request.adminAccess && this.#isAllocated(entry.id);
    if (counted || taken || !this.#isFree(claim, alternative, index)) return "failed";
    if (!this.#give(claim, alternative, index)) {
      const why = "because a claim constraint would not be satisfied";
      throw new AllocationError(`${alternative.request.where}: cannot add device ${entry.id} ${why}`);
    }
    const outcome = this.#allDevices(claim, request, alternative, had + 1);
    if (outcome !== "found") this.#takeBack(claim, alternative, index);
    return outcome;
  }

  /** The same, from the candidates at `from` on: in another order the same devices are no other choice. */
  #device(claim: number, request: number, alternative: Alternative, had: number, from: number): Outcome {
    const { candidates, count } = alternative;
    if (had >= count) return this.#request(claim, request + 1);
    if (this.#exceeds(claim, alternative, had)) return "too-many";
    const failed: number[] = [];
    for (let place = from; ; place++) {
      if (candidates.isComplete && !this.#areEnough(claim, alternative, place, count - had)) return "failed";
      const index = candidates.at(place);
      if (index < 0) return "failed";
      if (!this.#isFree(claim, alternative, index)) continue;
      if (failed.some((other) => this.#areAlike(index, other))) continue;
      if (++this.#tries > MOST_TRIES) return "tired";
      if (!this.#give(claim, alternative, index)) continue;
      const outcome = this.#device(claim, request, alternative, had + 1, place + 1);
      if (outcome === "found") return outcome;
      this.#takeBack(claim, alternative, index);
      if (outcome !== "failed") return outcome;
      failed.push(index);
    }
  }

  /** Whether `wanted` of the candidates from a place on are free. */
  #areEnough(claim: number, alternative: Alternative, place: number, wanted: number): boolean {
    const { found } = alternative.candidates;
    let free = 0;
    for (let at = place; at < found.length && free < wanted; at++) {
      if (this.#isFree(claim, alternative, found[at]!)) free++;
    }
    return free >= wanted;
  }

  #isFree(claim: number, { request }: Alternative, index: number): boolean {
    const holders = this.#holders[index];
    return holders === undefined || (request.adminAccess ? !holders.has(claim) : holders.size === 0);
  }

  #give(claim: number, { request }: Alternative, index: number): boolean {
    const entry = this.#devices[index]!;
    const constraints = this.#constraints[claim]!;
    for (const [at, constraint] of constraints.entries()) {
      if (constraint.add(request.name, entry)) continue;
      for (const before of constraints.slice(0, at)) before.remove(request.name);
      return false;
    }
    (this.#holders[index] ??= new Set()).add(claim);
    this.#given[claim]!.push({ request, entry });
    return true;
  }

  #takeBack(claim: number, { request }: Alternative, index: number): void {
    for (const constraint of this.#constraints[claim]!) constraint.remove(request.name);
    this.#holders[index]!.delete(claim);
    this.#given[claim]!.pop();
  }

  /**
   * Whether it makes no difference which of two devices is given: nobody has either, the same requests would take them, as far as
   * anybody has asked, and no constraint tells them apart. Where one led nowhere, so does the other.
   */
  #areAlike(a: number, b: number): boolean {
    if ((this.#holders[a]?.size ?? 0) + (this.#holders[b]?.size ?? 0) > 0) return false;
    for (const requests of this.#alternatives) {
      for (const { candidates, all } of requests.flat()) {
        if (all !== undefined) {
          if (all.includes(a) !== all.includes(b)) return false;
          continue;
        }
        if (!candidates.isStarted) continue;
        const [one, other] = [candidates.verdicts[a], candidates.verdicts[b]];
        if (one === UNKNOWN || one !== other) return false;
      }
    }
    const [left, right] = [this.#devices[a]!, this.#devices[b]!];
    return this.#claims.every(({ constraints }) =>
      constraints.every(({ attribute }) => attributeOf(left, attribute) === attributeOf(right, attribute)),
    );
  }
}
