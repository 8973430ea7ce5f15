// Makes kinds of a CustomResourceDefinition: one for each version that is served. A custom kind goes through the same
// registry as a built-in one; what is special about it is data.
import {
  compareVersions,
  deepEqual,
  deepClone,
  fieldInvalid,
  isJsonObject,
  type FieldError,
  type KubeObject,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import type { CelType } from "@coxswain/cel";
import { structuralType, type TypeSchema } from "@coxswain/apimachinery/managed-fields/index";
import { defineKind, metaOf } from "../define-kind.ts";
import {
  ALL_VERBS,
  type ConvertObjects,
  type CustomForm,
  type KindDefinition,
  type Leaving,
  type Strategy,
} from "../kind.ts";
import { celTypeFor } from "../schema/cel-type.ts";
import { typeSchemaFor } from "../schema/type-schema.ts";
import { checkTypes, pruneUnknown, walkUnknownFields } from "../schema/walk.ts";
import { customColumns } from "./columns.ts";
import { compileJsonPath } from "./json-path.ts";
import { customSchemas, customSchemaName } from "./open-api.ts";
import { applyDefaults, dropUnwantedNulls } from "./structural/default.ts";
import { celTypeOf } from "./structural/cel-types.ts";
import { compileRules } from "./structural/cel-rules.ts";
import { coerceEmbedded, validateEmbedded } from "./structural/embedded-meta.ts";
import { validateListTypes } from "./structural/list-types.ts";
import { pruneResource } from "./structural/prune.ts";
import { structuralSchema, type StructuralSchema } from "./structural/schema.ts";
import { compileValueValidator, UNCORRELATED } from "./structural/validate-values.ts";
import { scaleAccess, validateScaleValues } from "./scale-paths.ts";
import {
  crdConditionTrue,
  storageVersion,
  type CrdSpec,
  type CrdVersion,
  type CustomResourceDefinition,
  type JsonSchemaProps,
} from "./types.ts";

const TEXT: TypeSchema = { scalar: "string" };
const META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

type CustomObject = KubeObject & Record<string, unknown>;

/** The kinds that a definition serves; none before it is established. `convert` is set for conversion by webhook. */
export function customKinds(crd: CustomResourceDefinition, convert?: ConvertObjects): KindDefinition[] {
  if (!crdConditionTrue(crd, "Established")) return [];
  return crd.spec.versions.filter(({ served }) => served).map((version) => customKind(crd, version, convert));
}

const LEAVING: Leaving = {
  verbs: ["delete", "deletecollection", "get", "list", "watch"],
  refusal: "create not allowed while custom resource definition is terminating",
};

/** An open schema where the version has none: whatever is there stays. */
const OPEN: JsonSchemaProps = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

function versionSchema({ preserveUnknownFields }: CrdSpec, version: CrdVersion): StructuralSchema {
  const props = version.schema?.openAPIV3Schema ?? OPEN;
  return structuralSchema(preserveUnknownFields ? { ...props, ...OPEN } : props);
}

function customKind(
  crd: CustomResourceDefinition,
  version: CrdVersion,
  convert: ConvertObjects | undefined,
): KindDefinition {
  const { group, names, scope } = crd.spec;
  const accepted = { ...names, ...crd.status?.acceptedNames };
  const props = version.schema?.openAPIV3Schema ?? OPEN;
  const schema = versionSchema(crd.spec, version);
  const status = version.subresources?.status !== undefined;
  const scale = version.subresources?.scale;
  const identity = { group, version: version.name, kind: accepted.kind };
  const fields = (version.selectableFields ?? []).map(({ jsonPath }) => ({
    name: jsonPath.replace(/^\./, ""),
    path: compileJsonPath(jsonPath) ?? (() => []),
  }));
  const terminating = crdConditionTrue(crd, "Terminating");
  const type = structuralType({ ...props }, { apiVersion: TEXT, kind: TEXT, metadata: typeSchemaFor(META) });
  return defineKind<CustomObject>({
    ...identity,
    ...customColumns(version.additionalPrinterColumns),
    listKind: accepted.listKind ?? `${accepted.kind}List`,
    resource: names.plural,
    singular: accepted.singular ?? accepted.kind.toLowerCase(),
    shortNames: accepted.shortNames ?? [],
    categories: accepted.categories ?? [],
    namespaced: scope === "Namespaced",
    verbs: ALL_VERBS,
    // A definition that goes away takes no new objects; those that are there must still be let go.
    ...(terminating ? { leaving: LEAVING } : {}),
    schemaName: customSchemaName(identity),
    stored: true,
    freeFinalizers: true,
    defaults: (object) => void applyDefaults(object, schema),
    ...validation(props, schema, scale),
    strategy: customStrategy(status),
    ...(version.deprecated ? { deprecation: version.deprecationWarning ?? deprecationOf(crd.spec, version) } : {}),
    hasStatus: status,
    ...(scale === undefined ? {} : { scale: scaleAccess(scale) }),
    selectableFields: (object) => Object.fromEntries(fields.map(({ name, path }) => [name, textOf(path(object)[0])])),
    typeSchema: () => type,
    custom: { ...customForm(crd, schema, version, props), ...(convert === undefined ? {} : { convert }) },
  });
}

/** Names the version to use instead: the first of those that are served, not deprecated and rank higher. */
function deprecationOf({ group, names, versions }: CrdSpec, { name }: CrdVersion): string {
  const [better] = versions
    .filter((each) => each.served && each.deprecated !== true && compareVersions(each.name, name) < 0)
    .toSorted((a, b) => compareVersions(a.name, b.name));
  const text = `${group}/${name} ${names.kind} is deprecated`;
  return better === undefined ? text : `${text}; use ${group}/${better.name} ${names.kind}`;
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function customForm(
  crd: CustomResourceDefinition,
  schema: StructuralSchema,
  version: CrdVersion,
  props: JsonSchemaProps,
): CustomForm {
  const storage = storageVersion(crd.spec) ?? version;
  const { group, names } = crd.spec;
  const others = new Map<string, StructuralSchema | undefined>();
  const schemaOf = (name: string): StructuralSchema | undefined => {
    if (!others.has(name)) {
      const found = crd.spec.versions.find((each) => each.name === name);
      others.set(name, found && versionSchema(crd.spec, found));
    }
    return others.get(name);
  };
  return {
    storedAs: { group, version: storage.name, kind: names.kind },
    accept(object) {
      const custom = object as CustomObject;
      const wrong = checkTypes(object.metadata, META);
      if (wrong.length > 0) return { unknown: [], wrong };
      const unknown = walkUnknownFields(object.metadata, META).map((text) =>
        text.replace('unknown field "', 'unknown field "metadata.'),
      );
      pruneUnknown(object.metadata, META);
      const embedded = coerceEmbedded(custom, schema);
      const pruned = pruneResource(custom, schema);
      dropUnwantedNulls(custom, schema);
      const paths = [...pruned, ...embedded.unknown].map((path) => `unknown field ${JSON.stringify(path)}`);
      return { unknown: [...unknown, ...paths], wrong: embedded.errors.map(({ detail }) => detail) };
    },
    revive(object, stored) {
      const custom = object as CustomObject;
      const own = stored === version.name ? schema : schemaOf(stored);
      if (own === undefined) return false;
      const pruned = pruneResource(custom, own).length > 0;
      const dropped = dropUnwantedNulls(custom, own);
      return applyDefaults(custom, own) || pruned || dropped;
    },
    prune: (object) => pruneResource(object as CustomObject, schema).length > 0,
    celType: () => withMetadata(celTypeOf(schema, true)),
    schemas: customSchemas(crd, version, props),
  };
}

/** Rules of a schema see little of the metadata; policies see all of it. */
function withMetadata(type: CelType | undefined): CelType {
  return type?.is === "object" ? { ...type, fields: { ...type.fields, metadata: celTypeFor(META) } } : { is: "dyn" };
}

/** Without metadata, kind and apiVersion: what counts as a change of the object itself. */
function contentOf({ metadata: _metadata, ...content }: CustomObject, status: boolean): object {
  if (!status) return content;
  const { status: _status, ...rest } = content;
  return rest;
}

const STANDARD_FINALIZERS = new Set(["orphan", "foregroundDeletion", "kubernetes"]);

/** Names of finalizers that others may use, too. */
function finalizerWarnings({ metadata }: CustomObject, old: CustomObject | undefined): string[] {
  const before = old?.metadata?.finalizers ?? [];
  const added = (metadata?.finalizers ?? []).filter((name) => !before.includes(name));
  return [...new Set(added)].toSorted().flatMap((name) => {
    const at = `metadata.finalizers: ${JSON.stringify(name)}`;
    const warnings = validateQualifiedName(name).map((message) => `${at}: ${message}`);
    if (name.includes("/") || STANDARD_FINALIZERS.has(name)) return warnings;
    const path = name.includes(".") ? " including a path (/)" : "";
    const purpose = "to avoid accidental conflicts with other finalizer writers";
    return [...warnings, `${at}: prefer a domain-qualified finalizer name${path} ${purpose}`];
  });
}

function customStrategy(status: boolean): Strategy<CustomObject> {
  return {
    warnings: finalizerWarnings,
    prepareForCreate(object) {
      if (status) delete object["status"];
      metaOf(object).generation = 1;
    },
    prepareForUpdate(object, old) {
      if (status) {
        if (old["status"] === undefined) delete object["status"];
        else object["status"] = deepClone(old["status"]);
      }
      const before = old.metadata?.generation ?? 0;
      const changed = !deepEqual(contentOf(object, status), contentOf(old, status));
      metaOf(object).generation = changed ? before + 1 : before;
    },
    prepareForStatusUpdate(object, old) {
      const { status: written } = object;
      const { managedFields, resourceVersion } = metaOf(object);
      for (const key of Object.keys(object)) if (!Object.hasOwn(old, key)) delete object[key];
      Object.assign(object, deepClone(old));
      Object.assign(metaOf(object), { managedFields, resourceVersion });
      if (managedFields === undefined) delete metaOf(object).managedFields;
      if (written === undefined) delete object["status"];
      else object["status"] = written;
    },
    allowCreateOnUpdate: false,
    allowUnconditionalUpdate: false,
    defaultPropagation: "Background",
  };
}

/** What makes a look at rules vain: parts are missing, too large or of the wrong type. */
const BLOCKING: ReadonlySet<string> = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueTypeInvalid",
]);

