// The OpenAPI v2 document of all kinds, made from the v3 ones: the same paths and schemas in the older form. What the older
// form cannot say is left out, as upstream does for custom kinds, so that old clients refuse nothing that the server takes.
// https://swagger.io/specification/v2/
import { isJsonObject } from "@coxswain/apimachinery";
import type { JsonSchema } from "./open-api-schemas.ts";

const V3_ROOT = "#/components/schemas/";
const PRODUCES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const WATCHED = [...PRODUCES, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/** Types that v3 describes by alternatives. */
const PLAIN: Readonly<Record<string, JsonSchema>> = {
  "io.k8s.apimachinery.pkg.api.resource.Quantity": {
    description: "An exact amount, such as 500m or 2Gi.",
    type: "string",
  },
  "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {
    description: "A number or a string.",
    type: "string",
    format: "int-or-string",
  },
};

/** Keywords that the older form lacks, or that would make clients refuse what the server takes. */
const DROPPED = ["oneOf", "anyOf", "not", "nullable", "default", "allOf"];

export interface V3Document {
  readonly paths?: Readonly<Record<string, JsonSchema>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, JsonSchema>> };
}

/** `documents` are those of all groups and versions; a schema that several have is taken from the first. */
export function openApiV2(documents: readonly V3Document[]): JsonSchema {
  const paths: JsonSchema = {};
  const definitions: JsonSchema = {};
  for (const document of documents) {
    for (const [name, schema] of Object.entries(document.components?.schemas ?? {})) {
      definitions[name] ??= PLAIN[name] ?? schemaOf(schema);
    }
    for (const [path, item] of Object.entries(document.paths ?? {})) paths[path] = pathOf(item);
  }
  return {
    swagger: "2.0",
    info: { title: "Kubernetes", version: "v1.35.2" },
    paths,
    definitions,
    security: [{ BearerToken: [] }],
    securityDefinitions: {
      BearerToken: { description: "A bearer token.", type: "apiKey", name: "authorization", in: "header" },
    },
  };
}

/** A schema of v3 in the older form. */
function schemaOf(schema: JsonSchema): JsonSchema {
  const { description, $ref } = schema;
  const about = description === undefined ? {} : { description };
  const [only, ...more] = Array.isArray(schema["allOf"]) ? (schema["allOf"] as JsonSchema[]) : [];
  const target = typeof $ref === "string" ? $ref : more.length === 0 ? only?.["$ref"] : undefined;
  if (typeof target === "string") return { ...about, ...extensionsOf(schema), $ref: definition(target) };
  if (schema["x-kubernetes-int-or-string"] === true) return { ...about, "x-kubernetes-int-or-string": true };
  // What may be null, or hold anything, cannot be described closer.
  if (schema["nullable"] === true) return { ...about, ...extensionsOf(schema) };
  const made: JsonSchema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (DROPPED.includes(key)) continue;
    made[key] = memberOf(key, value);
  }
  if (schema["x-kubernetes-preserve-unknown-fields"] === true) {
    // With any property, clients would refuse the others; what is a kind of its own stays an object.
    const { "x-kubernetes-preserve-unknown-fields": _, ...extensions } = extensionsOf(schema);
    if (schema["x-kubernetes-group-version-kind"] !== undefined) return { type: "object", ...extensions };
    delete made["properties"];
    delete made["items"];
    delete made["type"];
  }
  return made;
}

function memberOf(key: string, value: unknown): unknown {
  if (key === "properties" && isJsonObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, schemaOf(each as JsonSchema)]));
  }
  return (key === "items" || key === "additionalProperties") && isJsonObject(value) ? schemaOf(value) : value;
}

function extensionsOf(schema: JsonSchema): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => key.startsWith("x-")));
}

const definition = (ref: string): string => `#/definitions/${ref.slice(V3_ROOT.length)}`;

function pathOf(item: JsonSchema): JsonSchema {
  return Object.fromEntries(
    Object.entries(item).map(([key, value]) => {
      if (key === "parameters") return [key, parametersOf(value)];
      return [key, isJsonObject(value) ? operationOf(value) : value];
    }),
  );
}

const parametersOf = (parameters: unknown): JsonSchema[] =>
  (parameters as JsonSchema[]).map(({ schema, ...parameter }) => ({ ...parameter, ...(schema as JsonSchema) }));

const TEXT = "text/plain";

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  readonly required?: boolean;
  readonly description?: string;
}

/** Text has no other form, though a Status in its place may. */
function produced(action: unknown, { content = {} }: Content = {}): readonly string[] {
  if (action === "connect") return ["*/*"];
  if (action === "list") return WATCHED;
  return TEXT in content ? [TEXT, ...PRODUCES] : PRODUCES;
}

function operationOf({ requestBody, responses, parameters, ...operation }: JsonSchema): JsonSchema {
  const body = requestBody as Content | undefined;
  const answers = (responses ?? {}) as Record<string, Content>;
  const [schema] = Object.values(body?.content ?? {});
  const given = parameters === undefined ? [] : parametersOf(parameters);
  const sent = { name: "body", in: "body", ...(body?.required === true ? { required: true } : {}) };
  return {
    ...operation,
    consumes: body === undefined || schema === undefined ? ["*/*"] : Object.keys(body.content ?? {}),
    produces: produced(operation["x-kubernetes-action"], answers["200"]),
    schemes: ["https"],
    parameters: [...(schema === undefined ? [] : [{ ...sent, schema: schemaOf(schema.schema) }]), ...given],
    responses: Object.fromEntries(
      Object.entries(answers).map(([code, { description, content }]) => {
        const [answer] = Object.values(content ?? {});
        return [code, { description, ...(answer === undefined ? {} : { schema: schemaOf(answer.schema) }) }];
      }),
    ),
  };
}
