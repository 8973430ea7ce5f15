// Runs one side of a benchmark in a process of its own, so that it does not share an event loop with what it is measured
// against. Roles are in load-roles.ts; messages go over the process's own channel.
import { fork, type ChildProcess } from "node:child_process";
import path from "node:path";
import type { LoadRole } from "./load-roles.ts";

export interface LoadProcess extends AsyncDisposable {
  /** Sends a question and resolves with its answer; one at a time. Rejects where the process ends. */
  ask<T>(question: string, argument?: unknown): Promise<T>;
}

function next<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void => reject(new Error(`the load process ended: ${code}`));
    child.once("exit", onExit);
    child.once("message", (message) => {
      child.off("exit", onExit);
      const { value, error } = message as { value?: T; error?: string };
      if (error === undefined) resolve(value as T);
      else reject(new Error(error));
    });
  });
}

/** Resolves when the role is ready. */
export async function startLoad(role: LoadRole): Promise<LoadProcess> {
  const child = fork(path.join(import.meta.dirname, "load-roles.ts"), [], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const ready = next(child);
  child.send(role);
  await ready;
  return {
    ask<T>(question: string, argument?: unknown): Promise<T> {
      const answer = next<T>(child);
      child.send({ question, argument });
      return answer;
    },
    async [Symbol.asyncDispose]() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    },
  };
}
