// The one cluster of simulated nodes that all client suites share: started before the first suite, gone after the last.
// Suites keep to namespaces of their own, and take away what they make outside of them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { startCluster } from "@coxswain/cluster";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** The path of the cluster's kubeconfig. */
    kubeconfig: string;
    /** A folder for what clients cache and write; it goes with the cluster. */
    clientHome: string;
  }
}

/** Vitest's global set-up: starts the cluster and tells the suites where it is; the function it resolves to ends it. */
export default async function shareCluster(project: TestProject): Promise<() => Promise<void>> {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  const cluster = await startCluster({ home, name: "clients", freePorts: true, nodes: 3, runtime: "simulated" });
  project.provide("kubeconfig", cluster.info.kubeconfig);
  project.provide("clientHome", home);
  return async () => {
    await cluster.down({ purge: true });
    rmSync(home, { recursive: true, force: true });
  };
}
