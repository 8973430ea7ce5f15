// Where the declarations are, and which kinds the model starts from; nested types follow by themselves.

export type Repo = "api" | "apimachinery" | "kube-aggregator";

export interface Package {
  /** How roots and imports call it: the group's folder, with the version where that is not v1. */
  readonly name: string;
  readonly repo: Repo;
  /** The folder in the repository. */
  readonly path: string;
  /** As other packages import it. */
  readonly importPath: string;
  /** Of OpenAPI names. */
  readonly prefix: string;
  readonly group: string;
  readonly version: string;
}

function api(folder: string, group: string, version = "v1"): Package {
  return {
    name: version === "v1" ? folder : `${folder}/${version}`,
    repo: "api",
    path: `${folder}/${version}`,
    importPath: `k8s.io/api/${folder}/${version}`,
    prefix: `io.k8s.api.${folder}.${version}`,
    group,
    version,
  };
}

export const PACKAGES: readonly Package[] = [
  {
    name: "meta",
    repo: "apimachinery",
    path: "pkg/apis/meta/v1",
    importPath: "k8s.io/apimachinery/pkg/apis/meta/v1",
    prefix: "io.k8s.apimachinery.pkg.apis.meta.v1",
    group: "",
    version: "v1",
  },
  {
    name: "apiregistration",
    repo: "kube-aggregator",
    path: "pkg/apis/apiregistration/v1",
    importPath: "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1",
    prefix: "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
    group: "apiregistration.k8s.io",
    version: "v1",
  },
  api("core", ""),
  api("admissionregistration", "admissionregistration.k8s.io"),
  api("admissionregistration", "admissionregistration.k8s.io", "v1beta1"),
  api("apps", "apps"),
  api("authentication", "authentication.k8s.io"),
  api("authorization", "authorization.k8s.io"),
  api("autoscaling", "autoscaling"),
  api("autoscaling", "autoscaling", "v2"),
  api("batch", "batch"),
  api("certificates", "certificates.k8s.io"),
  api("coordination", "coordination.k8s.io"),
  api("discovery", "discovery.k8s.io"),
  api("events", "events.k8s.io"),
  api("flowcontrol", "flowcontrol.apiserver.k8s.io"),
  api("networking", "networking.k8s.io"),
  api("node", "node.k8s.io"),
  api("policy", "policy"),
  api("rbac", "rbac.authorization.k8s.io"),
  api("resource", "resource.k8s.io"),
  api("scheduling", "scheduling.k8s.io"),
  api("storage", "storage.k8s.io"),
];

const withList = (...kinds: readonly string[]): string[] => kinds.flatMap((kind) => [kind, `${kind}List`]);

export const KIND_ROOTS: Readonly<Record<string, readonly string[]>> = {
  meta: ["DeleteOptions", "Status", "CreateOptions", "UpdateOptions", "PatchOptions", "ListOptions", "GetOptions"],
  apiregistration: withList("APIService"),
  core: [
    ...withList("Namespace", "Node", "Pod", "Service", "ConfigMap", "Secret", "ServiceAccount", "Event"),
    ...withList("PersistentVolume", "PersistentVolumeClaim", "LimitRange", "ResourceQuota", "ReplicationController"),
    ...withList("PodTemplate", "Endpoints", "ComponentStatus"),
    "Binding",
    "PodExecOptions",
    "PodAttachOptions",
    "PodLogOptions",
    "PodPortForwardOptions",
    "PodProxyOptions",
  ],
  admissionregistration: withList(
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
  ),
  "admissionregistration/v1beta1": withList("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"),
  apps: withList("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ControllerRevision"),
  authentication: ["TokenRequest", "TokenReview", "SelfSubjectReview"],
  authorization: [
    "SubjectAccessReview",
    "LocalSubjectAccessReview",
    "SelfSubjectAccessReview",
    "SelfSubjectRulesReview",
  ],
  autoscaling: ["Scale", ...withList("HorizontalPodAutoscaler")],
  "autoscaling/v2": withList("HorizontalPodAutoscaler"),
  batch: withList("Job", "CronJob"),
  certificates: withList("CertificateSigningRequest"),
  coordination: withList("Lease"),
  discovery: withList("EndpointSlice"),
  events: withList("Event"),
  flowcontrol: withList("FlowSchema", "PriorityLevelConfiguration"),
  networking: withList("Ingress", "IngressClass", "NetworkPolicy", "ServiceCIDR", "IPAddress"),
  node: withList("RuntimeClass"),
  policy: ["Eviction", ...withList("PodDisruptionBudget")],
  rbac: withList("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
  resource: withList("ResourceClaim", "ResourceClaimTemplate", "DeviceClass", "ResourceSlice"),
  scheduling: withList("PriorityClass"),
  storage: withList(
    "StorageClass",
    "VolumeAttachment",
    "CSIDriver",
    "CSINode",
    "CSIStorageCapacity",
    "VolumeAttributesClass",
  ),
};
