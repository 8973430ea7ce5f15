// RuntimeClass: which container runtime handler runs a pod, what that costs, and where it is.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldInvalid, fieldRequired, validateDns1123Label } from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { RuntimeClass } from "../../types.gen.ts";
import { validateTolerations } from "../../core-v1/pod-spec/scheduling.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { validateLabels } from "../../validation/labels.ts";
import { roundUpToMilli, validateResourceList } from "../../validation/resources.ts";
import { oldLabelMessage } from "../../core-v1/node-labels.ts";

function validate({ overhead, scheduling, ...rest }: RuntimeClass): FieldError[] {
  const handler = rest.handler ?? "";
  return [
    ...(handler === ""
      ? [fieldRequired("handler", "")]
      : validateDns1123Label(handler).map((message) => fieldInvalid("handler", handler, message))),
    ...validateResourceList(overhead?.podFixed, "overhead.podFixed"),
    ...validateLabels(scheduling?.nodeSelector, "scheduling.nodeSelector"),
    ...validateTolerations(scheduling?.tolerations, "scheduling.tolerations"),
  ];
}

export const runtimeClassKind = defineKind<RuntimeClass>({
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  resource: "runtimeclasses",
  namespaced: false,
  schemaName: "io.k8s.api.node.v1.RuntimeClass",
  defaults: (runtimeClass) => roundUpToMilli(runtimeClass.overhead?.podFixed),
  validateCreate: validate,
  validateUpdate: (runtimeClass, old) => [
    ...validate(runtimeClass),
    ...validateImmutableField(runtimeClass.handler, old.handler, "handler"),
  ],
  strategy: plainStrategy({
    allowCreateOnUpdate: true,
    warnings: ({ scheduling }) =>
      Object.keys(scheduling?.nodeSelector ?? {}).flatMap((key) => {
        const message = oldLabelMessage(key);
        return message === undefined ? [] : [`scheduling.nodeSelector: ${message}`];
      }),
  }),
  columns: [NAME, column("Handler", "The handler of the container runtime."), AGE],
  row: (runtimeClass, context) => [nameOf(runtimeClass), runtimeClass.handler ?? "", age(runtimeClass, context)],
});
