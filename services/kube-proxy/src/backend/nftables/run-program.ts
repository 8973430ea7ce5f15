// Runs nft and conntrack. Guarantees: a program that fails or hangs rejects with what it said; none outlives its time.
import type { Timers } from "@coxswain/env";
import { spawn } from "node:child_process";

/** Resolves with standard output. Rejects with ProgramError. */
export type RunProgram = (program: string, args: readonly string[], input?: string) => Promise<string>;

export class ProgramError extends Error {
  override readonly name = "ProgramError";
  readonly program: string;
  /** Undefined where it did not start or was ended. */
  readonly exitCode: number | undefined;
  readonly stderr: string;

  constructor(program: string, exitCode: number | undefined, stderr: string) {
    super(`${program}: ${shorten(stderr) || `exit code ${exitCode ?? "unknown"}`}`);
    this.program = program;
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

export interface RunProgramOptions {
  readonly timers: Timers;
  /** Put before every command, as in ["nsenter", "--net=..."]. */
  readonly prefix?: readonly string[];
  readonly timeoutMs?: number;
}

/** nft repeats the line that is wrong, and a line may hold thousands of elements. */
function shorten(text: string): string {
  const lines = text
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^[\s^~]*$/.test(line))
    .slice(0, 4);
  return lines.map((line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line)).join("; ");
}

/** A runner of real programs. Input reaches them through a pipe: Node's own is a socket, which nft cannot open by name. */
export function createRunProgram({ timers, prefix = [], timeoutMs = 60_000 }: RunProgramOptions): RunProgram {
  return (program, args, input) =>
    new Promise((resolve, reject) => {
      const direct = [...prefix, program, ...args];
      const command = input === undefined ? direct : ["sh", "-c", 'cat | "$@"', "sh", ...direct];
      const child = spawn(command[0]!, command.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      let late = false;
      const timer = timers.setTimeout(() => {
        late = true;
        child.kill("SIGKILL");
      }, timeoutMs);
      child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
      // A program that ends before it has read all says why in its exit code.
      child.stdin.on("error", () => undefined);
      child.stdin.end(input ?? "");
      child.once("error", (error) => {
        timers.clear(timer);
        reject(new ProgramError(program, undefined, error.message));
      });
      child.once("close", (code) => {
        timers.clear(timer);
        if (code === 0) return resolve(Buffer.concat(stdout).toString());
        const said = late ? `not done after ${timeoutMs} ms` : Buffer.concat(stderr).toString();
        reject(new ProgramError(program, code ?? undefined, said));
      });
    });
}
