// A request that is being answered. What only few requests need, as a signal that tells of their end, is made when it is asked
// for: making it costs as much as a good part of a short request.
import type { IncomingMessage, ServerResponse } from "node:http";
import type { UserInfo } from "@coxswain/component-base";
import type { AuditRecord } from "../audit/auditor.ts";
import type { Seat } from "../flow-control/flow-control.ts";
import { NOBODY } from "./audit-request.ts";
import type { RestCall } from "./deps.ts";

export class Flight implements RestCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly auditId: string;
  readonly startedMs: number;
  /** How long it may take, unless it is long-running. */
  limitMs: number;
  long = false;
  user: UserInfo = NOBODY;
  audit: AuditRecord | undefined = undefined;
  seat: Seat | undefined = undefined;
  /** Tells the figures of its end; unset until it is known what is asked. */
  over: ((code: number, seconds: number) => void) | undefined = undefined;
  #headers: string[];
  #aborted = false;
  #controller: AbortController | undefined = undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    given: { readonly auditId: string; readonly startedMs: number; readonly limitMs: number },
  ) {
    this.request = request;
    this.response = response;
    this.auditId = given.auditId;
    this.startedMs = given.startedMs;
    this.limitMs = given.limitMs;
    this.#headers = ["Audit-Id", given.auditId, "Cache-Control", "no-cache, private"];
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort();
  }

  /** What is short has no event of its beginning. */
  starting(code: number): Promise<void> | undefined {
    return this.long ? this.audit?.started(code) : undefined;
  }

  ending(code: number): Promise<void> | undefined {
    return this.audit?.waits === true ? this.audit.complete(code) : undefined;
  }

  begun(): void {
    this.seat?.release();
  }

  /** A header that its answer has, whatever it is. */
  tell(name: string, value: string): void {
    this.#headers.push(name, value);
  }

  /** What was told and is not set yet, names and values in turn: for who writes the whole head at once. */
  get headers(): readonly string[] {
    return this.#headers;
  }

  /** For who does not: sets what was told on the response. */
  setHeaders(): void {
    const headers = this.#headers;
    this.#headers = [];
    if (this.response.headersSent) return;
    for (let at = 0; at < headers.length; at += 2) this.response.appendHeader(headers[at]!, headers[at + 1]!);
  }
}
