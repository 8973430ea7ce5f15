// pods/NAME/log: the api-server asks the kubelet of the pod's node and passes the lines on. Guarantees: a failure before the
// first byte is a Status; a client that has gone ends the kubelet's stream.
import type { ServerResponse } from "node:http";
import { status } from "@grpc/grpc-js";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import type { RestCall } from "./deps.ts";
import type { LogsStream } from "./kubelet-dialer.ts";
import { readLogOptions } from "./log-options.ts";
import { checkHasLogs, chooseContainer } from "./pod-containers.ts";
import type { PodConnectDeps } from "./pod-targets.ts";
import { fetchNode, fetchPod } from "./pod-targets.ts";
import type { ResourceInfo } from "./request-info.ts";

/** Copies the kubelet's answer; resolves at its end. The response is opened by the first data, or by an end without any. */
function pumpLogs(stream: LogsStream, response: ServerResponse): Promise<void> {
  const open = (): void => {
    if (response.headersSent) return;
    response.writeHead(200, { "Content-Type": "text/plain" });
    response.flushHeaders();
  };
  response.on("drain", () => stream.resume());
  return new Promise<void>((resolve, reject) => {
    stream.on("data", (message: { data: Buffer }) => {
      open();
      if (!response.write(message.data)) stream.pause();
    });
    // A failed call ends before it fails, so the end alone says nothing.
    stream.on("error", (error) => reject(statusFromServiceError(error)));
    stream.on("status", ({ code }) => {
      if (code === status.OK) stream.once("end", finish);
    });
    const finish = (): void => {
      open();
      response.end(resolve);
    };
  });
}

/** Writes the whole answer; rejects with StatusError before the first byte. */
export async function streamLogs(deps: PodConnectDeps, info: ResourceInfo, call: RestCall): Promise<void> {
  const { response } = call;
  const options = readLogOptions(info.query, info.name);
  const pod = await fetchPod(deps, info, call.signal);
  const container = chooseContainer(pod, options.container);
  const nodeName = pod.spec?.nodeName ?? "";
  if (nodeName === "") {
    response.writeHead(200, { "Content-Type": "text/plain" }).end();
    return;
  }
  checkHasLogs(pod, container, options.previous);
  const node = await fetchNode(deps, nodeName, call.signal);
  const target = { container, node: nodeName, namespace: info.namespace, pod: info.name };
  const stream = deps.dialer.logs(node, { ...options, ...target });
  const cancel = (): void => stream.cancel();
  call.signal.addEventListener("abort", cancel, { once: true });
  try {
    await pumpLogs(stream, response);
  } catch (error) {
    if (!call.signal.aborted) throw error;
    response.end();
  } finally {
    call.signal.removeEventListener("abort", cancel);
    stream.cancel();
  }
}
