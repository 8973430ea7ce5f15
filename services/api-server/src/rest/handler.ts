// One REST request, from who is asking to the last byte. Guarantees: every request gets one answer; no input makes the
// process fail; what takes longer than the limit is answered 504 and told to stop.
import type { IncomingMessage, ServerResponse } from "node:http";
import { requestCredentials } from "@coxswain/component-base/http-endpoints";
import type { UserInfo } from "@coxswain/component-base";
import { isReason, newBadRequest, PassingMap } from "@coxswain/apimachinery";
import { impersonate, readImpersonation } from "../auth/impersonation.ts";
import { demand } from "../auth/demand.ts";
import type { AuditRecord } from "../audit/auditor.ts";
import type { Asker, AuthorizationAttributes } from "../pipeline/contract.ts";
import { methodNotAllowed, resourceNotFound } from "../pipeline/not-served.ts";
import { hasSubresource, misplaced } from "../pipeline/scope.ts";
import { TooBusyError } from "../flow-control/too-busy.ts";
import { auditIdOf, beginAudit, beginRefusedAudit } from "./audit-request.ts";
import { readBody } from "./body.ts";
import type { RestCall, RestDeps } from "./deps.ts";
import { encodeResult } from "./encode.ts";
import { Flight } from "./flight.ts";
import type { Negotiated } from "./negotiate.ts";
import { bodyType, negotiate, wantsPretty } from "./negotiate.ts";
import type { PathInfo, RequestInfo, ResourceInfo } from "./request-info.ts";
import { parseRequest, queryFlag } from "./request-info.ts";
import { createRequestMetrics, type CountedRequest } from "./request-metrics.ts";
import { RestRequest } from "./rest-request.ts";
import { sendAtOnce, sendEncoded, sendFailure, toStatusError, warningHeader } from "./respond.ts";
import { inTurns } from "./turns.ts";
import { requestTimeoutMs } from "./request-timeout.ts";
import { seatFor, tellSeat } from "./seat.ts";
import { includeOf } from "./table.ts";
import { connectOptions } from "./connect-options.ts";
import { socketToken } from "./watch-socket.ts";
import { createWatchSink } from "./watch-response.ts";

/** How long a request that is not a watch may take, ms. */
export const REQUEST_TIMEOUT_MS = 60_000;
const MAX_IN_FLIGHT = 4_000;
const SWEEP_MS = 1_000;

export interface RestHandler {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Who a request without a response (a WebSocket handshake) comes from, impersonation included. Rejects with StatusError. */
  admit(
    request: IncomingMessage,
    info: RequestInfo,
  ): Promise<{ readonly user: UserInfo; readonly audit: AuditRecord | undefined }>;
  /** Ends all watches quietly and lets no new one start. */
  drain(): void;
  readonly inFlight: number;
}

export function attributesOf(user: UserInfo, info: ResourceInfo, verb: string = info.verb): AuthorizationAttributes {
  const { group, version, resource, subresource, namespace, name } = info;
  return { user, verb, group, version, resource, subresource, namespace, name };
}

/** Throws, or rejects with, Forbidden. What was decided is told in the audit log, where `audit` is kept. */
export function authorize(
  deps: Pick<RestDeps, "authorizer">,
  attributes: AuthorizationAttributes,
  audit?: AuditRecord,
  asker?: Asker,
): void | Promise<void> {
  return demand(deps.authorizer, attributes, audit && ((key, value) => audit.annotate(key, value)), asker);
}

interface Identified {
  /** Who really calls. */
  readonly caller: UserInfo;
  /** Whom they act as. */
  readonly user: UserInfo;
}

/** Throws or rejects with StatusError. At once where nobody has to be asked. */
function identify(
  deps: RestDeps,
  request: IncomingMessage,
  { socketToken, asker }: { readonly socketToken?: string | undefined; readonly asker?: Asker } = {},
): Identified | Promise<Identified> {
  const shown = requestCredentials(request);
  const proven = shown.certificate !== undefined || request.headers.authorization !== undefined;
  const credentials = proven || socketToken === undefined ? shown : { bearerToken: socketToken };
  const acting = (caller: UserInfo): Identified | Promise<Identified> => {
    const wanted = readImpersonation(request.rawHeaders);
    if (wanted === undefined) return { caller, user: caller };
    return impersonate(caller, wanted, deps.authorizer, asker).then((user) => ({ caller, user }));
  };
  const [path = ""] = (request.url ?? "").split("?", 1);
  const caller = deps.authenticator.authenticate(credentials, path);
  return caller instanceof Promise ? caller.then(acting) : acting(caller);
}

