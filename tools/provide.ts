// Puts etcd and nats-server, unpacked if need be, on the PATH of all suites, and kubectl and what real nodes need where they
// look for it, before the first test has to wait for it, or two suites would get it at once. Shared by the programs in this folder.
import path from "node:path";
import {
  ensureKubectl,
  ensureNodePrograms,
  ensureOnPath,
  ETCD,
  MissingProgramError,
  NATS_SERVER,
  nodeRuntimeMissing,
} from "@coxswain/cluster";
import { root } from "./run-step.ts";

/** What cannot be had is said on the screen; the suites that need it then fail. `nodes`: also what real nodes need, where they can be. */
export async function provide({ nodes = false } = {}): Promise<void> {
  const tools = path.join(root, ".tools");
  const say = (line: string): void => console.log(line);
  const wanted = [
    () => ensureOnPath(ETCD, tools, say),
    () => ensureOnPath(NATS_SERVER, tools, say),
    () => ensureKubectl(tools, say),
    ...(nodes && nodeRuntimeMissing(tools) === undefined
      ? [() => ensureNodePrograms(tools, say, { egress: true })]
      : []),
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
