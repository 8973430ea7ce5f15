// PersistentVolumeClaim: a request for storage, bound to one volume.
import { defineKind, plainStrategy } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { accessModes, age, AGE, column, NAME, nameOf, wide } from "../../printing.ts";
import type { PersistentVolumeClaim } from "../../types.gen.ts";
import { roundUpToMilli } from "../../validation/resources.ts";
import { claimWarnings } from "./warnings.ts";
import { setClaimDefaults } from "./defaults.ts";
import { validateClaim, validateClaimStatus, validateClaimUpdate } from "./validation.ts";

type ClaimSpec = NonNullable<PersistentVolumeClaim["spec"]>;

const holdsClaimOrSnapshot = ({ dataSource: source }: ClaimSpec): boolean =>
  (source?.kind === "PersistentVolumeClaim" && !source.apiGroup) ||
  (source?.kind === "VolumeSnapshot" && source.apiGroup === "snapshot.storage.k8s.io");

/**
 * Takes out a source in another namespace, which belongs to a feature that is off (CrossNamespaceVolumeDataSource), and one of a kind
 * that only dataSourceRef can name. An object that has a source keeps it.
 */
function dropDataSources({ spec }: PersistentVolumeClaim, old?: PersistentVolumeClaim): void {
  if (!spec) return;
  if (spec.dataSourceRef?.namespace && !old?.spec?.dataSourceRef) delete spec.dataSourceRef;
  if (old?.spec?.dataSource || spec.dataSourceRef || !spec.dataSource) return;
  if (!holdsClaimOrSnapshot(spec)) delete spec.dataSource;
}

/** The two names of one field: either fills the other, where it names something that both can say. */
function mirrorDataSource({ spec }: PersistentVolumeClaim): void {
  if (!spec) return;
  if (spec.dataSource && !spec.dataSourceRef) spec.dataSourceRef = { ...spec.dataSource };
  else if (spec.dataSourceRef && !spec.dataSource && !spec.dataSourceRef.namespace) {
    const { apiGroup, kind, name } = spec.dataSourceRef;
    spec.dataSource = { ...(apiGroup === undefined ? {} : { apiGroup }), kind, name };
  }
}

function row(claim: PersistentVolumeClaim, context: PrintContext): unknown[] {
  const { spec, status } = claim;
  const bound = (spec?.volumeName ?? "") !== "";
  return [
    nameOf(claim),
    claim.metadata?.deletionTimestamp ? "Terminating" : (status?.phase ?? ""),
    spec?.volumeName ?? "",
    bound ? (status?.capacity?.["storage"] ?? "0") : "",
    bound ? accessModes(status?.accessModes) : "",
    claim.metadata?.annotations?.["volume.beta.kubernetes.io/storage-class"] ?? spec?.storageClassName ?? "",
    spec?.volumeAttributesClassName ?? "<unset>",
    age(claim, context),
    spec?.volumeMode ?? "<unset>",
  ];
}

export const persistentVolumeClaimKind = defineKind<PersistentVolumeClaim>({
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  resource: "persistentvolumeclaims",
  shortNames: ["pvc"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.PersistentVolumeClaim",
  returnDeletedObject: true,
  hasStatus: true,
  defaults(claim) {
    setClaimDefaults(claim);
    roundUpToMilli(claim.spec?.resources?.requests);
    roundUpToMilli(claim.status?.capacity);
  },
  validateCreate: validateClaim,
  validateUpdate: validateClaimUpdate,
  validateStatusUpdate: validateClaimStatus,
  strategy: plainStrategy({
    warnings: claimWarnings,
    prepareForCreate(claim) {
      claim.status = { phase: "Pending" };
      dropDataSources(claim);
      mirrorDataSource(claim);
    },
    prepareForUpdate(claim, old) {
      claim.status = old.status;
      dropDataSources(claim, old);
      mirrorDataSource(claim);
    },
    prepareForStatusUpdate(claim, old) {
      claim.spec = old.spec;
    },
  }),
  columns: [
    NAME,
    column("Status", "Whether the claim has its volume."),
    column("Volume", "The volume that it is bound to."),
    column("Capacity", "What the volume holds."),
    column("Access Modes", "How the volume may be mounted."),
    column("StorageClass", "The class of storage that it asks for."),
    column("VolumeAttributesClass", "The class of attributes that it asks for."),
    AGE,
    wide("VolumeMode", "Whether the volume is a file system or a block device."),
  ],
  row,
});
