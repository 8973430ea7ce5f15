// status: each process, its health, leader, lag behind etcd and restarts.
import type { Command } from "commander";
import { attach, pssKib, type Cluster, type ProcessRecord } from "@coxswain/cluster";
import { askComponents, type ComponentFacts } from "./component-facts.ts";
import { printTable } from "./table.ts";

interface ProcessStatus {
  readonly component: string;
  readonly instance: string;
  readonly state: string;
  readonly message: string;
  readonly pid: number;
  /** HTTPS (the client port of etcd and NATS) and gRPC; 0 where there is none. */
  readonly ports: { readonly main: number; readonly grpc: number };
  readonly restarts: number;
  readonly pssKib: number | undefined;
  readonly leader: boolean | undefined;
  readonly facts: Record<string, string>;
  readonly deaths: ProcessRecord["deaths"];
}

export function addStatus(program: Command): void {
  program
    .command("status")
    .description("show each process, its health, leader, lag and restarts")
    .option("--name <name>", "name of the cluster", "default")
    .option("--output <format>", "json prints one object")
    .action(async (options: { name: string; output?: string }) => {
      const cluster = await attach(options.name);
      const processes = await processStatuses(cluster);
      if (options.output === "json")
        console.log(JSON.stringify({ ...cluster.info, phase: (await cluster.status()).phase, processes }));
      else printStatuses(processes);
      // A process that is frozen, or hangs, has accepted a connection and never answers; nothing else would end that.
      process.exit();
    });
}

async function processStatuses(cluster: Cluster): Promise<ProcessStatus[]> {
  const { records } = await cluster.status();
  const facts = await askComponents(cluster, records);
  return records.map((record) => toStatus(record, facts.get(record)));
}

function toStatus(record: ProcessRecord, facts: ComponentFacts | undefined): ProcessStatus {
  return {
    component: record.spec.component,
    instance: record.spec.instance,
    state: record.state,
    message: record.message,
    pid: record.pid,
    ports: record.spec.ports,
    restarts: record.restarts,
    pssKib: record.pid > 0 ? pssKib(record.pid) : undefined,
    leader: facts?.leader,
    facts: facts?.facts ?? {},
    deaths: record.deaths,
  };
}

function printStatuses(processes: readonly ProcessStatus[]): void {
  const rows = processes.map((one) => [
    `${one.component}/${one.instance}`,
    one.state,
    one.pid > 0 ? String(one.pid) : "-",
    one.ports.main > 0 ? String(one.ports.main) : "",
    one.ports.grpc > 0 ? String(one.ports.grpc) : "",
    String(one.restarts),
    one.leader ? "leader" : "",
    one.pssKib === undefined ? "" : `${(one.pssKib / 1024).toFixed(0)} MB`,
    [...Object.entries(one.facts).map(([key, value]) => `${key}=${value}`), one.message].filter(Boolean).join(" "),
  ]);
  printTable(["PROCESS", "STATE", "PID", "PORT", "GRPC", "RESTARTS", "LEADER", "PSS", "FACTS"], rows);
}
