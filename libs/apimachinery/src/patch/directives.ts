// The directives of a strategic merge patch, and how values that enter the document lose them.
import { goText } from "../quote.ts";
import type { StatusError } from "../status-error.ts";
import { newUnnamedRefusal } from "../status-factories.ts";
import { deepClone, isJsonObject, setOwn } from "../deep.ts";

export const DIRECTIVE = "$patch";
export const RETAIN_KEYS = "$retainKeys";
export const ELEMENT_ORDER = "$setElementOrder/";
export const DELETE_FROM_PRIMITIVE_LIST = "$deleteFromPrimitiveList/";

function isDirective(key: string): boolean {
  return (
    key === DIRECTIVE ||
    key === RETAIN_KEYS ||
    key.startsWith(ELEMENT_ORDER) ||
    key.startsWith(DELETE_FROM_PRIMITIVE_LIST)
  );
}

/** True for what says itself how it is merged: where there is nothing to merge it with, it is nothing. */
export function directsItself(value: unknown): boolean {
  return isJsonObject(value) && value[DIRECTIVE] !== undefined;
}

/** A copy without what directs itself, at any depth. */
export function withoutSelfDirected(value: unknown): unknown {
  if (Array.isArray(value))
    return value.filter((each) => !directsItself(each)).map((each) => withoutSelfDirected(each));
  if (!isJsonObject(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value))
    if (!directsItself(value[key])) setOwn(copy, key, withoutSelfDirected(value[key]));
  return copy;
}

/** A copy without directives, at any depth; elements that say `$patch: delete` disappear with it. */
export function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value
      .filter((each) => !(isJsonObject(each) && each[DIRECTIVE] !== undefined && each[DIRECTIVE] !== "merge"))
      .map((each) => withoutDirectives(each));
  }
  if (!isJsonObject(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) if (!isDirective(key)) setOwn(copy, key, withoutDirectives(value[key]));
  return copy;
}

export function unknownPatchType(directive: unknown, map: Record<string, unknown>): StatusError {
  return newUnnamedRefusal(`unknown patch type: ${goText(directive)} in map: ${goText(map)}`);
}

/** A copy in which no object has a null member: a null that matches nothing means nothing. */
export function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map((each: unknown) => (isJsonObject(each) ? withoutNulls(each) : deepClone(each)));
  if (!isJsonObject(value)) return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) if (value[key] !== null) setOwn(copy, key, withoutNulls(value[key]));
  return copy;
}
