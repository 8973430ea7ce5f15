// kubectl exec over WebSocket (v5.channel.k8s.io and v4): the first byte of a frame is its channel. Guarantees: output is not
// read faster than the client takes it; the exit code arrives as a Status on the error channel before the socket closes;
// when one side goes, so does the other.
import type { ServiceError } from "@grpc/grpc-js";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { WebSocket } from "ws";
import type { ExecStream } from "./kubelet-dialer.ts";

export const EXEC_PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"] as const;

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
const HIGH_WATER_BYTES = 1024 * 1024;

export interface ExecStart {
  readonly node: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** The Status that tells a client how its command ended. */
export function exitStatus(code: number): object {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(code) }] },
  };
}

function failureStatus(error: unknown): object {
  const failure = statusFromServiceError(error);
  return {
    metadata: {},
    status: "Failure",
    message: `error executing command in container: ${failure.message}`,
    reason: "InternalError",
    details: { causes: [{ message: failure.message }] },
    code: 500,
  };
}

function frame(channel: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([channel]), data]);
}

function onClientFrame(bytes: Buffer, call: ExecStream, start: ExecStart): void {
  const [channel] = bytes;
  const data = bytes.subarray(1);
  if (channel === CHANNEL.stdin && start.stdin && data.length > 0) call.write({ stdin: data });
  if (channel === CHANNEL.close && data[0] === CHANNEL.stdin) call.write({ stdinEof: true });
  if (channel !== CHANNEL.resize) return;
  const size = /"Width":\s*(\d{1,5}).*"Height":\s*(\d{1,5})/is.exec(data.toString());
  if (size !== null) call.write({ resize: { width: Number(size[1]), height: Number(size[2]) } });
}

/** Joins the socket and the kubelet's stream until either ends. */
export function pumpExec(socket: WebSocket, call: ExecStream, start: ExecStart): void {
  let over = false;
  const finish = (status: object): void => {
    if (over) return;
    over = true;
    socket.send(frame(CHANNEL.error, Buffer.from(JSON.stringify(status))), () => socket.close(1000));
  };
  const output = (channel: number, data: Uint8Array): void => {
    socket.send(frame(channel, data), () => {
      if (socket.bufferedAmount < HIGH_WATER_BYTES) call.resume();
    });
    if (socket.bufferedAmount >= HIGH_WATER_BYTES) call.pause();
  };
  call.on("data", (message: { message?: string; stdout?: Buffer; stderr?: Buffer; exitCode?: number }) => {
    if (message.message === "exitCode") finish(exitStatus(message.exitCode ?? 0));
    else if (message.message === "stdout" && start.stdout) output(CHANNEL.stdout, message.stdout ?? Buffer.alloc(0));
    else if (message.message === "stderr" && start.stderr) output(CHANNEL.stderr, message.stderr ?? Buffer.alloc(0));
  });
  call.on("error", (error: ServiceError) => finish(failureStatus(error)));
  call.on("end", () => finish(failureStatus(new Error("the kubelet ended the command without an exit code"))));
  socket.on("message", (data: Buffer | ArrayBuffer | Buffer[]) => {
    if (Buffer.isBuffer(data)) onClientFrame(data, call, start);
  });
  socket.on("close", () => {
    over = true;
    call.cancel();
  });
  socket.on("error", () => call.cancel());
  const { stdout: _stdout, stderr: _stderr, ...message } = start;
  call.write({ start: message });
  // An empty frame tells the client that the streams are there.
  socket.send(frame(start.stdout ? CHANNEL.stdout : CHANNEL.stderr, Buffer.alloc(0)));
}
