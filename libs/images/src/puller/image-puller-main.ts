// The image puller's process. It stays outside of the nodes, where there is a way to registries, and ends on SIGTERM.
//   image-puller --cache-dir FOLDER --ctr PROGRAM --node NAME,LISTEN,CONTAINERD-SOCKET,SNAPSHOTTER ...
// One line of JSON on stdout says that it listens, and one for each pull. The environment is handed to ctr.
import { parseArgs } from "node:util";
import { createRealEnv } from "@coxswain/env";
import { createPuller } from "./puller.ts";
import { servePuller, type PullerNode } from "./puller-server.ts";

const { values } = parseArgs({
  options: {
    "cache-dir": { type: "string" },
    ctr: { type: "string" },
    node: { type: "string", multiple: true },
  },
});

function required(name: string, value: string | undefined): string {
  if (value === undefined || value === "") throw new Error(`--${name}: Required value`);
  return value;
}

function parseNode(text: string): PullerNode {
  const [name, listen, socket, snapshotter, ...more] = text.split(",");
  if (name === undefined || listen === undefined || socket === undefined || more.length > 0)
    throw new Error(`--node: ${JSON.stringify(text)} must be NAME,LISTEN,CONTAINERD-SOCKET,SNAPSHOTTER`);
  const store = { ctr: required("ctr", values.ctr), socket, env };
  return { name, listen, store: snapshotter === undefined || snapshotter === "" ? store : { ...store, snapshotter } };
}

const env = createRealEnv();
const say = (line: object): void => console.log(JSON.stringify(line));
const nodes = (values.node ?? []).map(parseNode);
const pull = createPuller({ env, folder: required("cache-dir", values["cache-dir"]) });
const close = await servePuller(nodes, pull, env.clock, (line) => say({ msg: "pull", ...line }));
say({ msg: "listening", nodes: nodes.map((node) => node.name) });
for (const signal of ["SIGTERM", "SIGINT"] as const)
  process.once(signal, () => void close().then(() => process.exit(0)));
