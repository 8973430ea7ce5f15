// Invariants of devices: no two claims have one device at a time, what a claim was given does not change while it has it, and a
// claim that nobody has been told to give back keeps its devices while pods run with it.
import type { AllocationResult, DeviceResourceClaim } from "@coxswain/api";
import { sameValue } from "@coxswain/api";
import type { Change, ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

const devicesOf = (allocation: AllocationResult | undefined): string[] =>
  (allocation?.devices?.results ?? [])
    .filter(({ adminAccess }) => adminAccess !== true)
    .map(({ driver, pool, device }) => `${driver}/${pool}/${device}`);

function check({ key, object, old }: Change, state: ClusterState): readonly string[] {
  const claim = object as DeviceResourceClaim;
  const before = old as DeviceResourceClaim | undefined;
  const { uid } = claim.metadata ?? {};
  const allocation = claim.status?.allocation;
  const was = before?.metadata?.uid === uid ? before?.status : undefined;
  if (was?.allocation !== undefined) {
    if (allocation === undefined) return keptByRunning(key, was.reservedFor ?? [], state);
    if (!sameValue(was.allocation, allocation)) return [`${key} was given other devices than it had`];
    return OK;
  }
  const mine = devicesOf(allocation);
  return state
    .list<DeviceResourceClaim>("resourceclaims")
    .filter((other) => other.metadata?.uid !== uid)
    .flatMap((other) => {
      const shared = devicesOf(other.status?.allocation).find((device) => mine.includes(device));
      return shared === undefined ? [] : [`${key} and ${other.metadata?.name} both have ${shared}`];
    });
}

/** Nobody takes devices from a pod that runs with them. */
function keptByRunning(
  key: string,
  consumers: readonly { readonly uid: string }[],
  state: ClusterState,
): readonly string[] {
  const running = state.pods.find(
    ({ metadata, status }) => status?.phase === "Running" && consumers.some(({ uid }) => uid === metadata?.uid),
  );
  return running === undefined ? OK : [`${key} was given back while ${running.metadata?.name} ran with it`];
}

export function devicesAreGivenOnce(): Invariant {
  return {
    name: "devices-given-once",
    check(change, state) {
      if (change.ref.resource !== "resourceclaims" || change.object === undefined) return OK;
      return check(change, state);
    },
  };
}
