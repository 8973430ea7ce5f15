// DynamicResources: places pods where their claims of devices are, or can be, satisfied, and writes into the claims what each was
// given before the pod is bound. Guarantees: what is given for one pod is taken for all others at once; a pod is not bound before
// all its claims are reserved for it; pods without claims cost one look.
// https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
import type { AllocationResult, DeviceResourceClaim, Pod } from "@coxswain/api";
import { CLAIM_FINALIZER, isReservedFor } from "@coxswain/api/resource-v1/pod-device-claims";
import { objectKey } from "@coxswain/apimachinery";
import { isAbort } from "@coxswain/env";
import { allocateDevices } from "../devices/allocate-devices.ts";
import { bindClaim } from "../devices/bind-claim.ts";
import { AllocationError, claimRequests, type ClaimRequests } from "../devices/claim-requests.ts";
import { hasDeviceClaims, mayHelpPod, podDeviceClaims } from "../devices/pod-device-claims.ts";
import type { CycleState, Plugin, PostFilterOutcome, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import { defaultNormalize } from "../framework/plan-schedule.ts";
import type { ClusterDevices } from "../snapshot/cluster-devices.ts";
import { compileTerm, type RowMatcher } from "./node-selector.ts";

const NAME = "DynamicResources";
/** Alternatives that a request may have: the first is worth as many points. */
const MOST_ALTERNATIVES = 8;

interface PodClaim {
  /** As stored, after PreBind has written it. */
  claim: DeviceResourceClaim;
  /** Where an allocated claim can be used; undefined: everywhere. */
  readonly available: RowMatcher | undefined;
  /** What Reserve gave it. */
  allocation: AllocationResult | undefined;
}

interface ClaimState {
  readonly claims: readonly PodClaim[];
  /** Those that have no devices yet, and what they ask for, in the same order. */
  readonly open: readonly PodClaim[];
  readonly requests: readonly ClaimRequests[];
  /** By node, in the order of `open`. */
  readonly byNode: Map<string, readonly AllocationResult[]>;
  /** Allocated claims that are not available on some node. */
  readonly unavailable: Set<PodClaim>;
}

const unresolvable = (reason: string): Rejection => ({ code: "UnschedulableAndUnresolvable", reasons: [reason] });
const NOT_AVAILABLE = unresolvable("resourceclaim not available on the node");

const stateOf = (cycle: CycleState): ClaimState | undefined => cycle.state.get(NAME) as ClaimState | undefined;

/** What is wrong with a request before any node is looked at. */
function classProblem(claim: DeviceResourceClaim, devices: ClusterDevices): string | undefined {
  for (const { name, exactly, firstAvailable = [] } of claim.spec.devices?.requests ?? []) {
    const asked =
      exactly === undefined
        ? firstAvailable.map((one) => [`${name}/${one.name}`, one.deviceClassName] as const)
        : [[name, exactly.deviceClassName] as const];
    if (asked.length === 0) return `resource claim ${objectKey(claim)}, request ${name}: unknown request type`;
    for (const [request, className] of asked) {
      if (!devices.classes.has(className)) return `request ${request}: device class ${className} does not exist`;
    }
  }
  return undefined;
}

function availability({ status }: DeviceResourceClaim, cycle: CycleState): RowMatcher | undefined {
  const selector = status?.allocation?.nodeSelector;
  if (selector === undefined) return undefined;
  const terms = selector.nodeSelectorTerms.map((term) => compileTerm(term, cycle.snapshot));
  return (row) => terms.some((matches) => matches(row));
}

/** An error that no other node mends ends the attempt. */
function running<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof AllocationError) throw new Error(`running ${what}: ${error.message}`, { cause: error });
    throw error;
  }
}