/** Rejects where the request must not be served, as its event could not be stored: there is none of its end then. */
async function stored(flight: Flight): Promise<void> {
  try {
    await flight.audit?.received;
  } catch (error) {
    flight.audit = undefined;
    throw error;
  }
}

/** Throws, or rejects with, Forbidden. */
export function authorizePath(
  deps: Pick<RestDeps, "authorizer">,
  user: UserInfo,
  { verb, path }: PathInfo,
  audit?: AuditRecord,
  asker?: Asker,
): void | Promise<void> {
  return authorize(
    deps,
    { user, verb, path, group: "", resource: "", subresource: "", namespace: "", name: "" },
    audit,
    asker,
  );
}

/** The group and version of another api-server that the request is for. */
export function remoteOf({ aggregated }: RestDeps, info: RequestInfo): readonly [string, string] | undefined {
  if (aggregated === undefined) return undefined;
  const [, group = "", version = ""] =
    info.type === "resource" ? ["", info.group, info.version] : (/^\/apis\/([^/]+)\/([^/]+)\/?$/.exec(info.path) ?? []);
  return group !== "" && aggregated.handles(group, version) ? [group, version] : undefined;
}

async function serveRemote(
  deps: RestDeps,
  remote: readonly [string, string],
  info: RequestInfo,
  call: Flight,
): Promise<void> {
  call.setHeaders();
  if (info.type === "path") await authorizePath(deps, call.user, info, call.audit, call);
  else await authorize(deps, attributesOf(call.user, info), call.audit, call);
  await deps.aggregated?.serve(...remote, call);
}

async function servePath(deps: RestDeps, info: PathInfo, call: Flight): Promise<void> {
  call.setHeaders();
  await authorizePath(deps, call.user, info, call.audit, call);
  const { request, response } = call;
  const answer = await deps.paths({
    path: info.path,
    query: info.query,
    accept: request.headers.accept,
    ifNoneMatch: request.headers["if-none-match"],
  });
  if (answer === undefined) throw resourceNotFound();
  if (info.verb !== "get") throw methodNotAllowed();
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  const { contentType, body } = answer;
  await call.ending(answer.code);
  await sendEncoded(request, response, answer.code, { contentType, parts: [body], length: body.length });
}

const takesBody = ({ verb }: ResourceInfo): boolean => verb !== "get" && verb !== "list" && verb !== "watch";

async function requestWithBody(info: ResourceInfo, call: RestCall): Promise<RestRequest> {
  const contentType = bodyType(call.request.headers["content-type"], info.verb);
  const body = await readBody(call.request);
  call.audit?.requestBody(body, contentType);
  return new RestRequest(info, call, body.length === 0 ? undefined : body, contentType);
}

async function serveWatch(deps: RestDeps, info: ResourceInfo, form: Negotiated, call: RestCall): Promise<void> {
  const kind = deps.kindFor(info.group, info.version, info.resource);
  if (kind === undefined) throw resourceNotFound();
  const ended = Promise.withResolvers<void>();
  const include = includeOf(info.query, form);
  const options = { form, kind, include, now: () => deps.env.clock.now(), protobuf: deps.protobuf };
  const sink = createWatchSink(call.response, options, () => ended.resolve());
  const end = (): void => sink.end(undefined);
  call.signal.addEventListener("abort", end, { once: true });
  try {
    await deps.pipeline.watch(new RestRequest(info, call), sink);
  } catch (error) {
    // The request itself is sound: that its version is too old is told in the stream, as to a watch that fell behind.
    if (!isReason(error, "Expired")) throw error;
    sink.end(error.toStatus());
  }
  const told = call.starting(200);
  if (told !== undefined) await told;
  sink.open();
  call.begun();
  await ended.promise;
}

