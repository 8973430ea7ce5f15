// How many volumes and claims there are, bound and not, named and labelled as upstream's controller tells it.
import type { PersistentVolume, PersistentVolumeClaim } from "@coxswain/api";
import { classOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import type { SharedInformer } from "@coxswain/client";
import type { Metrics } from "@coxswain/component-base";
import { tally } from "../tally.ts";

const name = (suffix: string): string => `pv_collector_${suffix}`;

/** As upstream names the plugin of a volume. */
export function pluginOf({ spec }: PersistentVolume): string {
  if (spec?.csi !== undefined) return `kubernetes.io/csi:${spec.csi.driver}`;
  if (spec?.hostPath !== undefined) return "kubernetes.io/host-path";
  if (spec?.local !== undefined) return "kubernetes.io/local-volume";
  if (spec?.nfs !== undefined) return "kubernetes.io/nfs";
  if (spec?.iscsi !== undefined) return "kubernetes.io/iscsi";
  if (spec?.fc !== undefined) return "kubernetes.io/fc";
  return "N/A";
}

export function tallyVolumes(
  metrics: Metrics,
  volumes: SharedInformer<PersistentVolume>,
  claims: SharedInformer<PersistentVolumeClaim>,
): void {
  const kinds = metrics.gauge(name("total_pv_count"), "Volumes.", ["plugin_name", "volume_mode"]);
  tally(volumes, kinds, (volume) => ({
    plugin_name: pluginOf(volume),
    volume_mode: volume.spec?.volumeMode ?? "Filesystem",
  }));
  const ofClass = ["namespace", "storage_class", "volume_attributes_class"];
  for (const bound of [true, false]) {
    const prefix = bound ? "bound" : "unbound";
    const words = bound ? "bound" : "not bound";
    const volumeCount = metrics.gauge(name(`${prefix}_pv_count`), `Volumes that are ${words}.`, ["storage_class"]);
    tally(volumes, volumeCount, ({ spec, status }) =>
      (status?.phase === "Bound") === bound ? { storage_class: spec?.storageClassName ?? "" } : undefined,
    );
    const claimCount = metrics.gauge(name(`${prefix}_pvc_count`), `Claims that are ${words}.`, ofClass);
    tally(claims, claimCount, (claim) =>
      (claim.status?.phase === "Bound") === bound
        ? {
            namespace: claim.metadata?.namespace ?? "",
            storage_class: classOf(claim),
            volume_attributes_class: claim.spec?.volumeAttributesClassName ?? "",
          }
        : undefined,
    );
  }
}
