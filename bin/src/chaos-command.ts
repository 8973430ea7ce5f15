// chaos: kills, freezes and thaws single processes or whole nodes, and lists what can be hit and what has been.
import type { Command } from "commander";
import { attach, type Chaos } from "@coxswain/cluster";
import { printTable } from "./table.ts";

type Action = keyof Chaos;

const WHAT: Record<Action, string> = {
  kill: "kill -9 a process; the supervisor starts it again",
  freeze: "stop a process where it stands (SIGSTOP)",
  thaw: "let a frozen process go on (SIGCONT), or start a killed node",
  start: "start a node that was killed",
};

export function addChaos(program: Command): void {
  const chaos = program
    .command("chaos")
    .description("break single components or whole nodes")
    .option("--name <name>", "name of the cluster", "default")
    .enablePositionalOptions();
  for (const action of ["kill", "freeze", "thaw", "start"] as const) {
    chaos
      .command(`${action} <component>`)
      .description(`${WHAT[action]}; COMPONENT, COMPONENT/INSTANCE or node/NODE`)
      .option("--name <name>", "name of the cluster")
      .action(async (target: string, options: { name?: string }) => {
        const cluster = await attach(options.name ?? chaos.opts<{ name: string }>().name);
        for (const { spec, pid } of await cluster.chaos[action](target))
          console.log(`${action}: ${spec.component}/${spec.instance} (pid ${pid})`);
      });
  }
  chaos
    .command("list")
    .description("list processes with their state and deaths")
    .option("--name <name>", "name of the cluster")
    .action(async (options: { name?: string }) => {
      const { records } = await (await attach(options.name ?? chaos.opts<{ name: string }>().name)).status();
      const rows = records.map(({ spec, state, restarts, deaths }) => {
        const last = deaths.at(-1);
        return [
          `${spec.component}/${spec.instance}`,
          state,
          String(restarts),
          last === undefined ? "" : `${last.at} ${last.signal ?? `code ${last.code ?? "?"}`}`,
        ];
      });
      printTable(["TARGET", "STATE", "RESTARTS", "LAST DEATH"], rows);
    });
}
