// What upstream warns of in claims of volumes.
import type { PersistentVolumeClaim, PersistentVolumeClaimSpec } from "../../types.gen.ts";
import { fractionWarnings } from "../../validation/resources.ts";
import { BETA_STORAGE_CLASS } from "../persistent-volume/binding.ts";

export const OLD_CLASS = `metadata.annotations[${BETA_STORAGE_CLASS}]: deprecated since v1.8; use "storageClassName" attribute instead`;

/** Of a spec at `path`. */
export function claimSpecWarnings(spec: PersistentVolumeClaimSpec | undefined, path: string): string[] {
  const { requests, limits } = spec?.resources ?? {};
  return [
    ...fractionWarnings(requests, ["storage"], `${path}.resources.requests`),
    ...fractionWarnings(limits, ["storage"], `${path}.resources.limits`),
  ];
}

export function claimWarnings({ metadata, spec }: PersistentVolumeClaim): string[] {
  const annotated = metadata?.annotations?.[BETA_STORAGE_CLASS] !== undefined;
  return [...(annotated ? [OLD_CLASS] : []), ...claimSpecWarnings(spec, "spec")];
}
