// The client of exec and attach over a WebSocket (v5.channel.k8s.io down to the unnumbered first one): the first byte of a frame
// is its channel, and in the base64 protocols its digit, before text. Guarantees: the socket is not read while input waits; how
// the command ended arrives before the socket closes.
import type { WebSocket } from "ws";
import { ByteQueue } from "./byte-queue.ts";
import { parseResize } from "./remote-command.ts";
import type { CommandClient, CommandRequest, CommandStatus, CommandStreams } from "./remote-command.ts";

/** The one that the server likes best first. */
export const COMMAND_PROTOCOLS = [
  "v5.channel.k8s.io",
  "v4.channel.k8s.io",
  "v4.base64.channel.k8s.io",
  "channel.k8s.io",
  "base64.channel.k8s.io",
] as const;

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const LIMIT_BYTES = 1024 * 1024;
const CLOSE_NORMAL = 1000;

const DIGIT_ZERO = 0x30;

/** How a channel and its bytes are one message. */
interface Framing {
  readonly text: boolean;
  pack(channel: number, data: Uint8Array): Buffer;
  /** As the binary protocols have it: the channel's byte, then the bytes. */
  unpack(message: Buffer): Buffer;
}

const BINARY: Framing = {
  text: false,
  pack: (channel, data) => Buffer.concat([Buffer.from([channel]), data]),
  unpack: (message) => message,
};

const BASE64: Framing = {
  text: true,
  pack: (channel, data) => Buffer.from(`${channel}${Buffer.from(data).toString("base64")}`),
  unpack: (message) =>
    Buffer.concat([
      // What is no digit names no channel.
      Buffer.from([(message.readUInt8(0) - DIGIT_ZERO) & 0x7f]),
      Buffer.from(message.subarray(1).toString("latin1"), "base64"),
    ]),
};

/** Binary frames, or text ones, from now on, read no faster than they are taken; ends with the socket. */
export function socketFrames(socket: WebSocket, text = false): AsyncIterable<Buffer> {
  const arrived = new ByteQueue(LIMIT_BYTES);
  socket.on("message", (data, binary) => {
    if (binary === text || !Buffer.isBuffer(data) || data.length === 0) return;
    arrived.push(data);
    if (!arrived.full) return;
    socket.pause();
    void arrived.room().then(() => socket.resume());
  });
  socket.once("close", () => arrived.end());
  return arrived;
}

/** Sends; resolves when the socket takes more, or is gone. */
export async function sendFrame(socket: WebSocket, data: Buffer, text = false): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.send(data, { binary: !text }, () => resolve());
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

async function* inputOf(
  frames: AsyncIterable<Buffer>,
  framing: Framing,
  streams: CommandStreams,
): AsyncIterable<CommandRequest> {
  for await (const message of frames) {
    const request = requestOf(framing.unpack(message), streams);
    if (request !== undefined) yield request;
  }
}

/** What the error channel says at the end: since version 4 the Status, before it the message of a failure alone. */
function lastWords(protocol: string, status: CommandStatus): string | undefined {
  if (protocol.startsWith("v")) return JSON.stringify(status);
  return status.status === "Success" ? undefined : status.message;
}

export function commandOverSocket(socket: WebSocket, streams: CommandStreams): CommandClient {
  const gone = new AbortController();
  const framing = socket.protocol.includes("base64.") ? BASE64 : BINARY;
  const { text } = framing;
  const send = (channel: number, data: Uint8Array): Promise<void> =>
    sendFrame(socket, framing.pack(channel, data), text);
  socket.once("close", () => gone.abort());
  // It closes as well, which is what counts.
  socket.on("error", () => undefined);
  // An empty frame tells the client that the streams are there.
  void send(streams.stdout ? CHANNEL.stdout : CHANNEL.stderr, Buffer.alloc(0));
  return {
    input: inputOf(socketFrames(socket, text), framing, streams),
    gone: gone.signal,
    output: (stream, data) => send(CHANNEL[stream], data),
    finish(status) {
      // A paused socket would never see the client's answer.
      socket.resume();
      const words = lastWords(socket.protocol, status);
      if (words === undefined) return socket.close(CLOSE_NORMAL);
      const data = framing.pack(CHANNEL.error, Buffer.from(words));
      socket.send(data, { binary: !text }, () => socket.close(CLOSE_NORMAL));
    },
  };
}
