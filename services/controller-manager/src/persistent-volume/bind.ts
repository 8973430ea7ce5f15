// Writes bindings. Guarantees: the volume is written before the claim, each with the version that the decision was made from, so
// that of two who bind at once one is refused; what is as it should be is not written again.
import {
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  type PersistentVolume,
  type PersistentVolumeClaim,
} from "@coxswain/api";
import {
  annotated,
  annotationOf,
  BIND_COMPLETED,
  BOUND_BY_CONTROLLER,
  volumeBoundTo,
} from "@coxswain/api/core-v1/persistent-volume/binding";
import { deepEqual, parseQuantity } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Newest } from "./newest.ts";
import { unbound } from "./plan-volume.ts";

export interface BindingWriter {
  bind(volume: PersistentVolume, claim: PersistentVolumeClaim): Promise<void>;
  unbind(volume: PersistentVolume): Promise<void>;
  setPhase(volume: PersistentVolume, phase: string, message?: string): Promise<PersistentVolume>;
  /** `volume`: what the claim has now; undefined where it has none. */
  setClaimPhase(claim: PersistentVolumeClaim, phase: string, volume?: PersistentVolume): Promise<PersistentVolumeClaim>;
  /** Of the spec and metadata. */
  updateClaim(claim: PersistentVolumeClaim): Promise<PersistentVolumeClaim>;
}

export interface BindingWriterDeps {
  readonly client: ResourceClient;
  readonly volumes: Newest<PersistentVolume>;
  readonly claims: Newest<PersistentVolumeClaim>;
}

/** The claim as it is bound to the volume, but for its status. Pure. */
export function claimBoundTo(claim: PersistentVolumeClaim, volume: PersistentVolume): PersistentVolumeClaim {
  const { name = "" } = volume.metadata ?? {};
  const byController = claim.spec?.volumeName !== name;
  if (!byController && annotationOf(claim, BIND_COMPLETED) !== undefined) return claim;
  const bound = { ...claim, spec: { ...claim.spec, volumeName: name } };
  return annotated(bound, { [BIND_COMPLETED]: "yes", ...(byController ? { [BOUND_BY_CONTROLLER]: "yes" } : {}) });
}

/** The claim's status in a phase. Pure. The capacity is taken over once: later a difference means that it grows. */
export function claimInPhase(
  claim: PersistentVolumeClaim,
  phase: string,
  volume: PersistentVolume | undefined,
): PersistentVolumeClaim {
  const { capacity, accessModes, ...rest } = claim.status ?? {};
  if (volume === undefined) return { ...claim, status: { ...rest, phase } };
  const held = volume.spec?.capacity ?? {};
  const same =
    capacity?.["storage"] !== undefined &&
    parseQuantity(capacity["storage"]).compare(parseQuantity(held["storage"] ?? "0")) === 0;
  const attributes = volume.spec?.volumeAttributesClassName;
  return {
    ...claim,
    status: {
      ...rest,
      phase,
      accessModes: volume.spec?.accessModes ?? accessModes ?? [],
      capacity: claim.status?.phase === phase || same ? (capacity ?? held) : held,
      ...(attributes === undefined ? {} : { currentVolumeAttributesClassName: attributes }),
    },
  };
}

export function createBindingWriter({ client, volumes, claims }: BindingWriterDeps): BindingWriter {
  async function writeVolume(wanted: PersistentVolume, subresource?: string): Promise<PersistentVolume> {
    const options = subresource === undefined ? {} : { subresource };
    const stored = await client.update<PersistentVolume>(PERSISTENT_VOLUMES, wanted, options);
    volumes.note(stored);
    return stored;
  }

  async function setPhase(volume: PersistentVolume, phase: string, message?: string): Promise<PersistentVolume> {
    if (volume.status?.phase === phase) return volume;
    const { message: _before, reason: _reason, ...rest } = volume.status ?? {};
    const status = { ...rest, phase, ...(message === undefined ? {} : { message }) };
    return writeVolume({ ...volume, status }, "status");
  }

  async function setClaimPhase(
    claim: PersistentVolumeClaim,
    phase: string,
    volume?: PersistentVolume,
  ): Promise<PersistentVolumeClaim> {
    const wanted = claimInPhase(claim, phase, volume);
    if (deepEqual(wanted.status, claim.status)) return claim;
    const options = { subresource: "status" };
    const stored = await client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, wanted, options);
    claims.note(stored);
    return stored;
  }

  async function updateClaim(claim: PersistentVolumeClaim): Promise<PersistentVolumeClaim> {
    const stored = await client.update<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS, claim);
    claims.note(stored);
    return stored;
  }

  return {
    setPhase,
    setClaimPhase,
    updateClaim,
    async bind(volume, claim) {
      const wanted = volumeBoundTo(volume, claim);
      const held = await setPhase(wanted === volume ? volume : await writeVolume(wanted), "Bound");
      const named = claimBoundTo(claim, held);
      await setClaimPhase(named === claim ? claim : await updateClaim(named), "Bound", held);
    },
    async unbind(volume) {
      await setPhase(await writeVolume(unbound(volume)), "Available");
    },
  };
}
