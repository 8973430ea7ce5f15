// The roles and bindings that every cluster starts with, as data. Names and powers match upstream's, so that charts and
// people find what they expect. One row a rule: "verbs | API groups | resources | resource names"; a core group is "core".
// Rows that start with "url" grant paths. Nodes have their rules by the Node authorizer: the role of the same name is bound to
// nobody, as upstream.
import type { ClusterRole, ClusterRoleBinding, PolicyRule, RbacSubject, Role, RoleBinding } from "@coxswain/api";

const READ = "get,list,watch";
const WRITE = "create,update,patch,delete,deletecollection";
const ALL = `${WRITE},${READ}`;
const EVENTS = "create,patch,update | core,events.k8s.io | events";
const REVIEWS = [
  "create | authentication.k8s.io | tokenreviews",
  "create | authorization.k8s.io | subjectaccessreviews",
] as const;
const HEALTH = "/livez,/readyz,/healthz";

const split = (text: string): string[] => text.split(",").map((part) => part.trim());

function ruleOf(row: string): PolicyRule {
  const [verbs = "", groups = "", resources = "", names = ""] = row.split("|").map((cell) => cell.trim());
  if (groups === "url") return { verbs: split(verbs), nonResourceURLs: split(resources) };
  const rule: PolicyRule = {
    verbs: split(verbs),
    apiGroups: split(groups).map((group) => (group === "core" ? "" : group)),
    resources: split(resources),
  };
  if (names !== "") rule.resourceNames = split(names);
  return rule;
}

const VIEW: readonly string[] = [
  `${READ} | core | configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status`,
  `${READ} | core | bindings,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status`,
  `${READ} | core | namespaces`,
  `${READ} | core,events.k8s.io | events`,
  `${READ} | discovery.k8s.io | endpointslices`,
  `${READ} | apps | controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status`,
  `${READ} | autoscaling | horizontalpodautoscalers,horizontalpodautoscalers/status`,
  `${READ} | batch | cronjobs,cronjobs/status,jobs,jobs/status`,
  `${READ} | policy | poddisruptionbudgets,poddisruptionbudgets/status`,
  `${READ} | networking.k8s.io | ingresses,ingresses/status,networkpolicies`,
  `${READ} | resource.k8s.io | resourceclaims,resourceclaims/status,resourceclaimtemplates`,
  // The group is gone; upstream grants it still.
  `${READ} | extensions | daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale`,
];

const EDIT: readonly string[] = [
  `${READ} | core | pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy`,
  "impersonate | core | serviceaccounts",
  `${WRITE} | core | pods,pods/attach,pods/exec,pods/portforward,pods/proxy`,
  "create | core | pods/eviction",
  `${WRITE} | core | configmaps,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy`,
  "create | core | serviceaccounts/token",
  `${WRITE} | core,events.k8s.io | events`,
  `${WRITE} | apps | daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale`,
  `${WRITE} | autoscaling | horizontalpodautoscalers`,
  `${WRITE} | batch | cronjobs,jobs`,
  `${WRITE} | policy | poddisruptionbudgets`,
  `${WRITE} | networking.k8s.io | ingresses,networkpolicies`,
  `${ALL} | coordination.k8s.io | leases`,
  `${WRITE} | resource.k8s.io | resourceclaims,resourceclaimtemplates`,
  `${WRITE} | extensions | daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale`,
];

const ADMIN: readonly string[] = [
  "create | authorization.k8s.io | localsubjectaccessreviews",
  `${ALL} | rbac.authorization.k8s.io | rolebindings,roles`,
];

