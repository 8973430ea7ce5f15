// pods/portforward over a plain WebSocket (v4.channel.k8s.io): for the n-th of the asked ports channel 2n carries data and
// 2n+1 what went wrong; the first frame of each names the port. One connection a port.
import type { WebSocket } from "ws";
import { newBadRequest } from "@coxswain/apimachinery";
import { ByteQueue } from "./byte-queue.ts";
import { forward } from "./port-forward.ts";
import type { OpenForward } from "./port-forward.ts";
import { sendFrame, socketFrames } from "./remote-command-socket.ts";

export const PORT_FORWARD_SOCKET_PROTOCOL = "v4.channel.k8s.io";

const LIMIT_BYTES = 1024 * 1024;
const CLOSE_NORMAL = 1000;

/** Throws BadRequest where there is none, or one that cannot be. */
export function readPorts(query: URLSearchParams): number[] {
  const texts = query.getAll("ports").flatMap((text) => text.split(","));
  if (texts.length === 0) throw newBadRequest(`query parameter "ports" is required`);
  return texts.map((text) => {
    const port = Number(text);
    if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) throw newBadRequest(`invalid port: ${text}`);
    return port;
  });
}

/** Serves until the client leaves or every connection has ended. Never rejects. */
export async function serveSocketPortForward(
  socket: WebSocket,
  ports: readonly number[],
  open: OpenForward,
): Promise<void> {
  const gone = new AbortController();
  socket.once("close", () => gone.abort());
  // It closes as well, which is what counts.
  socket.on("error", () => undefined);
  const send = (channel: number, data: Buffer): Promise<void> =>
    sendFrame(socket, Buffer.concat([Buffer.from([channel]), data]));
  const inputs = ports.map(() => new ByteQueue(LIMIT_BYTES));
  const reading = async (): Promise<void> => {
    for await (const frame of socketFrames(socket)) {
      const channel = frame[0] ?? 0;
      const input = channel % 2 === 0 ? inputs[channel / 2] : undefined;
      input?.push(frame.subarray(1));
      await input?.room();
    }
    for (const input of inputs) input.close();
  };
  void reading();
  const connections = ports.map(async (port, index) => {
    const name = Buffer.alloc(2);
    name.writeUInt16LE(port);
    await send(index * 2, name);
    await send(index * 2 + 1, name);
    const input = inputs[index] ?? new ByteQueue(LIMIT_BYTES);
    const client = { input, gone: gone.signal, output: (data: Buffer) => send(index * 2, data) };
    const failure = await forward(client, open(port));
    if (failure !== undefined) await send(index * 2 + 1, Buffer.from(failure));
    input.close();
  });
  await Promise.all(connections);
  socket.close(CLOSE_NORMAL);
}
