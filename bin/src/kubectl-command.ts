// kubeconfig prints how to reach the cluster; kubectl runs the pinned real one against it.
import { spawn } from "node:child_process";
import path from "node:path";
import type { Command } from "commander";
import { attach, ensureKubectl, repositoryRoot } from "@coxswain/cluster";

export function addKubeconfig(program: Command): void {
  program
    .command("kubeconfig")
    .description("print a kubeconfig of a cluster admin")
    .option("--name <name>", "name of the cluster", "default")
    .action(async (options: { name: string }) => {
      process.stdout.write((await attach(options.name)).kubeconfig);
    });
}

export function addKubectl(program: Command): void {
  program
    .command("kubectl")
    .description("run kubectl 1.35 against the cluster")
    .option("--name <name>", "name of the cluster", "default")
    .argument("[args...]")
    .helpOption(false)
    .passThroughOptions()
    .allowUnknownOption()
    .action(async (args: string[], options: { name: string }) => {
      const cluster = await attach(options.name);
      const kubectl = await ensureKubectl(path.join(repositoryRoot(), ".tools"), (line) =>
        console.error(`coxswain: ${line}`),
      );
      process.exitCode = await runKubectl(
        kubectl,
        args,
        cluster.info.kubeconfig,
        path.join(cluster.paths.dataDir, "kubectl-cache"),
      );
    });
}

function runKubectl(kubectl: string, args: string[], kubeconfig: string, cache: string): Promise<number> {
  const child = spawn(kubectl, args, {
    stdio: "inherit",
    env: { ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: cache },
  });
  // The terminal sends Ctrl-C to both; kubectl decides what it means.
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, name) => resolve(name === null ? (code ?? 1) : 128));
  });
}
