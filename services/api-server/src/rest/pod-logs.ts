// pods/NAME/log: the api-server asks the kubelet of the pod's node and passes the lines on. Guarantees: a failure before the
// first byte is a Status; a client that has gone ends the kubelet's stream.
import { status } from "@grpc/grpc-js";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { RestCall } from "./deps.ts";
import type { LogsStream } from "./kubelet-dialer.ts";
import { readLogOptions } from "./log-options.ts";
import { checkHasLogs, chooseContainer } from "./pod-containers.ts";
import type { PodConnectDeps } from "./pod-targets.ts";
import { fetchNode, fetchPod } from "./pod-targets.ts";
import type { ResourceInfo } from "./request-info.ts";

/** Where the lines go. */
export interface LogSink {
  /** Before the first data, or the end; once it has resolved nothing can be refused any more. */
  open(): Promise<void>;
  /** False where it wants no more until it drains. */
  write(data: Buffer): boolean;
  onDrain(resume: () => void): void;
  /** Before the end. */
  ending(): Promise<void>;
  /** Calls `done` when all is written. */
  end(done?: () => void): void;
}

/** As the body of an HTTP answer. */
export function logsAsBody(call: Pick<RestCall, "response" | "starting" | "ending">): LogSink {
  const { response } = call;
  return {
    open: async () => {
      await call.starting(200);
      if (response.headersSent) return;
      response.writeHead(200, { "Content-Type": "text/plain" });
      response.flushHeaders();
    },
    write: (data) => response.write(data),
    onDrain: (resume) => void response.on("drain", resume),
    ending: async () => await call.ending(200),
    end: (done) => void response.end(done),
  };
}

/** Copies the kubelet's answer; resolves at its end. The sink is opened by the first data, or by an end without any. */
function pumpLogs(stream: LogsStream, sink: LogSink): Promise<void> {
  sink.onDrain(() => stream.resume());
  let open = false;
  let failed = false;
  return new Promise<void>((resolve, reject) => {
    const held: Buffer[] = [];
    const opened = (): void => {
      if (failed) return;
      open = true;
      if (held.splice(0).filter((data) => !sink.write(data)).length === 0) stream.resume();
    };
    stream.on("data", ({ data }: { data: Buffer }) => {
      if (open) {
        if (!sink.write(data)) stream.pause();
        return;
      }
      stream.pause();
      if (held.push(data) === 1) sink.open().then(opened, reject);
    });
    // A failed call ends before it fails, so the end alone says nothing.
    stream.on("error", (error) => {
      failed = true;
      reject(statusFromServiceError(error));
    });
    stream.on("status", ({ code }) => {
      if (code === status.OK) stream.once("end", finish);
    });
    // What is held comes before the stream's end, which waits while it is paused.
    const close = async (): Promise<void> => {
      await sink.open();
      await sink.ending();
      sink.end(resolve);
    };
    const finish = (): void => void close().catch(reject);
  });
}

/** Writes the whole answer; rejects with StatusError before the first byte. */
export async function streamLogs(
  deps: PodConnectDeps,
  info: ResourceInfo,
  signal: AbortSignal,
  sink: LogSink,
): Promise<void> {
  const options = readLogOptions(info.query, info.name);
  const pod = await fetchPod(deps, info, signal);
  const container = chooseContainer(pod, options.container);
  const nodeName = pod.spec?.nodeName ?? "";
  if (nodeName === "") {
    await sink.open();
    await sink.ending();
    sink.end();
    return;
  }
  checkHasLogs(pod, container, options.previous);
  const node = await fetchNode(deps, nodeName, signal);
  const target = { container, node: nodeName, namespace: info.namespace, pod: info.name };
  const stream = deps.dialer.logs(node, { ...options, ...target });
  const cancel = (): void => stream.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    await pumpLogs(stream, sink);
  } catch (error) {
    if (!signal.aborted) throw error;
    sink.end();
  } finally {
    signal.removeEventListener("abort", cancel);
    stream.cancel();
  }
}
