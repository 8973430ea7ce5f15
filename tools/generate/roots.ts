// Where the declarations are, and which kinds the model starts from; nested types follow by themselves.

export interface Package {
  readonly name: string;
  readonly repo: "api" | "apimachinery";
  readonly path: string;
  /** Of OpenAPI names. */
  readonly prefix: string;
  readonly group: string;
  readonly version: string;
}

const api = (name: string, group: string): Package => ({
  name,
  repo: "api",
  path: `${name}/v1/types.go`,
  prefix: `io.k8s.api.${name}.v1`,
  group,
  version: "v1",
});

export const PACKAGES: readonly Package[] = [
  {
    name: "meta",
    repo: "apimachinery",
    path: "pkg/apis/meta/v1/types.go",
    prefix: "io.k8s.apimachinery.pkg.apis.meta.v1",
    group: "",
    version: "v1",
  },
  api("core", ""),
  api("apps", "apps"),
  api("authentication", "authentication.k8s.io"),
  api("authorization", "authorization.k8s.io"),
  api("autoscaling", "autoscaling"),
  api("coordination", "coordination.k8s.io"),
  api("discovery", "discovery.k8s.io"),
  api("policy", "policy"),
  api("rbac", "rbac.authorization.k8s.io"),
];

const withList = (kinds: readonly string[]): string[] => kinds.flatMap((kind) => [kind, `${kind}List`]);

export const KIND_ROOTS: Readonly<Record<string, readonly string[]>> = {
  meta: ["DeleteOptions", "Status", "CreateOptions", "UpdateOptions", "PatchOptions", "ListOptions", "GetOptions"],
  core: [
    ...withList(["Namespace", "Node", "Pod", "Service", "ConfigMap", "Secret", "ServiceAccount", "Event"]),
    "Binding",
    "PodExecOptions",
    "PodAttachOptions",
    "PodLogOptions",
    "PodPortForwardOptions",
    "PodProxyOptions",
  ],
  apps: withList(["Deployment", "ReplicaSet", "ControllerRevision"]),
  authentication: ["TokenRequest", "TokenReview", "SelfSubjectReview"],
  authorization: [
    "SubjectAccessReview",
    "LocalSubjectAccessReview",
    "SelfSubjectAccessReview",
    "SelfSubjectRulesReview",
  ],
  autoscaling: ["Scale"],
  coordination: withList(["Lease"]),
  discovery: withList(["EndpointSlice"]),
  policy: ["Eviction"],
  rbac: withList(["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]),
};
