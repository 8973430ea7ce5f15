// A small cluster network of unnamed namespaces: a node with two pods behind point-to-point interfaces, and a neighbour that
// is another node and holds a pod's address itself. Nothing in it can reach anything else.
import { type ChildProcess, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { createNetworkNamespace, type NetworkNamespace } from "./network-namespace.ts";
import type { AgentRequest } from "./packet-agent.ts";

export const NODE_IP = "198.18.0.101";
export const NEIGHBOUR_IP = "198.18.0.102";
export const POD_IPS = ["10.244.1.2", "10.244.1.3"] as const;
export const REMOTE_POD_IP = "10.244.2.2";
/** Of a pod at the neighbour that is gone: packets to it are dropped there, and nobody says so. */
export const DEAD_POD_IP = "10.244.2.99";
const GATEWAY = "10.244.1.1";
const SERVICES = "10.96.0.0/16";

type Request = Partial<Omit<AgentRequest, "id" | "act">>;

/** A process in a namespace that serves and connects. */
export class Agent {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (text: string) => void; reject: (error: Error) => void }>();
  #last = 0;

  constructor(namespace: NetworkNamespace) {
    const script = path.join(import.meta.dirname, "packet-agent.ts");
    const command = [...namespace.prefix, process.execPath, script];
    this.#child = spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      const { id, value, error } = JSON.parse(line) as { id: number; value?: string; error?: string };
      const waiter = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiter?.resolve(value ?? "");
      else waiter?.reject(new Error(error));
    });
    this.#child.once("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("the agent ended"));
    });
  }

  /** What the server said, or rejects with the error's code. */
  ask(act: AgentRequest["act"], host: string, port: number, more: Request = {}): Promise<string> {
    const id = ++this.#last;
    const request: AgentRequest = { id, act, host, port, sourcePort: 0, count: 1, timeoutMs: 4_000, ...more };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin!.end();
    await exited;
  }
}

export interface PacketNetwork extends AsyncDisposable {
  readonly node: NetworkNamespace;
  /** In the namespaces of the node itself, its two pods and the neighbour. */
  readonly agents: { readonly node: Agent; readonly pods: readonly [Agent, Agent]; readonly neighbour: Agent };
}

async function link(from: NetworkNamespace, name: string, to: NetworkNamespace, peer: string): Promise<void> {
  await from.sh(`ip link add ${name} type veth peer name ${peer} netns /proc/${to.pid}/ns/net`);
  await from.sh(`ip link set ${name} up`);
  await to.sh(`ip link set ${peer} up`);
}

async function addPod(node: NetworkNamespace, pod: NetworkNamespace, at: number): Promise<void> {
  await link(node, `pod${at}`, pod, "eth0");
  await node.sh(`ip addr add ${GATEWAY}/32 dev pod${at}`);
  await node.sh(`ip route add ${POD_IPS[at]}/32 dev pod${at} src ${GATEWAY}`);
  await pod.sh(`ip addr add ${POD_IPS[at]}/32 dev eth0`);
  await pod.sh(`ip route add ${GATEWAY}/32 dev eth0`);
  await pod.sh(`ip route add default via ${GATEWAY}`);
}

async function addNeighbour(node: NetworkNamespace, neighbour: NetworkNamespace): Promise<void> {
  await link(node, "eth0", neighbour, "eth0");
  await node.sh(`ip addr add ${NODE_IP}/24 dev eth0`);
  await node.sh(`ip route add 10.244.2.0/24 via ${NEIGHBOUR_IP}`);
  await node.sh(`ip route add ${SERVICES} dev eth0`);
  await neighbour.sh(`ip addr add ${NEIGHBOUR_IP}/24 dev eth0`);
  await neighbour.sh(`ip addr add ${REMOTE_POD_IP}/32 dev lo`);
  await neighbour.sh(`ip route add blackhole ${DEAD_POD_IP}/32`);
  await neighbour.sh(`ip route add 10.244.1.0/24 via ${NODE_IP}`);
  await neighbour.sh(`ip route add ${SERVICES} via ${NODE_IP}`);
  await neighbour.sh(`ip route add 203.0.113.0/24 via ${NODE_IP}`);
}

async function setSysctl(where: NetworkNamespace, name: string, value: number): Promise<void> {
  await where.run("sh", ["-c", `echo ${value} > /proc/sys/net/ipv4/${name}`]);
}

/** Makes the network. Servers listen on 8080 in the pods and at the neighbour's pod address. */
export async function createPacketNetwork(): Promise<PacketNetwork> {
  await using made = new AsyncDisposableStack();
  const namespace = async (): Promise<NetworkNamespace> => made.use(await createNetworkNamespace());
  const [node, first, second, neighbour] = [await namespace(), await namespace(), await namespace(), await namespace()];
  for (const one of [node, neighbour]) await setSysctl(one, "ip_forward", 1);
  // A kernel reports a refused port to one host about once a second: too rarely for tests that ask again and again.
  await setSysctl(node, "icmp_ratelimit", 0);
  await addPod(node, first, 0);
  await addPod(node, second, 1);
  await addNeighbour(node, neighbour);
  const agent = (where: NetworkNamespace): Agent => made.adopt(new Agent(where), (one) => one.close());
  const agents = { node: agent(node), pods: [agent(first), agent(second)] as const, neighbour: agent(neighbour) };
  await agents.pods[0].ask("listen", POD_IPS[0], 8080);
  await agents.pods[1].ask("listen", POD_IPS[1], 8080);
  await agents.neighbour.ask("listen", REMOTE_POD_IP, 8080);
  const all = made.move();
  return { node, agents, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
