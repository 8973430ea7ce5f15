// Namespace: carries the finalizer `kubernetes` until its contents are gone, and its own name as a label.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  indexPath,
  validateDns1123Label,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind, metaOf, plainStrategy, subresource } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { Namespace } from "../../types.gen.ts";

export const NAMESPACE_FINALIZER = "kubernetes";
const NAME_LABEL = "kubernetes.io/metadata.name";

function labelWithName(namespace: Namespace): void {
  const meta = metaOf(namespace);
  if (meta.name) meta.labels = { ...meta.labels, [NAME_LABEL]: meta.name };
}

function validateFinalizers(finalizers: readonly string[] | undefined, path: string): FieldError[] {
  return (finalizers ?? []).flatMap((finalizer, index) => {
    const at = indexPath(path, index);
    const errors = validateQualifiedName(finalizer).map((message) => fieldInvalid(at, finalizer, message));
    if (!finalizer.includes("/") && finalizer !== NAMESPACE_FINALIZER) {
      errors.push(fieldInvalid(at, finalizer, "name is neither a standard finalizer name nor is it fully qualified"));
    }
    return errors;
  });
}

/** The finalize subresource takes over spec.finalizers and nothing else. */
export function prepareNamespaceFinalize(namespace: Namespace, old: Namespace): void {
  namespace.status = old.status;
  namespace.metadata = { ...old.metadata, resourceVersion: namespace.metadata?.resourceVersion };
}

export function validateNamespaceFinalize(namespace: Namespace): FieldError[] {
  return validateFinalizers(namespace.spec?.finalizers, childPath("spec", "finalizers"));
}

function validateStatus(namespace: Namespace): FieldError[] {
  const phase = namespace.status?.phase ?? "";
  const deleting = namespace.metadata?.deletionTimestamp !== undefined;
  if (!deleting && phase !== "Active") {
    return [fieldInvalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")];
  }
  if (deleting && phase !== "Terminating") {
    return [fieldInvalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")];
  }
  return [];
}

export const namespaceKind = defineKind<Namespace>({
  group: "",
  version: "v1",
  kind: "Namespace",
  resource: "namespaces",
  shortNames: ["ns"],
  namespaced: false,
  // Upstream serves no deletecollection of namespaces.
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  schemaName: "io.k8s.api.core.v1.Namespace",
  returnDeletedObject: true,
  hasStatus: true,
  subresources: [subresource("finalize", ["update"], ["", "v1", "Namespace"])],
  validateName: validateDns1123Label,
  defaults(namespace) {
    labelWithName(namespace);
    namespace.status ??= {};
    namespace.status.phase ||= "Active";
  },
  validateCreate: (namespace) => validateFinalizers(namespace.spec?.finalizers, childPath("spec", "finalizers")),
  validateStatusUpdate: validateStatus,
  strategy: plainStrategy({
    prepareForCreate(namespace) {
      labelWithName(namespace);
      namespace.status = { phase: "Active" };
      const finalizers = namespace.spec?.finalizers ?? [];
      if (!finalizers.includes(NAMESPACE_FINALIZER)) finalizers.push(NAMESPACE_FINALIZER);
      namespace.spec = { ...namespace.spec, finalizers };
    },
    prepareForUpdate(namespace, old) {
      namespace.spec = { ...namespace.spec, finalizers: old.spec?.finalizers };
      namespace.status = old.status;
    },
    prepareForStatusUpdate(namespace, old) {
      namespace.spec = old.spec;
    },
  }),
  columns: [NAME, column("Status", "The phase of the namespace."), AGE],
  row: (namespace, context) => [nameOf(namespace), namespace.status?.phase ?? "", age(namespace, context)],
  selectableFields: (namespace) => ({ "status.phase": namespace.status?.phase ?? "" }),
});
