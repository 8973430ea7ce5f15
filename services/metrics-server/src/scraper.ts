// Asks all kubelets for their figures, again and again. Guarantees: kubelets that do not answer hold up no others; a round begins
// as long after the one before as it should, and so much later where rounds are long that they take a small part of the time.
import type { Node } from "@coxswain/api";
import type { SharedInformer } from "@coxswain/client";
import type { Logger, Metrics } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { SampleStore } from "./sample-store.ts";
import type { StatsSource } from "./stats-source.ts";

export const KUBELET_GRPC_ANNOTATION = "coxswain.dev/kubelet-grpc";
/** Of the time, rounds may take one part in this many. */
const SHARE = 20;
/** Rounds that were asked for begin this long after each other at least. */
const SOON_MS = 1_000;

export interface ScraperDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly nodes: SharedInformer<Node>;
  readonly source: StatsSource;
  readonly store: SampleStore;
  readonly resolutionMs: number;
}

/** The addresses of kubelets, each once, with the nodes behind. Nodes without one are left out. Pure. */
export function addressesOf(nodes: readonly Node[]): Map<string, Set<string>> {
  const addresses = new Map<string, Set<string>>();
  for (const { metadata } of nodes) {
    const address = metadata?.annotations?.[KUBELET_GRPC_ANNOTATION];
    if (address === undefined || address === "") continue;
    const behind = addresses.get(address);
    if (behind === undefined) addresses.set(address, new Set([metadata?.name ?? ""]));
    else behind.add(metadata?.name ?? "");
  }
  return addresses;
}

interface Look {
  readonly begunMs: number;
  tookMs: number;
  readonly done: Promise<void>;
}

export class Scraper {
  readonly #deps: ScraperDeps;
  /** The latest look at each address. */
  readonly #looks = new Map<string, Look>();
  readonly #failures: ReturnType<Metrics["counter"]>;
  #wake = new AbortController();
  #rounds = 0;

  constructor(deps: ScraperDeps) {
    this.#deps = deps;
    this.#failures = deps.metrics.counter("metrics_server_kubelet_failures_total", "Kubelets that gave no answer.");
  }

  get rounds(): number {
    return this.#rounds;
  }

  /** There is a node that has not been asked. */
  soon(): void {
    this.#wake.abort();
  }

  /** Asks the kubelets of nodes out of turn, unless that was done just now. Never rejects. */
  async lookAt(names: ReadonlySet<string>): Promise<void> {
    const { nodes, env } = this.#deps;
    const known = [...names].flatMap((name) => nodes.lister.get(name) ?? []);
    await Promise.all(
      [...addressesOf(known).keys()].map((address) => {
        const last = this.#looks.get(address);
        const restMs = Math.max(SOON_MS, (last?.tookMs ?? 0) * (SHARE - 1));
        if (last !== undefined && env.clock.monotonic() - last.begunMs < restMs) return last.done;
        return this.#look(address);
      }),
    );
  }

  /** Works until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env, resolutionMs } = this.#deps;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      const begun = env.clock.monotonic();
      await this.#round();
      this.#rounds++;
      const took = env.clock.monotonic() - begun;
      const pause = Math.max(resolutionMs - took, took * (SHARE - 1));
      await this.#pause(pause, AbortSignal.any([signal, this.#wake.signal]));
      const spacing = SOON_MS - (env.clock.monotonic() - begun);
      if (this.#wake.signal.aborted && spacing > 0) await this.#pause(spacing, signal);
    }
  }

  async #round(): Promise<void> {
    const { nodes, source, store } = this.#deps;
    const known = nodes.lister.list();
    const addresses = new Set(addressesOf(known).keys());
    source.keep(addresses);
    store.keep(new Set(known.map(({ metadata }) => metadata?.name ?? "")));
    for (const address of this.#looks.keys()) if (!addresses.has(address)) this.#looks.delete(address);
    await Promise.all([...addresses].map((address) => this.#look(address)));
  }

  #look(address: string): Promise<void> {
    const begunMs = this.#deps.env.clock.monotonic();
    const look: Look = { begunMs, tookMs: 0, done: this.#collect(address) };
    this.#looks.set(address, look);
    return look.done.then(() => void (look.tookMs = this.#deps.env.clock.monotonic() - begunMs));
  }

  async #collect(address: string): Promise<void> {
    const { nodes, source, store, logger } = this.#deps;
    try {
      // A node that is gone, or has another kubelet by now, is not this one's to tell of.
      const samples = await source.collect(address);
      const behind = (name: string): boolean => {
        const node = nodes.lister.get(name);
        return node?.metadata?.annotations?.[KUBELET_GRPC_ANNOTATION] === address;
      };
      for (const sample of samples) if (behind(sample.node)) store.put(sample);
    } catch (error) {
      this.#failures.inc();
      logger.warn({ err: error, address }, "a kubelet does not tell its figures");
    }
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#deps.env.timers.sleep(ms, signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }
}
