// Reads the log file of one container, and what comes after. Guarantees: lines come in order and once; a file that was moved
// away is read to its end before the new one; a file that is missing, or a folder that cannot be watched, only slows following
// down; following ends when the container has ended and all it wrote was read.
import { watch, type FSWatcher } from "node:fs";
import { open, stat, type FileHandle } from "node:fs/promises";
import path from "node:path";
import type { Env } from "@coxswain/env";
import { CriError, type LogLine } from "../contract.ts";
import { LogDecoder } from "./log-decoder.ts";

/** How often the container is asked whether it still runs, and the file is looked at without news of it. */
const LOOK_AGAIN_MS = 1_000;
const ROTATION_MS = 50;
const ROTATION_LOOKS = 20;
const CHUNK_BYTES = 64 * 1024;

export interface LogFileOptions {
  readonly env: Env;
  readonly file: string;
  readonly follow: boolean;
  /** True where the container writes no more. */
  readonly ended: () => Promise<boolean>;
  readonly signal: AbortSignal;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "";
}

async function openIfThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** True where `file` is now another one than the open one. */
async function wasReplaced(handle: FileHandle, file: string): Promise<boolean> {
  try {
    const [now, opened] = await Promise.all([stat(file), handle.stat()]);
    return now.ino !== opened.ino || now.dev !== opened.dev;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** News of one file, from its folder: inotify loses a file that is moved. */
class FileNews {
  readonly #env: Env;
  readonly #signal: AbortSignal;
  #watcher: FSWatcher | undefined;
  #fresh = false;
  #wake: (() => void) | undefined;

  constructor({ env, file, signal }: LogFileOptions) {
    this.#env = env;
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
    try {
      this.#watcher = watch(path.dirname(file), { persistent: false }, (_event, name) => {
        if (name !== null && name !== path.basename(file)) return;
        this.#fresh = true;
        this.#wake?.();
      });
      this.#watcher.on("error", () => this.#watcher?.close());
    } catch (error) {
      // No folder yet, or no watches left: the timer alone must do.
      if (!["ENOENT", "ENOSPC", "EMFILE"].includes(codeOf(error))) throw error;
    }
  }

  readonly #onAbort = (): void => this.#wake?.();

  /** Resolves true on news since the last call, false after a while, or when the signal aborts. */
  async wait(): Promise<boolean> {
    if (!this.#fresh && !this.#signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = this.#env.timers.setTimeout(resolve, LOOK_AGAIN_MS);
      this.#wake = resolve;
      await promise;
      this.#env.timers.clear(timer);
      this.#wake = undefined;
    }
    const fresh = this.#fresh;
    this.#fresh = false;
    return fresh;
  }

  close(): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** Throws CriError NotFound where there is no file and none is waited for. */
export async function* readLogFile(options: LogFileOptions): AsyncIterable<LogLine> {
  const reader = new LogFileReader(options);
  try {
    yield* reader.lines();
  } finally {
    await reader.close();
  }
}

class LogFileReader {
  readonly #options: LogFileOptions;
  readonly #decoder = new LogDecoder();
  readonly #news: FileNews | undefined;
  #handle: FileHandle | undefined;
  #position = 0;

  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#news = options.follow ? new FileNews(options) : undefined;
  }

  async close(): Promise<void> {
    this.#news?.close();
    await this.#handle?.close();
  }

  async *lines(): AsyncIterable<LogLine> {
    const { signal, file, env } = this.#options;
    let looks = 0;
    for (let ask = true; !signal.aborted;) {
      // Asked before reading: what an ended container wrote is all there.
      const ended = this.#news === undefined || (ask && (await this.#options.ended()));
      yield* this.#rest();
      // While a log is rotated there is no file for a moment.
      if (this.#handle === undefined && ended && looks++ < ROTATION_LOOKS && !(await this.#options.ended())) {
        await env.timers.sleep(ROTATION_MS);
        continue;
      }
      if (this.#handle === undefined && this.#news === undefined) {
        throw new CriError("NotFound", `the log file ${file} does not exist`);
      }
      if (ended) break;
      ask = !(await this.#news?.wait());
    }
    yield* this.#decoder.end();
  }

  /** All lines that are there now, of this file and of those that followed it. */
  async *#rest(): AsyncIterable<LogLine> {
    const { file, signal, env } = this.#options;
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let replaced = false; !signal.aborted;) {
      if (this.#handle === undefined) {
        this.#handle = await openIfThere(file);
        this.#position = 0;
      }
      if (this.#handle === undefined) return;
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#position);
      this.#position += bytesRead;
      if (bytesRead > 0) yield* this.#decoder.push(Buffer.from(buffer.subarray(0, bytesRead)));
      else if (replaced) {
        await this.#handle.close();
        this.#handle = undefined;
        replaced = false;
      } else if (!(replaced = await wasReplaced(this.#handle, file))) return;
      // A runtime makes the new file before it leaves the old one: what it had in hand may still come.
      else await env.timers.sleep(ROTATION_MS);
    }
  }
}
