// The client of exec and attach over a WebSocket (v5.channel.k8s.io and v4): the first byte of a frame is its channel.
// Guarantees: the socket is not read while input waits; the Status arrives before the socket closes.
import type { WebSocket } from "ws";
import { ByteQueue } from "./byte-queue.ts";
import { parseResize } from "./remote-command.ts";
import type { CommandClient, CommandRequest, CommandStreams } from "./remote-command.ts";

/** The one that the server likes best first. */
export const COMMAND_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const LIMIT_BYTES = 1024 * 1024;
const CLOSE_NORMAL = 1000;

function frame(channel: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([channel]), data]);
}

/** Binary frames from now on, read no faster than they are taken; ends with the socket. */
export function socketFrames(socket: WebSocket): AsyncIterable<Buffer> {
  const arrived = new ByteQueue(LIMIT_BYTES);
  socket.on("message", (data, binary) => {
    if (!binary || !Buffer.isBuffer(data) || data.length === 0) return;
    arrived.push(data);
    if (!arrived.full) return;
    socket.pause();
    void arrived.room().then(() => socket.resume());
  });
  socket.once("close", () => arrived.end());
  return arrived;
}

/** Sends; resolves when the socket takes more, or is gone. */
export async function sendFrame(socket: WebSocket, data: Buffer): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.send(data, () => resolve());
    if (socket.bufferedAmount < LIMIT_BYTES) resolve();
  });
}

function requestOf(bytes: Buffer, streams: CommandStreams): CommandRequest | undefined {
  const data = bytes.subarray(1);
  switch (bytes.readUInt8(0)) {
    case CHANNEL.stdin:
      return streams.stdin && data.length > 0 ? { stdin: data } : undefined;
    case CHANNEL.close:
      return data[0] === CHANNEL.stdin ? { stdinEof: true } : undefined;
    case CHANNEL.resize: {
      const resize = parseResize(data.toString());
      return resize === undefined ? undefined : { resize };
    }
    default:
      return undefined;
  }
}

async function* inputOf(frames: AsyncIterable<Buffer>, streams: CommandStreams): AsyncIterable<CommandRequest> {
  for await (const bytes of frames) {
    const request = requestOf(bytes, streams);
    if (request !== undefined) yield request;
  }
}

export function commandOverSocket(socket: WebSocket, streams: CommandStreams): CommandClient {
  const gone = new AbortController();
  socket.once("close", () => gone.abort());
  // It closes as well, which is what counts.
  socket.on("error", () => undefined);
  // An empty frame tells the client that the streams are there.
  socket.send(frame(streams.stdout ? CHANNEL.stdout : CHANNEL.stderr, Buffer.alloc(0)));
  return {
    input: inputOf(socketFrames(socket), streams),
    gone: gone.signal,
    output: (stream, data) => sendFrame(socket, frame(CHANNEL[stream], data)),
    finish(status) {
      // A paused socket would never see the client's answer.
      socket.resume();
      socket.send(frame(CHANNEL.error, Buffer.from(JSON.stringify(status))), () => socket.close(CLOSE_NORMAL));
    },
  };
}
