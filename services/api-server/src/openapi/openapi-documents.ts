// OpenAPI documents, generated from the kinds and their schemas: v3 a group version, and v2 for older clients. Guarantees:
// every served path and method is there with the kind it speaks of, so that kubectl can explain kinds and knows that writes
// take fieldValidation. Built on first demand, once.
import { createHash } from "node:crypto";
import type { KindDefinition } from "@coxswain/api";
import { apiVersionOf } from "@coxswain/apimachinery";
import { servedKinds, subresourcesOf } from "../discovery/discovery-documents.ts";

export type Schema = Readonly<Record<string, unknown>>;

/** Schemas by name, as in "io.k8s.api.core.v1.Pod", whose references read #/components/schemas/NAME. */
export interface SchemaTable {
  /** The named schemas and all that they refer to. */
  closure(names: readonly string[]): Readonly<Record<string, Schema>>;
}

export interface OpenApiDocuments {
  /** The index of /openapi/v3. */
  index(): object;
  /** As in "api/v1" or "apis/apps/v1"; undefined where it is not served. */
  v3(groupPath: string): { readonly body: Buffer; readonly hash: string } | undefined;
  v2(): Buffer;
}

const text = (name: string, description: string): object => ({
  name,
  in: "query",
  description,
  schema: { type: "string", uniqueItems: true },
});

const WRITE_PARAMETERS = [
  text("dryRun", "All: run every stage of the request without storing the result."),
  text("fieldManager", "Who is making the change."),
  text("fieldValidation", "Strict, Warn or Ignore: what to do about unknown and duplicate fields."),
];
const LIST_PARAMETERS = [
  text("labelSelector", "Only objects with these labels."),
  text("fieldSelector", "Only objects with these field values."),
  text("resourceVersion", "How recent the answer must be."),
  text("resourceVersionMatch", "How resourceVersion is applied to a list."),
  text("continue", "Where the next page starts."),
  {
    name: "limit",
    in: "query",
    description: "The most items of a page.",
    schema: { type: "integer", uniqueItems: true },
  },
  { name: "watch", in: "query", description: "Stream changes.", schema: { type: "boolean", uniqueItems: true } },
];
const DELETE_PARAMETERS = [
  text("dryRun", "All: run every stage of the request without storing the result."),
  text("gracePeriodSeconds", "How long the object may take to end."),
  text("propagationPolicy", "Background, Foreground or Orphan."),
];

const METHODS: Readonly<Record<string, readonly [method: string, action: string, item: boolean]>> = {
  list: ["get", "list", false],
  create: ["post", "post", false],
  deletecollection: ["delete", "deletecollection", false],
  get: ["get", "get", true],
  update: ["put", "put", true],
  patch: ["patch", "patch", true],
  delete: ["delete", "delete", true],
};

const PARAMETERS: Readonly<Record<string, readonly object[]>> = {
  list: LIST_PARAMETERS,
  create: WRITE_PARAMETERS,
  update: WRITE_PARAMETERS,
  patch: WRITE_PARAMETERS,
  delete: DELETE_PARAMETERS,
  deletecollection: [...LIST_PARAMETERS, ...DELETE_PARAMETERS],
};

interface OperationTarget {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schemaName: string;
}

const content = (schema: object): object => ({
  "application/json": { schema },
  "application/yaml": { schema },
  "application/vnd.kubernetes.protobuf": { schema },
});

function operation(verb: string, action: string, target: OperationTarget, tag: string, id: string): object {
  const { group, version, kind } = target;
  const ref = { $ref: `#/components/schemas/${target.schemaName}` };
  const body =
    verb === "create" || verb === "update"
      ? { requestBody: { required: true, content: content(ref) } }
      : verb === "patch"
        ? {
            requestBody: {
              required: true,
              content: { "application/merge-patch+json": { schema: { type: "object" } } },
            },
          }
        : {};
  const list = verb === "list" ? { type: "object" } : ref;
  return {
    tags: [tag],
    operationId: id,
    ...(PARAMETERS[verb] === undefined ? {} : { parameters: PARAMETERS[verb] }),
    ...body,
    responses: { 200: { description: "OK", content: content(list) }, 401: { description: "Unauthorized" } },
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, version, kind },
  };
}