const NODE: readonly string[] = [
  "create | authentication.k8s.io | tokenreviews",
  "create | authorization.k8s.io | localsubjectaccessreviews,subjectaccessreviews",
  `${READ} | core | services`,
  `create,${READ} | core | nodes`,
  "patch,update | core | nodes,nodes/status",
  "create,patch,update | core,events.k8s.io | events",
  `${READ},create,delete | core | pods`,
  "patch,update | core | pods/status",
  "create | core | pods/eviction",
  `${READ} | core | configmaps,secrets`,
  "get | core | endpoints,persistentvolumeclaims,serviceaccounts",
  // Beyond upstream's `get`: a kubelet removes the folders of volumes on its own disk. The Node authorizer and NodeRestriction
  // hold it to those.
  `${READ},update | core | persistentvolumes`,
  "get,patch,update | core | persistentvolumeclaims/status",
  `create,${READ} | certificates.k8s.io | certificatesigningrequests,podcertificaterequests`,
  `${READ} | certificates.k8s.io | clustertrustbundles`,
  "create,delete,get,patch,update | coordination.k8s.io | leases",
  "create | core | serviceaccounts/token",
  "get | storage.k8s.io | volumeattachments",
  `${READ} | storage.k8s.io | csidrivers`,
  "create,delete,get,patch,update | storage.k8s.io | csinodes",
  `${READ} | node.k8s.io | runtimeclasses`,
  "get | resource.k8s.io | resourceclaims",
  // Of its own slices alone, the Node authorizer sees to that.
  `${READ},create,delete,deletecollection,patch,update | resource.k8s.io | resourceslices`,
];

const SCHEDULER: readonly string[] = [
  EVENTS,
  "create | coordination.k8s.io | leases",
  `${READ},update | coordination.k8s.io | leases | kube-scheduler`,
  `${ALL} | coordination.k8s.io | leasecandidates`,
  `${READ} | core | namespaces,nodes,persistentvolumeclaims,persistentvolumes,replicationcontrollers,services`,
  `${READ},delete | core | pods`,
  "create | core | bindings,pods/binding",
  "patch,update | core | pods/status",
  "update | core | pods/finalizers",
  `${READ} | apps | replicasets,statefulsets`,
  `${READ} | extensions | replicasets`,
  `${READ} | policy | poddisruptionbudgets`,
  ...REVIEWS,
  `${READ} | storage.k8s.io | csidrivers,csinodes,csistoragecapacities,volumeattachments`,
  `${READ} | resource.k8s.io | deviceclasses,resourceslices`,
  `${READ},patch,update | resource.k8s.io | resourceclaims,resourceclaims/status`,
];

const CONTROLLER_MANAGER: readonly string[] = [
  EVENTS,
  "create | coordination.k8s.io | leases",
  "get,update | coordination.k8s.io | leases | kube-controller-manager",
  "create,delete,get,update | core | secrets",
  "create,get,update | core | serviceaccounts",
  "get | core | configmaps,namespaces",
  ...REVIEWS,
  "list,watch | * | *",
  "create | core | serviceaccounts/token",
];

