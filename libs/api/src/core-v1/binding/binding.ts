// Binding: the answer of a scheduler, posted to a pod. It is acted on and never stored.
import type { FieldError } from "@coxswain/apimachinery";
import { fieldNotSupported, fieldRequired, validateDns1123Subdomain } from "@coxswain/apimachinery";
import { defineDocument } from "../../define-kind.ts";
import type { Binding } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";

export const bindingKind = defineDocument<Binding>({
  group: "",
  version: "v1",
  kind: "Binding",
  resource: "bindings",
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Binding",
  validateCreate(binding): FieldError[] {
    const errors: FieldError[] = [];
    const { kind, name } = binding.target ?? {};
    if (kind && kind !== "Node") errors.push(fieldNotSupported("target.kind", kind, ["Node", "<empty>"]));
    if (!name) errors.push(fieldRequired("target.name", ""));
    // Upstream accepts any text here and refuses every later write of the pod.
    else errors.push(...validateWith(validateDns1123Subdomain, name, "target.name"));
    return errors;
  },
});
