// How test results add up, and what a suite needs before it can run. Pure but for looking around.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The part of vitest's JSON report that counts. */
export interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

export function addTally(a: Tally, b: Tally): Tally {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** A file that could not even load has no tests to count: it counts as one failure. */
export function tallyOf(report: VitestReport): Tally {
  const unloaded = report.testResults.filter(
    (file) => file.status === "failed" && file.assertionResults.length === 0,
  ).length;
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + unloaded,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** Why the compose suite cannot run here; undefined where it can. It runs a Docker engine of its own from Debian's packages. */
export function composeMissing(): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root, for a private Docker engine in a network namespace";
  const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  if (!existsSync("/usr/bin/apt-get") || !/^VERSION_CODENAME=bookworm$/m.test(release) || !/^ID=debian$/m.test(release))
    return "needs Debian bookworm's packages, for a private Docker engine";
  if (process.arch !== "x64") return "needs an x86-64 machine: the stand-in images are made for it";
  const namespaces = ["--net", "--mount", "--pid", "--ipc", "--fork", "--mount-proc", "true"];
  if (spawnSync("unshare", namespaces).status !== 0) return "needs to make namespaces, which this machine refuses";
  return undefined;
}
