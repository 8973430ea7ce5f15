// Puts etcd and nats-server, unpacked if need be, on the PATH of all suites. Shared by the programs in this folder.
import path from "node:path";
import { ensureOnPath, ETCD, MissingProgramError, NATS_SERVER } from "@coxswain/cluster";
import { root } from "./run-step.ts";

/** What cannot be had is said on the screen; the suites that need it then fail. */
export async function provide(): Promise<void> {
  for (const program of [ETCD, NATS_SERVER]) {
    try {
      await ensureOnPath(program, path.join(root, ".tools"), (line) => console.log(line));
    } catch (error) {
      if (!(error instanceof MissingProgramError)) throw error;
      console.log(`${error.message}; the suites that need it will fail`);
    }
  }
}
