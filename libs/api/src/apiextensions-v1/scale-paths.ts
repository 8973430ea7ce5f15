// The scale subresource of a custom resource: where its replicas stand.
import { fieldInvalid, getOwn, isJsonObject, setOwn, type FieldError } from "@coxswain/apimachinery";
import type { ScaleAccess } from "../kind.ts";
import type { ScalePaths } from "./types.ts";

const MAX_INT32 = 2 ** 31 - 1;

const partsOf = (path: string): string[] => path.replace(/^\./, "").split(".");

function valueAt(object: unknown, path: string): unknown {
  let value = object;
  for (const part of partsOf(path)) value = isJsonObject(value) ? getOwn(value, part) : undefined;
  return value;
}

function numberAt(object: unknown, path: string): number {
  const value = valueAt(object, path);
  return typeof value === "number" ? value : 0;
}

/** Sets a value, making the objects on the way to it. */
function setAt(object: Record<string, unknown>, path: string, value: unknown): void {
  const parts = partsOf(path);
  const last = parts.pop() as string;
  let parent = object;
  for (const part of parts) {
    let next = getOwn(parent, part);
    if (!isJsonObject(next)) {
      next = {};
      setOwn(parent, part, next);
    }
    parent = next as Record<string, unknown>;
  }
  setOwn(parent, last, value);
}

export function scaleAccess(paths: ScalePaths): ScaleAccess<Record<string, unknown>> {
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = paths;
  return {
    replicas: (object) => numberAt(object, specReplicasPath),
    setReplicas: (object, replicas) => setAt(object, specReplicasPath, replicas),
    statusReplicas: (object) => numberAt(object, statusReplicasPath),
    selector(object) {
      const value = labelSelectorPath === undefined ? undefined : valueAt(object, labelSelectorPath);
      return typeof value === "string" ? value : "";
    },
  };
}

/** Replicas that are set must be numbers that a Scale can show. */
export function validateScaleValues(object: unknown, paths: ScalePaths | undefined): FieldError[] {
  if (paths === undefined) return [];
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = paths;
  const errors = [specReplicasPath, statusReplicasPath].flatMap((path) => validateReplicas(object, path));
  const selector = labelSelectorPath === undefined ? undefined : valueAt(object, labelSelectorPath);
  if (selector === undefined || typeof selector === "string") return errors;
  return [...errors, fieldInvalid(labelSelectorPath as string, selector, "must be a string")];
}

function validateReplicas(object: unknown, path: string): FieldError[] {
  const value = valueAt(object, path);
  if (value === undefined) return [];
  if (typeof value !== "number" || !Number.isInteger(value)) return [fieldInvalid(path, value, "must be an integer")];
  if (value < 0) return [fieldInvalid(path, value, "should be a non-negative integer")];
  if (value > MAX_INT32) return [fieldInvalid(path, value, `should be less than or equal to ${MAX_INT32}`)];
  return [];
}
