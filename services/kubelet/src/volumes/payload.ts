// The files that ConfigMaps, Secrets and the downward API make in a volume. Pure.
// https://kubernetes.io/docs/concepts/storage/volumes/
import type { ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret } from "@coxswain/api";
import { podField, resourceField } from "../pods/pod-fields.ts";
import type { FileContent, Payload } from "./atomic-writer.ts";

/** What a source names and does not have; the message is upstream's. */
export class SourceError extends Error {
  override readonly name = "SourceError";
}

export interface KeyOptions {
  /** Absent: all keys, each as a file of its name. */
  readonly items: readonly KeyToPath[] | undefined;
  readonly mode: number;
  readonly optional: boolean;
}

/** An object that is not there counts as empty: whether that may be is for the caller to say. Throws SourceError. */
export function configMapPayload(object: ConfigMap | undefined, options: KeyOptions): Payload {
  const data = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(text, "utf8"));
  for (const [key, text] of Object.entries(object?.binaryData ?? {})) data.set(key, Buffer.from(text, "base64"));
  return selectKeys(data, options, "configmap references non-existent config key");
}

/** As configMapPayload. */
export function secretPayload(object: Secret | undefined, options: KeyOptions): Payload {
  const data = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(object?.data ?? {})) data.set(key, Buffer.from(text, "base64"));
  return selectKeys(data, options, "references non-existent secret key");
}

function selectKeys(data: ReadonlyMap<string, Uint8Array>, options: KeyOptions, complaint: string): Payload {
  const { items, mode, optional } = options;
  if (items === undefined || items.length === 0) {
    return new Map([...data].map(([key, bytes]): [string, FileContent] => [key, { data: bytes, mode }]));
  }
  const files = new Map<string, FileContent>();
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes !== undefined) files.set(item.path, { data: bytes, mode: item.mode ?? mode });
    else if (!optional) throw new SourceError(`${complaint}: ${item.key}`);
  }
  return files;
}

/** Throws FieldError. */
export function downwardPayload(
  items: readonly DownwardAPIVolumeFile[],
  { pod, mode, allocatable }: { pod: Pod; mode: number; allocatable: Readonly<Record<string, string>> },
): Payload {
  const files = new Map<string, FileContent>();
  for (const item of items) {
    const { fieldRef, resourceFieldRef } = item;
    const text =
      fieldRef !== undefined
        ? podField(pod, fieldRef.fieldPath)
        : resourceFieldRef === undefined
          ? ""
          : resourceField(resourceFieldRef, { pod, container: undefined, allocatable });
    files.set(item.path, { data: Buffer.from(text, "utf8"), mode: item.mode ?? mode });
  }
  return files;
}
