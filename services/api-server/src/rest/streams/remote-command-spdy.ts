// The client of exec and attach over SPDY (v4.channel.k8s.io): one stream each for error, stdin, stdout, stderr and resize.
// Guarantees: the command starts when every stream it needs is there; the Status arrives before the connection closes.
import type { Duplex } from "node:stream";
import { parseResize } from "./remote-command.ts";
import type { CommandClient, CommandRequest, CommandStreams } from "./remote-command.ts";
import { SpdyConnection } from "./spdy-connection.ts";
import type { SpdyStream } from "./spdy-connection.ts";

export const COMMAND_SPDY_PROTOCOLS = ["v4.channel.k8s.io"] as const;

type StreamType = "error" | "stdin" | "stdout" | "stderr" | "resize";

function neededStreams({ stdin, stdout, stderr, tty }: CommandStreams): StreamType[] {
  const wanted = { error: true, stdin, stdout, stderr, resize: tty };
  return (Object.keys(wanted) as StreamType[]).filter((type) => wanted[type]);
}

/** Both streams merged in order of arrival: a size must not wait for input that does not come. */
async function* inputOf(streams: ReadonlyMap<StreamType, SpdyStream>): AsyncIterable<CommandRequest> {
  const sources: AsyncIterator<CommandRequest>[] = [];
  const stdin = streams.get("stdin");
  const resize = streams.get("resize");
  if (stdin !== undefined) sources.push(stdinRequests(stdin)[Symbol.asyncIterator]());
  if (resize !== undefined) sources.push(resizeRequests(resize)[Symbol.asyncIterator]());
  const pending = new Map(sources.map((source) => [source, source.next().then((next) => ({ source, next }))]));
  while (pending.size > 0) {
    const { source, next } = await Promise.race(pending.values());
    pending.delete(source);
    if (next.done === true) continue;
    pending.set(
      source,
      source.next().then((following) => ({ source, next: following })),
    );
    yield next.value;
  }
}

async function* stdinRequests(stream: SpdyStream): AsyncIterable<CommandRequest> {
  for await (const stdin of stream.input) yield { stdin };
  if (!stream.gone.aborted) yield { stdinEof: true };
}

async function* resizeRequests(stream: SpdyStream): AsyncIterable<CommandRequest> {
  for await (const data of stream.input) {
    const resize = parseResize(data.toString());
    if (resize !== undefined) yield { resize };
  }
}

/** Resolves when the client has opened its streams; undefined where it left before. */
export async function commandOverSpdy(transport: Duplex, wanted: CommandStreams): Promise<CommandClient | undefined> {
  const needed = neededStreams(wanted);
  const streams = new Map<StreamType, SpdyStream>();
  const complete = Promise.withResolvers<boolean>();
  const gone = new AbortController();
  const connection = new SpdyConnection(transport, (stream) => {
    const type = stream.headers.get("streamtype") as StreamType;
    if (!needed.includes(type) || streams.has(type)) {
      stream.reset();
      return;
    }
    streams.set(type, stream);
    if (streams.size === needed.length) complete.resolve(true);
  });
  gone.signal.addEventListener("abort", () => complete.resolve(false), { once: true });
  void connection.run().then(() => gone.abort());
  if (!(await complete.promise)) return undefined;
  return {
    input: inputOf(streams),
    gone: gone.signal,
    output: async (type, data) => streams.get(type)?.write(data),
    finish(status) {
      void streams.get("error")?.write(Buffer.from(JSON.stringify(status)));
      for (const stream of streams.values()) stream.end();
      connection.close();
    },
  };
}
