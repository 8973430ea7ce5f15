// What the REST front is made of; the pipeline decides, the front translates.
import type { KindDefinition } from "@coxswain/api";
import type { Env } from "@coxswain/env";
import type { Logger, Metrics, UserInfo } from "@coxswain/component-base";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { FlowControl } from "../flow-control/flow-control.ts";
import type { Auditor, AuditRecord } from "../audit/auditor.ts";
import type { Authenticator, Authorizer, Pipeline } from "../pipeline/contract.ts";
import type { AggregatedApis } from "../aggregation/aggregator.ts";
import type { ProtobufEncoder } from "./encode.ts";
import type { ResourceInfo } from "./request-info.ts";

/** A call that was let in. */
export interface RestCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly user: UserInfo;
  readonly auditId: string;
  /** Absent where the audit log wants nothing of the call. */
  readonly audit?: AuditRecord | undefined;
  /** The answer is about to begin, with `code`: what its first byte waits for. */
  starting(code: number): Promise<void> | undefined;
  /** The answer is about to end: what its last byte waits for. */
  ending(code: number): Promise<void> | undefined;
  /** Of a watch that has begun: gives its seat back. */
  begun(): void;
  /** Aborts when the client goes away, the time is over or the server drains. */
  readonly signal: AbortSignal;
}

/** An answer of a path outside the resource API. */
export interface PathAnswer {
  readonly code: number;
  readonly contentType: string;
  readonly body: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PathRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept: string | undefined;
  readonly ifNoneMatch: string | undefined;
}

/** Discovery, OpenAPI, health, version, metrics and keys. Undefined for an unknown path. */
export type PathHandler = (request: PathRequest) => Promise<PathAnswer | undefined> | PathAnswer | undefined;

/** Streaming subresources that are served by the node: log, exec, attach. */
export interface ConnectHandler {
  handles(info: ResourceInfo): boolean;
  /** Writes the whole answer; rejects with StatusError before the first byte. */
  serve(info: ResourceInfo, call: RestCall): Promise<void>;
  /** Takes over the socket of a WebSocket handshake; rejects with StatusError before it is accepted. */
  upgrade(info: ResourceInfo, call: UpgradeCall): Promise<void>;
}

export interface UpgradeCall {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly user: UserInfo;
  readonly audit?: AuditRecord | undefined;
  /** The answer is about to begin, with `code`: what its first byte waits for. */
  starting(code: number): Promise<void> | undefined;
  readonly signal: AbortSignal;
}

export interface RestDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly pipeline: Pipeline;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  kindFor(group: string, version: string, resource: string): KindDefinition | undefined;
  readonly paths: PathHandler;
  readonly protobuf: ProtobufEncoder;
  readonly connect?: ConnectHandler;
  readonly auditor?: Auditor;
  /** Everybody is let in at once where unset. */
  readonly flow?: FlowControl;
  /** How many objects of a resource there are. */
  readonly countOf?: (group: string, resource: string) => number;
  readonly aggregated?: Pick<AggregatedApis, "handles" | "serve" | "upgrade">;
}
