// A watch over a WebSocket, for browsers: each event is a message, of text or, in protobuf, of bytes. Guarantees: what is wrong with the request is told as an
// HTTP answer before the handshake; a reader that falls too far behind is dropped; the end of the watch closes the socket.
import type { Status } from "@coxswain/apimachinery";
import { WebSocketServer, type WebSocket } from "ws";
import type { ApiRequest, PipelineWatchEvent, WatchSink } from "../pipeline/contract.ts";
import { resourceNotFound } from "../pipeline/not-served.ts";
import type { RestDeps, UpgradeCall } from "./deps.ts";
import { negotiate } from "./negotiate.ts";
import { readOptions, type ResourceInfo } from "./request-info.ts";
import { seatFor } from "./seat.ts";
import { includeOf } from "./table.ts";
import { eventMessages } from "./watch-response.ts";

const MAX_BUFFERED_BYTES = 32 * 1024 * 1024;
/** Readers have nothing to say. */
const MAX_INCOMING_BYTES = 1024;
const TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io.";
const NORMAL = 1000;

/** A token that a browser, which can set no headers, sends as a subprotocol beside at least one other. */
export function socketToken(header: string | undefined): string | undefined {
  const offered = (header ?? "").split(",").map((each) => each.trim());
  const found = offered.filter((each) => each.startsWith(TOKEN_PROTOCOL));
  if (found.length !== 1 || offered.length < 2) return undefined;
  return Buffer.from(found[0]!.slice(TOKEN_PROTOCOL.length), "base64url").toString();
}

const server = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  maxPayload: MAX_INCOMING_BYTES,
  // The token is not told back.
  handleProtocols: (offered) => [...offered].find((each) => !each.startsWith(TOKEN_PROTOCOL)) ?? false,
});

/** Rejects with StatusError before the handshake. */
export async function serveWatchSocket(deps: RestDeps, info: ResourceInfo, call: UpgradeCall): Promise<void> {
  const kind = deps.kindFor(info.group, info.version, info.resource);
  if (kind === undefined) throw resourceNotFound();
  const protobuf = kind.custom === undefined;
  const form = negotiate(call.request.headers.accept, { stream: true, transform: true, protobuf });
  const { verb, group, version, resource, subresource, namespace, name, query } = info;
  const where = { verb, group, version, resource, subresource, namespace, name };
  const { audit, user, signal } = call;
  const annotate = audit && ((key: string, value: string) => audit.annotate(key, value));
  const request: ApiRequest = { user, ...where, options: readOptions(query), annotate, signal };
  const include = includeOf(query, form);
  const options = { form, kind, include, now: () => deps.env.clock.now(), protobuf: deps.protobuf };
  const sink = new SocketSink(eventMessages(options));
  const pending = deps.flow === undefined ? undefined : seatFor(deps, info, call);
  const seat = pending instanceof Promise ? await pending : pending;
  try {
    await deps.pipeline.watch(request, sink);
  } finally {
    seat?.release();
  }
  await call.starting(101);
  server.handleUpgrade(call.request, call.socket, call.head, (socket) => sink.open(socket));
}

type Messages = ReturnType<typeof eventMessages>;

/** Keeps what comes before the handshake is done. */
class SocketSink implements WatchSink {
  readonly #messages: Messages;
  #early: (string | Buffer)[] = [];
  #socket: WebSocket | undefined;
  #ended = false;

  constructor(messages: Messages) {
    this.#messages = messages;
  }

  open(socket: WebSocket): void {
    this.#socket = socket;
    // A message that is too long ends the connection, which ends the watch.
    socket.on("error", () => socket.terminate());
    for (const message of this.#early) socket.send(message);
    this.#early = [];
    if (this.#ended) socket.close(NORMAL);
  }

  send(events: readonly PipelineWatchEvent[]): boolean {
    if (this.#ended) return false;
    for (const { type, object } of events) this.#write(this.#messages(type, object));
    return (this.#socket?.bufferedAmount ?? 0) <= MAX_BUFFERED_BYTES;
  }

  end(error: Status | undefined): void {
    if (this.#ended) return;
    if (error !== undefined) this.#write(this.#messages("ERROR", error));
    this.#ended = true;
    this.#socket?.close(NORMAL);
  }

  #write(message: string | Buffer): void {
    if (this.#socket === undefined) this.#early.push(message);
    else this.#socket.send(message);
  }
}
