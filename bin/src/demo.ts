// The demo: the shop's manifests through the real kubectl, until every pod runs.
import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { ClusterError, ensureKubectl, repositoryRoot, type Cluster } from "@coxswain/cluster";

const run = promisify(execFile);

/** Applies demo/shop.yaml and resolves when both Deployments are rolled out. */
export async function runDemo(cluster: Cluster, say: (line: string) => void): Promise<void> {
  const root = repositoryRoot();
  const kubectl = await ensureKubectl(path.join(root, ".tools"), (line) => say(`coxswain: ${line}`));
  const env = {
    ...process.env,
    KUBECONFIG: cluster.info.kubeconfig,
    KUBECACHEDIR: path.join(cluster.paths.dataDir, "kubectl-cache"),
  };
  const began = process.uptime();
  const call = async (...args: string[]): Promise<void> => {
    say(`\n$ kubectl ${args.join(" ")}`);
    try {
      const { stdout } = await run(kubectl, args, { env, cwd: root, maxBuffer: 16 << 20 });
      say(stdout.trimEnd());
    } catch (error) {
      throw new ClusterError(
        `kubectl ${args.join(" ")} failed: ${(error as { stderr?: string }).stderr ?? String(error)}`,
        { cause: error },
      );
    }
  };
  await call("apply", "-f", "demo/shop.yaml");
  for (const name of ["shopping-trolley", "check-out"])
    await call("-n", "shop", "rollout", "status", `deployment/${name}`, "--timeout=120s");
  await call("-n", "shop", "get", "pods,services", "-o", "wide");
  const suffix = cluster.name === "default" ? "" : ` --name ${cluster.name}`;
  say(`
The shop runs, ${(process.uptime() - began).toFixed(1)} s after the first manifest. The containers are simulated: they hold addresses and states, and run no program.

Try, in another terminal:
  bin/coxswain kubectl${suffix} -n shop scale deployment shopping-trolley --replicas 10
  bin/coxswain kubectl${suffix} -n shop set image deployment/shopping-trolley trolley=coxswain.dev/shopping-trolley:v2
  bin/coxswain chaos${suffix} kill controller-manager
  bin/coxswain kubectl${suffix} -n shop rollout status deployment/shopping-trolley`);
}