function prepare(cycle: CycleState, claims: readonly DeviceResourceClaim[]): ClaimState | string {
  const { devices } = cycle.snapshot;
  const all: PodClaim[] = [];
  for (const claim of claims) {
    if (claim.status?.allocation === undefined) {
      // Its devices are being written: then it will be known where they are.
      if (devices.isPending(claim)) {
        return `resource claim ${objectKey(claim)} is in the process of being allocated`;
      }
      const problem = classProblem(claim, devices);
      if (problem !== undefined) return problem;
    }
    all.push({ claim, available: availability(claim, cycle), allocation: undefined });
  }
  const open = all.filter(({ claim }) => claim.status?.allocation === undefined);
  const requests = running(`PreFilter plugin ${JSON.stringify(NAME)}`, () =>
    open.map(({ claim }) => claimRequests(claim, (name) => devices.classes.get(name))),
  );
  return { claims: all, open, requests, byNode: new Map(), unavailable: new Set() };
}

/** Why the pod does not fit on a row; fills the state with what was found out. */
function judgeRow(cycle: CycleState, state: ClaimState, row: number): Rejection | undefined {
  const { devices, nodes, names } = cycle.snapshot;
  const missing = state.claims.filter(({ available }) => available?.(row) === false);
  if (state.open.length > 0) {
    const pools = devices.pools.on(nodes[row]!);
    const found = allocateDevices(state.requests, pools, devices.isAllocated);
    if (found.kind === "failed") return unresolvable(found.reason);
    if (missing.length === 0) state.byNode.set(names[row]!, found.results);
  }
  if (missing.length === 0) return undefined;
  for (const one of missing) state.unavailable.add(one);
  return NOT_AVAILABLE;
}

/** Points for how early in their lists the alternatives stand that a node would give. */
function alternativePoints(state: ClaimState, results: readonly AllocationResult[]): number {
  let points = 0;
  for (const [at, { claim }] of state.open.entries()) {
    const given = new Set(results[at]?.devices?.results?.map(({ request }) => request));
    for (const { name, firstAvailable = [] } of claim.spec.devices?.requests ?? []) {
      for (const [place, alternative] of firstAvailable.entries()) {
        if (given.has(`${name}/${alternative.name}`)) points += MOST_ALTERNATIVES - place;
      }
    }
  }
  return points;
}

/** A claim that nobody but the pod may be using, and that keeps it from some node. */
function idleClaims({ unavailable }: ClaimState, pod: Pod): DeviceResourceClaim[] {
  return [...unavailable]
    .map(({ claim }) => claim)
    .filter(({ status }) => (status?.reservedFor ?? []).every(({ uid }) => uid === pod.metadata?.uid));
}

function deallocated(claim: DeviceResourceClaim): DeviceResourceClaim {
  const { allocation: _allocation, reservedFor: _reservedFor, devices: _devices, ...status } = claim.status ?? {};
  return { ...claim, status };
}

/** What the node has for the pod's claims counts as given from now on. */
function takeDevices(cycle: CycleState, node: string): Rejection | undefined {
  const state = stateOf(cycle);
  if (state === undefined || state.open.length === 0) return undefined;
  const results = state.byNode.get(node);
  if (results === undefined) return { code: "Error", reasons: ["claim allocation not found for node"] };
  for (const [at, one] of state.open.entries()) {
    const allocation = results[at]!;
    one.allocation = allocation;
    const { claim } = one;
    const finalizers = new Set([...(claim.metadata?.finalizers ?? []), CLAIM_FINALIZER]);
    cycle.snapshot.devices.setPending({
      ...claim,
      metadata: { ...claim.metadata, finalizers: [...finalizers] },
      status: { ...claim.status, allocation },
    });
  }
  return undefined;
}

