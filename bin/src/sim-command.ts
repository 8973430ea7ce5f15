// sim: the whole cluster in one process under a seed, in dist/sim.mjs.
import { spawn } from "node:child_process";
import path from "node:path";
import type { Command } from "commander";
import { repositoryRoot } from "@coxswain/cluster";

export function addSim(program: Command): void {
  program
    .command("sim")
    .description("run the cluster in one process under virtual time and check its invariants")
    .option("--seed <seed>", "the first seed", "1")
    .option("--seeds <count>", "how many seeds in a row", "1")
    .option("--zones", "play outages of zones instead of the whole story")
    .option("--json", "print one object a seed")
    .action(async (options: { seed: string; seeds: string; zones?: boolean; json?: boolean }) => {
      const flags = [...(options.zones ? ["--zones"] : []), ...(options.json ? ["--json"] : [])];
      const args = [`--seed=${options.seed}`, `--seeds=${options.seeds}`, ...flags];
      process.exitCode = await runNode(path.join(repositoryRoot(), "dist", "sim.mjs"), args);
    });
}

/** Runs a bundle with this Node; resolves with its exit code. */
export function runNode(file: string, args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, ["--enable-source-maps", file, ...args], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
