// Run in a quiet network: a node and a pod reach a server of the machine through the node's way out, and say so on
// standard output as JSON. The only packets are those between namespaces that this program makes.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { ensureNodePrograms } from "../src/node-programs.ts";
import { createPlatform } from "../src/platform/create-platform.ts";
import { egressCommand } from "../src/platform/egress.ts";
import { foreignPackets } from "../src/platform/inventory.ts";
import { planPlatform, platformId } from "../src/platform/platform-plan.ts";
import { removePlatform } from "../src/platform/remove-platform.ts";
import { runToEnd } from "../src/platform/testing.ts";

/** An address of the quiet network's own machine. */
const SERVER = "192.0.2.1";
const DIAL = `const s = require("net").connect(8080, "${SERVER}"); s.on("data", d => { console.log(String(d)); process.exit(); }); s.on("error", e => { console.log(e.code); process.exit(); });`;
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
try {
  const visible = [path.dirname(process.execPath)];
  const plan = planPlatform({ id, dataDir, controlMembers: [], nodes: 1, programs, egress: true, visible });
  const platform = await createPlatform(plan, env);
  const inNode = (...program: string[]): Promise<string> =>
    runToEnd(platform.enter("node-1"), program, platform.nodeEnv).then((text) => text.trim());
  const closed = await inNode(process.execPath, "-e", DIAL);
  const { command, args } = egressCommand(plan, "node-1");
  const stack = spawn(command, [...args], { stdio: "ignore", env: platform.nodeEnv });
  while (!(await inNode("/bin/sh", "-c", "ip route show default")).includes("tap0")) {
    if (stack.exitCode !== null) throw new Error(`the stack ended with ${stack.exitCode}`);
    await env.timers.sleep(20);
  }
  const node = await inNode(process.execPath, "-e", DIAL);
  await inNode("/bin/sh", "-ec", POD);
  const pod = await inNode(programs.nsenter, "--net=/run/netns/pod", process.execPath, "-e", DIAL);
  console.log(JSON.stringify({ closed, node, pod, outside: foreignPackets() }));
} finally {
  server.close();
  await removePlatform(id, dataDir, env);
  rmSync(dataDir, { recursive: true, force: true });
}