/** Rejects with StatusError where the user may not connect, or admission refuses it. Reading a log is no connection. */
export async function admitConnection(
  deps: Pick<RestDeps, "pipeline">,
  info: ResourceInfo,
  { request, user, signal, audit }: Pick<RestCall, "request" | "user" | "signal" | "audit">,
  warnings: string[] = [],
): Promise<void> {
  const options = connectOptions(info);
  if (options === undefined) return;
  const { verb, group, version, resource, subresource, namespace, name } = info;
  const where = { verb, group, version, resource, subresource, namespace, name };
  const agent = request.headers["user-agent"];
  const annotate = audit && ((key: string, value: string) => audit.annotate(key, value));
  const base = { user, options: {}, signal, annotate, warnings, ...(agent === undefined ? {} : { userAgent: agent }) };
  await deps.pipeline.connect({ ...where, ...base }, options);
}

function tellAll(call: Flight, warnings: readonly string[]): void {
  for (const text of warnings) call.tell("Warning", warningHeader(text));
}

/** The answer; who is refused is told the warnings, too. */
async function telling<T>(call: Flight, warnings: readonly string[], answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    tellAll(call, warnings);
    throw error;
  }
}

async function serveResource(deps: RestDeps, info: ResourceInfo, call: Flight): Promise<void> {
  const kind = deps.kindFor(info.group, info.version, info.resource);
  if (kind === undefined) {
    await authorize(deps, attributesOf(call.user, info), call.audit, call);
    throw resourceNotFound();
  }
  const wrongPlace = misplaced(kind, info);
  if (wrongPlace !== undefined) {
    await authorize(deps, attributesOf(call.user, info), call.audit, call);
    throw wrongPlace;
  }
  if (kind.deprecation !== undefined) call.tell("Warning", warningHeader(kind.deprecation));
  if (deps.connect?.handles(info) === true) {
    const warnings: string[] = [];
    await telling(call, warnings, admitConnection(deps, info, call, warnings));
    tellAll(call, warnings);
    call.setHeaders();
    await deps.connect.serve(info, call);
    return;
  }
  if (info.verb === "get" && info.subresource === "" && queryFlag(info.query, "export")) {
    throw newBadRequest("the export parameter, deprecated since v1.14, is no longer supported");
  }
  const { request, response } = call;
  const watch = info.verb === "watch";
  // Reviews are answers without metadata: they have no other form.
  const protobuf = kind.custom === undefined;
  const form = negotiate(request.headers.accept, { stream: watch, transform: kind.stored, protobuf });
  if (watch) {
    call.setHeaders();
    await serveWatch(deps, info, form, call);
    return;
  }
  const asked = takesBody(info) ? await requestWithBody(info, call) : new RestRequest(info, call);
  const result = await telling(call, asked.warnings, deps.pipeline.handle(asked));
  call.audit?.response(result);
  const options = {
    pretty: form.pretty === true || wantsPretty(info.query, request.headers["user-agent"]),
    include: includeOf(info.query, form),
    nowMs: deps.env.clock.now(),
    protobuf: deps.protobuf,
    pause: inTurns(deps.env),
  };
  const encoded = encodeResult(result, form, options);
  tellAll(call, "warnings" in result ? result.warnings : asked.warnings);
  const code = "code" in result ? result.code : 200;
  const told = call.ending(code);
  if (told !== undefined) await told;
  if (sendAtOnce(request, response, call.headers, { code, encoded })) return;
  call.setHeaders();
  await sendEncoded(request, response, code, encoded);
}

/** Long-running requests are not bound by the time limit. */
export function isLongRunning(info: PathInfo | ResourceInfo): boolean {
  if (info.type === "path") return false;
  return info.verb === "watch" || ["log", "exec", "attach", "portforward", "proxy"].includes(info.subresource);
}