const ROLES: Readonly<Record<string, readonly string[]>> = {
  "cluster-admin": ["* | * | *", "* | url | *"],
  "system:discovery": [`get | url | ${HEALTH},/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*`],
  "system:monitoring": [
    `get | url | /metrics,/metrics/slis,${HEALTH},/livez/*,/readyz/*,/healthz/*`,
    "get | core | nodes/metrics",
  ],
  "system:basic-user": [
    "create | authorization.k8s.io | selfsubjectaccessreviews,selfsubjectrulesreviews",
    "create | authentication.k8s.io | selfsubjectreviews",
  ],
  "system:public-info-viewer": [`get | url | ${HEALTH},/version,/version/`],
  "system:aggregate-to-admin": ADMIN,
  "system:aggregate-to-edit": EDIT,
  "system:aggregate-to-view": VIEW,
  "system:auth-delegator": REVIEWS,
  "system:node": NODE,
  "system:node-proxier": [
    "list,watch | core | endpoints,services",
    `${READ} | core | nodes`,
    EVENTS,
    "list,watch | networking.k8s.io | servicecidrs",
    // `get` besides upstream's verbs: changes too large for the change feed are fetched one by one.
    `${READ} | discovery.k8s.io | endpointslices`,
    "get | core | services",
  ],
  // Upstream's add-on comes with manifests of its own; ours is a process that makes its Service itself.
  "system:cluster-dns": [
    `${READ} | core | endpoints,namespaces,pods,services`,
    "create,delete,update | core | services",
    `${READ},create,delete,update | discovery.k8s.io | endpointslices`,
  ],
  // The same of our metrics-server. Upstream's reads nodes/metrics from the kubelets over HTTPS, ours ListStats over gRPC.
  "system:metrics-server": [
    "get | core | nodes/metrics",
    "post | url | /coxswain.kubelet.v1.Kubelet/ListStats",
    `${READ} | core | namespaces,nodes,pods`,
    "create,get,update | core | services",
    "create,get,update | discovery.k8s.io | endpointslices",
    "create,get,update | apiregistration.k8s.io | apiservices",
  ],
  // Upstream leaves the autoscaler's role to whoever installs it. Ours asks a scheduler where pods would go.
  "system:cluster-autoscaler": [
    EVENTS,
    "create | coordination.k8s.io | leases",
    "get,update | coordination.k8s.io | leases | cluster-autoscaler",
    `${READ},delete,patch | core | nodes`,
    `${READ} | core | namespaces,pods`,
    "create | core | pods/eviction",
    `${READ} | apps | daemonsets`,
    `${READ} | policy | poddisruptionbudgets`,
    "post | url | /coxswain.scheduler.v1.Scheduler/WhatIf",
  ],
  "system:aggregated-metrics-reader": [`${READ} | metrics.k8s.io | nodes,pods`],
  "system:kube-scheduler": SCHEDULER,
  "system:volume-scheduler": [
    `${READ},patch,update | core | persistentvolumes`,
    `${READ} | storage.k8s.io | storageclasses`,
    `${READ},patch,update | core | persistentvolumeclaims`,
  ],
  "system:kube-controller-manager": CONTROLLER_MANAGER,
  // For add-ons that others install.
  "system:heapster": [`${READ} | core | events,namespaces,nodes,pods`, `${READ} | extensions | deployments`],
  "system:kube-aggregator": [`${READ} | core | endpoints,services`],
  "system:node-problem-detector": ["get | core | nodes", "patch | core | nodes/status", EVENTS],
  "system:persistent-volume-provisioner": [
    `${READ},create,delete | core | persistentvolumes`,
    `${READ},update | core | persistentvolumeclaims`,
    `${READ} | storage.k8s.io | storageclasses`,
    "watch | core | events",
    EVENTS,
  ],
  "system:kube-dns": ["list,watch | core | endpoints,services", "get,list,watch | discovery.k8s.io | endpointslices"],
  "system:kubelet-api-admin": [
    `${READ},proxy | core | nodes`,
    "* | core | nodes/configz,nodes/healthz,nodes/log,nodes/metrics,nodes/pods,nodes/proxy,nodes/stats",
  ],
  "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
    "create | certificates.k8s.io | certificatesigningrequests/nodeclient",
  ],
  "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
    "create | certificates.k8s.io | certificatesigningrequests/selfnodeclient",
  ],
  "system:certificates.k8s.io:kube-apiserver-client-approver": [
    "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client",
  ],
  "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": [
    "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet",
  ],
  "system:certificates.k8s.io:kubelet-serving-approver": [
    "approve | certificates.k8s.io | signers | kubernetes.io/kubelet-serving",
  ],
  "system:certificates.k8s.io:legacy-unknown-approver": [
    "approve | certificates.k8s.io | signers | kubernetes.io/legacy-unknown",
  ],
  "system:node-bootstrapper": [`create,${READ} | certificates.k8s.io | certificatesigningrequests`],
  "system:service-account-issuer-discovery": [
    "get | url | /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/",
  ],
};

