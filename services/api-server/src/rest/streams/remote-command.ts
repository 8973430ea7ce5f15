// exec and attach, whatever the client speaks: joins a client with the kubelet's call. Guarantees: neither side is read
// faster than the other takes it; how the command ended arrives as a Status after all output; when one side goes, so does
// the other. Wording as upstream.
import { status as grpcStatus } from "@grpc/grpc-js";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { AttachRequest_StartInput, ExecRequest_StartInput } from "@coxswain/protos/kubelet-v1.gen";
import type { KubeletCall } from "./kubelet-call.ts";

export interface CommandStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

export interface CommandRequest {
  readonly start?: ExecRequest_StartInput & AttachRequest_StartInput;
  readonly stdin?: Buffer;
  readonly stdinEof?: boolean;
  readonly resize?: { readonly width: number; readonly height: number };
}

export interface CommandResponse {
  readonly message?: string;
  readonly stdout?: Buffer;
  readonly stderr?: Buffer;
  /** Of exec alone. */
  readonly exitCode?: number;
}

export type CommandCall = KubeletCall<CommandRequest, CommandResponse>;

/** How a command ended, as a Status. */
export interface CommandStatus {
  readonly metadata: object;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: string;
  readonly details?: object;
  readonly code?: number;
}

/** The client of a command, over a WebSocket or SPDY. */
export interface CommandClient {
  /** What it sends; ends when it is gone. */
  readonly input: AsyncIterable<CommandRequest>;
  readonly gone: AbortSignal;
  /** Resolves when it takes more, or is gone. */
  output(stream: "stdout" | "stderr", data: Buffer): Promise<void>;
  /** Sends how it ended and closes the connection. */
  finish(status: CommandStatus): void;
}

/** The Status that tells a client how its command ended. */
export function exitStatus(code: number): CommandStatus {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

/** What a failed call to a kubelet means, in a line. */
export function kubeletFailure(error: unknown): string {
  const { message } = statusFromServiceError(error);
  const unreachable = (error as { code?: unknown }).code === grpcStatus.UNAVAILABLE;
  return unreachable ? `error dialing backend: ${message}` : message;
}

export function failureStatus(error: unknown): CommandStatus {
  const message = kubeletFailure(error);
  return {
    metadata: {},
    status: "Failure",
    message: `Internal error occurred: ${message}`,
    reason: "InternalError",
    details: { causes: [{ message }] },
    code: 500,
  };
}

/** {"Width":80,"Height":24} as clients send it; undefined for anything else. */
export function parseResize(text: string): { width: number; height: number } | undefined {
  const size = /"Width":\s*(\d{1,5}).*"Height":\s*(\d{1,5})/is.exec(text);
  return size === null ? undefined : { width: Number(size[1]), height: Number(size[2]) };
}

async function sendInput(client: CommandClient, call: CommandCall): Promise<void> {
  for await (const message of client.input) await call.write(message);
}

/** Serves one command to its end; never rejects. `start` opens the call. */
export async function runRemoteCommand(
  client: CommandClient,
  call: CommandCall,
  start: NonNullable<CommandRequest["start"]>,
  streams: CommandStreams,
): Promise<void> {
  const cancel = (): void => call.cancel();
  if (client.gone.aborted) cancel();
  else client.gone.addEventListener("abort", cancel, { once: true });
  let outcome = exitStatus(0);
  try {
    await call.write({ start });
    void sendInput(client, call);
    for await (const { message, stdout, stderr, exitCode } of call.responses()) {
      if (message === "stdout" && streams.stdout && stdout) await client.output("stdout", stdout);
      else if (message === "stderr" && streams.stderr && stderr) await client.output("stderr", stderr);
      else if (message === "exitCode") outcome = exitStatus(exitCode ?? 0);
    }
  } catch (error) {
    outcome = failureStatus(error);
  }
  client.gone.removeEventListener("abort", cancel);
  client.finish(outcome);
}
