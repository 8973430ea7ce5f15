// Runs a command and tells what came of it. Shared by the programs in this folder.
import { spawn } from "node:child_process";
import path from "node:path";

export const root: string = path.resolve(import.meta.dirname, "..");

export interface StepResult {
  readonly ok: boolean;
  readonly output: string;
  readonly seconds: number;
}

/** Runs `command` in the repository root; captures both streams. A command that cannot start counts as failed. */
export function runStep(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<StepResult> {
  const started = process.uptime();
  const bin = path.join(root, "node_modules/.bin");
  const child = spawn(command, args, {
    cwd: root,
    env: { ...process.env, PATH: `${bin}:${path.dirname(process.execPath)}:${process.env["PATH"] ?? ""}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const chunks: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => {
    const finish = (ok: boolean, more = ""): void =>
      resolve({ ok, output: Buffer.concat(chunks).toString("utf8") + more, seconds: process.uptime() - started });
    child.on("error", (error) => finish(false, error.message));
    child.on("close", (code) => finish(code === 0));
  });
}
