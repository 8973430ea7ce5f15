// What becomes of a CustomResourceDefinition: its names are accepted where nobody in its group has them, then it is
// established; a definition that is being deleted goes when its objects are gone. Pure.
import {
  CRD_FINALIZER,
  withCondition,
} from "@coxswain/api/apiextensions-v1/custom-resource-definition/custom-resource-definition";
import { validateConversionBundle } from "@coxswain/api/apiextensions-v1/custom-resource-definition/conversion";
import {
  APPROVAL_ANNOTATION,
  approvalOf,
  isProtectedGroup,
} from "@coxswain/api/apiextensions-v1/custom-resource-definition/validation";
import {
  crdCondition,
  crdConditionTrue,
  type CrdCondition,
  type CrdNames,
  type CustomResourceDefinition,
} from "@coxswain/api/apiextensions-v1/types";
import { aggregateText, deepEqual, quote } from "@coxswain/apimachinery";

type Condition = Omit<CrdCondition, "lastTransitionTime">;
type Names = Partial<CrdNames>;

interface Claimed {
  readonly resources: ReadonlySet<string>;
  readonly kinds: ReadonlySet<string>;
}

/** The names that other definitions of the group have been given. */
function claimedByOthers(crd: CustomResourceDefinition, all: readonly CustomResourceDefinition[]): Claimed {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const other of all) {
    if (other.spec.group !== crd.spec.group || other.metadata?.name === crd.metadata?.name) continue;
    const { plural, singular, shortNames = [], kind, listKind } = other.status?.acceptedNames ?? {};
    for (const name of [plural, singular, ...shortNames]) if (name) resources.add(name);
    for (const name of [kind, listKind]) if (name) kinds.add(name);
  }
  return { resources, kinds };
}

interface Verdict {
  readonly names: Names;
  readonly condition: Condition;
}

/** Takes over each name that is free; one that is not keeps its accepted value, and the condition says so. */
function acceptNames(crd: CustomResourceDefinition, claimed: Claimed): Verdict {
  const wanted = crd.spec.names;
  const before = crd.status?.acceptedNames ?? {};
  const names: Names = { ...before };
  let conflict: Condition | undefined;
  const refuse = (reason: string, taken: readonly string[]): void => {
    const texts = taken.map((name) => `${quote(name)} is already in use`);
    const message = aggregateText(texts);
    conflict = { type: "NamesAccepted", status: "False", reason, message };
  };
  const single = (
    field: "plural" | "singular" | "kind" | "listKind",
    used: ReadonlySet<string>,
    reason: string,
  ): void => {
    const name = wanted[field] ?? "";
    if (name !== before[field] && used.has(name)) refuse(reason, [name]);
    else names[field] = name;
  };
  single("plural", claimed.resources, "PluralConflict");
  single("singular", claimed.resources, "SingularConflict");
  const taken = (wanted.shortNames ?? []).filter(
    (name) => !before.shortNames?.includes(name) && claimed.resources.has(name),
  );
  if (taken.length > 0) refuse("ShortNamesConflict", taken);
  else if (wanted.shortNames !== undefined) names.shortNames = wanted.shortNames;
  else delete names.shortNames;
  single("kind", claimed.kinds, "KindConflict");
  single("listKind", claimed.kinds, "ListKindConflict");
  if (wanted.categories !== undefined) names.categories = wanted.categories;
  else delete names.categories;
  const accepted = { type: "NamesAccepted", status: "True", reason: "NoConflicts", message: "no conflicts found" };
  return { names, condition: conflict ?? accepted };
}

function establish(crd: CustomResourceDefinition, accepted: boolean): Condition | undefined {
  if (crdConditionTrue(crd, "Established")) return undefined;
  const type = "Established";
  if (!accepted) return { type, status: "False", reason: "NotAccepted", message: "not all names are accepted" };
  if (validateConversionBundle(crd.spec).length > 0) {
    return { type, status: "False", reason: "InvalidCABundle", message: "The conversion webhook CABundle is invalid" };
  }
  return { type, status: "True", reason: "InitialNamesAccepted", message: "the initial names have been accepted" };
}

const APPROVALS = {
  approved: ["True", "ApprovedAnnotation"],
  bypassed: ["False", "UnapprovedAnnotation"],
  missing: ["False", "MissingAnnotation"],
  invalid: ["False", "InvalidAnnotation"],
} as const;

function approve(crd: CustomResourceDefinition): Condition | undefined {
  if (!isProtectedGroup(crd.spec.group)) return undefined;
  const { state, reason: message } = approvalOf(crd.metadata?.annotations?.[APPROVAL_ANNOTATION]);
  const [status, reason] = APPROVALS[state];
  return { type: "KubernetesAPIApprovalPolicyConformant", status, reason, message };
}

/** The definition with its status as it should be; undefined where it is so already. */
export function planStatus(
  crd: CustomResourceDefinition,
  all: readonly CustomResourceDefinition[],
  nowMs: number,
): CustomResourceDefinition | undefined {
  const { names, condition } = acceptNames(crd, claimedByOthers(crd, all));
  let next: CustomResourceDefinition = { ...crd, status: { ...crd.status, acceptedNames: names } };
  for (const each of [condition, establish(crd, condition.status === "True"), approve(crd)]) {
    if (each !== undefined) next = withStatus(next, each, nowMs);
  }
  return deepEqual(next.status, crd.status) ? undefined : next;
}

/** A condition that says what it said before stays as it is. */
function withStatus(crd: CustomResourceDefinition, condition: Condition, nowMs: number): CustomResourceDefinition {
  const { lastTransitionTime: _time, ...before } = crdCondition(crd, condition.type) ?? {};
  if (deepEqual(before, condition)) return crd;
  return { ...crd, status: { ...crd.status, conditions: withCondition(crd, condition, nowMs) } };
}

/** True where the definition waits for its objects to go. */
export function waitsForObjects(crd: CustomResourceDefinition): boolean {
  return crd.metadata?.deletionTimestamp !== undefined && crd.metadata.finalizers?.includes(CRD_FINALIZER) === true;
}

/** The definition as it says that its objects are being deleted; undefined where it does already. */
export function planDeleting(crd: CustomResourceDefinition, nowMs: number): CustomResourceDefinition | undefined {
  const message = "CustomResource deletion is in progress";
  const next = withStatus(crd, terminating("True", "InstanceDeletionInProgress", message), nowMs);
  return next === crd ? undefined : next;
}

/** The definition without its finalizer. */
export function planGone(crd: CustomResourceDefinition, nowMs: number): CustomResourceDefinition {
  const condition = crdConditionTrue(crd, "Established")
    ? terminating("False", "InstanceDeletionCompleted", "removed all instances")
    : terminating("False", "NeverEstablished", "resource was never established");
  const finalizers = crd.metadata?.finalizers?.filter((each) => each !== CRD_FINALIZER) ?? [];
  return { ...withStatus(crd, condition, nowMs), metadata: { ...crd.metadata, finalizers } };
}

function terminating(status: string, reason: string, message: string): Condition {
  return { type: "Terminating", status, reason, message };
}
