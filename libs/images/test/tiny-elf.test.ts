// The pause program runs, ends on SIGTERM and SIGINT at once, and waits through other signals.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ociArchitecture } from "../src/oci.ts";
import { pauseProgram } from "../src/tiny-elf.ts";

const env = createRealEnv();
let folder = "";
let program = "";

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "cox-pause-"));
  program = path.join(folder, "pause");
  await writeFile(program, pauseProgram(ociArchitecture()), { mode: 0o755 });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** True once the program has ignored SIGCHLD (17) and sleeps: from then on it waits for its signals. */
async function waits(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const ignored = BigInt(`0x${/^SigIgn:\s+([0-9a-f]+)/m.exec(status)![1]!}`);
  return (ignored & (1n << 16n)) !== 0n && /^State:\s+S/m.test(status);
}

async function started(): Promise<ChildProcess & { pid: number }> {
  const child = spawn(program, { stdio: "ignore" });
  await once(child, "spawn");
  while (!(await waits(child.pid!))) await env.timers.sleep(2);
  return child as ChildProcess & { pid: number };
}

describe.runIf(process.platform === "linux")("the pause program", () => {
  test.each(["SIGTERM", "SIGINT"] as const)("ends with 0 on %s", async (signal) => {
    const child = await started();
    const end = once(child, "exit");
    child.kill(signal);
    expect(await end).toEqual([0, null]);
  });

  test("ignores its children's ends, and goes on after it was stopped", async () => {
    const child = await started();
    child.kill("SIGSTOP");
    child.kill("SIGCONT");
    child.kill("SIGCHLD");
    while (!(await waits(child.pid))) await env.timers.sleep(2);
    expect(child.exitCode).toBeNull();
    const end = once(child, "exit");
    child.kill("SIGTERM");
    expect(await end).toEqual([0, null]);
  });
});

test("is a few hundred bytes for either architecture", () => {
  for (const architecture of ["amd64", "arm64"] as const) {
    const bytes = pauseProgram(architecture);
    expect(bytes.length).toBeLessThan(400);
    expect(bytes.readUInt16LE(18)).toBe(architecture === "amd64" ? 62 : 183);
  }
});
