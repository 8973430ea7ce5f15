// What a real node says of the machine that it is on.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { release, totalmem } from "node:os";

export interface MachineFacts {
  /** "Debian GNU/Linux 12 (bookworm)" */
  readonly osImage: string;
  readonly kernelVersion: string;
  /** One for each node, though several nodes share a machine. */
  readonly machineId: string;
  readonly bootId: string;
  readonly memoryBytes: number;
}

/** PRETTY_NAME of an os-release file; "" where it has none. Pure. */
export function prettyName(osRelease: string): string {
  const line = /^PRETTY_NAME=(.*)$/m.exec(osRelease)?.[1] ?? "";
  return line
    .trim()
    .replace(/^"(.*)"$/, "$1")
    .replace(/^'(.*)'$/, "$1");
}

async function read(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

export async function readMachineFacts(node: string): Promise<MachineFacts> {
  const machine = await read("/etc/machine-id");
  return {
    osImage: prettyName(await read("/etc/os-release")) || "Linux",
    kernelVersion: release(),
    machineId: createHash("sha256").update(`${machine}/${node}`).digest("hex").slice(0, 32),
    bootId: await read("/proc/sys/kernel/random/boot_id"),
    memoryBytes: totalmem(),
  };
}
