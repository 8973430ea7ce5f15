// Exec and attach over a runtime's streaming server (protocol v4.channel.k8s.io). Guarantees: all output is handed on before
// the call resolves; the end of the input closes the process's standard input; the exit code is the process's own.
import { AbortError } from "@coxswain/env";
import { CriError, type ExecIo } from "../contract.ts";
import type { SpdyStream, TakeData } from "./spdy-connection.ts";
import { upgradeToSpdy, type Dial } from "./upgrade.ts";

const PROTOCOL = "v4.channel.k8s.io";

interface StreamStatus {
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: { readonly causes?: readonly { readonly reason?: string; readonly message?: string }[] };
}

/** The exit code that the error stream tells. Throws CriError for every other failure. */
export function exitCodeOf(text: string): number {
  if (text === "") throw new CriError("Unavailable", "the runtime ended the stream without a status");
  let status: StreamStatus;
  try {
    status = JSON.parse(text) as StreamStatus;
  } catch {
    throw new CriError("Internal", text);
  }
  if (status.status === "Success") return 0;
  const code = status.details?.causes?.find((cause) => cause.reason === "ExitCode")?.message;
  if (status.reason === "NonZeroExitCode" && code !== undefined) return Number(code);
  throw new CriError("Internal", status.message ?? text);
}

export interface RemoteCommand {
  /** Where the runtime said that the streams are served. */
  readonly url: string;
  readonly tty: boolean;
  readonly io: ExecIo;
  readonly dial: Dial;
}

/** Resolves with the exit code, 0 after an attach. Throws CriError; AbortError where `signal` aborts. */
export async function runRemoteCommand({ url, tty, io, dial }: RemoteCommand, signal: AbortSignal): Promise<number> {
  const connection = await upgradeToSpdy(url, PROTOCOL, dial, signal);
  try {
    const status: Buffer[] = [];
    const nothing = (): void => {};
    const output =
      (name: "stdout" | "stderr"): TakeData =>
      (data) => {
        io[name](data);
        // The next is read only once the client has this one.
        return io.drained?.();
      };
    const open = (type: string, take: TakeData): Promise<SpdyStream> => connection.open({ streamtype: type }, take);
    const [error, stdin, resize] = await Promise.all([
      open("error", (data) => void status.push(data)),
      io.stdin === undefined ? undefined : open("stdin", nothing),
      tty ? open("resize", nothing) : undefined,
      open("stdout", output("stdout")),
      tty ? undefined : open("stderr", output("stderr")),
    ]);
    const sizes = io.resize === undefined || resize === undefined ? undefined : encodeSizes(io.resize);
    // With a terminal, runtimes take the end of the input for the wish to detach, and send no more output.
    const failed = Promise.race([pump(io.stdin, stdin, !tty), pump(sizes, resize, true)]);
    await Promise.race([error.ended, failed]);
    if (signal.aborted) throw new AbortError();
    return exitCodeOf(Buffer.concat(status).toString("utf8"));
  } finally {
    connection.close();
  }
}

async function* encodeSizes(sizes: NonNullable<ExecIo["resize"]>): AsyncIterable<Buffer> {
  for await (const { width, height } of sizes) yield Buffer.from(JSON.stringify({ Width: width, Height: height }));
}

/** Writes all of `source`, then ends the stream where `end` says so. Never resolves; rejects where the source fails. */
export async function pump(
  source: AsyncIterable<Buffer> | undefined,
  stream: SpdyStream | undefined,
  end: boolean,
): Promise<never> {
  if (source !== undefined && stream !== undefined) {
    for await (const data of source) await stream.write(data);
    if (end) stream.end();
  }
  return new Promise<never>(() => {});
}
