// OpenAPI documents for kubectl: `explain`, `apply` and the check of field validation read the v3 ones. They describe just
// the kinds given, with the actions that those allow.
import { REFERRED_SCHEMAS } from "../apiextensions-v1/open-api.ts";
import type { KindDefinition } from "../kind.ts";
import { subresourcesOf } from "../subresources.ts";
import { connectionPaths, isConnection, UNAUTHORIZED } from "./open-api-connections.ts";
import { operationId, type OperationTarget } from "./open-api-operation-id.ts";
import {
  CONNECTION_PARAMETERS,
  DELETE,
  DELETE_COLLECTION,
  LIST,
  objectParameters,
  PATCH,
  pathParameters,
  WRITE,
} from "./open-api-parameters.ts";
import { componentSchemas, type JsonSchema, kindSchemaNames, referenceTo } from "./open-api-schemas.ts";
import { modelType } from "./model.ts";

const STATUS = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];

/** "api/v1" or "apis/apps/v1": where the document of a group and version lives below /openapi/v3/. */
export function openApiPath(group: string, version: string): string {
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

/** The index at /openapi/v3; `hashOf` tells clients when their copy of a document is out of date. */
export function openApiV3Index(
  groupVersions: readonly { group: string; version: string }[],
  hashOf: (path: string) => string,
): JsonSchema {
  const paths: Record<string, { serverRelativeURL: string }> = {};
  for (const { group, version } of groupVersions) {
    const path = openApiPath(group, version);
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hashOf(path)}` };
  }
  return { paths };
}

/** The document of one group and version. `kinds` may hold others too; they are passed over. */
export function openApiV3(group: string, version: string, kinds: readonly KindDefinition[]): JsonSchema {
  const root = `/${openApiPath(group, version)}`;
  const paths: Record<string, JsonSchema> = {};
  const names = new Set([STATUS, DELETE_OPTIONS, ...kindSchemaNames(group, version)]);
  const custom: JsonSchema = {};
  for (const kind of kinds) {
    if (kind.group !== group || kind.version !== version) continue;
    addPaths(paths, root, kind, names);
    if (kind.custom === undefined) continue;
    // Their schemas are not in the table; what they refer to is.
    Object.assign(custom, kind.custom.schemas);
    names.delete(kind.schemaName);
    for (const name of REFERRED_SCHEMAS) names.add(name);
  }
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version: "v1.35.2" },
    paths,
    components: { schemas: { ...componentSchemas([...names]), ...custom } },
  };
}

function addPaths(paths: Record<string, JsonSchema>, root: string, kind: KindDefinition, names: Set<string>): void {
  const scoped = kind.namespaced ? `${root}/namespaces/{namespace}/${kind.resource}` : `${root}/${kind.resource}`;
  const whole = wholeObject(kind);
  const list = (target: OperationTarget): JsonSchema =>
    operation({ ...whole, answer: listSchemaOf(kind), target }, "list", LIST);
  const collection: JsonSchema = {};
  if (kind.verbs.includes("list")) collection["get"] = list({});
  if (kind.verbs.includes("create")) collection["post"] = operation(whole, "post", WRITE);
  if (kind.verbs.includes("deletecollection")) {
    const target = { of: "Collection" };
    collection["delete"] = operation({ ...whole, answer: STATUS, target }, "deletecollection", DELETE_COLLECTION);
  }
  names.add(kind.schemaName);
  paths[scoped] = { ...collection, ...parameters(objectParameters(kind.namespaced, false)) };
  if (kind.namespaced && collection["get"] !== undefined) {
    const get = list({ namespaced: false, suffix: "ForAllNamespaces" });
    paths[`${root}/${kind.resource}`] = { get, ...parameters(objectParameters(false, false)) };
  }
  const single = singleOperations(whole, kind.verbs);
  if (Object.keys(single).length > 0) {
    paths[`${scoped}/{name}`] = { ...single, ...parameters(objectParameters(kind.namespaced, true)) };
  }
  for (const [subresource, operations] of subresourceOperations(kind, names)) {
    paths[`${scoped}/{name}/${subresource}`] = {
      ...operations,
      ...parameters(objectParameters(kind.namespaced, true)),
    };
  }
  Object.assign(paths, connectionPaths(kind, `${scoped}/{name}`, pathParameters(kind.namespaced, true)));
}

/** What an operation is named after, takes and answers. */
interface Subject {
  readonly kind: KindDefinition;
  readonly target: OperationTarget;
  /** Of the body; of a subresource it may be another kind. */
  readonly type: { readonly group: string; readonly version: string; readonly kind: string };
  readonly body: string;
  /** The name of a schema; "" where the answer is text. */
  readonly answer: string;
}

function wholeObject(kind: KindDefinition): Subject {
  return { kind, target: {}, type: kind, body: kind.schemaName, answer: kind.schemaName };
}

/** Of the subresources that carry an object, or text. */
function subresourceOperations(kind: KindDefinition, names: Set<string>): [string, JsonSchema][] {
  const found: [string, JsonSchema][] = [];
  for (const one of subresourcesOf(kind)) {
    const { name, verbs } = one;
    if (isConnection(one)) continue;
    const own = one.group === kind.group && one.kind === kind.kind;
    const body = own ? kind.schemaName : schemaNameOf(one);
    const text = name === "log";
    const subject = { kind, target: { subresource: name }, type: one, body, answer: text ? "" : body };
    const operations = singleOperations(subject, verbs);
    if (text) operations["get"] = operation(subject, "get", CONNECTION_PARAMETERS[name] ?? []);
    if (verbs.includes("create")) operations["post"] = operation(subject, "post", WRITE);
    names.add(body);
    found.push([name, operations]);
  }
  return found;
}

function schemaNameOf({ group, version, kind }: Subject["type"]): string {
  const name = kindSchemaNames(group, version).find((one) => one.endsWith(`.${kind}`));
  if (name === undefined) throw new Error(`no schema of ${kind} in ${group}/${version}`);
  return name;
}

function singleOperations(subject: Subject, verbs: readonly string[]): JsonSchema {
  const found: JsonSchema = {};
  if (verbs.includes("get")) found["get"] = operation(subject, "get", []);
  if (verbs.includes("update")) found["put"] = operation(subject, "put", WRITE);
  if (verbs.includes("patch")) found["patch"] = operation(subject, "patch", PATCH);
  if (verbs.includes("delete")) {
    const answer = answersDeleted(subject.kind) ? subject.answer : STATUS;
    found["delete"] = operation({ ...subject, answer }, "delete", DELETE);
  }
  return found;
}

/** Of namespaces, which are answered too, the documents say that it is a Status, as upstream's. */
function answersDeleted(kind: KindDefinition): boolean {
  return kind.returnDeletedObject === true && !(kind.group === "" && kind.kind === "Namespace");
}

function listSchemaOf(kind: KindDefinition): string {
  const name = `${kind.schemaName}List`;
  if (kind.custom !== undefined) return kind.schemaName.replace(/[^.]+$/, kind.listKind);
  modelType(name);
  return name;
}

/** The first word of an operation's name, by its action. */
const VERBS = {
  list: "list",
  get: "read",
  post: "create",
  put: "replace",
  patch: "patch",
  delete: "delete",
  deletecollection: "delete",
} as const;

const DESCRIPTIONS = { "200": "OK", "201": "Created", "202": "Accepted" } as const;
/** What an action may answer besides 401. */
const CODES: Readonly<Record<keyof typeof VERBS, readonly (keyof typeof DESCRIPTIONS)[]>> = {
  list: ["200"],
  get: ["200"],
  post: ["200", "201", "202"],
  put: ["200", "201"],
  patch: ["200", "201"],
  delete: ["200", "202"],
  deletecollection: ["200"],
};

function operation(subject: Subject, action: keyof typeof VERBS, extra: readonly JsonSchema[]): JsonSchema {
  const { kind, target, type, body, answer } = subject;
  const content =
    answer === ""
      ? { "text/plain": { schema: { type: "string" } } }
      : { "application/json": { schema: referenceTo(answer) } };
  const made: JsonSchema = {
    operationId: operationId(kind, VERBS[action], target),
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group: type.group, version: type.version, kind: type.kind },
    ...parameters(extra),
    responses: {
      ...Object.fromEntries(CODES[action].map((code) => [code, { description: DESCRIPTIONS[code], content }])),
      ...UNAUTHORIZED,
    },
  };
  if (action === "patch") {
    const patch = { schema: { type: "object" } };
    // Strategic merge needs rules that the schemas of custom resources cannot give.
    const types = PATCH_TYPES.filter((name) => kind.custom === undefined || !name.includes("strategic"));
    made["requestBody"] = { content: Object.fromEntries(types.map((name) => [name, patch])), required: true };
  } else if (action === "post" || action === "put") {
    made["requestBody"] = { content: { "application/json": { schema: referenceTo(body) } }, required: true };
  } else if (action === "delete" || action === "deletecollection") {
    made["requestBody"] = { content: { "application/json": { schema: referenceTo(DELETE_OPTIONS) } } };
  }
  return made;
}

/** None is left out: typed clients read an empty list, write none, and find that the document is another one. */
const parameters = (given: readonly JsonSchema[]): JsonSchema => (given.length === 0 ? {} : { parameters: given });
