// Equality as the Kubernetes API means it: a field that is absent equals one that holds its zero value, wherever the
// wire cannot tell the two apart. Clients written in Go drop zero values when they send an object back.

/** Numbers and booleans whose absence means 0 or false; for all others absence is a value of its own. */
const ZERO_WHEN_ABSENT = new Set([
  "hostIPC",
  "hostNetwork",
  "hostPID",
  "hostPort",
  "initialDelaySeconds",
  "minReadySeconds",
  "nodePort",
  "healthCheckNodePort",
  "paused",
  "publishNotReadyAddresses",
  "readOnly",
  "stdin",
  "stdinOnce",
  "tty",
  "unschedulable",
]);

function isEmpty(value: unknown, key: string): boolean {
  if (value === undefined || value === null || value === "") return true;
  if (value === 0 || value === false) return ZERO_WHEN_ABSENT.has(key);
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value !== "object") return false;
  for (const name in value) if (!isEmpty((value as Record<string, unknown>)[name], name)) return false;
  return true;
}

/** True where `a` and `b` mean the same. `key` is the name of the field that holds them. */
export function sameValue(a: unknown, b: unknown, key = ""): boolean {
  if (a === b) return true;
  const empty = isEmpty(a, key);
  if (empty !== isEmpty(b, key)) return false;
  if (empty) return true;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => sameValue(item, b[index]))
    );
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const name in left) if (!sameValue(left[name], right[name], name)) return false;
  for (const name in right) if (!Object.hasOwn(left, name) && !isEmpty(right[name], name)) return false;
  return true;
}
