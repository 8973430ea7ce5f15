// Run in a quiet network: a node and a pod reach a server of the machine through the node's way out, and a member of the
// control plane asks the machine's resolver for a name through its own; they say so on standard output as JSON. The only packets are those between namespaces that this program makes.
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { ensureNodePrograms } from "../src/node-programs.ts";
import { createPlatform } from "../src/platform/create-platform.ts";
import { egressCommand } from "../src/platform/egress.ts";
import { foreignPackets } from "../src/platform/inventory.ts";
import { EGRESS_RESOLVER, planPlatform, platformId } from "../src/platform/platform-plan.ts";
import { removePlatform } from "../src/platform/remove-platform.ts";
import { runToEnd } from "../src/platform/testing.ts";

/** An address of the quiet network's own machine. */
const SERVER = "192.0.2.1";
const DIAL = `const s = require("net").connect(8080, "${SERVER}"); s.on("data", d => { console.log(String(d)); process.exit(); }); s.on("error", e => { console.log(e.code); process.exit(); });`;
const ASK = `const r = new (require("dns").promises.Resolver)(); r.setServers(["${EGRESS_RESOLVER}"]); r.resolve4("outside.test").then(a => console.log(a.join()), e => console.log(e.code));`;
const POD = `ip netns add pod
ip link add pod0 type veth peer name eth0 netns pod
ip address add 10.244.1.1/24 dev pod0; ip link set pod0 up
ip -n pod address add 10.244.1.2/24 dev eth0; ip -n pod link set eth0 up
ip -n pod route add default via 10.244.1.1`;

const env = createRealEnv();
const programs = await ensureNodePrograms(path.resolve(import.meta.dirname, "../../../.tools"), () => {}, {
  egress: true,
});
const dataDir = mkdtempSync("/tmp/cox-egress-");
const id = platformId("egress", dataDir);
const server = createServer((socket) => socket.end("served")).listen(8080, SERVER);
/** Knows one address, 192.0.2.7, for every name. */
const resolver = createSocket("udp4", (query, from) => {
  const question = query.subarray(0, query.indexOf(0, 12) + 5);
  const response = Buffer.concat([question, Buffer.from("c00c000100010000003c0004c0000207", "hex")]);
  response.writeUInt16BE(0x8180, 2);
  response.writeUInt16BE(1, 6);
  response.writeUInt32BE(0, 8);
  resolver.send(response, from.port, from.address);
}).bind(53, SERVER);
writeFileSync(path.join(dataDir, "resolv.conf"), `nameserver ${SERVER}\n`);
/** The machine's resolver as the network stacks shall see it. */
const RESOLVED = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"';
try {
  const visible = [path.dirname(process.execPath)];
  const plan = planPlatform({
    id,
    dataDir,
    controlMembers: ["cluster-dns-0"],
    nodes: 1,
    programs,
    egress: true,
    visible,
  });
  const platform = await createPlatform(plan, env);
  const within = (member: string, ...program: string[]): Promise<string> =>
    runToEnd(platform.enter(member), program, platform.nodeEnv).then((text) => text.trim());
  const inNode = (...program: string[]): Promise<string> => within("node-1", ...program);
  const closed = await inNode(process.execPath, "-e", DIAL);
  for (const member of ["node-1", "cluster-dns-0"]) {
    const { command, args } = egressCommand(plan, member);
    const resolved = ["--mount", "/bin/sh", "-ec", RESOLVED, "resolved", path.join(dataDir, "resolv.conf")];
    const stack = spawn(programs.unshare, [...resolved, command, ...args], { stdio: "ignore", env: platform.nodeEnv });
    while (!(await within(member, "/bin/sh", "-c", "ip route show default")).includes("tap0")) {
      if (stack.exitCode !== null) throw new Error(`the stack ended with ${stack.exitCode}`);
      await env.timers.sleep(20);
    }
  }
  const node = await inNode(process.execPath, "-e", DIAL);
  await inNode("/bin/sh", "-ec", POD);
  const pod = await inNode(programs.nsenter, "--net=/run/netns/pod", process.execPath, "-e", DIAL);
  const name = await within("cluster-dns-0", process.execPath, "-e", ASK);
  console.log(JSON.stringify({ closed, node, pod, name, outside: foreignPackets() }));
} finally {
  server.close();
  resolver.close();
  await removePlatform(id, dataDir, env);
  rmSync(dataDir, { recursive: true, force: true });
}
