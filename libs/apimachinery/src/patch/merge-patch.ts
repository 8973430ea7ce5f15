// JSON Merge Patch (RFC 7386): objects merge, null removes, everything else replaces.
import { deepClone, getOwn, isJsonObject, setOwn } from "../deep.ts";

/** Returns the patched document and changes neither argument. Shares with `target` what the patch leaves as it is. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return deepClone(patch);
  const result: Record<string, unknown> = {};
  if (isJsonObject(target)) {
    for (const key of Object.keys(target)) {
      if (!Object.hasOwn(patch, key)) setOwn(result, key, target[key]);
      else if (patch[key] !== null) setOwn(result, key, undefined);
    }
  }
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) continue;
    setOwn(result, key, applyMergePatch(isJsonObject(target) ? getOwn(target, key) : undefined, value));
  }
  return result;
}
