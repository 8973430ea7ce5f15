// The order in which clients should prefer versions: v2, v1, v1beta2, v1beta1, v1alpha1, then the rest by name.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#version-priority

const STAGES = ["alpha", "beta", ""];

function parse(version: string): readonly [number, number, number] | undefined {
  const parts = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (parts === null) return undefined;
  return [STAGES.indexOf(parts[2] ?? ""), Number(parts[1]), Number(parts[3] ?? 0)];
}

/** Negative where `a` comes first. */
export function compareVersions(a: string, b: string): number {
  const left = parse(a);
  const right = parse(b);
  if (left === undefined || right === undefined) {
    if (left !== undefined) return -1;
    if (right !== undefined) return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  return right[0] - left[0] || right[1] - left[1] || right[2] - left[2];
}
