// A request of the REST front as the audit log sees it.
import type { IncomingMessage } from "node:http";
import type { UserInfo } from "@coxswain/component-base";
import type { AuditRecord } from "../audit/auditor.ts";
import type { AuthorizationAttributes } from "../pipeline/contract.ts";
import type { RestDeps } from "./deps.ts";
import { parseRequest, type RequestInfo } from "./request-info.ts";

/** An id that a client may choose for its request. */
const AUDIT_ID = /^[\x21-\x7e]{1,64}$/;
export const NOBODY: UserInfo = { username: "", groups: [] };

/** The id of a request: the client's own where it gives a fit one. */
export function auditIdOf({ env }: Pick<RestDeps, "env">, request: IncomingMessage): string {
  const given = request.headers["audit-id"];
  return typeof given === "string" && AUDIT_ID.test(given) ? given : env.random.uuid();
}

/** Those who passed the request on, as they say, and the peer last. */
export function sourceIps(request: IncomingMessage): string[] {
  const forwarded = request.headers["x-forwarded-for"] ?? "";
  const real = request.headers["x-real-ip"] ?? "";
  const told = [...String(forwarded).split(","), String(real)].map((each) => each.trim()).filter((each) => each !== "");
  const peer = (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  return [...new Set([...told, ...(peer === "" ? [] : [peer])])];
}

function attributesOf(user: UserInfo, info: RequestInfo): AuthorizationAttributes {
  if (info.type === "path") {
    const nothing = { group: "", resource: "", subresource: "", namespace: "", name: "" };
    return { user, verb: info.verb, path: info.path, ...nothing };
  }
  const { verb, group, version, resource, subresource, namespace, name } = info;
  return { user, verb, group, version, resource, subresource, namespace, name };
}

export interface AuditedCall {
  readonly auditId: string;
  readonly caller: UserInfo;
  readonly user: UserInfo;
}

/** Undefined where no log is kept, or nothing is wanted of the request. */
export function beginAudit(
  deps: RestDeps,
  request: IncomingMessage,
  info: RequestInfo,
  { auditId, caller, user }: AuditedCall,
): AuditRecord | undefined {
  if (deps.auditor === undefined) return undefined;
  const attributes = attributesOf(user, info);
  return deps.auditor.begin({
    auditId,
    attributes,
    caller,
    requestUri: request.url ?? "/",
    sourceIps: sourceIps(request),
    userAgent: request.headers["user-agent"],
    receivedMs: deps.env.clock.now(),
  });
}

/** The same for a request whose caller proved nothing. */
export function beginRefusedAudit(deps: RestDeps, request: IncomingMessage, auditId: string): AuditRecord | undefined {
  if (deps.auditor === undefined) return undefined;
  const info = parseRequest(request.method ?? "GET", request.url ?? "/");
  return beginAudit(deps, request, info, { auditId, caller: NOBODY, user: NOBODY });
}
