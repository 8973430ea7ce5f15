// Fencing of leaders. Guarantee: a write that carries a fence commits only while the Lease still has that holder and that
// count of transitions, because the fence key changes in the same transaction as the handover and the write compares it.
import type { Lease } from "@coxswain/api";
import { newConflict } from "@coxswain/apimachinery";
import type { Fence } from "@coxswain/client";
import type { Condition, Mutation, StoredValue } from "@coxswain/storage";

const LEASES = { group: "coordination.k8s.io", resource: "leases" };

interface FenceValue {
  readonly holder: string;
  readonly transitions: number;
}

function fenceKey(lease: string): string {
  return `/fences/${lease}`;
}

function encodeFence(value: FenceValue): Buffer {
  return Buffer.from(JSON.stringify({ holder: value.holder, transitions: value.transitions }));
}

function fenceOf(lease: Lease | undefined): FenceValue {
  return { holder: lease?.spec?.holderIdentity ?? "", transitions: lease?.spec?.leaseTransitions ?? 0 };
}

/** The fence key's own change that goes with a write of a Lease; undefined where leadership stays as it is. */
export function planFence(name: string, next: Lease | undefined, old: Lease | undefined): Mutation | undefined {
  const key = fenceKey(name);
  if (next === undefined) return { op: "delete", key };
  const value = encodeFence(fenceOf(next));
  if (old !== undefined && value.equals(encodeFence(fenceOf(old)))) return undefined;
  return { op: "put", key, value };
}

/** What must hold for a write that carries `fence`. */
export function fenceCondition(fence: Fence): Condition {
  return { key: fenceKey(fence.lease), is: "equal", value: encodeFence(fence) };
}

/** @throws StatusError Conflict, always: the fence did not hold */
export function refuseFenced(fence: Fence, current: StoredValue | undefined): never {
  const held = current === undefined ? undefined : (JSON.parse(current.value.toString()) as FenceValue);
  const by =
    held === undefined || held.holder === ""
      ? "nobody"
      : `${JSON.stringify(held.holder)} (transition ${held.transitions})`;
  throw newConflict(
    LEASES,
    fence.lease,
    `lease ${fence.lease} is held by ${by}, not by ${JSON.stringify(fence.holder)} (transition ${fence.transitions})`,
  );
}

/** True where `current` is still what `fence` says. */
export function fenceHolds(fence: Fence, current: StoredValue | undefined): boolean {
  return current !== undefined && current.value.equals(encodeFence(fence));
}
