// One grpc.health.v1 Check over a plain HTTP/2 connection of its own. The two messages have one field each, so that they
// are written and read here by hand.
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import type { Timers } from "@coxswain/env";
import type { ProbeResult } from "./contract.ts";
import { dialError, hostPort } from "./dial-error.ts";

const STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const UNIMPLEMENTED = 12;
const DEADLINE_EXCEEDED = 4;

/** HealthCheckRequest {1: service} in a gRPC frame. */
export function encodeHealthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const length: number[] = [];
  for (let left = name.length; ; left >>>= 7) {
    length.push(left > 127 ? (left & 127) | 128 : left);
    if (left <= 127) break;
  }
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** HealthCheckResponse {1: status} out of a gRPC frame; "" where it is none. */
export function decodeHealthResponse(frame: Buffer): string {
  if (frame.length < 5 || frame[0] !== 0) return "";
  const message = frame.subarray(5, 5 + frame.readUInt32BE(1));
  if (message.length === 0) return "UNKNOWN";
  return message[0] === 0x08 ? (STATUS[message[1] ?? 0] ?? String(message[1])) : "";
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function ask(session: ClientHttp2Session, authority: string, service: string, timeoutMs: number): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/grpc.health.v1.Health/Check",
    [constants.HTTP2_HEADER_AUTHORITY]: authority,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
    "grpc-timeout": `${timeoutMs}m`,
    te: "trailers",
    "user-agent": "kube-probe/1.35",
  });
  let headers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  const take = (more: IncomingHttpHeaders): void => void (headers = { ...headers, ...more });
  stream.on("response", take);
  stream.on("trailers", take);
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
  stream.on("end", () => resolve({ headers, body: Buffer.concat(chunks) }));
  stream.on("error", reject);
  stream.end(encodeHealthRequest(service));
  return promise;
}

function verdict({ headers, body }: Answer, timeoutMs: number): ProbeResult {
  const code = Number(headers["grpc-status"] ?? (Number(headers[":status"]) === 200 ? 0 : 2));
  if (code === 0) {
    const status = decodeHealthResponse(body);
    return status === "SERVING"
      ? { outcome: "success", output: "service healthy" }
      : { outcome: "failure", output: `service unhealthy (responded with "${status}")` };
  }
  const message = decodeURIComponent(String(headers["grpc-message"] ?? "").replaceAll(/%(?![0-9A-Fa-f]{2})/g, "%25"));
  if (code === UNIMPLEMENTED) {
    const output = `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ${message}`;
    return { outcome: "failure", output };
  }
  if (code === DEADLINE_EXCEEDED) return late(timeoutMs);
  return { outcome: "failure", output: `error: health rpc probe failed: rpc error: code = ${code} desc = ${message}` };
}

function late(timeoutMs: number): ProbeResult {
  return { outcome: "failure", output: `timeout: health rpc did not complete within ${timeoutMs / 1000}s` };
}

export async function probeGrpc(
  target: { readonly host: string; readonly port: number; readonly service: string },
  timeoutMs: number,
  timers: Timers,
): Promise<ProbeResult> {
  const { host, port, service } = target;
  const authority = hostPort(host, port);
  const session = connect(`http://${authority}`);
  const { promise, resolve } = Promise.withResolvers<ProbeResult>();
  let connected = false;
  const unconnected = (why: string): ProbeResult => {
    const output = `timeout: failed to connect service "${authority}" within ${timeoutMs / 1000}s: ${why}`;
    return { outcome: "failure", output };
  };
  session.on("connect", () => (connected = true));
  session.on("error", (error) => resolve(unconnected(dialError(error, host, port))));
  const timer = timers.setTimeout(
    () => resolve(connected ? late(timeoutMs) : unconnected("context deadline exceeded")),
    timeoutMs,
  );
  ask(session, authority, service, timeoutMs).then(
    (answer) => resolve(verdict(answer, timeoutMs)),
    (error: Error) => resolve({ outcome: "failure", output: `error: health rpc probe failed: ${error.message}` }),
  );
  try {
    return await promise;
  } finally {
    timers.clear(timer);
    session.destroy();
  }
}
