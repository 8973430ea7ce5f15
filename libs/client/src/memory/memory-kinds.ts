// What the in-memory double knows of kinds: enough for metadata, status and generation to behave as on a real server.
import { groupResource, type ResourceRef } from "@coxswain/apimachinery";

export interface MemoryKind {
  readonly kind: string;
  readonly namespaced: boolean;
  /** Has a status subresource; the main resource then ignores status. */
  readonly status: boolean;
  /** Counts spec changes in metadata.generation. */
  readonly generation: boolean;
  readonly scale: boolean;
  /** PUT of an absent object creates it. */
  readonly createOnUpdate: boolean;
  readonly unconditionalUpdate: boolean;
  /** DELETE of an object that goes at once is answered with it. */
  readonly returnDeletedObject: boolean;
}

function kind(name: string, traits = "", options: Partial<MemoryKind> = {}): MemoryKind {
  return {
    kind: name,
    namespaced: !traits.includes("c"),
    status: traits.includes("s"),
    generation: traits.includes("g"),
    scale: traits.includes("x"),
    createOnUpdate: false,
    unconditionalUpdate: true,
    returnDeletedObject: traits.includes("d"),
    ...options,
  };
}

// c: cluster-scoped, s: status subresource, g: generation, x: scale subresource, d: answered when deleted.
const KINDS: Readonly<Record<string, MemoryKind>> = {
  namespaces: kind("Namespace", "csd"),
  nodes: kind("Node", "cs"),
  pods: kind("Pod", "sgd"),
  services: kind("Service", "sd"),
  configmaps: kind("ConfigMap"),
  secrets: kind("Secret"),
  serviceaccounts: kind("ServiceAccount", "d"),
  endpoints: kind("Endpoints"),
  events: kind("Event", "", { createOnUpdate: true }),
  persistentvolumes: kind("PersistentVolume", "csd"),
  persistentvolumeclaims: kind("PersistentVolumeClaim", "sd"),
  resourcequotas: kind("ResourceQuota", "sd"),
  limitranges: kind("LimitRange"),
  "deployments.apps": kind("Deployment", "sgx"),
  "replicasets.apps": kind("ReplicaSet", "sgx"),
  "statefulsets.apps": kind("StatefulSet", "sgx"),
  "daemonsets.apps": kind("DaemonSet", "sg"),
  "controllerrevisions.apps": kind("ControllerRevision"),
  "jobs.batch": kind("Job", "sg"),
  "cronjobs.batch": kind("CronJob", "sg"),
  "endpointslices.discovery.k8s.io": kind("EndpointSlice", "g"),
  "customresourcedefinitions.apiextensions.k8s.io": kind("CustomResourceDefinition", "csg", {
    unconditionalUpdate: false,
  }),
  "apiservices.apiregistration.k8s.io": kind("APIService", "cs"),
  "leases.coordination.k8s.io": kind("Lease", "", { createOnUpdate: true, unconditionalUpdate: false }),
  "events.events.k8s.io": kind("Event", "", { createOnUpdate: true }),
  "resourceclaims.resource.k8s.io": kind("ResourceClaim", "sd"),
  "resourceclaimtemplates.resource.k8s.io": kind("ResourceClaimTemplate", "d"),
  "deviceclasses.resource.k8s.io": kind("DeviceClass", "cgd"),
  "resourceslices.resource.k8s.io": kind("ResourceSlice", "cgd"),
  "poddisruptionbudgets.policy": kind("PodDisruptionBudget", "sg", { unconditionalUpdate: false }),
  "horizontalpodautoscalers.autoscaling": kind("HorizontalPodAutoscaler", "s"),
  "ingresses.networking.k8s.io": kind("Ingress", "sg"),
  "networkpolicies.networking.k8s.io": kind("NetworkPolicy", "g"),
  "ingressclasses.networking.k8s.io": kind("IngressClass", "cg"),
  "ipaddresses.networking.k8s.io": kind("IPAddress", "cg"),
  "servicecidrs.networking.k8s.io": kind("ServiceCIDR", "cs"),
  "certificatesigningrequests.certificates.k8s.io": kind("CertificateSigningRequest", "cs", {
    unconditionalUpdate: false,
  }),
  "runtimeclasses.node.k8s.io": kind("RuntimeClass", "c"),
  "priorityclasses.scheduling.k8s.io": kind("PriorityClass", "c"),
  "storageclasses.storage.k8s.io": kind("StorageClass", "cd"),
  "csinodes.storage.k8s.io": kind("CSINode", "cd"),
  "csidrivers.storage.k8s.io": kind("CSIDriver", "cd"),
  "csistoragecapacities.storage.k8s.io": kind("CSIStorageCapacity"),
  "volumeattachments.storage.k8s.io": kind("VolumeAttachment", "csd"),
  "roles.rbac.authorization.k8s.io": kind("Role", "", { createOnUpdate: true }),
  "rolebindings.rbac.authorization.k8s.io": kind("RoleBinding", "", { createOnUpdate: true }),
  "clusterroles.rbac.authorization.k8s.io": kind("ClusterRole", "c", { createOnUpdate: true }),
  "clusterrolebindings.rbac.authorization.k8s.io": kind("ClusterRoleBinding", "c", { createOnUpdate: true }),
};

/** The kind's traits; an unknown resource counts as a namespaced custom resource with status, generation and scale. */
export function memoryKind(ref: ResourceRef): MemoryKind {
  return KINDS[groupResource(ref)] ?? kind("", "sgx", { unconditionalUpdate: false });
}