const camel = (word: string): string =>
  word.replace(/(^|[^A-Za-z0-9])([a-z0-9])/g, (_, _before, letter: string) => letter.toUpperCase());

function pathsOf(kind: KindDefinition): Record<string, object> {
  const gv = apiVersionOf(kind);
  const scope = `${kind.group === "" ? "/api" : "/apis"}/${gv}${kind.namespaced ? "/namespaces/{namespace}" : ""}`;
  const collection = `${scope}/${kind.resource}`;
  const tag = `${kind.group === "" ? "core" : camel(kind.group.split(".")[0] ?? "").toLowerCase()}_${kind.version}`;
  const namespace = { name: "namespace", in: "path", required: true, schema: { type: "string", uniqueItems: true } };
  const name = { name: "name", in: "path", required: true, schema: { type: "string", uniqueItems: true } };
  const scoped = kind.namespaced ? [namespace] : [];
  const paths: Record<string, Record<string, unknown>> = {};
  const add = (path: string, item: boolean, method: string, value: object): void => {
    const entry = (paths[path] ??= { parameters: item ? [name, ...scoped] : scoped });
    entry[method] = value;
  };
  for (const verb of kind.verbs) {
    const [method, action, item] = METHODS[verb] ?? [];
    if (method === undefined || action === undefined || item === undefined) continue;
    const id = `${action}${camel(tag)}${kind.namespaced ? "Namespaced" : ""}${kind.kind}`;
    add(item ? `${collection}/{name}` : collection, item, method, operation(verb, action, kind, tag, id));
  }
  if (kind.namespaced && kind.verbs.includes("list")) {
    const all = `${kind.group === "" ? "/api" : "/apis"}/${gv}/${kind.resource}`;
    const id = `list${camel(tag)}${kind.kind}ForAllNamespaces`;
    paths[all] = { get: operation("list", "list", kind, tag, id) };
  }
  for (const sub of subresourcesOf(kind)) {
    for (const verb of sub.verbs) {
      const [method, action] = verb === "create" ? ["post", "post"] : (METHODS[verb] ?? []);
      if (method === undefined || action === undefined) continue;
      const id = `${action}${camel(tag)}${kind.namespaced ? "Namespaced" : ""}${kind.kind}${camel(sub.name)}`;
      const target = { ...sub, schemaName: kind.schemaName };
      add(`${collection}/{name}/${sub.name}`, true, method, operation(verb, action, target, tag, id));
    }
  }
  return paths;
}

/** `version` is what info.version says. */
export function createOpenApi(kinds: readonly KindDefinition[], table: SchemaTable, version: string): OpenApiDocuments {
  const byPath = new Map<string, KindDefinition[]>();
  for (const kind of servedKinds(kinds)) {
    const path = `${kind.group === "" ? "api" : "apis"}/${apiVersionOf(kind)}`;
    byPath.set(path, [...(byPath.get(path) ?? []), kind]);
  }
  const info = { title: "Kubernetes", version };
  const made = new Map<string, { body: Buffer; hash: string }>();

  const v3: OpenApiDocuments["v3"] = (groupPath) => {
    const list = byPath.get(groupPath);
    if (list === undefined) return undefined;
    const known = made.get(groupPath);
    if (known !== undefined) return known;
    const schemas = table.closure(list.map((kind) => kind.schemaName));
    const document = {
      openapi: "3.0.0",
      info,
      paths: Object.assign({}, ...list.map(pathsOf)) as object,
      components: { schemas },
    };
    const body = Buffer.from(JSON.stringify(document));
    const fresh = { body, hash: createHash("sha256").update(body).digest("hex").toUpperCase() };
    made.set(groupPath, fresh);
    return fresh;
  };

  return {
    index: () => ({
      paths: Object.fromEntries(
        [...byPath.keys()].map((path) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${v3(path)?.hash}` }]),
      ),
    }),
    v3,
    v2: () => {
      const names = servedKinds(kinds).map((kind) => kind.schemaName);
      const definitions = JSON.stringify(table.closure(names)).replaceAll("#/components/schemas/", "#/definitions/");
      const head = JSON.stringify({ swagger: "2.0", info, paths: {} }).slice(0, -1);
      return Buffer.from(`${head},"definitions":${definitions}}`);
    },
  };
}