/** Roles system:controller:NAME, each bound to its service account and to the controller-manager's own identity. */
const CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  "deployment-controller": [
    `${READ},update | apps,extensions | deployments`,
    "update | apps,extensions | deployments/finalizers,deployments/status",
    `${READ},create,delete,patch,update | apps,extensions | replicasets`,
    `${READ},update | core | pods`,
    EVENTS,
  ],
  "replicaset-controller": [
    `${READ},update | apps,extensions | replicasets`,
    "update | apps,extensions | replicasets/finalizers,replicasets/status",
    "create,delete,list,patch,watch | core | pods",
    EVENTS,
  ],
  "replication-controller": [
    `${READ},update | core | replicationcontrollers`,
    "update | core | replicationcontrollers/finalizers,replicationcontrollers/status",
    "create,delete,list,patch,watch | core | pods",
    EVENTS,
  ],
  "endpoint-controller": [
    `${READ} | core | pods,services`,
    `${READ},create,delete,update | core | endpoints`,
    "create | core | endpoints/restricted",
    EVENTS,
  ],
  "endpointslicemirroring-controller": [
    `${READ} | core | endpoints,services`,
    "update | core | endpoints/finalizers,services/finalizers",
    `${READ},create,delete,update | discovery.k8s.io | endpointslices`,
    EVENTS,
  ],
  "endpointslice-controller": [
    `${READ} | core | nodes,pods,services`,
    "update | core | services/finalizers",
    `${READ},create,delete,update | discovery.k8s.io | endpointslices`,
    EVENTS,
  ],
  "namespace-controller": [
    `${READ},delete | core | namespaces`,
    "update | core | namespaces/finalize,namespaces/status",
    `${READ},delete,deletecollection | * | *`,
  ],
  "disruption-controller": [
    `${READ} | apps | deployments,replicasets,statefulsets`,
    `${READ} | extensions | deployments,replicasets`,
    `${READ} | core | replicationcontrollers`,
    `${READ} | policy | poddisruptionbudgets`,
    `${READ},patch | core | pods`,
    "update | policy | poddisruptionbudgets/status",
    "patch,update | core | pods/status",
    "get | * | */scale",
    EVENTS,
  ],
  "service-account-controller": ["create | core | serviceaccounts", EVENTS],
  "root-ca-cert-publisher": ["create,update | core | configmaps", EVENTS],
  "node-controller": [
    `${READ},delete,patch,update | core | nodes`,
    "patch,update | core | nodes/status,pods/status",
    `${READ},delete | core | pods`,
    EVENTS,
  ],
  "generic-garbage-collector": [`${READ},delete,patch,update | * | *`, EVENTS],
  "pod-garbage-collector": ["delete,list,watch | core | pods", `${READ} | core | nodes`, "patch | core | pods/status"],
  "clusterrole-aggregation-controller": [`escalate,${READ},patch,update | rbac.authorization.k8s.io | clusterroles`],
  "certificate-controller": [
    `${READ},delete | certificates.k8s.io | certificatesigningrequests`,
    "update | certificates.k8s.io | certificatesigningrequests/approval,certificatesigningrequests/status",
    "approve | certificates.k8s.io | signers | kubernetes.io/kube-apiserver-client-kubelet",
    "sign | certificates.k8s.io | signers | kubernetes.io/legacy-unknown,kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving",
    "create | authorization.k8s.io | subjectaccessreviews",
    EVENTS,
  ],
  "daemon-set-controller": [
    `${READ} | apps,extensions | daemonsets`,
    "update | apps,extensions | daemonsets/finalizers,daemonsets/status",
    "list,watch | core | nodes",
    "create,delete,list,patch,watch | core | pods",
    "create | core | pods/binding",
    `${READ},create,delete,patch,update | apps | controllerrevisions`,
    EVENTS,
  ],
  "statefulset-controller": [
    `${READ},create,delete,patch,update | core | pods`,
    `${READ} | apps | statefulsets`,
    "update | apps | statefulsets/finalizers,statefulsets/status",
    `${READ},create,delete,patch,update | apps | controllerrevisions`,
    `${READ},create,delete,update | core | persistentvolumeclaims`,
    "update | core | pods/finalizers",
    EVENTS,
  ],
  "persistent-volume-binder": [
    `${READ},create,delete,update | core | persistentvolumes`,
    "update | core | persistentvolumes/status",
    `${READ},update | core | persistentvolumeclaims`,
    "update | core | persistentvolumeclaims/status",
    `${READ},create,delete | core | pods`,
    `${READ} | storage.k8s.io | storageclasses`,
    "create,delete,get,update | core | endpoints,services",
    "get | core | secrets",
    `${READ} | core | nodes`,
    "watch | core,events.k8s.io | events",
    EVENTS,
  ],
  "attachdetach-controller": [
    "list,watch | core | persistentvolumeclaims,persistentvolumes,pods",
    `${READ} | core | nodes`,
    "patch,update | core | nodes/status",
    "create,delete,get,list,watch | storage.k8s.io | volumeattachments",
    `${READ} | storage.k8s.io | csidrivers,csinodes`,
    EVENTS,
  ],
  "expand-controller": [
    `${READ},patch,update | core | persistentvolumes`,
    `${READ} | core | persistentvolumeclaims`,
    "patch,update | core | persistentvolumeclaims/status",
    `${READ} | storage.k8s.io | storageclasses`,
    "get | core | services",
    EVENTS,
  ],
  "ephemeral-volume-controller": [
    `${READ} | core | pods`,
    "update | core | pods/finalizers",
    `create,${READ} | core | persistentvolumeclaims`,
    EVENTS,
  ],
  "resource-claim-controller": [
    `${READ} | core | pods`,
    "update | core | pods/finalizers",
    `${READ},create,delete | resource.k8s.io | resourceclaims`,
    "patch,update | resource.k8s.io | resourceclaims,resourceclaims/status",
    "patch,update | core | pods/status",
    EVENTS,
  ],
  "pvc-protection-controller": [`${READ},update | core | persistentvolumeclaims`, `${READ} | core | pods`, EVENTS],
  "pv-protection-controller": [`${READ},update | core | persistentvolumes`, EVENTS],
  // Upstream has no provisioner of its own.
  "node-disk-provisioner": [
    `${READ},create,delete,update | core | persistentvolumes`,
    `${READ},update | core | persistentvolumeclaims`,
    `${READ} | storage.k8s.io | storageclasses`,
    `${READ} | core | nodes`,
    EVENTS,
  ],
  "service-cidrs-controller": [
    `${READ},patch,update | networking.k8s.io | servicecidrs`,
    "patch,update | networking.k8s.io | servicecidrs/finalizers,servicecidrs/status",
    `${READ} | networking.k8s.io | ipaddresses`,
    EVENTS,
  ],
  "ttl-controller": ["list,patch,update,watch | core | nodes", EVENTS],
  "ttl-after-finished-controller": [`${READ},delete | batch | jobs`, EVENTS],
  "job-controller": [
    `${READ},patch,update | batch | jobs`,
    "update | batch | jobs/finalizers,jobs/status",
    "create,delete,list,patch,watch | core | pods",
    EVENTS,
  ],
  "horizontal-pod-autoscaler": [
    `${READ} | autoscaling | horizontalpodautoscalers`,
    "update | autoscaling | horizontalpodautoscalers/status",
    "get,update | * | */scale",
    "list,watch | core | pods",
    "list,watch | metrics.k8s.io | pods",
    `${READ} | custom.metrics.k8s.io | *`,
    `${READ} | external.metrics.k8s.io | *`,
    EVENTS,
  ],
  "cronjob-controller": [
    `${READ},update | batch | cronjobs`,
    `${READ},create,delete,patch,update | batch | jobs`,
    "update | batch | cronjobs/finalizers,cronjobs/status",
    "delete,list,watch | core | pods",
    EVENTS,
  ],
};

