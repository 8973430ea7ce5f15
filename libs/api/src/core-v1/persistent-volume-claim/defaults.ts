// What a claim of a volume has where nobody says otherwise; templates of claims have it too.
import type { PersistentVolumeClaim } from "../../types.gen.ts";

export function setClaimDefaults(claim: PersistentVolumeClaim): void {
  claim.status ??= {};
  claim.status.phase ||= "Pending";
  if (!claim.spec) return;
  claim.spec.volumeMode ??= "Filesystem";
}
