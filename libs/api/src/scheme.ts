// Every kind that Coxswain knows, by resource and by kind. A kind is registered here and nowhere else.
import { apiVersionOf, type GroupVersionKind, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import { validatingAdmissionPolicyKind } from "./admissionregistration-v1/policies.ts";
import { validatingAdmissionPolicyBindingKind } from "./admissionregistration-v1/policies.ts";
import { validatingWebhookConfigurationKind } from "./admissionregistration-v1/webhook-configurations.ts";
import { mutatingWebhookConfigurationKind } from "./admissionregistration-v1/webhook-configurations.ts";
import { mutatingAdmissionPolicyBindingKind } from "./admissionregistration-v1beta1/mutating-policies.ts";
import { mutatingAdmissionPolicyKind } from "./admissionregistration-v1beta1/mutating-policies.ts";
import { customResourceDefinitionKind } from "./apiextensions-v1/custom-resource-definition/custom-resource-definition.ts";
import { apiServiceKind } from "./apiregistration-v1/api-service/api-service.ts";
import { controllerRevisionKind } from "./apps-v1/controller-revision/controller-revision.ts";
import { daemonSetKind } from "./apps-v1/daemon-set/daemon-set.ts";
import { deploymentKind } from "./apps-v1/deployment/deployment.ts";
import { replicaSetKind } from "./apps-v1/replica-set/replica-set.ts";
import { statefulSetKind } from "./apps-v1/stateful-set/stateful-set.ts";
import { selfSubjectReviewKind } from "./authentication-v1/self-subject-review/self-subject-review.ts";
import { tokenRequestKind } from "./authentication-v1/token-request/token-request.ts";
import { tokenReviewKind } from "./authentication-v1/token-review/token-review.ts";
import { localSubjectAccessReviewKind } from "./authorization-v1/local-subject-access-review/local-subject-access-review.ts";
import { selfSubjectAccessReviewKind } from "./authorization-v1/self-subject-access-review/self-subject-access-review.ts";
import { selfSubjectRulesReviewKind } from "./authorization-v1/self-subject-rules-review/self-subject-rules-review.ts";
import { subjectAccessReviewKind } from "./authorization-v1/subject-access-review/subject-access-review.ts";
import { horizontalPodAutoscalerV1Kind } from "./autoscaling-v1/horizontal-pod-autoscaler/horizontal-pod-autoscaler.ts";
import { scaleKind } from "./autoscaling-v1/scale/scale.ts";
import { horizontalPodAutoscalerKind } from "./autoscaling-v2/horizontal-pod-autoscaler/horizontal-pod-autoscaler.ts";
import { cronJobKind } from "./batch-v1/cron-job/cron-job.ts";
import { jobKind } from "./batch-v1/job/job.ts";
import { certificateSigningRequestKind } from "./certificates-v1/certificate-signing-request/certificate-signing-request.ts";
import { leaseKind } from "./coordination-v1/lease/lease.ts";
import { bindingKind } from "./core-v1/binding/binding.ts";
import { componentStatusKind } from "./core-v1/component-status/component-status.ts";
import { configMapKind } from "./core-v1/config-map/config-map.ts";
import { endpointsKind } from "./core-v1/endpoints/endpoints.ts";
import { eventKind } from "./core-v1/event/event.ts";
import { limitRangeKind } from "./core-v1/limit-range/limit-range.ts";
import { namespaceKind } from "./core-v1/namespace/namespace.ts";
import { nodeKind } from "./core-v1/node/node.ts";
import { persistentVolumeClaimKind } from "./core-v1/persistent-volume-claim/persistent-volume-claim.ts";
import { persistentVolumeKind } from "./core-v1/persistent-volume/persistent-volume.ts";
import { podTemplateKind } from "./core-v1/pod-template/pod-template.ts";
import { podKind } from "./core-v1/pod/pod.ts";
import { replicationControllerKind } from "./core-v1/replication-controller/replication-controller.ts";
import { resourceQuotaKind } from "./core-v1/resource-quota/resource-quota.ts";
import { secretKind } from "./core-v1/secret/secret.ts";
import { serviceAccountKind } from "./core-v1/service-account/service-account.ts";
import { serviceKind } from "./core-v1/service/service.ts";
import { endpointSliceKind } from "./discovery-v1/endpoint-slice/endpoint-slice.ts";
import { eventsEventKind } from "./events-v1/event/event.ts";
import { flowSchemaKind } from "./flowcontrol-v1/flow-schema/flow-schema.ts";
import { priorityLevelConfigurationKind } from "./flowcontrol-v1/priority-level-configuration/priority-level-configuration.ts";
import { ingressClassKind } from "./networking-v1/ingress-class/ingress-class.ts";
import { ingressKind } from "./networking-v1/ingress/ingress.ts";
import { ipAddressKind } from "./networking-v1/ip-address/ip-address.ts";
import { networkPolicyKind } from "./networking-v1/network-policy/network-policy.ts";
import { serviceCidrKind } from "./networking-v1/service-cidr/service-cidr.ts";
import { runtimeClassKind } from "./node-v1/runtime-class/runtime-class.ts";
import { evictionKind } from "./policy-v1/eviction/eviction.ts";
import { podDisruptionBudgetKind } from "./policy-v1/pod-disruption-budget/pod-disruption-budget.ts";
import { clusterRoleBindingKind } from "./rbac-v1/cluster-role-binding/cluster-role-binding.ts";
import { clusterRoleKind } from "./rbac-v1/cluster-role/cluster-role.ts";
import { roleBindingKind } from "./rbac-v1/role-binding/role-binding.ts";
import { roleKind } from "./rbac-v1/role/role.ts";
import { resourceSliceKind } from "./resource-v1/resource-kinds.ts";
import { deviceClassKind } from "./resource-v1/resource-kinds.ts";
import { resourceClaimTemplateKind } from "./resource-v1/resource-kinds.ts";
import { resourceClaimKind } from "./resource-v1/resource-kinds.ts";
import { priorityClassKind } from "./scheduling-v1/priority-class/priority-class.ts";
import { csiDriverKind } from "./storage-v1/csi-driver/csi-driver.ts";
import { csiNodeKind } from "./storage-v1/csi-node/csi-node.ts";
import { csiStorageCapacityKind } from "./storage-v1/csi-storage-capacity/csi-storage-capacity.ts";
import { storageClassKind } from "./storage-v1/storage-class/storage-class.ts";
import { volumeAttachmentKind } from "./storage-v1/volume-attachment/volume-attachment.ts";
import { volumeAttributesClassKind } from "./storage-v1/volume-attributes-class/volume-attributes-class.ts";
import type { KindDefinition } from "./kind.ts";

const KINDS: readonly KindDefinition[] = [
  bindingKind,
  componentStatusKind,
  configMapKind,
  endpointsKind,
  eventKind,
  limitRangeKind,
  namespaceKind,
  nodeKind,
  persistentVolumeClaimKind,
  persistentVolumeKind,
  podTemplateKind,
  podKind,
  replicationControllerKind,
  resourceQuotaKind,
  secretKind,
  serviceAccountKind,
  serviceKind,
  controllerRevisionKind,
  daemonSetKind,
  deploymentKind,
  replicaSetKind,
  statefulSetKind,
  selfSubjectReviewKind,
  tokenRequestKind,
  tokenReviewKind,
  localSubjectAccessReviewKind,
  selfSubjectAccessReviewKind,
  selfSubjectRulesReviewKind,
  subjectAccessReviewKind,
  scaleKind,
  customResourceDefinitionKind,
  cronJobKind,
  jobKind,
  leaseKind,
  endpointSliceKind,
  evictionKind,
  podDisruptionBudgetKind,
  clusterRoleBindingKind,
  clusterRoleKind,
  roleBindingKind,
  roleKind,
  ingressKind,
  ingressClassKind,
  networkPolicyKind,
  serviceCidrKind,
  ipAddressKind,
  storageClassKind,
  volumeAttributesClassKind,
  volumeAttachmentKind,
  csiDriverKind,
  csiNodeKind,
  csiStorageCapacityKind,
  priorityClassKind,
  runtimeClassKind,
  horizontalPodAutoscalerKind,
  mutatingWebhookConfigurationKind,
  validatingWebhookConfigurationKind,
  validatingAdmissionPolicyKind,
  validatingAdmissionPolicyBindingKind,
  mutatingAdmissionPolicyKind,
  mutatingAdmissionPolicyBindingKind,
  apiServiceKind,
  certificateSigningRequestKind,
  flowSchemaKind,
  priorityLevelConfigurationKind,
  resourceClaimKind,
  resourceClaimTemplateKind,
  deviceClassKind,
  resourceSliceKind,
  // Further forms of kinds above.
  eventsEventKind,
  horizontalPodAutoscalerV1Kind,
];

const key = (group: string, version: string, name: string) => `${group}/${version}/${name}`;
const BY_RESOURCE = new Map(KINDS.map((kind) => [key(kind.group, kind.version, kind.resource), kind]));
const BY_KIND = new Map(KINDS.map((kind) => [key(kind.group, kind.version, kind.kind), kind]));

/** All kinds, those that are never stored included (`stored` is false there). */
export function allKinds(): readonly KindDefinition[] {
  return KINDS;
}

/** The kind that a plural resource name means; undefined where it is not known. */
export function kindFor(ref: ResourceRef): KindDefinition | undefined {
  return BY_RESOURCE.get(key(ref.group, ref.version, ref.resource));
}

export function kindForGvk(gvk: GroupVersionKind): KindDefinition | undefined {
  return BY_KIND.get(key(gvk.group, gvk.version, gvk.kind));
}

/** The kind as which objects of `kind` are stored: itself, but for kinds that are another form of it. */
export function storedKindOf(kind: KindDefinition): KindDefinition {
  return kind.form?.of ?? kind;
}

type GroupResource = Pick<ResourceRef, "group" | "resource">;

/** Resources whose objects are those of a resource of another group, by group and name. */
const ELSEWHERE = new Map<string, Map<string, GroupResource>>();
for (const { group, resource, form } of KINDS) {
  if (form === undefined || (form.of.group === group && form.of.resource === resource)) continue;
  const home = { group: form.of.group, resource: form.of.resource };
  ELSEWHERE.set(group, (ELSEWHERE.get(group) ?? new Map<string, GroupResource>()).set(resource, home));
}

/** The resource under which objects of `ref` are stored: itself, but for another group's form of a resource. */
export function storedResource(ref: GroupResource): GroupResource {
  return ELSEWHERE.get(ref.group)?.get(ref.resource) ?? ref;
}

/** Built-in kinds by the kind that is stored, where there are several. */
const FORMS = new Map<KindDefinition, KindDefinition[]>();
for (const kind of KINDS) {
  if (kind.form === undefined) continue;
  const forms = FORMS.get(kind.form.of) ?? [kind.form.of];
  FORMS.set(kind.form.of, [...forms, kind]);
}

/** All built-in kinds that are forms of the same objects, the stored one first; undefined where there is only one. */
export function formsOf(kind: KindDefinition): readonly KindDefinition[] | undefined {
  return FORMS.get(storedKindOf(kind));
}

/** A whole object of `from` in the form of `to`, which is a form of the same stored kind. May share parts with `object`. */
export function convertForm(from: KindDefinition, to: KindDefinition, object: KubeObject): KubeObject {
  if (from === to) return object;
  const stored = from.form?.toStored(object) ?? object;
  const converted = to.form?.fromStored(stored) ?? stored;
  return { ...converted, kind: to.kind, apiVersion: apiVersionOf(to) };
}