/** As CONTROLLERS, of controllers that are no part of the controller-manager here: bound to their service accounts alone. */
const OTHER_CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  "legacy-service-account-token-cleaner": [
    "get | core | configmaps | kube-apiserver-legacy-service-account-token-tracking",
    "delete,patch | core | secrets",
  ],
  "resourcequota-controller": ["list,watch | * | *", "update | core | resourcequotas/status", EVENTS],
  "route-controller": ["list,watch | core | nodes", "patch | core | nodes/status", EVENTS],
  "selinux-warning-controller": [
    `${READ} | core | persistentvolumeclaims,persistentvolumes,pods`,
    `${READ} | storage.k8s.io | csidrivers`,
    EVENTS,
  ],
  "service-controller": [
    `${READ} | core | services`,
    "patch,update | core | services/status",
    "list,watch | core | nodes",
    EVENTS,
  ],
  "validatingadmissionpolicy-status-controller": [
    `${READ} | admissionregistration.k8s.io | validatingadmissionpolicies`,
    "get,patch,update | admissionregistration.k8s.io | validatingadmissionpolicies/status",
    EVENTS,
  ],
  "volumeattributesclass-protection-controller": [
    `${READ} | core | persistentvolumeclaims,persistentvolumes`,
    `${READ},update | storage.k8s.io | volumeattributesclasses`,
    EVENTS,
  ],
};

