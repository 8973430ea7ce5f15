// How a program gets into a cluster's cgroup: a shell joins it and becomes the program, so that the pid stays the same and
// nothing that the program starts is ever outside.
import path from "node:path";
import { makeTrackingCgroup } from "./cgroup-tree.ts";

/** Append a program, by absolute path, and its arguments. */
export function joiningShell(cgroup: string): { command: string; args: string[] } {
  const procs = path.join(makeTrackingCgroup(cgroup), "cgroup.procs");
  return { command: "/bin/sh", args: ["-c", 'echo 0 > "$1"; shift; exec "$@"', "enter", procs] };
}
