// Defaults must be what the schema itself accepts: nothing unknown in them, and valid.
import { childPath, deepClone, deepEqual, fieldInvalid, keyPath, type FieldError } from "@coxswain/apimachinery";
import type { JsonSchemaProps } from "../types.ts";
import { coerceEmbedded, validateEmbedded } from "./embedded-meta.ts";
import { pruneValue } from "./prune.ts";
import { itemsOf, META_FIELDS, structuralSchema } from "./schema.ts";
import { compileValueValidator, UNCORRELATED } from "./validate-values.ts";

/** Errors of all defaults of a structural schema. */
export function validateDefaults(props: JsonSchemaProps, path: string): FieldError[] {
  return defaultsAt({ ...props, "x-kubernetes-embedded-resource": true }, path, false);
}

function defaultsAt(props: JsonSchemaProps, path: string, insideMeta: boolean): FieldError[] {
  const errors = props.default === undefined || props.default === null ? [] : defaultErrors(props, path, insideMeta);
  const resource = props["x-kubernetes-embedded-resource"] === true;
  const inside = resource ? false : insideMeta;
  const items = itemsOf(props);
  if (items !== undefined) errors.push(...defaultsAt(items, childPath(path, "items"), inside));
  for (const [name, property] of Object.entries(props.properties ?? {})) {
    const at = keyPath(childPath(path, "properties"), name);
    errors.push(...defaultsAt(property, at, inside || (resource && META_FIELDS.has(name))));
  }
  return errors;
}

function defaultErrors(props: JsonSchemaProps, path: string, insideMeta: boolean): FieldError[] {
  const at = childPath(path, "default");
  const schema = structuralSchema(props);
  const errors: FieldError[] = [];
  if (!insideMeta) {
    const pruned = deepClone(props.default);
    pruneValue(pruned, schema);
    if (!deepEqual(pruned, props.default)) errors.push(fieldInvalid(at, props.default, "must not have unknown fields"));
  }
  const coerced = coerceEmbedded({ value: deepClone(props.default) }, holding(props));
  if (coerced.errors.length > 0) return [...errors, ...coerced.errors];
  const embedded = validateEmbedded({ value: props.default }, holding(props));
  if (embedded.length > 0) return [...errors, ...embedded];
  return [...errors, ...compileValueValidator(props).validate(props.default, UNCORRELATED, at)];
}

/** A schema of an object that holds the value, for what looks at resources inside of others. */
function holding(props: JsonSchemaProps): ReturnType<typeof structuralSchema> {
  return structuralSchema({ type: "object", properties: { value: props } });
}
