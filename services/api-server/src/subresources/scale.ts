// The scale subresource: the replicas of any kind that has them, seen and set as an autoscaling/v1 Scale.
import type { KindDefinition, Scale } from "@coxswain/api";
import { fieldInvalid, newConflict, newInvalid, newNotFound, type KubeObject } from "@coxswain/apimachinery";
import type { CachedObject } from "../watch-cache/cached-object.ts";

export const SCALE_REF = { group: "autoscaling", version: "v1", resource: "scales" };

export function scaleOf(kind: KindDefinition, parent: KubeObject): Scale {
  const access = kind.scale;
  if (access === undefined) throw newNotFound(kind, `${parent.metadata?.name ?? ""}/scale`);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = parent.metadata ?? {};
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: access.replicas(parent) },
    status: { replicas: access.statusReplicas(parent), selector: access.selector(parent) },
  };
}

/** The parent with the replicas that `scale` asks for. */
export function applyScale(kind: KindDefinition, old: CachedObject, scale: Scale): KubeObject {
  const meta = scale.metadata ?? {};
  const parent = old.copy();
  const stale = meta.resourceVersion && meta.resourceVersion !== parent.metadata?.resourceVersion;
  if (stale || (meta.uid && meta.uid !== parent.metadata?.uid)) throw newConflict(kind, old.name);
  return setScale(kind, parent, scale);
}

/** Gives `parent` the replicas that `scale` asks for. */
export function setScale(kind: KindDefinition, parent: KubeObject, scale: Scale): KubeObject {
  validateScale(scale, parent.metadata?.name ?? "");
  kind.scale?.setReplicas(parent, scale.spec?.replicas ?? 0);
  return parent;
}

function validateScale(scale: Scale, name: string): void {
  const replicas = scale.spec?.replicas ?? 0;
  if (replicas >= 0) return;
  throw newInvalid({ group: "autoscaling", kind: "Scale" }, name, [
    fieldInvalid("spec.replicas", replicas, "must be greater than or equal to 0"),
  ]);
}
