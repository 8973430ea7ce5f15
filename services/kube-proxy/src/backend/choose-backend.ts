// The backend for --proxy-mode. Guarantees: what the mode needs is there, or the process does not start and says what lacks.
import type { Env } from "@coxswain/env";
import type { ProxyMode } from "../proxy-mode.ts";
import type { ProxyBackend } from "./contract.ts";
import { createNftablesBackend } from "./nftables/backend.ts";
import { createRunProgram, type RunProgram } from "./nftables/run-program.ts";
import { createSimulatedBackend } from "./simulated.ts";

export interface BackendFlags {
  readonly proxyMode: ProxyMode;
  readonly nodes: readonly string[];
  readonly clusterCidr: readonly string[];
}

async function requirePrograms(run: RunProgram): Promise<void> {
  for (const program of ["nft", "conntrack"]) {
    try {
      await run(program, ["--version"]);
    } catch (error) {
      throw new Error(`proxy mode "nftables" needs ${program} on the PATH`, { cause: error });
    }
  }
}

/** Makes backends of the mode. Rejects where a program is missing or the mode cannot serve these nodes. */
export async function chooseBackend(env: Env, flags: BackendFlags): Promise<(node: string) => ProxyBackend> {
  const clusterCidrs = flags.clusterCidr;
  if (flags.proxyMode === "simulated") return () => createSimulatedBackend({ env, clusterCidrs });
  if (flags.nodes.length !== 1) {
    throw new RangeError(`proxy mode "nftables" serves the node that it runs on: --nodes names ${flags.nodes.length}`);
  }
  const run = createRunProgram({ timers: env.timers });
  await requirePrograms(run);
  return (nodeName) => createNftablesBackend({ env, nodeName, run, clusterCidrs });
}
