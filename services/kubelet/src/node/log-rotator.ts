// Rotates the logs of containers that run. Guarantees: no line is lost or written twice; a file that is being compressed is
// never mistaken for a whole one; a log that cannot be rotated now stays, and is tried again.
import { createReadStream, createWriteStream } from "node:fs";
import { readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { ContainerStatus, Cri } from "../cri/contract.ts";
import { planLogRotation, UNFINISHED, type LogPolicy } from "./plan-log-rotation.ts";

/** Upstream's containerLogMonitorInterval. */
const EVERY_MS = 10_000;

export interface LogRotatorDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly cri: Pick<Cri, "listContainers" | "reopenContainerLog">;
  readonly policy: LogPolicy;
  /** How often logs are looked at; 10 s where unset. */
  readonly everyMs?: number;
}

export class LogRotator {
  readonly #deps: LogRotatorDeps;

  constructor(deps: LogRotatorDeps) {
    this.#deps = deps;
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env, policy, everyMs = EVERY_MS } = this.#deps;
    if (policy.maxBytes < 0) return;
    try {
      while (!signal.aborted) {
        await env.timers.sleep(everyMs, signal);
        await this.rotate();
      }
    } catch (error) {
      if (!isAbort(error) || !signal.aborted) throw error;
    }
  }

  /** Looks at each log once. */
  async rotate(): Promise<void> {
    const { cri, logger } = this.#deps;
    let containers: ContainerStatus[];
    try {
      containers = await cri.listContainers();
    } catch (error) {
      logger.debug({ err: error }, "logs are not rotated: the runtime does not say what it has");
      return;
    }
    for (const { id, state, logFile = "" } of containers) {
      if (state !== "CONTAINER_RUNNING" || logFile === "") continue;
      try {
        await this.#rotateOne(id, logFile);
      } catch (error) {
        logger.warn({ container: id, file: logFile, err: error }, "a log could not be rotated");
      }
    }
  }

  async #rotateOne(id: string, file: string): Promise<void> {
    const { cri, policy, env } = this.#deps;
    const size = await sizeOf(file);
    // A kubelet that ended between moving a log away and saying so left the container without one.
    if (size === undefined) return cri.reopenContainerLog?.(id);
    if (size < policy.maxBytes) return;
    const folder = path.dirname(file);
    const plan = planLogRotation(path.basename(file), await readdir(folder), policy, env.clock.now());
    // A second rotation within a second would take the place of the first one's file.
    if ((await sizeOf(path.join(folder, plan.rotated))) !== undefined) return;
    for (const name of plan.remove) await rm(path.join(folder, name), { force: true });
    for (const name of plan.compress) await compress(path.join(folder, name));
    const rotated = path.join(folder, plan.rotated);
    await rename(file, rotated);
    try {
      await cri.reopenContainerLog?.(id);
    } catch (error) {
      // The container goes on writing to the file that it has open: that one is its log again.
      await rename(rotated, file);
      throw error;
    }
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function compress(file: string): Promise<void> {
  const { mode } = await stat(file);
  const unfinished = file + UNFINISHED;
  try {
    await pipeline(createReadStream(file), createGzip(), createWriteStream(unfinished, { mode }));
    await rename(unfinished, `${file}.gz`);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  await rm(file);
}
