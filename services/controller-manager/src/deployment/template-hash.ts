// The pod-template-hash label: tells the ReplicaSets of a Deployment apart. Guarantees: equal templates hash equally,
// whatever the order of their members; only characters that are safe in names and spell no words.
import type { PodTemplateSpec } from "@coxswain/api";
import { deepEqual } from "@coxswain/apimachinery";

export const TEMPLATE_HASH_LABEL = "pod-template-hash";
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** A copy with the members of all objects in order, without those that are undefined. */
export function canonical(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(canonical);
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([key, at]) => [key, canonical(at)]));
}

/** FNV-1a over the template's canonical JSON and the collision count. */
export function templateHash(template: PodTemplateSpec, collisionCount: number): string {
  const text = `${JSON.stringify(canonical(withoutHash(template)))}#${collisionCount}`;
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return String(hash).replace(/\d/g, (digit) => ALPHABET.charAt(digit.charCodeAt(0) % ALPHABET.length));
}

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const { [TEMPLATE_HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {};
  // The server adds a null creationTimestamp to templates that went through some clients.
  const { creationTimestamp: __, ...metadata } = template.metadata ?? {};
  const hasLabels = Object.keys(labels).length > 0;
  return { ...template, metadata: { ...metadata, labels: hasLabels ? labels : undefined } };
}

/** True where the pods of both would be the same. */
export function sameTemplate(a: PodTemplateSpec, b: PodTemplateSpec): boolean {
  return deepEqual(withoutHash(a), withoutHash(b));
}
