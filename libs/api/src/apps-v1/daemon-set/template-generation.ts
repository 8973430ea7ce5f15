// The number of a DaemonSet's template, which old clients read from an annotation.
import { metaOf } from "../../define-kind.ts";
import type { DaemonSet } from "../../types.gen.ts";

const TEMPLATE_GENERATION = "deprecated.daemonset.template.generation";

export function setTemplateGeneration(set: DaemonSet, generation: number): void {
  const meta = metaOf(set);
  meta.annotations = { ...meta.annotations, [TEMPLATE_GENERATION]: String(generation) };
}

export function templateGeneration(set: DaemonSet): number {
  return Number(set.metadata?.annotations?.[TEMPLATE_GENERATION] ?? 0) || 0;
}
