// The audit log as a file, a line an event. Guarantees: events of one turn are one write; lines come whole and in order; a file
// that would grow beyond its limit is renamed with the time first, and old files are removed by age and number; who gave what
// a disk refuses is told so.
import { appendFile, mkdir, readdir, rename, stat, unlink } from "node:fs/promises";
import path from "node:path";
import { nextTurn, type Env } from "@coxswain/env";
import type { SendBatch } from "./delivery.ts";

export interface LogFileOptions {
  /** "-" is the process's output. */
  readonly path: string;
  /** Days; 0 keeps files whatever their age. */
  readonly maxAgeDays: number;
  /** Rotated files that are kept; 0 keeps all. */
  readonly maxBackups: number;
  /** Megabytes (2^20 bytes) after which a file is rotated; 0 means 100, as upstream's rotation has it. */
  readonly maxSizeMegabytes: number;
}

const DAY_MS = 86_400_000;
const MEGABYTE = 1 << 20;
const DEFAULT_MEGABYTES = 100;
/** Beyond this much that is not yet written, events are refused. */
const MAX_PENDING_BYTES = 64 * MEGABYTE;

interface Backup {
  readonly name: string;
  readonly atMs: number;
}

/** Which rotated files have to go. Pure. */
export function planRemovals(backups: readonly Backup[], options: LogFileOptions, nowMs: number): string[] {
  const newestFirst = backups.toSorted((a, b) => b.atMs - a.atMs);
  const excess = options.maxBackups > 0 ? newestFirst.slice(options.maxBackups) : [];
  const old = options.maxAgeDays > 0 ? backups.filter(({ atMs }) => atMs < nowMs - options.maxAgeDays * DAY_MS) : [];
  return [...new Set([...excess, ...old].map(({ name }) => name))];
}

/** As in audit-2026-01-31T12-30-00.000.log. */
export function backupName(file: string, nowMs: number): string {
  const { name, ext } = path.parse(file);
  const time = new Date(nowMs).toISOString().replace("Z", "").replaceAll(":", "-");
  return `${name}-${time}${ext}`;
}

function backupTime(file: string, candidate: string): number | undefined {
  const { name, ext } = path.parse(file);
  if (!candidate.startsWith(`${name}-`) || !candidate.endsWith(ext)) return undefined;
  const time = candidate.slice(name.length + 1, candidate.length - ext.length);
  const [, day, hours, minutes, rest] = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(time) ?? [];
  return day === undefined ? undefined : Date.parse(`${day}T${hours}:${minutes}:${rest}Z`);
}

export interface LogWriter {
  /** Resolves when the events lie in the file; rejects where the disk refuses them. */
  readonly append: SendBatch;
  /** Resolves when nothing is under way. */
  close(): Promise<void>;
}

export function createLogFile(options: LogFileOptions, env: Env): LogWriter {
  return options.path === "-" ? { append: toOutput, close: async () => {} } : new LogFile(options, env);
}

function toOutput(events: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${events.join("\n")}\n`, (error) => (error ? reject(error) : resolve()));
  });
}

interface Pending {
  readonly text: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class LogFile implements LogWriter {
  readonly #options: LogFileOptions;
  readonly #env: Env;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  #size: number | undefined;
  #writing: Promise<void> | undefined;

  constructor(options: LogFileOptions, env: Env) {
    this.#options = options;
    this.#env = env;
  }

  append(events: readonly string[]): Promise<void> {
    if (this.#pendingBytes > MAX_PENDING_BYTES) return Promise.reject(new Error("the disk is slow"));
    const text = `${events.join("\n")}\n`;
    this.#pendingBytes += text.length;
    return new Promise((resolve, reject) => {
      this.#pending.push({ text, resolve, reject });
      this.#writing ??= this.#drain();
    });
  }

  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async #drain(): Promise<void> {
    // What this turn still adds joins the same write.
    await nextTurn(this.#env.timers);
    while (this.#pending.length > 0) {
      const taken = this.#take();
      try {
        await this.#write(Buffer.from(taken.map(({ text }) => text).join("")));
        for (const each of taken) each.resolve();
      } catch (error) {
        for (const each of taken) each.reject(error);
      }
    }
    this.#writing = undefined;
  }

  get #limit(): number {
    return (this.#options.maxSizeMegabytes || DEFAULT_MEGABYTES) * MEGABYTE;
  }

  /** As much as the file still holds; one at least. */
  #take(): Pending[] {
    let bytes = this.#size ?? 0;
    let count = 0;
    while (count < this.#pending.length) {
      bytes += this.#pending[count]!.text.length;
      if (count > 0 && bytes > this.#limit) break;
      count++;
    }
    const taken = this.#pending.slice(0, count);
    this.#pending = this.#pending.slice(count);
    this.#pendingBytes -= taken.reduce((sum, { text }) => sum + text.length, 0);
    return taken;
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#size ??= await this.#open();
    if (this.#size > 0 && this.#size + bytes.length > this.#limit) await this.#rotate();
    await appendFile(this.#options.path, bytes, { mode: 0o600 });
    this.#size = (this.#size ?? 0) + bytes.length;
  }

  async #open(): Promise<number> {
    const { path: file } = this.#options;
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    try {
      return (await stat(file)).size;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
      throw error;
    }
  }

  async #rotate(): Promise<void> {
    const { path: file } = this.#options;
    const folder = path.dirname(file);
    const nowMs = this.#env.clock.now();
    await rename(file, path.join(folder, backupName(file, nowMs)));
    this.#size = 0;
    const found = (await readdir(folder)).flatMap((name) => {
      const atMs = backupTime(file, name);
      return atMs === undefined ? [] : [{ name, atMs }];
    });
    for (const name of planRemovals(found, this.#options, nowMs)) await unlink(path.join(folder, name));
  }
}
