// pods/portforward: each connection is a call to the kubelet of the pod's node. Guarantees: neither side is read faster
// than the other takes it; the end of one direction leaves the other open; a failure is told on the connection's error
// stream in upstream's words, and its streams end then, and no others.
import type { Duplex } from "node:stream";
import type { PortForwardRequestInput, PortForwardResponse } from "@coxswain/protos/kubelet-v1.gen";
import type { KubeletCall } from "./kubelet-call.ts";
import { kubeletFailure } from "./remote-command.ts";
import { SpdyConnection } from "./spdy-connection.ts";
import type { SpdyStream } from "./spdy-connection.ts";

/** What the streams of a SPDY connection mean. */
export const PORT_FORWARD_PROTOCOL = "portforward.k8s.io";
/** The same connection inside a WebSocket. */
export const TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io";

export type ForwardCall = KubeletCall<PortForwardRequestInput, PortForwardResponse>;
/** Opens a call for a port; what it carries is told already. */
export type OpenForward = (port: number) => ForwardCall;

/** The client's side of one forwarded connection. */
export interface ForwardClient {
  readonly input: AsyncIterable<Buffer>;
  readonly gone: AbortSignal;
  output(data: Buffer): Promise<void>;
}

async function sendInput(client: ForwardClient, call: ForwardCall): Promise<void> {
  for await (const data of client.input) await call.write({ data });
  call.end();
}

/** Carries one connection to its end. Resolves with what went wrong, undefined for nothing. */
export async function forward(client: ForwardClient, call: ForwardCall): Promise<string | undefined> {
  const cancel = (): void => call.cancel();
  if (client.gone.aborted) cancel();
  else client.gone.addEventListener("abort", cancel, { once: true });
  void sendInput(client, call);
  try {
    for await (const { data } of call.responses()) if (data.length > 0) await client.output(data);
    return undefined;
  } catch (error) {
    return kubeletFailure(error);
  } finally {
    client.gone.removeEventListener("abort", cancel);
  }
}

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
}

/** Undefined where the stream is none of a port-forward. */
function readHeaders({ headers }: SpdyStream): { id: string; type: "data" | "error"; port: number } | undefined {
  const type = headers.get("streamtype");
  const port = Number(headers.get("port"));
  if ((type !== "data" && type !== "error") || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { id: headers.get("requestid") ?? "", type, port };
}

async function serveConnection(data: SpdyStream, error: SpdyStream, call: ForwardCall): Promise<void> {
  const client = { input: data.input, gone: data.gone, output: (bytes: Buffer) => data.write(bytes) };
  const failure = await forward(client, call);
  if (failure !== undefined) await error.write(Buffer.from(failure));
  data.end();
  error.end();
}

/** Serves a SPDY connection until the client leaves it. Never rejects. */
export async function servePortForward(transport: Duplex, open: OpenForward): Promise<void> {
  const pairs = new Map<string, Pair>();
  const connection = new SpdyConnection(transport, (stream) => {
    const told = readHeaders(stream);
    if (told === undefined) {
      stream.reset();
      return;
    }
    const pair: Pair = { ...pairs.get(told.id), [told.type]: stream };
    if (pair.data === undefined || pair.error === undefined) {
      pairs.set(told.id, pair);
      return;
    }
    pairs.delete(told.id);
    void serveConnection(pair.data, pair.error, open(told.port));
  });
  await connection.run();
}
