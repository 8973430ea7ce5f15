// What protection does with an object next: a finalizer keeps it while it is in use. Pure.
import type { KubeObject } from "@coxswain/apimachinery";

/** "release": take the finalizer away, where nothing uses the object. */
export function planProtection({ metadata }: KubeObject, finalizer: string): "protect" | "release" | "nothing" {
  const protectedNow = metadata?.finalizers?.includes(finalizer) === true;
  if (metadata?.deletionTimestamp !== undefined) return protectedNow ? "release" : "nothing";
  return protectedNow ? "nothing" : "protect";
}

export function withFinalizer<T extends KubeObject>(object: T, finalizer: string): T {
  return {
    ...object,
    metadata: { ...object.metadata, finalizers: [...(object.metadata?.finalizers ?? []), finalizer] },
  };
}

export function withoutFinalizer<T extends KubeObject>(object: T, finalizer: string): T {
  const finalizers = (object.metadata?.finalizers ?? []).filter((one) => one !== finalizer);
  const { finalizers: _before, ...metadata } = object.metadata ?? {};
  return { ...object, metadata: finalizers.length === 0 ? metadata : { ...metadata, finalizers } };
}
