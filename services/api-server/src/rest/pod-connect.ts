// pods/NAME/{log,exec,attach,portforward}: the api-server joins the client with the kubelet of the pod's node. Guarantees:
// nothing is asked of a node before the user was authorized; what can be refused is refused before the upgrade, as a Status.
import type { Node, Pod } from "@coxswain/api";
import { newBadRequest } from "@coxswain/apimachinery";
import { createWebSocketStream } from "ws";
import type { WebSocket } from "ws";
import { methodNotAllowed } from "../pipeline/not-served.ts";
import type { ConnectHandler, UpgradeCall } from "./deps.ts";
import { kubeletAddress } from "./kubelet-dialer.ts";
import { chooseContainer } from "./pod-containers.ts";
import { logsAsBody, streamLogs } from "./pod-logs.ts";
import { authorizeConnect, fetchNode, fetchPod } from "./pod-targets.ts";
import type { PodConnectDeps } from "./pod-targets.ts";
import type { ResourceInfo } from "./request-info.ts";
import { queryFlag } from "./request-info.ts";
import { LOG_PROTOCOLS, logsOverSocket } from "./streams/log-socket.ts";
import { PORT_FORWARD_SOCKET_PROTOCOL, readPorts, serveSocketPortForward } from "./streams/port-forward-socket.ts";
import { PORT_FORWARD_PROTOCOL, servePortForward, TUNNEL_PROTOCOL } from "./streams/port-forward.ts";
import type { OpenForward } from "./streams/port-forward.ts";
import { commandOverSocket, COMMAND_PROTOCOLS } from "./streams/remote-command-socket.ts";
import { commandOverSpdy, COMMAND_SPDY_PROTOCOLS } from "./streams/remote-command-spdy.ts";
import { runRemoteCommand } from "./streams/remote-command.ts";
import type { CommandCall, CommandClient, CommandStreams } from "./streams/remote-command.ts";
import { acceptSpdy, createSocketUpgrader, upgradeKind } from "./streams/upgrade.ts";

const SUBRESOURCES: ReadonlySet<string> = new Set(["log", "exec", "attach", "portforward"]);

/** Throws BadRequest where the client asks for no stream at all. */
function readStreams(query: URLSearchParams): CommandStreams {
  const flag = (name: string): boolean => queryFlag(query, name);
  const [stdin, stdout, stderr, tty] = [flag("stdin"), flag("stdout"), flag("stderr"), flag("tty")];
  if (!stdin && !stdout && !stderr) throw newBadRequest("you must specify at least 1 of stdin, stdout, stderr");
  // A terminal has one output.
  return { stdin, stdout, stderr: stderr && !tty, tty };
}

interface Destination {
  /** "" where none is meant. */
  readonly container: string;
  readonly node: Node;
}

/** The pod's node, which has an address. Rejects with BadRequest where the pod is on no node yet, else with StatusError. */
async function dialableNode(deps: PodConnectDeps, pod: Pod, signal: AbortSignal): Promise<Node> {
  const name = pod.spec?.nodeName ?? "";
  if (name === "") throw newBadRequest(`pod ${pod.metadata?.name} does not have a host assigned`);
  const node = await fetchNode(deps, name, signal);
  // Now, while a refusal can still be an answer.
  kubeletAddress(node);
  return node;
}

/** The streams of pods for the REST server. */
/** A log is read; a connection is asked for by GET or POST, and by no verb that stands for another right. */
function requireMethod({ subresource, verb }: ResourceInfo): void {
  if (verb !== "get" && (subresource === "log" || verb !== "create")) throw methodNotAllowed();
}

