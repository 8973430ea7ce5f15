// Writes into a claim what was decided for a pod: the devices, and the pod among its consumers. Guarantees: the finalizer is there
// before the devices are, so that no claim goes while it has some; a claim that somebody else has given devices is left alone.
import type { AllocationResult, DeviceResourceClaim, Pod } from "@coxswain/api";
import { CLAIM_FINALIZER, reservedFor } from "@coxswain/api/resource-v1/pod-device-claims";
import { isReason, objectKey } from "@coxswain/apimachinery";
import type { ClaimWriter, ClusterDevices } from "../snapshot/cluster-devices.ts";

/** Upstream's retries on conflict. */
const ATTEMPTS = 5;

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** As stored. `allocation`: absent where the claim has devices already. Rejects with what is in the way. */
export async function bindClaim(
  claim: DeviceResourceClaim,
  allocation: AllocationResult | undefined,
  pod: Pod,
  devices: ClusterDevices,
  signal: AbortSignal,
): Promise<DeviceResourceClaim> {
  try {
    const stored = await write(claim, allocation, pod, devices.writer, signal);
    devices.assume(stored);
    return stored;
  } finally {
    if (allocation !== undefined) devices.clearPending(claim);
  }
}

async function write(
  claim: DeviceResourceClaim,
  allocation: AllocationResult | undefined,
  pod: Pod,
  writer: ClaimWriter,
  signal: AbortSignal,
): Promise<DeviceResourceClaim> {
  let newest = claim;
  for (let attempt = 1; ; attempt++) {
    try {
      return await writeOnce(newest, allocation, pod, writer);
    } catch (error) {
      if (attempt === ATTEMPTS || !isReason((error as Error).cause, "Conflict")) throw error;
    }
    await writer.pause(signal);
    try {
      newest = await writer.get(claim);
    } catch (error) {
      const what = `get updated claim ${objectKey(claim)} after conflict`;
      throw new Error(`${what}: ${textOf(error)}`, { cause: error });
    }
    if (newest.metadata?.uid !== claim.metadata?.uid) {
      throw new Error(`claim ${objectKey(claim)} got replaced in the meantime`);
    }
  }
}

async function writeOnce(
  claim: DeviceResourceClaim,
  allocation: AllocationResult | undefined,
  pod: Pod,
  writer: ClaimWriter,
): Promise<DeviceResourceClaim> {
  const key = objectKey(claim);
  if (claim.metadata?.deletionTimestamp !== undefined) throw new Error(`claim ${key} got deleted in the meantime`);
  if (allocation === undefined) {
    return saying(`add reservation to claim ${key}`, writer.updateStatus(reservedFor(claim, pod)));
  }
  if (claim.status?.allocation !== undefined) {
    throw new Error(`claim ${key} got allocated elsewhere in the meantime`);
  }
  const held = claim.metadata?.finalizers?.includes(CLAIM_FINALIZER) === true;
  const protectedClaim = held
    ? claim
    : await saying(`add finalizer to claim ${key}`, writer.update(withFinalizer(claim)));
  const allocated = { ...protectedClaim, status: { ...protectedClaim.status, allocation } };
  const what = `add allocation and reservation to claim ${key}`;
  return saying(what, writer.updateStatus(reservedFor(allocated, pod)));
}

function withFinalizer(claim: DeviceResourceClaim): DeviceResourceClaim {
  const finalizers = [...(claim.metadata?.finalizers ?? []), CLAIM_FINALIZER];
  return { ...claim, metadata: { ...claim.metadata, finalizers } };
}

async function saying<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new Error(`${what}: ${textOf(error)}`, { cause: error });
  }
}
