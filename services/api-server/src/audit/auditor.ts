// What the audit log tells of a request, stage by stage. Guarantees: one event for each stage that the policy does not omit,
// in order, with no more of the request than its level allows; a request that nobody asked about costs one look at the policy.
// https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event
import { decodeProtobuf } from "@coxswain/api/wire/index";
import { formatMicroTime, isJsonObject, newInternalError, type Status } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import { parse as parseYaml } from "yaml";
import type { ApiResult, AuthorizationAttributes } from "../pipeline/contract.ts";
import { isTooDeep } from "../registry/yaml-depth.ts";
import { decideAudit, type AuditDecision, type AuditPolicy, type AuditStage } from "./policy.ts";

/** Takes events, one JSON text each, without a line's end. */
export interface AuditBackend {
  /** True where some request may wait. */
  readonly waits: boolean;
  /** Resolves when a request that waits for its events may go on; rejects where it must not. Undefined: none waits. */
  write(event: string): Promise<void> | undefined;
  /** Resolves when all of it lies where it belongs. */
  close(): Promise<void>;
}

export interface AuditContext {
  readonly auditId: string;
  readonly attributes: AuthorizationAttributes;
  /** Who really called, where `attributes.user` is whom they act as. */
  readonly caller: UserInfo;
  readonly requestUri: string;
  readonly sourceIps: readonly string[];
  readonly userAgent: string | undefined;
  readonly receivedMs: number;
}

export interface AuditRecord {
  /** What the request waits for before anything is done; rejects with InternalError where it must not be done. */
  readonly received: Promise<void> | undefined;
  /** True where answers wait for their events. */
  readonly waits: boolean;
  annotate(key: string, value: string): void;
  requestBody(body: Buffer | undefined, contentType: string | undefined): void;
  response(result: ApiResult): void;
  /** A long-running request is about to be answered, well or not; what that waits for. */
  started(code: number): Promise<void> | undefined;
  /** The end; `status` where it is a failure. What the answer waits for, where it was not sent yet. */
  complete(code: number, status?: Status): Promise<void> | undefined;
}

export interface Auditor {
  /** Undefined where the policy wants nothing of it. */
  begin(context: AuditContext): AuditRecord | undefined;
  close(): Promise<void>;
}

const MAX_ANNOTATIONS = 200;

export interface AuditorDeps {
  readonly policy: AuditPolicy;
  readonly backend: AuditBackend;
  readonly clock: Clock;
}

export function createAuditor(deps: AuditorDeps): Auditor {
  return {
    begin(context) {
      const decision = decideAudit(deps.policy, context.attributes);
      return decision.level === "None" ? undefined : new Recording(deps, context, decision);
    },
    close: () => deps.backend.close(),
  };
}

type Json = Record<string, unknown>;

class Recording implements AuditRecord {
  readonly #deps: AuditorDeps;
  readonly #context: AuditContext;
  readonly #decision: AuditDecision;
  readonly #annotations = new Map<string, string>();
  #requestObject: unknown;
  #responseObject: unknown;
  readonly received: Promise<void> | undefined;
  #started = false;
  #completed = false;

