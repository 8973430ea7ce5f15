// pods/NAME/log and pods/NAME/exec: the api-server asks the kubelet of the pod's node and passes the stream on. Guarantees:
// nothing is asked of a node before the user was authorized; a failure before the first byte is a Status.
import type { ServerResponse } from "node:http";
import { status } from "@grpc/grpc-js";
import type { Node, Pod } from "@coxswain/api";
import { newBadRequest, newInternalError, newNotFound } from "@coxswain/apimachinery";
import { statusFromServiceError } from "@coxswain/component-base/grpc-status";
import { WebSocketServer } from "ws";
import { API_SERVER_USER } from "../auth/identity.ts";
import { forbidden } from "../auth/rbac-authorizer.ts";
import type { Authorizer, Pipeline } from "../pipeline/contract.ts";
import type { ConnectHandler, RestCall, UpgradeCall } from "./deps.ts";
import type { ExecStart } from "./exec-socket.ts";
import { EXEC_PROTOCOLS, pumpExec } from "./exec-socket.ts";
import type { KubeletDialer, LogsStream } from "./kubelet-dialer.ts";
import { readLogOptions } from "./log-options.ts";
import { checkHasLogs, chooseContainer } from "./pod-containers.ts";
import type { ResourceInfo } from "./request-info.ts";
import { methodNotAllowed, queryFlag } from "./request-info.ts";

export interface PodConnectDeps {
  readonly pipeline: Pipeline;
  readonly authorizer: Authorizer;
  readonly dialer: KubeletDialer;
}

const SUBRESOURCES: ReadonlySet<string> = new Set(["log", "exec", "attach", "portforward"]);

async function fetchObject<T>(
  deps: PodConnectDeps,
  target: { resource: string; namespace: string; name: string },
  signal: AbortSignal,
): Promise<T> {
  const result = await deps.pipeline.handle({
    user: API_SERVER_USER,
    verb: "get",
    group: "",
    version: "v1",
    subresource: "",
    ...target,
    options: {},
    signal,
  });
  if (result.type !== "object") throw newNotFound({ group: "", resource: target.resource }, target.name);
  return result.object.object as T;
}

function authorize(deps: PodConnectDeps, info: ResourceInfo, call: RestCall | UpgradeCall, verb: string): void {
  const { group, version, resource, subresource, namespace, name } = info;
  const attributes = { user: call.user, verb, group, version, resource, subresource, namespace, name };
  const decision = deps.authorizer.authorize(attributes);
  if (!decision.allowed) throw forbidden(attributes, decision.reason);
}

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
      if (code !== status.OK) return;
      open();
      response.end(resolve);
    });
  });
}

async function streamLogs(deps: PodConnectDeps, info: ResourceInfo, call: RestCall): Promise<void> {
  const { response } = call;
  const options = readLogOptions(info.query, info.name);
  const pod = await fetchObject<Pod>(
    deps,
    { resource: "pods", namespace: info.namespace, name: info.name },
    call.signal,
  );
  const container = chooseContainer(pod, options.container);
  const nodeName = pod.spec?.nodeName ?? "";
  if (nodeName === "") {
    response.writeHead(200, { "Content-Type": "text/plain" }).end();
    return;
  }
  checkHasLogs(pod, container, options.previous);
  const node = await fetchObject<Node>(deps, { resource: "nodes", namespace: "", name: nodeName }, call.signal);
  const stream = deps.dialer.logs(node, {
    ...options,
    container,
    node: nodeName,
    namespace: info.namespace,
    pod: info.name,
  });
  const cancel = (): void => stream.cancel();
  call.signal.addEventListener("abort", cancel, { once: true });
  try {
    await pumpLogs(stream, response);
  } catch (error) {
    if (call.signal.aborted) {
      response.end();
      return;
    }
    throw error;
  } finally {
    call.signal.removeEventListener("abort", cancel);
    stream.cancel();
  }
}

function startOf(info: ResourceInfo, pod: Pod): ExecStart {
  const { query } = info;
  const command = query.getAll("command");
  if (command.length === 0) throw newBadRequest("you must specify at least 1 command for the container");
  const [stdin, stdout, stderr, tty] = ["stdin", "stdout", "stderr", "tty"].map((name) => queryFlag(query, name));
  if (!stdin && !stdout && !stderr) throw newBadRequest("you must specify at least 1 of stdin, stdout, stderr");
  const podName = info.name;
  const node = pod.spec?.nodeName ?? "";
  if (node === "") throw newBadRequest(`pod ${podName} does not have a host assigned`);
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") {
    const message = `cannot exec into a container in a completed pod; current phase is ${phase}`;
    throw newInternalError(new Error(message));
  }
  return {
    node,
    namespace: info.namespace,
    pod: podName,
    container: chooseContainer(pod, query.get("container") ?? ""),
    command,
    stdin: stdin === true,
    stdout: stdout === true,
    stderr: stderr === true && tty !== true,
    tty: tty === true,
  };
}

/** Log and exec for the REST server. */
export function createPodConnect(deps: PodConnectDeps): ConnectHandler & { close(): void } {
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: 32 * 1024 * 1024,
    handleProtocols: (offered) => EXEC_PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  });

  const upgradeExec = async (info: ResourceInfo, call: UpgradeCall): Promise<void> => {
    const { request, socket, head, signal } = call;
    if ((request.headers.upgrade ?? "").toLowerCase() !== "websocket") {
      throw newBadRequest("unable to upgrade: only WebSocket with v5.channel.k8s.io or v4.channel.k8s.io is supported");
    }
    const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((text) => text.trim());
    if (!EXEC_PROTOCOLS.some((protocol) => offered.includes(protocol))) {
      throw newBadRequest(`unable to upgrade: unsupported subprotocols [${offered.join(" ")}]`);
    }
    const target = { resource: "pods", namespace: info.namespace, name: info.name };
    const pod = await fetchObject<Pod>(deps, target, signal);
    const start = startOf(info, pod);
    const node = await fetchObject<Node>(deps, { resource: "nodes", namespace: "", name: start.node }, signal);
    sockets.handleUpgrade(request, socket, head, (webSocket) => pumpExec(webSocket, deps.dialer.exec(node), start));
  };

  return {
    handles: (info) =>
      info.group === "" && info.resource === "pods" && info.name !== "" && SUBRESOURCES.has(info.subresource),
    async serve(info, call) {
      authorize(deps, info, call, info.verb);
      if (info.subresource !== "log") throw newBadRequest("Upgrade request required");
      if (info.verb !== "get") throw methodNotAllowed();
      await streamLogs(deps, info, call);
    },
    async upgrade(info, call) {
      if (info.subresource === "log") throw newBadRequest("the log of a pod is not served over an upgraded connection");
      authorize(deps, info, call, info.verb);
      // A command does something, however it is asked for.
      if (info.verb === "get") authorize(deps, info, call, "create");
      if (info.subresource !== "exec") {
        throw newBadRequest(`pods/${info.subresource} is not supported`);
      }
      await upgradeExec(info, call);
    },
    close() {
      sockets.close();
      deps.dialer.close();
    },
  };
}
