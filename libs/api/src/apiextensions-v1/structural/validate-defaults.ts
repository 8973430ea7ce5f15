// Defaults must be what the schema itself accepts: nothing unknown in them, valid, and in keeping with the rules. What stands
// inside of a resource's identity or metadata is looked at as part of that resource.
import {
  aggregateText,
  childPath,
  deepClone,
  deepEqual,
  fieldErrorText,
  fieldInvalid,
  keyPath,
  type FieldError,
} from "@coxswain/apimachinery";
import type { JsonSchemaProps } from "../types.ts";
import { compileRules } from "./cel-rules.ts";
import { coerceEmbedded, validateEmbedded } from "./embedded-meta.ts";
import { pruneValue } from "./prune.ts";
import { itemsOf, META_FIELDS, structuralSchema } from "./schema.ts";
import { compileValueValidator, UNCORRELATED } from "./validate-values.ts";

/** Errors of all defaults of a structural schema. */
export function validateDefaults(props: JsonSchemaProps, path: string): FieldError[] {
  const root = { ...props, "x-kubernetes-embedded-resource": true };
  return defaultsAt(root, path, { resource: root, insideMeta: false, around: (value) => value });
}

interface Place {
  /** The resource that the place belongs to. */
  readonly resource: JsonSchemaProps;
  /** True for the identity of the resource, its metadata, and what is in there. */
  readonly insideMeta: boolean;
  /** The smallest resource with the value at the place. */
  readonly around: (value: unknown) => unknown;
}

function defaultsAt(props: JsonSchemaProps, path: string, outer: Place): FieldError[] {
  const embedded = props["x-kubernetes-embedded-resource"] === true;
  const place: Place = embedded ? { resource: props, insideMeta: false, around: (value) => value } : outer;
  const errors = props.default === undefined || props.default === null ? [] : defaultErrors(props, path, place);
  const { around, insideMeta } = place;
  const items = itemsOf(props);
  if (items !== undefined) {
    errors.push(...defaultsAt(items, childPath(path, "items"), { ...place, around: (value) => around([value]) }));
  }
  for (const [name, property] of Object.entries(props.properties ?? {})) {
    const below = (value: unknown): unknown => around({ [name]: value });
    const meta = insideMeta || (embedded && META_FIELDS.has(name));
    const at = keyPath(childPath(path, "properties"), name);
    errors.push(...defaultsAt(property, at, { ...place, around: below, insideMeta: meta }));
  }
  return errors;
}

function defaultErrors(props: JsonSchemaProps, path: string, place: Place): FieldError[] {
  const at = childPath(path, "default");
  const errors: FieldError[] = [];
  const metadata = place.insideMeta ? metadataErrors(props, at, place) : embeddedErrors(props, at, errors);
  if (metadata.length > 0) return [...errors, ...metadata];
  const values = compileValueValidator(props).validate(props.default, UNCORRELATED, at);
  return [...errors, ...(values.length > 0 ? values : ruleErrors(props, at, props === place.resource))];
}

/** Errors of the resources within the default, after what is unknown in it is noted in `unknown`. */
function embeddedErrors(props: JsonSchemaProps, at: string, unknown: FieldError[]): FieldError[] {
  const schema = structuralSchema(props);
  const start = { path: at, resource: schema.embedded };
  const pruned = deepClone(props.default);
  pruneValue(pruned, schema);
  const coerced = deepClone(props.default);
  const { errors } = coerceEmbedded(coerced, schema, start);
  if (!deepEqual(pruned, props.default)) unknown.push(fieldInvalid(at, coerced, "must not have unknown fields"));
  return errors.length > 0 ? errors.slice(0, 1) : validateEmbedded(coerced, schema, start);
}

const IDENTITY = { apiVersion: "validation/v1", kind: "Validation" };

/** Errors of the resource that has the default in its identity or metadata. */
function metadataErrors(props: JsonSchemaProps, at: string, { resource, around }: Place): FieldError[] {
  const whole = { ...IDENTITY, ...(around(deepClone(props.default)) as object) };
  const schema = structuralSchema(resource);
  const start = { path: "", resource: true };
  const [wrong] = coerceEmbedded(whole, schema, start).errors;
  const texts = (wrong === undefined ? validateEmbedded(whole, schema, start) : [wrong]).map((error) =>
    fieldErrorText(error),
  );
  if (texts.length === 0) return [];
  const why = wrong === undefined ? aggregateText(texts) : texts[0];
  return [fieldInvalid(at, props.default, `must result in valid metadata: ${why}`)];
}

/** A default must hold where it comes in anew, and where it has been before. */
function ruleErrors(props: JsonSchemaProps, at: string, resource: boolean): FieldError[] {
  const rules = compileRules(structuralSchema(props), resource);
  const kept = rules?.validate(props.default, props.default, at) ?? [];
  return kept.length > 0 ? kept : (rules?.validate(props.default, UNCORRELATED, at) ?? []);
}
