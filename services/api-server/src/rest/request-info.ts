// Reads a method and a URL into what is asked: a resource request, or a path outside the resource API. Pure. Guarantees:
// the verb is the one RBAC is asked about; whatever the URL holds, the answer is a RequestInfo or a StatusError.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
import { StatusError, newBadRequest } from "@coxswain/apimachinery";
import type { RequestOptions, RequestVerb } from "../pipeline/contract.ts";
import { methodNotAllowed, resourceNotFound } from "../pipeline/not-served.ts";

export interface ResourceInfo {
  readonly type: "resource";
  readonly verb: RequestVerb;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** What follows the subresource, as in the path of a proxy request. */
  readonly rest: string;
  readonly namespace: string;
  readonly name: string;
  readonly query: URLSearchParams;
}

export interface PathInfo {
  readonly type: "path";
  /** Lower case, as RBAC has it: get, post, … */
  readonly verb: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

export type RequestInfo = ResourceInfo | PathInfo;

const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set(["status", "finalize"]);
/** Methods that are passed on as they are and need the rights of a GET. */
const READING: ReadonlySet<string> = new Set(["HEAD", "OPTIONS"]);
const EMPTY = new URLSearchParams();

function decodeSegment(segment: string): string {
  if (!segment.includes("%")) return segment;
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    throw new StatusError("BadRequest", 400, `invalid URL escape in ${JSON.stringify(segment)}`, {}, { cause: error });
  }
}

/** As upstream reads a boolean of the query: "0" and "false" are false, everything else, even nothing, is true. */
export function queryFlag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  return value !== null && value !== "0" && value.toLowerCase() !== "false";
}

function verbOf(method: string, hasName: boolean, hasSubresource: boolean, watch: boolean): RequestVerb {
  switch (method) {
    case "GET":
      return hasName ? "get" : watch ? "watch" : "list";
    case "POST":
      if (hasName && !hasSubresource) throw methodNotAllowed();
      return "create";
    case "PUT":
      if (!hasName) throw methodNotAllowed();
      return "update";
    case "PATCH":
      if (!hasName) throw methodNotAllowed();
      return "patch";
    case "DELETE":
      return hasName ? "delete" : "deletecollection";
    default:
      throw methodNotAllowed();
  }
}

/** Undefined where the segments do not reach a resource: discovery and everything else. */
function resourceSegments(segments: readonly string[]): { group: string; version: string; rest: string[] } | undefined {
  if (segments[0] === "api" && segments.length >= 3) {
    return { group: "", version: segments[1] ?? "", rest: segments.slice(2) };
  }
  if (segments[0] === "apis" && segments.length >= 4) {
    return { group: segments[1] ?? "", version: segments[2] ?? "", rest: segments.slice(3) };
  }
  return undefined;
}

/** Throws StatusError MethodNotAllowed or BadRequest. */
export function parseRequest(method: string, url: string): RequestInfo {
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const query = mark < 0 ? EMPTY : new URLSearchParams(url.slice(mark + 1));
  const segments = path.split("/").slice(1);
  if (segments.at(-1) === "") segments.pop();
  const found = resourceSegments(segments);
  if (found === undefined) return { type: "path", verb: method.toLowerCase(), path, query };

  let parts = found.rest.map(decodeSegment);
  let watch = queryFlag(query, "watch");
  const legacyWatch = parts[0] === "watch" && parts.length > 1;
  if (legacyWatch) {
    parts = parts.slice(1);
    watch = true;
  }
  let namespace = "";
  if (parts[0] === "namespaces" && parts.length > 2 && !NAMESPACE_SUBRESOURCES.has(parts[2] ?? "")) {
    namespace = parts[1] ?? "";
    if (namespace === "") throw newBadRequest("the namespace of the request is empty");
    parts = parts.slice(2);
  }
  const [resource = "", name = "", subresource = "", ...rest] = parts;
  if (parts.includes("") && rest.length === 0) throw resourceNotFound();
  const asked = subresource === "proxy" && READING.has(method) ? "GET" : method;
  const verb = legacyWatch && method === "GET" ? "watch" : verbOf(asked, name !== "", subresource !== "", watch);
  return {
    type: "resource",
    verb,
    group: found.group,
    version: found.version,
    resource,
    subresource,
    rest: rest.join("/"),
    namespace,
    name: legacyWatch ? "" : name,
    query: legacyWatch && name !== "" ? withNameSelector(query, name) : query,
  };
}

function withNameSelector(query: URLSearchParams, name: string): URLSearchParams {
  const out = new URLSearchParams(query);
  const given = out.get("fieldSelector");
  out.set("fieldSelector", given === null || given === "" ? `metadata.name=${name}` : `${given},metadata.name=${name}`);
  return out;
}

const TEXT_OPTIONS = [
  "fieldManager",
  "fieldValidation",
  "labelSelector",
  "fieldSelector",
  "resourceVersion",
  "resourceVersionMatch",
  "limit",
  "continue",
  "timeoutSeconds",
  "gracePeriodSeconds",
  "propagationPolicy",
] as const;

const NO_OPTIONS: RequestOptions = {};

/** The query as the pipeline's options. */
export function readOptions(query: URLSearchParams): RequestOptions {
  if (query === EMPTY) return NO_OPTIONS;
  const options: Record<string, string | boolean | readonly string[]> = {};
  for (const key of TEXT_OPTIONS) {
    const value = query.get(key);
    if (value !== null && value !== "") options[key] = value;
  }
  // kubectl sends resourceVersion= and resourceVersion=0 with different meanings: absent and "any".
  if (query.has("force")) options["force"] = String(queryFlag(query, "force"));
  const dryRun = query.getAll("dryRun");
  if (dryRun.length > 0) options["dryRun"] = dryRun;
  if (query.has("allowWatchBookmarks")) options["allowWatchBookmarks"] = queryFlag(query, "allowWatchBookmarks");
  const initial = query.get("sendInitialEvents");
  if (initial !== null) options["sendInitialEvents"] = initial;
  if (query.has("orphanDependents")) options["orphanDependents"] = queryFlag(query, "orphanDependents");
  return options;
}
