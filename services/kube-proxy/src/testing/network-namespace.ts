// Network namespaces for tests and benchmarks, held by a process each. Guarantees: nothing has a name or a pin, so a
// namespace and all in it are gone once its holder is, and the holder ends with whoever made it.
import { ensureNodePrograms } from "@coxswain/cluster/node-programs";
import { createRealEnv } from "@coxswain/env";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import { createRunProgram, type RunProgram } from "../backend/nftables/run-program.ts";

const env = createRealEnv();
const TOOLS = path.resolve(import.meta.dirname, "../../../../.tools");

export interface NetworkNamespace extends AsyncDisposable {
  readonly pid: number;
  /** Runs a program in it. */
  readonly run: RunProgram;
  /** Runs a line of words in it, as in "ip link set lo up". */
  sh(line: string): Promise<string>;
  /** What to put before a command so that it runs in it. */
  readonly prefix: readonly string[];
}

/** Puts the programs of nodes on this process's PATH. */
export async function provideNodePrograms(): Promise<void> {
  const programs = await ensureNodePrograms(TOOLS, () => {});
  Object.assign(process.env, { ...programs.env, PATH: `${process.env["PATH"] ?? ""}:${programs.env["PATH"] ?? ""}` });
}

function isInside(child: ChildProcess, outside: string): boolean {
  // Between fork and exec the child is still a copy of this process, in its namespace.
  return (
    readFileSync(`/proc/${child.pid}/comm`, "utf8").trim() === "cat" &&
    readlinkSync(`/proc/${child.pid}/ns/net`) !== outside
  );
}

/** A new namespace with its loopback up, that forwards and whose ARP answers only for an interface's own addresses. */
export async function createNetworkNamespace(): Promise<NetworkNamespace> {
  const outside = readlinkSync("/proc/self/ns/net");
  // The holder reads until its input ends, which happens also when this process is killed.
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "ignore", "inherit"] });
  await once(holder, "spawn");
  while (!isInside(holder, outside)) {
    if (holder.exitCode !== null) throw new Error("unshare --net failed");
    await env.timers.sleep(1);
  }
  const prefix = ["nsenter", `--net=/proc/${holder.pid}/ns/net`];
  const run = createRunProgram({ timers: env.timers, prefix });
  const sh = (line: string): Promise<string> => {
    const [program = "", ...args] = line.split(" ");
    return run(program, args);
  };
  await sh("ip link set lo up");
  return {
    pid: holder.pid!,
    run,
    sh,
    prefix,
    async [Symbol.asyncDispose]() {
      if (holder.exitCode !== null || holder.signalCode !== null) return;
      const exited = once(holder, "exit");
      holder.stdin.end();
      await exited;
    },
  };
}
