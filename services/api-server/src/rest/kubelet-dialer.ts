// Finds and calls the kubelet of a node. Guarantees: one channel an address, made on demand with the api-server's client
// certificate, closed with the process; an address that failed is tried anew by the next call.
import { Client, connectivityState } from "@grpc/grpc-js";
import type { ClientReadableStream, MethodDefinition } from "@grpc/grpc-js";
import type { Node } from "@coxswain/api";
import { newServiceUnavailable } from "@coxswain/apimachinery";
import { createChannel, createCredentials } from "@coxswain/component-base/grpc-channel";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import { serviceDefinition } from "@coxswain/protos";
import type { ServiceTypes } from "@coxswain/protos";
import { KubeletCall } from "./streams/kubelet-call.ts";

type Methods = ServiceTypes["coxswain.kubelet.v1.Kubelet"];
export type LogsRequest = Methods["getLogs"]["requestInput"];
export type LogsStream = ClientReadableStream<Methods["getLogs"]["response"]>;
/** exec, attach and portForward: what a call sends and what it is answered. */
type Joined = "exec" | "attach" | "portForward";
type Call<M extends Joined> = KubeletCall<Methods[M]["requestInput"], Methods[M]["response"]>;

/** host:port of the kubelet's gRPC service, which the kubelet writes on its Node. */
export const KUBELET_GRPC_ANNOTATION = "coxswain.dev/kubelet-grpc";
const DEFAULT_GRPC_PORT = 10260;

export interface KubeletDialer {
  logs(node: Node, request: LogsRequest): LogsStream;
  exec(node: Node): Call<"exec">;
  attach(node: Node): Call<"attach">;
  portForward(node: Node): Call<"portForward">;
  close(): void;
}

/** Throws ServiceUnavailable where the Node tells no address. */
export function kubeletAddress(node: Node): string {
  const told = node.metadata?.annotations?.[KUBELET_GRPC_ANNOTATION];
  if (told !== undefined && told !== "") return told;
  const internal = (node.status?.addresses ?? []).find((address) => address.type === "InternalIP");
  if (internal === undefined) {
    throw newServiceUnavailable(`no preferred addresses found; known addresses: []`);
  }
  return `${internal.address}:${DEFAULT_GRPC_PORT}`;
}

export function createKubeletDialer(tls: TlsMaterial): KubeletDialer {
  const clients = new Map<string, Client>();
  const service = serviceDefinition("coxswain.kubelet.v1.Kubelet");
  const method = (name: string): MethodDefinition<object, object> => {
    const found = service[name];
    if (found === undefined) throw new Error(`the kubelet's contract has no ${name}`);
    return found;
  };
  const getLogs = method("GetLogs");

  const clientFor = (node: Node): Client => {
    const address = kubeletAddress(node);
    const known = clients.get(address);
    // A channel that failed waits before it tries again, and fails calls until then, while the node may long be back.
    if (known !== undefined && known.getChannel().getConnectivityState(false) !== connectivityState.TRANSIENT_FAILURE) {
      return known;
    }
    known?.close();
    const channel = createChannel({ addresses: [address], tls });
    const client = new Client(address, createCredentials(tls), { channelOverride: channel });
    clients.set(address, client);
    return client;
  };

  const join = <M extends Joined>(node: Node, definition: MethodDefinition<object, object>): Call<M> =>
    new KubeletCall(
      clientFor(node).makeBidiStreamRequest(
        definition.path,
        definition.requestSerialize as (message: Methods[M]["requestInput"]) => Buffer,
        definition.responseDeserialize as (bytes: Buffer) => Methods[M]["response"],
      ),
    );

  return {
    logs: (node, request) =>
      clientFor(node).makeServerStreamRequest(
        getLogs.path,
        getLogs.requestSerialize,
        getLogs.responseDeserialize as (bytes: Buffer) => Methods["getLogs"]["response"],
        request,
      ),
    exec: (node) => join<"exec">(node, method("Exec")),
    attach: (node) => join<"attach">(node, method("Attach")),
    portForward: (node) => join<"portForward">(node, method("PortForward")),
    close() {
      for (const client of clients.values()) client.close();
      clients.clear();
    },
  };
}
