// Versions of a workload's template as ControllerRevisions: which one holds now, and which are too old to be kept. Pure.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/controller-revision-v1/
import type { ControllerRevision, PodTemplateSpec } from "@coxswain/api";
import { deepClone, deepEqual, type KubeObject } from "@coxswain/apimachinery";
import { canonical, templateHash } from "../deployment/template-hash.ts";
import { controllerReference } from "../ownership/controller-ref.ts";

/** On pods, and on revisions of a DaemonSet. */
export const REVISION_LABEL = "controller-revision-hash";
/** On revisions of a StatefulSet, whose pods bear the revision's name. */
const HASH_LABEL = "controller.kubernetes.io/hash";

/**
 * What of the owner a revision holds: a patch that puts its template in place. Its members are in order, as clients compare
 * it by its bytes.
 */
export function revisionData(template: PodTemplateSpec): object {
  return { spec: { template: canonical({ ...template, $patch: "replace" }) } };
}

/** The template that a revision holds; undefined where it holds none. */
export function templateOf(revision: ControllerRevision): PodTemplateSpec | undefined {
  const data = revision.data as { spec?: { template?: PodTemplateSpec & { $patch?: string } } } | undefined;
  const template = data?.spec?.template;
  if (template === undefined) return undefined;
  const { $patch: _patch, ...rest } = deepClone(template);
  return rest;
}

export const numberOf = (revision: ControllerRevision): number => revision.revision ?? 0;

export const byNumber = (revisions: readonly ControllerRevision[]): ControllerRevision[] =>
  revisions.toSorted(
    (a, b) => numberOf(a) - numberOf(b) || ((a.metadata?.name ?? "") < (b.metadata?.name ?? "") ? -1 : 1),
  );

export interface RevisionPlan {
  /** What the template is now. */
  readonly current: ControllerRevision;
  /** Whether it is stored; stored with another number; or not at all. */
  readonly action: "keep" | "renumber" | "create";
}

interface Owner {
  readonly object: KubeObject;
  readonly apiVersion: string;
  readonly kind: string;
  readonly template: PodTemplateSpec;
  readonly collisionCount: number;
}

/** A template that was used before is used again under its old name, with the highest number. */
export function planRevision(owner: Owner, revisions: readonly ControllerRevision[]): RevisionPlan {
  const sorted = byNumber(revisions);
  const last = sorted.at(-1);
  const next = (last === undefined ? 0 : numberOf(last)) + 1;
  const data = revisionData(owner.template);
  const same = sorted.findLast((revision) => deepEqual(revision.data, data));
  if (same !== undefined && same === last) return { current: same, action: "keep" };
  if (same !== undefined) return { current: { ...same, revision: next }, action: "renumber" };
  const { name = "", namespace, annotations } = owner.object.metadata ?? {};
  const label = owner.kind === "StatefulSet" ? HASH_LABEL : REVISION_LABEL;
  const hash = templateHash(owner.template, owner.collisionCount);
  const current: ControllerRevision = {
    apiVersion: "apps/v1",
    kind: "ControllerRevision",
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels: { ...owner.template.metadata?.labels, [label]: hash },
      // Among them is the cause of the change, which the history shows.
      ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
      ownerReferences: [controllerReference(owner.object, owner.apiVersion, owner.kind)],
    },
    data,
    revision: next,
  };
  return { current, action: "create" };
}

/** Those beyond the limit that no pod is of, oldest first. */
export function surplusRevisions(
  revisions: readonly ControllerRevision[],
  inUse: (revision: ControllerRevision) => boolean,
  limit: number,
): ControllerRevision[] {
  const idle = byNumber(revisions).filter((revision) => !inUse(revision));
  return idle.slice(0, Math.max(0, idle.length - limit));
}
