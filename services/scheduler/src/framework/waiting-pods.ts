// Pods that Permit plugins keep waiting: they have a node and its room, and are bound once every plugin lets them go.
import type { Timers } from "@coxswain/env";
import type { PodInfo } from "../pod-info.ts";
import type { Rejection } from "./contract.ts";

/** A pod is never kept longer than this. */
const MAX_WAIT_MS = 15 * 60_000;

export interface WaitingPod {
  readonly info: PodInfo;
  readonly node: string;
  /** The plugins that have not let it go yet. */
  pending(): string[];
  /** The plugin lets it go; with the last one it is bound. */
  allow(plugin: string): void;
  /** It gives up its node. */
  reject(plugin: string, message: string): void;
}

export interface PermitVerdict {
  readonly plugin: string;
  readonly rejection: Rejection;
}

/** As Go prints durations: 1.5s, 1m0s, 1h0m0s. */
function goDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const [hours, minutes] = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60];
  const seconds = `${(ms % 60_000) / 1000}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

class Waiting implements WaitingPod {
  readonly info: PodInfo;
  readonly node: string;
  readonly #plugins: Set<string>;
  readonly #settle: (verdict: PermitVerdict | undefined) => void;

  constructor(info: PodInfo, node: string, plugins: Iterable<string>, settle: Waiting["settle"]) {
    this.info = info;
    this.node = node;
    this.#plugins = new Set(plugins);
    this.#settle = settle;
  }

  get settle(): (verdict: PermitVerdict | undefined) => void {
    return this.#settle;
  }
  pending(): string[] {
    return [...this.#plugins];
  }
  allow(plugin: string): void {
    this.#plugins.delete(plugin);
    if (this.#plugins.size === 0) this.#settle(undefined);
  }
  reject(plugin: string, message: string): void {
    this.#settle({ plugin, rejection: { code: "Unschedulable", reasons: [message] } });
  }
}

export class WaitingPods {
  readonly #timers: Timers;
  readonly #pods = new Map<string, Waiting>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get(uid: string): WaitingPod | undefined {
    return this.#pods.get(uid);
  }
  values(): WaitingPod[] {
    return [...this.#pods.values()];
  }

  /** True where the pod waited: it is turned away for a more important one. */
  preempt(uid: string): boolean {
    const pod = this.#pods.get(uid);
    pod?.reject("DefaultPreemption", "preempted");
    return pod !== undefined;
  }

  /**
   * Keeps a pod until the plugins of `timeouts` (ms by name) have let it go; resolves with a verdict where one rejects it or
   * its time is over. An abort ends it like a rejection.
   */
  wait(
    info: PodInfo,
    node: string,
    timeouts: ReadonlyMap<string, number>,
    signal: AbortSignal,
  ): Promise<PermitVerdict | undefined> {
    return new Promise((resolve) => {
      const done = (verdict: PermitVerdict | undefined): void => {
        if (this.#pods.get(info.uid) !== pod) return;
        this.#pods.delete(info.uid);
        for (const timer of timers) this.#timers.clear(timer);
        signal.removeEventListener("abort", aborted);
        resolve(verdict);
      };
      const pod = new Waiting(info, node, timeouts.keys(), done);
      const aborted = (): void => pod.reject("", "leadership was lost");
      const timers = [...timeouts].map(([plugin, ms]) =>
        this.#timers.setTimeout(
          () => pod.reject(plugin, `rejected due to timeout after waiting ${goDuration(ms)} at plugin ${plugin}`),
          Math.min(ms, MAX_WAIT_MS),
        ),
      );
      this.#pods.set(info.uid, pod);
      signal.addEventListener("abort", aborted, { once: true });
      if (signal.aborted) aborted();
    });
  }
}
