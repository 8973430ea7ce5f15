// gRPC messages of coxswain.api.v1.Resources as pipeline requests, and results as messages. Pure: the same pipeline answers
// both fronts, so only the wire form differs.
import { newBadRequest } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { structFromJson, structToJson } from "@coxswain/protos";
import type { ServiceTypes } from "@coxswain/protos";
import type { ApiRequest, ApiResult, RequestOptions, RequestVerb, VersionedObject } from "../pipeline/contract.ts";

type Methods = ServiceTypes["coxswain.api.v1.Resources"];
export type GetRequest = Methods["get"]["request"];
export type ListRequest = Methods["list"]["request"];
export type WatchRequest = Methods["watch"]["request"];
export type CreateRequest = Methods["create"]["request"];
export type UpdateRequest = Methods["update"]["request"];
export type PatchRequest = Methods["patch"]["request"];
export type DeleteRequest = Methods["delete"]["request"];
export type DeleteCollectionRequest = Methods["deleteCollection"]["request"];
export type ObjectMessage = NonNullable<Methods["get"]["responseInput"]["object"]>;
type Target = GetRequest["target"];
type Options = CreateRequest["options"];
type Body = CreateRequest["object"];

const JSON_TYPE = "application/json";
export const READABLE = "FORMAT_READABLE";

/** What every request of one call shares. */
export interface Caller {
  readonly user: UserInfo;
  readonly userAgent?: string;
  readonly signal: AbortSignal;
}

interface RequestParts {
  readonly options: RequestOptions;
  readonly body?: Buffer;
  readonly contentType?: string;
  readonly write?: Options;
}

function build(caller: Caller, verb: RequestVerb, target: Target, parts: RequestParts): ApiRequest {
  if (target === null || target === undefined || target.resource === "" || target.version === "") {
    throw newBadRequest("target.version and target.resource are required");
  }
  const { group, version, resource, subresource, namespace, name } = target;
  const fence = parts.write?.fence ?? undefined;
  return {
    user: caller.user,
    verb,
    group,
    version,
    resource,
    subresource,
    namespace,
    name,
    ...(parts.body === undefined || parts.body.length === 0 ? {} : { body: parts.body }),
    ...(parts.contentType === undefined ? {} : { contentType: parts.contentType }),
    options: parts.options,
    ...(fence === undefined
      ? {}
      : { fence: { lease: fence.lease, holder: fence.holder, transitions: fence.transitions } }),
    ...(caller.userAgent === undefined ? {} : { userAgent: caller.userAgent }),
    signal: caller.signal,
  };
}

/** Keeps what was set: proto3 sends an absent text as "". */
function given(fields: Readonly<Record<string, string | boolean | undefined>>): RequestOptions {
  return Object.fromEntries(
    Object.entries(fields).filter(
      ([, value]) => value !== "" && value !== "0" && value !== false && value !== undefined,
    ),
  );
}

const NO_OPTIONS: RequestOptions = {};

function writeOptions(options: Options): RequestOptions {
  if (options === null || options === undefined) return NO_OPTIONS;
  // Most say nothing.
  if (!options.dryRun && options.fieldManager === "" && options.fieldValidation === "") return NO_OPTIONS;
  return {
    ...(options.dryRun ? { dryRun: ["All"] } : {}),
    ...given({ fieldManager: options.fieldManager, fieldValidation: options.fieldValidation }),
  };
}

function bodyOf(object: Body): Buffer {
  if (object?.json !== undefined && object.json.length > 0) return object.json;
  if (object?.readable !== undefined && object.readable !== null) {
    return Buffer.from(JSON.stringify(structToJson(object.readable)));
  }
  throw newBadRequest("object.json or object.readable is required");
}

export function getRequest(caller: Caller, request: GetRequest): ApiRequest {
  const options: RequestOptions = request.resourceVersion === "" ? {} : { resourceVersion: request.resourceVersion };
  return build(caller, "get", request.target, { options });
}

export function listRequest(caller: Caller, request: ListRequest): ApiRequest {
  const { labelSelector, fieldSelector, limit, resourceVersionMatch } = request;
  return build(caller, "list", request.target, {
    options: {
      ...given({ labelSelector, fieldSelector, limit, continue: request.continue, resourceVersionMatch }),
      ...(request.resourceVersion === "" ? {} : { resourceVersion: request.resourceVersion }),
    },
  });
}

export function watchRequest(caller: Caller, request: WatchRequest): ApiRequest {
  const { labelSelector, fieldSelector, timeoutSeconds } = request;
  return build(caller, "watch", request.target, {
    options: {
      ...given({ labelSelector, fieldSelector, timeoutSeconds, allowWatchBookmarks: request.allowBookmarks }),
      ...(request.resourceVersion === "" ? {} : { resourceVersion: request.resourceVersion }),
      ...(request.sendInitialEvents ? { sendInitialEvents: "true", resourceVersionMatch: "NotOlderThan" } : {}),
    },
  });
}

export function createRequest(caller: Caller, request: CreateRequest): ApiRequest {
  const parts = { options: writeOptions(request.options), write: request.options };
  return build(caller, "create", request.target, { ...parts, body: bodyOf(request.object), contentType: JSON_TYPE });
}

export function updateRequest(caller: Caller, request: UpdateRequest): ApiRequest {
  const parts = { options: writeOptions(request.options), write: request.options };
  return build(caller, "update", request.target, { ...parts, body: bodyOf(request.object), contentType: JSON_TYPE });
}

export function patchRequest(caller: Caller, request: PatchRequest): ApiRequest {
  const parts = { options: writeOptions(request.options), write: request.options };
  return build(caller, "patch", request.target, { ...parts, body: request.patch, contentType: request.patchType });
}

export function deleteRequest(caller: Caller, request: DeleteRequest): ApiRequest {
  const parts = { options: writeOptions(request.options), write: request.options };
  return build(caller, "delete", request.target, { ...parts, body: request.deleteOptions, contentType: JSON_TYPE });
}

export function deleteCollectionRequest(caller: Caller, request: DeleteCollectionRequest): ApiRequest {
  const { labelSelector, fieldSelector, deleteOptions } = request;
  return build(caller, "deletecollection", request.target, {
    options: { ...writeOptions(request.options), ...given({ labelSelector, fieldSelector }) },
    write: request.options,
    body: deleteOptions,
    contentType: JSON_TYPE,
  });
}

/** An object of the cache, as its bytes or as a structure that a person can read. */
export function objectMessage(object: VersionedObject, readable: boolean): ObjectMessage {
  return readable ? { readable: structFromJson(object.object) } : { json: object.json };
}

/** Any single result. A list is streamed and never gets here. */
export function resultMessage(result: Exclude<ApiResult, { type: "list" }>, readable: boolean): ObjectMessage {
  if (result.type === "object") return objectMessage(result.object, readable);
  const document = result.type === "status" ? result.status : result.document;
  return readable ? { readable: structFromJson(document) } : { json: Buffer.from(JSON.stringify(document)) };
}
