// A label selector as a function of labels. An absent selector selects nothing, an empty one everything.
import { labelSelectorAsSelector, selectorFromLabels } from "@coxswain/apimachinery";
import type { LabelSelector } from "@coxswain/api";

export interface LabelMatcher {
  /** Equal for selectors that select the same way. */
  readonly key: string;
  matches(labels: Readonly<Record<string, string>>): boolean;
}

/** `extra` are further labels that must be equal (matchLabelKeys). Throws BadRequest where the selector is malformed. */
export function compileLabelSelector(
  selector: LabelSelector | undefined,
  extra: Readonly<Record<string, string>> = {},
): LabelMatcher {
  const own = labelSelectorAsSelector(selector);
  const also = selectorFromLabels(extra);
  return {
    key: JSON.stringify([own.isNothing, own.toString(), also.toString()]),
    matches: (labels) => own.matches(labels) && also.matches(labels),
  };
}