export const dynamicResources: Plugin = {
  name: NAME,
  ignoresPods: true,
  preEnqueue({ pod }, { devices }) {
    if (!hasDeviceClaims(pod)) return undefined;
    const claims = podDeviceClaims(pod, devices);
    return typeof claims === "string" ? claims : undefined;
  },
  preFilter(cycle): PreFilterOutcome {
    const { pod } = cycle.info;
    if (!hasDeviceClaims(pod)) return { kind: "skip" };
    const claims = podDeviceClaims(pod, cycle.snapshot.devices);
    if (typeof claims === "string") return { kind: "reject", rejection: unresolvable(claims) };
    if (claims.length === 0) return { kind: "skip" };
    const state = prepare(cycle, claims);
    if (typeof state === "string") return { kind: "reject", rejection: unresolvable(state) };
    cycle.state.set(NAME, state);
    return { kind: "success" };
  },
  filter(cycle, column, from, to) {
    const state = stateOf(cycle)!;
    for (let row = from; row < to; row++) {
      if (!column.open(row)) continue;
      const rejection = running(`${JSON.stringify(NAME)} filter plugin`, () => judgeRow(cycle, state, row));
      if (rejection !== undefined) column.reject(row, rejection);
    }
  },
  postFilter(cycle, _verdicts, probe): PostFilterOutcome {
    const state = stateOf(cycle);
    const code = "Unschedulable";
    if (state === undefined) return { code, message: "no new claims to deallocate" };
    const idle = idleClaims(state, cycle.info.pod);
    if (idle.length === 0) return { code, message: "still not schedulable" };
    // There is nothing by which one would be better than another.
    const claim = idle[idle.length === 1 ? 0 : probe.random.int(idle.length)]!;
    const { devices } = cycle.snapshot;
    const carryOut = async (): Promise<void> => void (await devices.writer.updateStatus(deallocated(claim)));
    return { code, message: "deallocation of ResourceClaim completed", carryOut };
  },
  scoresNothing: (cycle) => stateOf(cycle) === undefined,
  preScore: (cycle) => (stateOf(cycle) === undefined ? "skip" : undefined),
  score(cycle, rows, count, scores) {
    const state = stateOf(cycle)!;
    for (let at = 0; at < count; at++) {
      const results = state.byNode.get(cycle.snapshot.names[rows[at]!]!);
      scores[at] = results === undefined ? 0 : alternativePoints(state, results);
    }
  },
  normalizeScore: (_cycle, _rows, count, scores) => defaultNormalize(count, scores, false),
  reserve: takeDevices,
  imagine(cycle, node) {
    takeDevices(cycle, node);
    const { devices } = cycle.snapshot;
    return () => {
      for (const { claim } of stateOf(cycle)?.open ?? []) devices.clearPending(claim);
    };
  },
  unreserve(cycle) {
    const { devices } = cycle.snapshot;
    const { pod } = cycle.info;
    for (const { claim, allocation } of stateOf(cycle)?.claims ?? []) {
      if (allocation !== undefined && devices.clearPending(claim)) devices.restore(claim);
      if (claim.status?.allocation !== undefined && isReservedFor(claim, pod)) {
        void devices.writer.removeConsumer(claim, pod);
      }
    }
  },
  preBindPreFlight: (cycle) => (stateOf(cycle) === undefined ? "skip" : undefined),
  async preBind(cycle, _node, signal) {
    const { pod } = cycle.info;
    for (const one of stateOf(cycle)?.claims ?? []) {
      if (isReservedFor(one.claim, pod)) continue;
      try {
        one.claim = await bindClaim(one.claim, one.allocation, pod, cycle.snapshot.devices, signal);
      } catch (error) {
        if (isAbort(error)) throw error;
        return { code: "Error", reasons: [error instanceof Error ? error.message : String(error)] };
      }
    }
    return undefined;
  },
  events: ({ devices }) => [
    { resource: "Node", actions: ["Add", "UpdateNodeLabel", "UpdateNodeAllocatable"] },
    {
      resource: "ResourceClaim",
      actions: ["Add", "Update"],
      hint: ({ pod }, { object, oldObject }) =>
        mayHelpPod(pod, devices, object as DeviceResourceClaim, oldObject as DeviceResourceClaim | undefined),
    },
    {
      resource: "TargetPod",
      actions: ["UpdatePodGeneratedResourceClaim"],
      hint: ({ uid }, { pod }) =>
        pod?.metadata?.uid === uid && pod !== undefined && typeof podDeviceClaims(pod, devices) !== "string",
    },
    { resource: "DeviceClass", actions: ["Add", "Update"] },
    { resource: "ResourceSlice", actions: ["Add", "Update"] },
  ],
};