function blocksRules(errors: readonly FieldError[]): FieldError[] {
  if (!errors.some(({ type }) => BLOCKING.has(type))) return [];
  const detail =
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
  return [fieldInvalid("<nil>", null, detail)];
}

type Validation = Pick<KindDefinition<CustomObject>, "validateCreate" | "validateUpdate" | "validateStatusUpdate">;

function validation(
  props: JsonSchemaProps,
  schema: StructuralSchema,
  scale: NonNullable<CrdVersion["subresources"]>["scale"],
): Validation {
  const values = compileValueValidator(props);
  const statusProps = props.properties?.["status"];
  const statusValues = statusProps === undefined ? undefined : compileValueValidator(statusProps);
  const rules = compileRules(schema);
  const withRules = (errors: FieldError[], object: CustomObject, old?: CustomObject): FieldError[] => {
    if (rules === undefined) return errors;
    const blocked = blocksRules(errors);
    return [...errors, ...(blocked.length > 0 ? blocked : rules.validate(object, old ?? UNCORRELATED))];
  };
  const listErrors = (object: CustomObject, old: CustomObject): FieldError[] =>
    validateListTypes(old, schema).length > 0 ? [] : validateListTypes(object, schema);
  return {
    validateCreate(object) {
      const found = [...values.validate(object), ...validateScaleValues(object, scale)];
      found.push(...validateEmbedded(object, schema), ...validateListTypes(object, schema));
      return withRules(found, object);
    },
    validateUpdate(object, old) {
      const found = [...values.validate(object, old), ...validateScaleValues(object, scale)];
      found.push(...validateEmbedded(object, schema), ...listErrors(object, old));
      return withRules(found, object, old);
    },
    validateStatusUpdate(object, old) {
      const status = object["status"];
      const before = isJsonObject(old["status"]) ? old["status"] : UNCORRELATED;
      const found = status === undefined ? [] : (statusValues?.validate(status, before, "status") ?? []);
      found.push(...validateScaleValues(object, scale), ...listErrors(object, old));
      return withRules(found, object, old);
    },
  };
}
