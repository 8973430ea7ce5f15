// What a process has used, from /proc. Linux only.
import { readFileSync } from "node:fs";

/** Ticks of CPU time a second that /proc counts in: USER_HZ, 100 on every Linux that Node runs on. */
const USER_HZ = 100;

/** CPU seconds in user and kernel mode, of all threads, since the process began. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
}

/** Resident memory, bytes. */
export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (line === null) throw new Error(`process ${pid} has no VmRSS`);
  return Number(line[1]) * 1024;
}