export function createPodConnect(deps: PodConnectDeps): ConnectHandler & { close(): void } {
  const commandSockets = createSocketUpgrader(COMMAND_PROTOCOLS);
  const logSockets = createSocketUpgrader(LOG_PROTOCOLS);
  const forwardSockets = createSocketUpgrader([TUNNEL_PROTOCOL, PORT_FORWARD_SOCKET_PROTOCOL]);

  /** Where a command or a connection leads: looked up before it is asked how the client wants to speak. */
  const destination = async (info: ResourceInfo, signal: AbortSignal): Promise<Destination> => {
    const pod = await fetchPod(deps, info, signal);
    const container = info.subresource === "portforward" ? "" : chooseContainer(pod, info.query.get("container") ?? "");
    return { container, node: await dialableNode(deps, pod, signal) };
  };

  const upgradeCommand = async (info: ResourceInfo, call: UpgradeCall): Promise<void> => {
    const exec = info.subresource === "exec";
    const { container, node } = await destination(info, call.signal);
    const command = info.query.getAll("command");
    if (exec && command.length === 0) throw newBadRequest("you must specify at least 1 command for the container");
    const streams = readStreams(info.query);
    const upgrade = upgradeKind(call);
    const target = { node: node.metadata?.name ?? "", namespace: info.namespace, pod: info.name, container };
    const { stdin, tty } = streams;
    const start = exec ? { ...target, command, stdin, tty } : { ...target, stdin };
    const run = async (client: CommandClient): Promise<void> => {
      const kubelet: CommandCall = exec ? deps.dialer.exec(node) : deps.dialer.attach(node);
      await runRemoteCommand(client, kubelet, start, streams);
    };
    if (upgrade === "websocket") {
      await commandSockets.accept(call, (socket) => run(commandOverSocket(socket, streams)));
      return;
    }
    const client = await commandOverSpdy(await acceptSpdy(call, COMMAND_SPDY_PROTOCOLS), streams);
    if (client !== undefined) await run(client);
  };

  const openForwardTo = (node: Node, info: ResourceInfo): OpenForward => {
    const target = { node: node.metadata?.name ?? "", namespace: info.namespace, pod: info.name };
    return (port) => {
      const call = deps.dialer.portForward(node);
      void call.write({ start: { ...target, port } });
      return call;
    };
  };

  const upgradePortForward = async (info: ResourceInfo, call: UpgradeCall): Promise<void> => {
    const { node } = await destination(info, call.signal);
    const upgrade = upgradeKind(call);
    const open = openForwardTo(node, info);
    if (upgrade === "spdy") {
      await servePortForward(await acceptSpdy(call, [PORT_FORWARD_PROTOCOL]), open);
      return;
    }
    const tunnel = (call.request.headers["sec-websocket-protocol"] ?? "").includes(TUNNEL_PROTOCOL);
    const ports = tunnel ? [] : readPorts(info.query);
    const serve = (socket: WebSocket): Promise<void> =>
      tunnel ? servePortForward(createWebSocketStream(socket), open) : serveSocketPortForward(socket, ports, open);
    await forwardSockets.accept(call, serve);
  };

  const upgradeLog = async (info: ResourceInfo, call: UpgradeCall): Promise<void> => {
    if (upgradeKind(call) !== "websocket") throw newBadRequest("the log of a pod is not served over SPDY");
    logSockets.check(call);
    const gone = new AbortController();
    const sink = logsOverSocket(call, logSockets, () => gone.abort());
    await streamLogs(deps, info, AbortSignal.any([call.signal, gone.signal]), sink);
  };

  return {
    handles: (info) =>
      info.group === "" && info.resource === "pods" && info.name !== "" && SUBRESOURCES.has(info.subresource),
    async serve(info, call) {
      await authorizeConnect(deps, info, call, info.verb);
      requireMethod(info);
      if (info.subresource !== "log") {
        if (info.verb === "get") await authorizeConnect(deps, info, call, "create");
        await destination(info, call.signal);
        throw newBadRequest("Upgrade request required");
      }
      await streamLogs(deps, info, call.signal, logsAsBody(call));
    },
    async upgrade(info, call) {
      await authorizeConnect(deps, info, call, info.verb);
      requireMethod(info);
      if (info.subresource === "log") return upgradeLog(info, call);
      // A command or a connection does something, however it is asked for.
      if (info.verb === "get") await authorizeConnect(deps, info, call, "create");
      if (info.subresource === "portforward") await upgradePortForward(info, call);
      else await upgradeCommand(info, call);
    },
    close() {
      commandSockets.close();
      logSockets.close();
      forwardSockets.close();
      deps.dialer.close();
    },
  };
}
