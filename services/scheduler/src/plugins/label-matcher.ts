// A label selector as a function of labels. An absent selector selects nothing, an empty one everything. Pods of one workload
// have the same selectors, so compiled ones are kept.
import { labelSelectorAsSelector, selectorFromLabels } from "@coxswain/apimachinery";
import type { LabelSelector } from "@coxswain/api";

export interface LabelMatcher {
  /** Equal for selectors that select the same way. */
  readonly key: string;
  matches(labels: Readonly<Record<string, string>>): boolean;
}

const MAX_KEPT = 4096;
const kept = new Map<string, LabelMatcher>();

/** `extra` are further labels that must be equal (matchLabelKeys). Throws BadRequest where the selector is malformed. */
export function compileLabelSelector(
  selector: LabelSelector | undefined,
  extra: Readonly<Record<string, string>> = {},
): LabelMatcher {
  const text = JSON.stringify([selector ?? null, extra]);
  let matcher = kept.get(text);
  if (matcher === undefined) {
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(text, (matcher = compile(selector, extra)));
  }
  return matcher;
}

function compile(selector: LabelSelector | undefined, extra: Readonly<Record<string, string>>): LabelMatcher {
  const own = labelSelectorAsSelector(selector);
  const also = selectorFromLabels(extra);
  return {
    key: JSON.stringify([own.isNothing, own.toString(), also.toString()]),
    matches: (labels) => own.matches(labels) && also.matches(labels),
  };
}
