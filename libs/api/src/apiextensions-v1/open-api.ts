// The OpenAPI v3 schemas of custom kinds, as `kubectl explain` and the check of fields read them.
import { FIELD_TEXTS } from "../schema/descriptions.ts";
import { additionalOf, itemsOf } from "./structural/schema.ts";
import type { CrdVersion, CustomResourceDefinition, JsonSchemaProps } from "./types.ts";

const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const reference = (name: string): object => ({ allOf: [{ $ref: `#/components/schemas/${name}` }] });

/** The schemas besides their own that custom kinds refer to. */
export const REFERRED_SCHEMAS: readonly string[] = [`${META}.ObjectMeta`, `${META}.ListMeta`];

/** As in com.example.stable.v1.CronTab. */
export function customSchemaName(ref: { group: string; version: string; kind: string }): string {
  return [...ref.group.split(".").toReversed(), ref.version, ref.kind].join(".");
}

const identity = (kind: string): Record<string, object> => ({
  apiVersion: { description: FIELD_TEXTS["apiVersion"]!, type: "string" },
  kind: { description: `The kind of this object: ${kind}.`, type: "string" },
});

/** The schemas of the kind and its list, by name. */
export function customSchemas(
  crd: CustomResourceDefinition,
  version: CrdVersion,
  props: JsonSchemaProps,
): Record<string, unknown> {
  const { group, names } = crd.spec;
  const listKind = names.listKind ?? `${names.kind}List`;
  const name = customSchemaName({ group, version: version.name, kind: names.kind });
  const gvk = (kind: string): object => ({
    "x-kubernetes-group-version-kind": [{ group, version: version.name, kind }],
  });
  const { properties, ...root } = served(props) as JsonSchemaProps;
  const list = {
    description: `A list of ${names.kind} objects.`,
    type: "object",
    required: ["items"],
    properties: {
      ...identity(listKind),
      items: { description: "The objects of the list.", type: "array", items: reference(name) },
      metadata: { description: "Version of the list.", ...reference(`${META}.ListMeta`) },
    },
    ...gvk(listKind),
  };
  const metadata = {
    description: FIELD_TEXTS["metadata"]!,
    ...reference(`${META}.ObjectMeta`),
  };
  return {
    [name]: {
      ...root,
      type: "object",
      properties: { ...identity(names.kind), ...properties, metadata },
      ...gvk(names.kind),
    },
    [customSchemaName({ group, version: version.name, kind: listKind })]: list,
  };
}

/** The schema as clients get it: resources inside of others have metadata. */
function served(props: JsonSchemaProps): object {
  const items = itemsOf(props);
  const additional = additionalOf(props);
  const made = withoutEmpty(props);
  if (props.properties !== undefined && made["properties"] !== undefined) {
    made["properties"] = Object.fromEntries(
      Object.entries(props.properties).map(([name, property]) => [name, served(property)]),
    );
  }
  if (items !== undefined) made["items"] = served(items);
  if (additional !== undefined) made["additionalProperties"] = served(additional);
  for (const key of ["allOf", "anyOf", "oneOf"] as const) {
    if (made[key] !== undefined) made[key] = props[key]?.map(served);
  }
  if (props.not !== undefined) made["not"] = served(props.not);
  if (props["x-kubernetes-embedded-resource"]) {
    made["properties"] = {
      ...identity("as it says"),
      metadata: reference(`${META}.ObjectMeta`),
      ...(made["properties"] as object | undefined),
    };
  }
  return made;
}

/** What typed clients leave out where it is empty. What is a value, as a default is, stays. */
const LEFT_OUT_EMPTY: readonly string[] = [
  "allOf",
  "anyOf",
  "enum",
  "oneOf",
  "properties",
  "required",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-validations",
];

function withoutEmpty(props: JsonSchemaProps): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return Object.fromEntries(
    Object.entries(props).filter(([key, value]) => !(LEFT_OUT_EMPTY.includes(key) && isEmpty(value))),
  );
}
