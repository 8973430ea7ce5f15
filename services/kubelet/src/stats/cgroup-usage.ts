// What a real node uses: the figures of its cgroup, whatever version the kernel's are. Guarantee: files that are not there
// make it fail with their names; nothing is made up.
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import type { Clock } from "@coxswain/env";
import { CpuUsage } from "../cri/containerd/cpu-usage.ts";
import type { Usage } from "./node-stats.ts";

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

/** The number behind a word of a file of "word number" lines. Throws where it is not there. */
export function fieldOf(text: string, word: string): bigint {
  const found = new RegExp(`^${word} (\\d+)$`, "m").exec(text)?.[1];
  if (found === undefined) throw new Error(`a cgroup's figures have no ${word}`);
  return BigInt(found);
}

interface Counters {
  readonly cpuNanos: bigint;
  readonly workingSetBytes: number;
}

/** The working set is what is used without what the kernel would give up first: its inactive files. */
function workingSet(used: bigint, inactive: bigint): number {
  return Number(used > inactive ? used - inactive : 0n);
}

async function readUnified(mount: string, cgroup: string): Promise<Counters> {
  const read = (file: string): Promise<string> => readFile(path.join(mount, cgroup, file), "utf8");
  const [cpu, current, memory] = await Promise.all([read("cpu.stat"), read("memory.current"), read("memory.stat")]);
  return {
    cpuNanos: fieldOf(cpu, "usage_usec") * 1000n,
    workingSetBytes: workingSet(BigInt(current.trim()), fieldOf(memory, "inactive_file")),
  };
}

async function readHierarchies(mount: string, cgroup: string): Promise<Counters> {
  const read = (controller: string, file: string): Promise<string> =>
    readFile(path.join(mount, controller, cgroup, file), "utf8");
  const [cpu, used, memory] = await Promise.all([
    read("cpuacct", "cpuacct.usage"),
    read("memory", "memory.usage_in_bytes"),
    read("memory", "memory.stat"),
  ]);
  return {
    cpuNanos: BigInt(cpu.trim()),
    workingSetBytes: workingSet(BigInt(used.trim()), fieldOf(memory, "total_inactive_file")),
  };
}

/** Reads the cgroup each time it is asked; use a second is that between two questions, at least a second apart. */
export function createCgroupUsage(cgroup: string, clock: Clock, mount = "/sys/fs/cgroup"): () => Promise<Usage> {
  const rates = new CpuUsage();
  const startMs = clock.now();
  return async () => {
    const unified = await isThere(path.join(mount, "cgroup.controllers"));
    const { cpuNanos, workingSetBytes } = await (unified ? readUnified : readHierarchies)(mount, cgroup);
    const timeMs = clock.now();
    const cpuNanoCores = rates.nanoCores(cgroup, BigInt(timeMs) * 1_000_000n, cpuNanos) ?? 0;
    return { cpuNanos: Number(cpuNanos), cpuNanoCores, workingSetBytes, startMs, timeMs };
  };
}
