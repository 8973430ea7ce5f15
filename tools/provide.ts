// Puts etcd and nats-server, unpacked if need be, on the PATH of all suites, and kubectl where they look for it, before the
// first test has to wait for it. Shared by the programs in this folder.
import path from "node:path";
import { ensureKubectl, ensureOnPath, ETCD, MissingProgramError, NATS_SERVER } from "@coxswain/cluster";
import { root } from "./run-step.ts";

/** What cannot be had is said on the screen; the suites that need it then fail. */
export async function provide(): Promise<void> {
  const tools = path.join(root, ".tools");
  const say = (line: string): void => console.log(line);
  const wanted = [
    () => ensureOnPath(ETCD, tools, say),
    () => ensureOnPath(NATS_SERVER, tools, say),
    () => ensureKubectl(tools, say),
  ];
  for (const ensure of wanted) {
    try {
      await ensure();
    } catch (error) {
      if (!(error instanceof MissingProgramError)) throw error;
      console.log(`${error.message}; the suites that need it will fail`);
    }
  }
}
