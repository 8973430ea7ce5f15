// DefaultStorageClass and DefaultIngressClass: claims and Ingresses that name no class get the cluster's default one.
import type { Ingress, IngressClass, PersistentVolumeClaim, StorageClass } from "@coxswain/api";
import { defaultStorageClass } from "@coxswain/api/storage-v1/storage-class/storage-class";
import type { KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";

const STORAGE_CLASSES = { group: "storage.k8s.io", resource: "storageclasses" };
const INGRESS_CLASSES = { group: "networking.k8s.io", resource: "ingressclasses" };
const DEFAULT_INGRESS_CLASS = "ingressclass.kubernetes.io/is-default-class";
const BETA_STORAGE_CLASS = "volume.beta.kubernetes.io/storage-class";
const INGRESS_CLASS = "kubernetes.io/ingress.class";

function creates({ operation, kind, subresource }: AdmissionAttributes, group: string, resource: string): boolean {
  return operation === "CREATE" && subresource === "" && kind.group === group && kind.resource === resource;
}

/** The one created last; of several the first by name. */
function newest(classes: readonly KubeObject[]): string | undefined {
  const at = (each: KubeObject): string => each.metadata?.creationTimestamp ?? "";
  const name = (each: KubeObject): string => each.metadata?.name ?? "";
  const [first] = classes.toSorted((a, b) => at(b).localeCompare(at(a)) || (name(a) < name(b) ? -1 : 1));
  return first === undefined ? undefined : name(first);
}

export function createDefaultStorageClass(source: ObjectSource): AdmissionPlugin {
  return {
    name: "DefaultStorageClass",
    admit(attributes) {
      if (!creates(attributes, "", "persistentvolumeclaims")) return;
      const claim = attributes.object as PersistentVolumeClaim;
      const named = claim.metadata?.annotations?.[BETA_STORAGE_CLASS] ?? claim.spec?.storageClassName;
      if (!claim.spec || named !== undefined) return;
      const classes = source.list(STORAGE_CLASSES).map(({ object }) => object as StorageClass);
      const found = defaultStorageClass(classes)?.metadata?.name;
      if (found !== undefined) claim.spec.storageClassName = found;
    },
  };
}

export function createDefaultIngressClass(source: ObjectSource): AdmissionPlugin {
  return {
    name: "DefaultIngressClass",
    admit(attributes) {
      if (!creates(attributes, "networking.k8s.io", "ingresses")) return;
      const ingress = attributes.object as Ingress;
      const named = ingress.metadata?.annotations?.[INGRESS_CLASS] ?? ingress.spec?.ingressClassName;
      if (!ingress.spec || named !== undefined) return;
      const classes = source.list(INGRESS_CLASSES).map(({ object }) => object as IngressClass);
      const marked = classes.filter(({ metadata }) => metadata?.annotations?.[DEFAULT_INGRESS_CLASS] === "true");
      const found = newest(marked);
      if (found !== undefined) ingress.spec.ingressClassName = found;
    },
  };
}