const group = (name: string): RbacSubject => ({ kind: "Group", apiGroup: "rbac.authorization.k8s.io", name });
const user = (name: string): RbacSubject => ({ kind: "User", apiGroup: "rbac.authorization.k8s.io", name });
const serviceAccount = (name: string): RbacSubject => ({ kind: "ServiceAccount", namespace: "kube-system", name });

const BINDINGS: Readonly<Record<string, readonly RbacSubject[]>> = {
  "cluster-admin": [group("system:masters")],
  "system:monitoring": [group("system:monitoring")],
  "system:discovery": [group("system:authenticated")],
  "system:basic-user": [group("system:authenticated")],
  "system:public-info-viewer": [group("system:authenticated"), group("system:unauthenticated")],
  "system:node-proxier": [user("system:kube-proxy")],
  // Upstream's kube-proxy lets anybody read its ports; ours asks the api-server who may.
  "system:auth-delegator": [
    user("system:kube-proxy"),
    user("system:metrics-server"),
    user("system:cluster-autoscaler"),
  ],
  "system:metrics-server": [user("system:metrics-server")],
  "system:cluster-autoscaler": [user("system:cluster-autoscaler")],
  "system:kube-controller-manager": [user("system:kube-controller-manager")],
  "system:cluster-dns": [user("system:cluster-dns")],
  "system:kube-dns": [serviceAccount("kube-dns")],
  "system:kube-scheduler": [user("system:kube-scheduler")],
  "system:volume-scheduler": [user("system:kube-scheduler")],
  "system:node": [],
  "system:service-account-issuer-discovery": [group("system:serviceaccounts")],
};

/** What earlier versions bound, before the Node authorizer allowed nodes what they may. */
export const FORMER_SUBJECTS: Readonly<Record<string, RbacSubject>> = {
  "system:node": group("system:nodes"),
  "system:node-pack": group("system:node-packs"),
};

/** What the Node authorizer goes by. */
export const nodeRules = (): PolicyRule[] => NODE.map(ruleOf);

const LABELS = { "kubernetes.io/bootstrapping": "rbac-defaults" };
const ANNOTATIONS = { "rbac.authorization.kubernetes.io/autoupdate": "true" };
const aggregateTo = (name: string): string => `rbac.authorization.k8s.io/aggregate-to-${name}`;

function clusterRole(name: string, rules: readonly string[], labels: Record<string, string> = {}): ClusterRole {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name, labels: { ...LABELS, ...labels }, annotations: { ...ANNOTATIONS } },
    rules: rules.map(ruleOf),
  };
}

function aggregatedRole(name: string, rules: readonly string[], labels: Record<string, string>): ClusterRole {
  return {
    ...clusterRole(name, rules, labels),
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregateTo(name)]: "true" } }] },
  };
}

function clusterRoleBinding(name: string, subjects: readonly RbacSubject[]): ClusterRoleBinding {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRoleBinding",
    metadata: { name, labels: { ...LABELS }, annotations: { ...ANNOTATIONS } },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
    subjects: [...subjects],
  };
}

const EXTENSION_READER = "extension-apiserver-authentication-reader";
const LOCKING = "create,get,list,update,watch | coordination.k8s.io | leasecandidates,leases";

/** A Role, and the RoleBinding of the same name that grants it unless `binding` names another. */
interface Grant {
  readonly namespace: string;
  readonly role: string;
  readonly binding?: string;
  readonly rules: readonly string[];
  readonly subjects: readonly RbacSubject[];
}

