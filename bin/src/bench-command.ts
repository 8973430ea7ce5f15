// bench: runs test/bench/NAME.ts, which prints its figures beside the limit or peer measured in the same run.
import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import { ClusterError, ensureOnPath, ETCD, NATS_SERVER, repositoryRoot } from "@coxswain/cluster";
import { runNode } from "./sim-command.ts";

export function addBench(program: Command): void {
  program
    .command("bench <name>")
    .description("run a benchmark")
    .option("--json", "print one object")
    .action(async (name: string, options: { json?: boolean }) => {
      const folder = path.join(repositoryRoot(), "test", "bench");
      const file = path.join(folder, `${name}.ts`);
      if (!/^[a-z-]+$/.test(name) || name === "figures" || !existsSync(file)) {
        const known = readdirSync(folder)
          .map((entry) => entry.replace(/\.ts$/, ""))
          .filter((entry) => entry !== "figures");
        throw new ClusterError(`no benchmark "${name}"; there are: ${known.join(", ")}`);
      }
      for (const wanted of [ETCD, NATS_SERVER]) {
        await ensureOnPath(wanted, path.join(repositoryRoot(), ".tools"), (line) => console.error(line));
      }
      process.exitCode = await runNode(file, options.json ? ["--json"] : []);
    });
}