  constructor(deps: AuditorDeps, context: AuditContext, decision: AuditDecision) {
    this.#deps = deps;
    this.#context = context;
    this.#decision = decision;
    this.received = this.#emit("RequestReceived", undefined)?.catch((error: unknown) => {
      throw Object.assign(newInternalError("failed to store audit event"), { cause: error });
    });
    // Who begins may end before it asks.
    this.received?.catch(() => undefined);
  }

  annotate(key: string, value: string): void {
    // The first to say something under a key is believed.
    if (!this.#annotations.has(key) && this.#annotations.size < MAX_ANNOTATIONS) this.#annotations.set(key, value);
  }

  requestBody(body: Buffer | undefined, contentType: string | undefined): void {
    const { level } = this.#decision;
    if (body === undefined || (level !== "Request" && level !== "RequestResponse")) return;
    this.#requestObject = this.#trimmed(readBody(body, contentType));
  }

  response(result: ApiResult): void {
    if (this.#decision.level === "RequestResponse") this.#responseObject = this.#trimmed(documentOf(result));
  }

  get waits(): boolean {
    return this.#deps.backend.waits;
  }

  started(code: number): Promise<void> | undefined {
    if (this.#started || this.#completed) return undefined;
    this.#started = true;
    return this.#answering("ResponseStarted", { metadata: {}, code });
  }

  complete(code: number, status?: Status): Promise<void> | undefined {
    if (this.#completed) return undefined;
    this.#completed = true;
    const { status: verdict, message, reason, details } = status ?? {};
    if (status !== undefined && this.#decision.level === "RequestResponse") this.#responseObject ??= status;
    return this.#answering("ResponseComplete", { metadata: {}, status: verdict, message, reason, details, code });
  }

  /** What is done is done, whether it could be told or not. */
  #answering(stage: AuditStage, responseStatus: object): Promise<void> | undefined {
    return this.#emit(stage, responseStatus)?.catch(() => undefined);
  }

  #emit(stage: AuditStage, responseStatus: object | undefined): Promise<void> | undefined {
    if (this.#decision.omitStages.has(stage)) return undefined;
    const shared = this.#context;
    const event = {
      kind: "Event",
      apiVersion: "audit.k8s.io/v1",
      level: this.#decision.level,
      auditID: shared.auditId,
      stage,
      requestURI: shared.requestUri,
      verb: shared.attributes.verb,
      user: shared.caller,
      impersonatedUser: shared.caller === shared.attributes.user ? undefined : shared.attributes.user,
      sourceIPs: shared.sourceIps,
      userAgent: shared.userAgent,
      objectRef: objectRefOf(shared.attributes),
      responseStatus,
      requestObject: this.#requestObject,
      responseObject: stage === "ResponseComplete" ? this.#responseObject : undefined,
      requestReceivedTimestamp: formatMicroTime(shared.receivedMs),
      stageTimestamp: formatMicroTime(stage === "RequestReceived" ? shared.receivedMs : this.#deps.clock.now()),
      annotations: this.#annotations.size === 0 ? undefined : Object.fromEntries(this.#annotations),
    };
    return this.#deps.backend.write(JSON.stringify(event));
  }

  #trimmed(document: unknown): unknown {
    if (!this.#decision.omitManagedFields || !isJsonObject(document)) return document;
    const items = document["items"];
    return withoutManagers({
      ...document,
      ...(Array.isArray(items)
        ? { items: items.map((item: unknown) => (isJsonObject(item) ? withoutManagers(item) : item)) }
        : {}),
    });
  }
}

function withoutManagers(document: Json): Json {
  const { metadata } = document;
  if (!isJsonObject(metadata)) return document;
  const { managedFields: _managers, ...kept } = metadata;
  return { ...document, metadata: kept };
}

function objectRefOf(attributes: AuthorizationAttributes): object | undefined {
  if (attributes.path !== undefined) return undefined;
  const { resource, namespace, name, group, version, subresource } = attributes;
  const given = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
  return {
    resource,
    namespace: given(namespace),
    name: given(name),
    apiGroup: given(group),
    apiVersion: given(version),
    subresource: given(subresource),
  };
}

/** Undefined where the body cannot be read: the answer says why. */
function readBody(body: Buffer, contentType = "application/json"): unknown {
  try {
    if (contentType === "application/vnd.kubernetes.protobuf") return decodeProtobuf(body);
    const text = body.toString();
    if (!contentType.endsWith("yaml")) return JSON.parse(text);
    return isTooDeep(text) ? undefined : parseYaml(text);
  } catch {
    return undefined;
  }
}

function documentOf(result: ApiResult): unknown {
  if (result.type === "object") return result.object.object;
  if (result.type === "status") return result.status;
  if (result.type === "document") return result.document;
  const { kind, items, resourceVersion } = result;
  const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
  return { kind: kind.listKind, apiVersion, metadata: { resourceVersion }, items: items.map(({ object }) => object) };
}