const GRANTS: readonly Grant[] = [
  {
    namespace: "kube-system",
    role: EXTENSION_READER,
    binding: `system::${EXTENSION_READER}`,
    rules: [`${READ} | core | configmaps | extension-apiserver-authentication`],
    subjects: ["kube-controller-manager", "kube-scheduler", "metrics-server"].map((name) => user(`system:${name}`)),
  },
  {
    namespace: "kube-system",
    role: "system:cluster-autoscaler",
    rules: ["create | core | configmaps", "get,update | core | configmaps | cluster-autoscaler-status"],
    subjects: [user("system:cluster-autoscaler")],
  },
  {
    namespace: "kube-system",
    role: "system::leader-locking-kube-controller-manager",
    rules: [LOCKING],
    subjects: [
      user("system:kube-controller-manager"),
      serviceAccount("kube-controller-manager"),
      serviceAccount("leader-election-controller"),
    ],
  },
  {
    namespace: "kube-system",
    role: "system::leader-locking-kube-scheduler",
    rules: [LOCKING],
    subjects: [user("system:kube-scheduler"), serviceAccount("kube-scheduler")],
  },
  {
    namespace: "kube-public",
    role: "system:controller:bootstrap-signer",
    rules: [`${READ} | core | configmaps`, "update | core | configmaps | cluster-info", EVENTS],
    subjects: [serviceAccount("bootstrap-signer")],
  },
  {
    namespace: "kube-system",
    role: "system:controller:bootstrap-signer",
    rules: [`${READ} | core | secrets`],
    subjects: [serviceAccount("bootstrap-signer")],
  },
  {
    namespace: "kube-system",
    role: "system:controller:cloud-provider",
    rules: [`create,${READ} | core | configmaps`],
    subjects: [serviceAccount("cloud-provider")],
  },
  {
    namespace: "kube-system",
    role: "system:controller:token-cleaner",
    rules: [`delete,${READ} | core | secrets`, EVENTS],
    subjects: [serviceAccount("token-cleaner")],
  },
];

function namespaced(name: string, namespace: string): Pick<Role, "apiVersion" | "metadata"> {
  return {
    apiVersion: "rbac.authorization.k8s.io/v1",
    metadata: { name, namespace, labels: { ...LABELS }, annotations: { ...ANNOTATIONS } },
  };
}

/** The Roles of a fresh cluster. */
export function defaultRoles(): Role[] {
  return GRANTS.map(({ namespace, role, rules }) => ({
    ...namespaced(role, namespace),
    kind: "Role",
    rules: rules.map(ruleOf),
  }));
}

/** The RoleBindings of a fresh cluster. */
export function defaultRoleBindings(): RoleBinding[] {
  return GRANTS.map(({ namespace, role, binding = role, subjects }) => ({
    ...namespaced(binding, namespace),
    kind: "RoleBinding",
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role },
    subjects: [...subjects],
  }));
}

/** The ClusterRoles of a fresh cluster. */
export function defaultClusterRoles(): ClusterRole[] {
  const labelled = (name: string): Record<string, string> => {
    if (name === "system:aggregated-metrics-reader") {
      return Object.fromEntries(["admin", "edit", "view"].map((target) => [aggregateTo(target), "true"]));
    }
    const target = /^system:aggregate-to-(.*)$/.exec(name)?.[1];
    return target === undefined ? {} : { [aggregateTo(target)]: "true" };
  };
  return [
    ...Object.entries(ROLES).map(([name, rules]) => clusterRole(name, rules, labelled(name))),
    aggregatedRole("admin", [...ADMIN, ...EDIT, ...VIEW], {}),
    aggregatedRole("edit", [...EDIT, ...VIEW], { [aggregateTo("admin")]: "true" }),
    aggregatedRole("view", VIEW, { [aggregateTo("edit")]: "true" }),
    ...Object.entries({ ...CONTROLLERS, ...OTHER_CONTROLLERS }).map(([name, rules]) =>
      clusterRole(`system:controller:${name}`, rules),
    ),
  ];
}

/** The ClusterRoleBindings of a fresh cluster. */
export function defaultClusterRoleBindings(): ClusterRoleBinding[] {
  const manager = user("system:kube-controller-manager");
  return [
    ...Object.entries(BINDINGS).map(([name, subjects]) => clusterRoleBinding(name, subjects)),
    ...Object.keys(CONTROLLERS).map((name) =>
      clusterRoleBinding(`system:controller:${name}`, [serviceAccount(name), manager]),
    ),
    ...Object.keys(OTHER_CONTROLLERS).map((name) =>
      clusterRoleBinding(`system:controller:${name}`, [serviceAccount(name)]),
    ),
  ];
}
