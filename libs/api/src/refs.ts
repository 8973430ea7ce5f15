// The resources that components speak of, by name.
import type { ResourceRef } from "@coxswain/apimachinery";

const core = (resource: string): ResourceRef => ({ group: "", version: "v1", resource });
const apps = (resource: string): ResourceRef => ({ group: "apps", version: "v1", resource });
const rbac = (resource: string): ResourceRef => ({ group: "rbac.authorization.k8s.io", version: "v1", resource });

export const NAMESPACES = core("namespaces");
export const NODES = core("nodes");
export const PODS = core("pods");
export const SERVICES = core("services");
export const CONFIG_MAPS = core("configmaps");
export const RESOURCE_QUOTAS = core("resourcequotas");
export const SECRETS = core("secrets");
export const SERVICE_ACCOUNTS = core("serviceaccounts");
export const EVENTS = core("events");
export const DEPLOYMENTS = apps("deployments");
export const REPLICA_SETS = apps("replicasets");
export const ENDPOINT_SLICES: ResourceRef = { group: "discovery.k8s.io", version: "v1", resource: "endpointslices" };
export const LEASES: ResourceRef = { group: "coordination.k8s.io", version: "v1", resource: "leases" };
export const PRIORITY_CLASSES: ResourceRef = { group: "scheduling.k8s.io", version: "v1", resource: "priorityclasses" };
export const ROLES = rbac("roles");
export const ROLE_BINDINGS = rbac("rolebindings");
export const CLUSTER_ROLES = rbac("clusterroles");
export const CLUSTER_ROLE_BINDINGS = rbac("clusterrolebindings");
export const CUSTOM_RESOURCE_DEFINITIONS: ResourceRef = {
  group: "apiextensions.k8s.io",
  version: "v1",
  resource: "customresourcedefinitions",
};
export const HORIZONTAL_POD_AUTOSCALERS: ResourceRef = {
  group: "autoscaling",
  version: "v2",
  resource: "horizontalpodautoscalers",
};
export const API_SERVICES: ResourceRef = { group: "apiregistration.k8s.io", version: "v1", resource: "apiservices" };
export const POD_DISRUPTION_BUDGETS: ResourceRef = {
  group: "policy",
  version: "v1",
  resource: "poddisruptionbudgets",
};
export const JOBS: ResourceRef = { group: "batch", version: "v1", resource: "jobs" };
export const CRON_JOBS: ResourceRef = { group: "batch", version: "v1", resource: "cronjobs" };
export const DAEMON_SETS = apps("daemonsets");
export const CONTROLLER_REVISIONS = apps("controllerrevisions");
export const STATEFUL_SETS = apps("statefulsets");
export const PERSISTENT_VOLUME_CLAIMS = core("persistentvolumeclaims");
export const REPLICATION_CONTROLLERS = core("replicationcontrollers");
export const ENDPOINTS = core("endpoints");
export const CERTIFICATE_SIGNING_REQUESTS: ResourceRef = {
  group: "certificates.k8s.io",
  version: "v1",
  resource: "certificatesigningrequests",
};
export const SUBJECT_ACCESS_REVIEWS: ResourceRef = {
  group: "authorization.k8s.io",
  version: "v1",
  resource: "subjectaccessreviews",
};
export const SERVICE_CIDRS: ResourceRef = { group: "networking.k8s.io", version: "v1", resource: "servicecidrs" };
export const IP_ADDRESSES: ResourceRef = { group: "networking.k8s.io", version: "v1", resource: "ipaddresses" };
export const PERSISTENT_VOLUMES = core("persistentvolumes");

const storage = (resource: string): ResourceRef => ({ group: "storage.k8s.io", version: "v1", resource });
export const STORAGE_CLASSES = storage("storageclasses");
export const CSI_NODES = storage("csinodes");
export const CSI_DRIVERS = storage("csidrivers");
export const CSI_STORAGE_CAPACITIES = storage("csistoragecapacities");
export const VOLUME_ATTACHMENTS = storage("volumeattachments");

const devices = (resource: string): ResourceRef => ({ group: "resource.k8s.io", version: "v1", resource });
export const RESOURCE_CLAIMS = devices("resourceclaims");
export const RESOURCE_CLAIM_TEMPLATES = devices("resourceclaimtemplates");
export const DEVICE_CLASSES = devices("deviceclasses");
export const RESOURCE_SLICES = devices("resourceslices");
