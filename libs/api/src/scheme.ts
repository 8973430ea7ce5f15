// Every kind that Coxswain knows, by resource and by kind. A kind is registered here and nowhere else.
import type { GroupVersionKind, ResourceRef } from "@coxswain/apimachinery";
import { customResourceDefinitionKind } from "./apiextensions-v1/custom-resource-definition/custom-resource-definition.ts";
import { deploymentKind } from "./apps-v1/deployment/deployment.ts";
import { replicaSetKind } from "./apps-v1/replica-set/replica-set.ts";
import { selfSubjectReviewKind } from "./authentication-v1/self-subject-review/self-subject-review.ts";
import { tokenRequestKind } from "./authentication-v1/token-request/token-request.ts";
import { tokenReviewKind } from "./authentication-v1/token-review/token-review.ts";
import { localSubjectAccessReviewKind } from "./authorization-v1/local-subject-access-review/local-subject-access-review.ts";
import { selfSubjectAccessReviewKind } from "./authorization-v1/self-subject-access-review/self-subject-access-review.ts";
import { selfSubjectRulesReviewKind } from "./authorization-v1/self-subject-rules-review/self-subject-rules-review.ts";
import { subjectAccessReviewKind } from "./authorization-v1/subject-access-review/subject-access-review.ts";
import { scaleKind } from "./autoscaling-v1/scale/scale.ts";
import { leaseKind } from "./coordination-v1/lease/lease.ts";
import { bindingKind } from "./core-v1/binding/binding.ts";
import { configMapKind } from "./core-v1/config-map/config-map.ts";
import { eventKind } from "./core-v1/event/event.ts";
import { namespaceKind } from "./core-v1/namespace/namespace.ts";
import { nodeKind } from "./core-v1/node/node.ts";
import { podKind } from "./core-v1/pod/pod.ts";
import { secretKind } from "./core-v1/secret/secret.ts";
import { serviceAccountKind } from "./core-v1/service-account/service-account.ts";
import { serviceKind } from "./core-v1/service/service.ts";
import { endpointSliceKind } from "./discovery-v1/endpoint-slice/endpoint-slice.ts";
import type { KindDefinition } from "./kind.ts";
import { evictionKind } from "./policy-v1/eviction/eviction.ts";
import { clusterRoleBindingKind } from "./rbac-v1/cluster-role-binding/cluster-role-binding.ts";
import { clusterRoleKind } from "./rbac-v1/cluster-role/cluster-role.ts";
import { roleBindingKind } from "./rbac-v1/role-binding/role-binding.ts";
import { roleKind } from "./rbac-v1/role/role.ts";

const KINDS: readonly KindDefinition[] = [
  bindingKind,
  configMapKind,
  eventKind,
  namespaceKind,
  nodeKind,
  podKind,
  secretKind,
  serviceAccountKind,
  serviceKind,
  deploymentKind,
  replicaSetKind,
  selfSubjectReviewKind,
  tokenRequestKind,
  tokenReviewKind,
  localSubjectAccessReviewKind,
  selfSubjectAccessReviewKind,
  selfSubjectRulesReviewKind,
  subjectAccessReviewKind,
  scaleKind,
  customResourceDefinitionKind,
  leaseKind,
  endpointSliceKind,
  evictionKind,
  clusterRoleBindingKind,
  clusterRoleKind,
  roleBindingKind,
  roleKind,
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
