// The newest versions of objects that this process knows: the informer's, or those that its own writes brought and the informer
// has not shown yet. Guarantee: an object never goes back to an older version; what the informer reports as deleted is gone.
import { compareResourceVersions, objectKey, type KubeObject } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";

export interface Newest<T> {
  get(key: string): T | undefined;
  list(): T[];
  /** A write's answer. */
  note(object: T): void;
}

const versionOf = (object: KubeObject): string => object.metadata?.resourceVersion ?? "0";

/** Before the informer's start. */
export function followNewest<T extends KubeObject>(informer: SharedInformer<T>): Newest<T> {
  const written = new Map<string, T>();
  const drop = (object: T): void => {
    const key = objectKey(object);
    const own = written.get(key);
    if (own !== undefined && compareResourceVersions(versionOf(own), versionOf(object)) <= 0) written.delete(key);
  };
  informer.addHandler({ add: drop, update: drop, delete: (object) => void written.delete(objectKey(object)) });
  const newer = (object: T): T => {
    const own = written.get(objectKey(object));
    return own === undefined || compareResourceVersions(versionOf(own), versionOf(object)) <= 0 ? object : own;
  };
  return {
    get: (key) => {
      const known = informer.lister.get(key);
      return known === undefined ? undefined : newer(known);
    },
    list: () => informer.lister.list().map(newer),
    note: (object) => {
      const key = objectKey(object);
      const known = informer.lister.get(key);
      if (known !== undefined && compareResourceVersions(versionOf(known), versionOf(object)) < 0)
        written.set(key, object);
    },
  };
}
