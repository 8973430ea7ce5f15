// expose: leads a port of 127.0.0.1 to a Service, a NodePort or an address inside a cluster with real nodes; lists them.
import { InvalidArgumentError, type Command } from "commander";
import { attach, ClusterError, type Cluster } from "@coxswain/cluster";
import { printTable } from "./table.ts";

interface ExposeOptions {
  readonly name: string;
  readonly port: number;
  readonly close?: number;
  readonly output?: string;
}

function toPort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new InvalidArgumentError("must be in 1..65535");
  return port;
}

export function addExpose(program: Command): void {
  program
    .command("expose [target]")
    .description("lead a port of 127.0.0.1 to SERVICE, NAMESPACE/SERVICE:PORT, NODEPORT or ADDRESS:PORT; none: list")
    .option("--name <name>", "name of the cluster", "default")
    .option("--port <port>", "port on 127.0.0.1 (default: a free one)", toPort, 0)
    .option("--close <port>", "take a port away again", toPort)
    .option("--output <format>", "json prints one object")
    .action(async (target: string | undefined, options: ExposeOptions) => {
      const cluster = await attach(options.name);
      if (options.close !== undefined) {
        await cluster.unexpose(options.close);
        console.log(`127.0.0.1:${options.close} is closed`);
      } else if (target === undefined) await list(cluster, options.output === "json");
      else {
        const made = await cluster.expose(target, { port: options.port });
        if (options.output === "json") console.log(JSON.stringify(made));
        else console.log(`127.0.0.1:${made.port} → ${target} (${made.targets.join(", ")})`);
      }
    });
}

async function list(cluster: Cluster, json: boolean): Promise<void> {
  const { exposed } = await cluster.status();
  if (exposed === undefined)
    throw new ClusterError("only a cluster with real containers (--runtime containerd) has addresses to expose");
  if (json) console.log(JSON.stringify(exposed));
  else
    printTable(
      ["PORT", "WHAT", "TARGETS"],
      exposed.map(({ port, label, targets }) => [`127.0.0.1:${port}`, label, targets.join(",")]),
    );
}