export function createRestHandler(deps: RestDeps, signal: AbortSignal): RestHandler {
  const flights = new PassingMap<number, Flight>();
  let flown = 0;
  let draining = false;
  let longRunning = 0;
  const counts = createRequestMetrics(deps.metrics, ({ group, version, resource, subresource }) => {
    const kind = deps.kindFor(group, version, resource);
    return kind !== undefined && hasSubresource(kind, subresource);
  });
  const counted = ({ request }: Flight, info: RequestInfo | undefined): CountedRequest => ({
    info,
    method: request.method ?? "",
    contentType: request.headers["content-type"],
  });

  const fail = async (flight: Flight, error: unknown): Promise<void> => {
    const status = toStatusError(error);
    const { request, response } = flight;
    flight.setHeaders();
    await flight.starting(status.code);
    const told = flight.audit?.complete(status.code, status.toStatus());
    if (told !== undefined) await told;
    if (status.code === 500) {
      deps.logger.error({ url: request.url, error: String(error), stack: (error as Error).stack }, "request failed");
    }
    try {
      await sendFailure(request, response, status);
    } catch (cause) {
      deps.logger.debug({ error: String(cause) }, "an answer could not be written");
      response.destroy();
    }
  };

  const sweep = deps.env.timers.setInterval(() => {
    const nowMs = deps.env.clock.monotonic();
    for (const flight of flights.values()) {
      if (flight.long || flight.startedMs + flight.limitMs > nowMs) continue;
      flight.abort();
      void fail(flight, flight.signal.reason);
    }
  }, SWEEP_MS);
  signal.addEventListener("abort", () => deps.env.timers.clear(sweep), { once: true });

  const serve = async (flight: Flight): Promise<void> => {
    const { request, auditId } = flight;
    // Before anybody knows who asks. What runs long is not counted.
    if (flights.size - longRunning > MAX_IN_FLIGHT) throw new TooBusyError();
    let who: Identified;
    try {
      const identified = identify(deps, request, { asker: flight });
      who = identified instanceof Promise ? await identified : identified;
    } catch (error) {
      flight.audit = beginRefusedAudit(deps, request, auditId);
      await stored(flight);
      throw error;
    }
    flight.user = who.user;
    const info = parseRequest(request.method ?? "GET", request.url ?? "/");
    flight.audit = beginAudit(deps, request, info, { auditId, ...who });
    if (flight.audit?.received !== undefined) await stored(flight);
    flight.long = isLongRunning(info);
    if (flight.long) longRunning++;
    else flight.limitMs = requestTimeoutMs(info.query.get("timeout"), REQUEST_TIMEOUT_MS);
    flight.over = counts.begun(counted(flight, info), flight.long);
    // Streams of nodes and pods take no seats, and watches until they have begun.
    if (deps.flow === undefined || (flight.long && info.verb !== "watch")) {
      await serveAdmitted(info, flight);
      return;
    }
    const pending = seatFor(deps, info, flight);
    flight.seat = pending instanceof Promise ? await pending : pending;
    tellSeat(flight, flight.seat);
    try {
      await serveAdmitted(info, flight);
    } finally {
      flight.seat.release();
    }
  };

  const serveAdmitted = (info: RequestInfo, call: Flight): Promise<void> => {
    const remote = remoteOf(deps, info);
    if (remote !== undefined) return serveRemote(deps, remote, info, call);
    return info.type === "path" ? servePath(deps, info, call) : serveResource(deps, info, call);
  };

  return {
    async handle(request, response) {
      const startedMs = deps.env.clock.monotonic();
      const auditId = auditIdOf(deps, request);
      const flight = new Flight(request, response, { auditId, startedMs, limitMs: REQUEST_TIMEOUT_MS });
      const number = flown++;
      flights.set(number, flight);
      response.on("error", (error) => deps.logger.debug({ error: error.message }, "connection failed"));
      response.on("close", () => {
        // Making an abort's error costs more than the rest of a short request.
        if (!response.writableFinished) flight.abort();
      });
      if (draining) flight.tell("Connection", "close");
      try {
        await serve(flight);
      } catch (error) {
        await fail(flight, error);
      } finally {
        flights.take(number);
        if (flight.long) longRunning--;
        void flight.audit?.complete(response.statusCode);
        const seconds = (deps.env.clock.monotonic() - startedMs) / 1000;
        if (flight.over === undefined) counts.refused(counted(flight, undefined), response.statusCode, seconds);
        else flight.over(response.statusCode, seconds);
      }
    },
    async admit(request, info) {
      const auditId = auditIdOf(deps, request);
      const token = socketToken(request.headers["sec-websocket-protocol"]);
      const { caller, user } = await identify(deps, request, { socketToken: token });
      const audit = beginAudit(deps, request, info, { auditId, caller, user });
      await audit?.received;
      return { user, audit };
    },
    drain() {
      draining = true;
      for (const flight of flights.values()) if (flight.long) flight.abort();
    },
    get inFlight() {
      return flights.size;
    },
  };
}
