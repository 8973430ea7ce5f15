// The pod that a Job makes of its template. Pure.
import type { Container, Job, Pod } from "@coxswain/api";
import { deepClone } from "@coxswain/apimachinery";
import { controllerReference } from "../ownership/controller-ref.ts";
import { INDEX_FAILURES, INDEX_IGNORED, INDEX_KEY, TRACKING_FINALIZER } from "./job-pods.ts";
import type { NewPod } from "./plan.ts";

const INDEX_VARIABLE = "JOB_COMPLETION_INDEX";

function addIndexVariable(container: Container): void {
  if (container.env?.some(({ name }) => name === INDEX_VARIABLE)) return;
  const fieldPath = `metadata.labels['${INDEX_KEY}']`;
  container.env = [...(container.env ?? []), { name: INDEX_VARIABLE, valueFrom: { fieldRef: { fieldPath } } }];
}

/** It still lacks its name. */
export function podFromJob(job: Job, { index, failures, ignored }: NewPod): Pod {
  const template = deepClone(job.spec?.template ?? {});
  const { name = "", namespace } = job.metadata ?? {};
  const labels: Record<string, string> = { ...template.metadata?.labels };
  const annotations: Record<string, string> = { ...template.metadata?.annotations };
  const spec = template.spec!;
  if (index !== undefined) {
    labels[INDEX_KEY] = String(index);
    annotations[INDEX_KEY] = String(index);
    spec.hostname = `${name}-${index}`;
    for (const container of [...(spec.initContainers ?? []), ...spec.containers]) addIndexVariable(container);
  }
  if (failures !== undefined) annotations[INDEX_FAILURES] = String(failures);
  if (ignored > 0) annotations[INDEX_IGNORED] = String(ignored);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      generateName: index === undefined ? `${name}-` : `${name}-${index}-`,
      namespace,
      labels,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      finalizers: [...(template.metadata?.finalizers ?? []), TRACKING_FINALIZER],
      ownerReferences: [controllerReference(job, "batch/v1", "Job")],
    },
    spec,
  };
}
