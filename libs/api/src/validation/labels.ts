// Labels, annotations and taints-and-tolerations effects.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldTooLong, validateLabelValue, validateQualifiedName } from "@coxswain/apimachinery";

/** What all annotations of an object may weigh: 256 KiB. */
const MAX_ANNOTATION_BYTES = 256 * 1024;

export function validateLabels(labels: Record<string, string> | undefined, path: string): FieldError[] {
  return Object.entries(labels ?? {}).flatMap(([key, value]) => [
    ...validateQualifiedName(key).map((message) => fieldInvalid(path, key, message)),
    ...validateLabelValue(value).map((message) => fieldInvalid(path, value, message)),
  ]);
}

/** Labels as errors show them: Go writes maps in order of their keys. */
export function inOrder(labels: Record<string, string> | undefined): Record<string, string> | undefined {
  if (labels === undefined) return undefined;
  return Object.fromEntries(
    Object.keys(labels)
      .toSorted()
      .map((key) => [key, labels[key]!]),
  );
}

/** Keys are compared in lower case, as upstream does. */
export function validateAnnotations(annotations: Record<string, string> | undefined, path: string): FieldError[] {
  let bytes = 0;
  const errors: FieldError[] = [];
  for (const [key, value] of Object.entries(annotations ?? {})) {
    errors.push(...validateQualifiedName(key.toLowerCase()).map((message) => fieldInvalid(path, key, message)));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_ANNOTATION_BYTES) errors.push(fieldTooLong(path, MAX_ANNOTATION_BYTES));
  return errors;
}
