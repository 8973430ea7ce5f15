// CustomResourceDefinition: a resource that users define. It goes away only after its objects: the first DELETE adds the
// finalizer that the controller in the api-server removes.
import { formatTime } from "@coxswain/apimachinery";
import { defineKind, metaOf, setGeneration } from "../../define-kind.ts";
import { sameValue } from "../../same-value.ts";
import { CRD_SCHEMA } from "../model.ts";
import { normalizedFormat, STRING_FORMATS } from "../structural/formats.ts";
import { someSchema } from "../structural/schema.ts";
import { crdCondition, storageVersion, type CrdCondition, type CustomResourceDefinition } from "../types.ts";
import { validateCrdCreate, validateCrdStatusUpdate, validateCrdUpdate } from "./validation.ts";

export const CRD_FINALIZER = "customresourcecleanup.apiextensions.k8s.io";

/** The conditions with `condition` in its place; the time of transition changes with the status only. */
export function withCondition(
  crd: CustomResourceDefinition,
  condition: Omit<CrdCondition, "lastTransitionTime">,
  nowMs: number,
): CrdCondition[] {
  const before = crdCondition(crd, condition.type);
  const kept = before?.status === condition.status ? before.lastTransitionTime : undefined;
  const made: CrdCondition = { lastTransitionTime: kept ?? formatTime(nowMs), ...condition };
  const conditions = crd.status?.conditions ?? [];
  if (before === undefined) return [...conditions, made];
  return conditions.map((each) => (each.type === condition.type ? made : each));
}

/** What is required and absent is empty, as Go has it, so that validation can name it. */
function fillRequired(crd: CustomResourceDefinition): void {
  crd.spec = { ...crd.spec };
  const { spec } = crd;
  spec.group ??= "";
  spec.scope ??= "";
  spec.versions ??= [];
  spec.names = { ...spec.names };
  spec.names.plural ??= "";
  spec.names.kind ??= "";
  for (const version of spec.versions) {
    version.name ??= "";
    version.served ??= false;
    version.storage ??= false;
  }
}

function applyDefaults(crd: CustomResourceDefinition): void {
  const { spec } = crd;
  spec.names.singular ||= (spec.names.kind ?? "").toLowerCase();
  if (!spec.names.listKind && spec.names.kind) spec.names.listKind = `${spec.names.kind}List`;
  spec.conversion ??= { strategy: "None" };
  const service = spec.conversion.webhook?.clientConfig?.service;
  if (service !== undefined) service.port ??= 443;
  recordStorageVersion(crd, false);
}

/** Remembers that objects may be stored in the storage version. */
function recordStorageVersion(crd: CustomResourceDefinition, always: boolean): void {
  const stored = crd.status?.storedVersions ?? [];
  const name = storageVersion(crd.spec)?.name;
  if (name === undefined || stored.includes(name) || (stored.length > 0 && !always)) return;
  crd.status = { ...crd.status, storedVersions: [...stored, name] };
}

function unknownFormats(crd: CustomResourceDefinition | undefined): Set<string> {
  const found = new Set<string>();
  for (const version of crd?.spec.versions ?? []) {
    someSchema(version.schema?.openAPIV3Schema, ({ type, format }) => {
      if (format && type === "string" && !STRING_FORMATS.has(normalizedFormat(format))) found.add(format);
      return false;
    });
  }
  return found;
}

export const customResourceDefinitionKind = defineKind<CustomResourceDefinition>({
  group: "apiextensions.k8s.io",
  version: "v1",
  kind: "CustomResourceDefinition",
  resource: "customresourcedefinitions",
  shortNames: ["crd", "crds"],
  categories: ["api-extensions"],
  namespaced: false,
  schemaName: CRD_SCHEMA,
  hasStatus: true,
  freeFinalizers: true,
  defaults(crd) {
    fillRequired(crd);
    applyDefaults(crd);
  },
  validateCreate: validateCrdCreate,
  validateUpdate: validateCrdUpdate,
  validateStatusUpdate: validateCrdStatusUpdate,
  strategy: {
    prepareForCreate(crd) {
      crd.status = {};
      metaOf(crd).generation = 1;
      recordStorageVersion(crd, true);
    },
    prepareForUpdate(crd, old) {
      crd.status = { ...old.status };
      setGeneration(crd, old, !sameValue(crd.spec, old.spec));
      recordStorageVersion(crd, true);
    },
    prepareForStatusUpdate(crd, old) {
      crd.spec = old.spec;
      metaOf(crd).generation = old.metadata?.generation;
    },
    prepareForDelete(crd, { nowMs }) {
      const meta = metaOf(crd);
      if (!meta.finalizers?.includes(CRD_FINALIZER)) meta.finalizers = [...(meta.finalizers ?? []), CRD_FINALIZER];
      const message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
      const condition = { type: "Terminating", status: "True", reason: "InstanceDeletionPending", message };
      crd.status = { ...crd.status, conditions: withCondition(crd, condition, nowMs) };
    },
    allowCreateOnUpdate: false,
    allowUnconditionalUpdate: false,
    defaultPropagation: "Background",
    warnings(crd, old) {
      const before = unknownFormats(old);
      return [...unknownFormats(crd)]
        .filter((each) => !before.has(each))
        .map((each) => `unrecognized format "${each}"`);
    },
  },
});
