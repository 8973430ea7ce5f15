// What the scheduler knows of devices: who publishes which, which claims have been given which, and what its own decisions have
// given away already. Guarantees:
// - A device that a decision has given away counts as given until the claim shows it, or the decision is taken back.
// - Looking a device up costs the same, however many claims there are.
import type { DeviceClass, DeviceResourceClaim, Pod } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import { deviceId, DevicePools } from "../devices/device-pools.ts";
import { AssumedObjects } from "./cluster-volumes.ts";

/** How decisions about claims reach the api-server. */
export interface ClaimWriter {
  get(claim: DeviceResourceClaim): Promise<DeviceResourceClaim>;
  update(claim: DeviceResourceClaim): Promise<DeviceResourceClaim>;
  updateStatus(claim: DeviceResourceClaim): Promise<DeviceResourceClaim>;
  /** Takes the pod off the consumers, whatever else has changed. Does not reject: the next attempt comes to it again. */
  removeConsumer(claim: DeviceResourceClaim, pod: Pod): Promise<void>;
  /** Before another try, after a conflict. */
  pause(signal: AbortSignal): Promise<void>;
}

function devicesOf(claim: DeviceResourceClaim | undefined): string[] {
  const results = claim?.status?.allocation?.devices?.results ?? [];
  // Access for who looks after a device takes it from nobody.
  return results.filter((one) => one.adminAccess !== true).map(deviceId);
}

export class ClusterDevices {
  readonly pools = new DevicePools();
  readonly classes = new Map<string, DeviceClass>();
  readonly #claims = new AssumedObjects<DeviceResourceClaim>();
  /** By the claim's UID: allocations that have not been written yet. */
  readonly #pending = new Map<string, DeviceResourceClaim>();
  /** How many claims have a device: more than one only while one takes over from another. */
  readonly #allocated = new Map<string, number>();
  readonly #counted = new Map<string, readonly string[]>();
  #writer: ClaimWriter | undefined;

  connect(writer: ClaimWriter): void {
    this.#writer = writer;
  }
  get writer(): ClaimWriter {
    if (this.#writer === undefined) throw new Error("nobody can write claims here");
    return this.#writer;
  }

  /** As assumed. */
  claim(key: string): DeviceResourceClaim | undefined {
    return this.#claims.get(key);
  }

  readonly isAllocated = (id: string): boolean => this.#allocated.has(id);

  setClaim(key: string, claim: DeviceResourceClaim | undefined): void {
    this.#claims.set(key, claim);
    this.#count(key, devicesOf(this.#claims.get(key)));
  }

  /** The claim as it was written, until the informer shows a newer version. */
  assume(claim: DeviceResourceClaim): void {
    const key = objectKey(claim);
    // One that is gone meanwhile must not come back to life.
    if (this.#claims.shown(key) === undefined) return;
    this.#claims.assume(key, claim);
    this.#count(key, devicesOf(claim));
  }

  /** Back to what the api-server shows. */
  restore(claim: DeviceResourceClaim): void {
    const key = objectKey(claim);
    this.#claims.restore(key);
    this.#count(key, devicesOf(this.#claims.get(key)));
  }

  /** A decision has given the claim devices, which is still to be written. */
  setPending(claim: DeviceResourceClaim): void {
    const uid = claim.metadata?.uid ?? "";
    this.#pending.set(uid, claim);
    this.#count(`pending ${uid}`, devicesOf(claim));
  }

  isPending(claim: DeviceResourceClaim): boolean {
    return this.#pending.has(claim.metadata?.uid ?? "");
  }

  /** It is written, or will never be. Returns whether it was pending. */
  clearPending(claim: DeviceResourceClaim): boolean {
    const uid = claim.metadata?.uid ?? "";
    this.#count(`pending ${uid}`, []);
    return this.#pending.delete(uid);
  }

  #count(key: string, devices: readonly string[]): void {
    const before = this.#counted.get(key) ?? [];
    if (before.length + devices.length === 0) return;
    for (const id of devices) this.#allocated.set(id, (this.#allocated.get(id) ?? 0) + 1);
    for (const id of before) {
      const left = this.#allocated.get(id)! - 1;
      if (left === 0) this.#allocated.delete(id);
      else this.#allocated.set(id, left);
    }
    if (devices.length === 0) this.#counted.delete(key);
    else this.#counted.set(key, devices);
  }
}
