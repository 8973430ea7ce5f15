// Labels of nodes that have newer names, or mean nothing any more, and what upstream says of those who ask for them.
import { childPath, indexPath, validateLabelValue } from "@coxswain/apimachinery";
import type { NodeSelectorTerm } from "../types.gen.ts";

/** The newer names of labels. */
export const NEWER_LABELS: Readonly<Record<string, string>> = {
  "beta.kubernetes.io/arch": "kubernetes.io/arch",
  "beta.kubernetes.io/os": "kubernetes.io/os",
  "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
  "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
};
const OLD_LABELS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.entries(NEWER_LABELS).map(([old, now]) => {
      const since = now === "kubernetes.io/arch" || now === "kubernetes.io/os" ? "v1.14" : "v1.17";
      return [old, `deprecated since ${since}; use "${now}" instead`];
    }),
  ),
  "app.kubernetes.io/created-by": "deprecated since v1.9",
  "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
  "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
};

/** What to say of a label; undefined of one that is fine. */
export function oldLabelMessage(key: string | undefined): string | undefined {
  return key !== undefined && Object.hasOwn(OLD_LABELS, key) ? OLD_LABELS[key] : undefined;
}

/** Of a term at `path`. Values are looked at where validation does not. */
export function nodeTermWarnings(term: NodeSelectorTerm | undefined, checkValues: boolean, path: string): string[] {
  return (term?.matchExpressions ?? []).flatMap(({ key, values }, index) => {
    const at = indexPath(childPath(path, "matchExpressions"), index);
    const message = oldLabelMessage(key);
    const warnings = message === undefined ? [] : [`${at}.key: ${key} is ${message}`];
    if (!checkValues) return warnings;
    const wrong = (values ?? []).flatMap((value, place) =>
      validateLabelValue(value).map((text) => `${at}.values[${place}]: ${value} is invalid, ${text}`),
    );
    return [...warnings, ...wrong];
  });
}
