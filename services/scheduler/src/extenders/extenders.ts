// All extenders of a scheduler, asked in their order. Guarantees: an extender that may be ignored stops nothing by failing;
// another one's failure costs the pod its attempt. What they say is put before the framework, which decides alone.
import type { Node } from "@coxswain/api";
import type { Logger } from "@coxswain/component-base";
import { MAX_NODE_SCORE, type Rejection } from "../framework/contract.ts";
import type { Consulted } from "../framework/plan-schedule.ts";
import type { PodInfo } from "../pod-info.ts";
import type { Candidate } from "../plugins/preemption-candidates.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { Extender, ExtenderError, type ExtenderConfiguration, type ExtenderTransport } from "./extender.ts";

/** The most that an extender gives a node. */
const MAX_EXTENDER_SCORE = 10;
/** A node that an extender drops without a word. */
const DROPPED: Rejection = { code: "UnschedulableAndUnresolvable", reasons: [] };

/** A binding by an extender: undefined where no extender binds such pods. */
export type ExtenderBinding = { readonly bound: true } | { readonly bound: false; readonly error: Error };

export class Extenders {
  readonly #all: readonly Extender[];
  readonly #logger: Logger;

  constructor(configurations: readonly ExtenderConfiguration[], transport: ExtenderTransport, logger: Logger) {
    this.#all = configurations.map((one) => new Extender(one, transport));
    this.#logger = logger;
  }

  #concerned(info: PodInfo): Extender[] {
    return this.#all.filter((one) => one.isInterested(info));
  }

  /** Whether any is to be asked where the pod may go. */
  decide(info: PodInfo): boolean {
    return this.#concerned(info).some(
      ({ configuration: { filterVerb, prioritizeVerb, preemptVerb } }) =>
        `${filterVerb}${prioritizeVerb}${preemptVerb}` !== "",
    );
  }

  #failed(extender: Extender, info: PodInfo, error: unknown): void {
    this.#logger.warn({ extender: extender.name, pod: info.key, err: error }, "an extender failed and is passed over");
  }

  /** Rejects where an extender fails that must not be ignored. */
  async consult(info: PodInfo, nodes: readonly Node[]): Promise<Consulted> {
    const verdicts = new Map<string, Rejection | undefined>();
    let left = nodes;
    for (const node of nodes) verdicts.set(node.metadata?.name ?? "", undefined);
    for (const extender of this.#concerned(info)) {
      if (left.length === 0) break;
      try {
        const { passed, failed } = await extender.filter(info.pod, left);
        const names = new Set(passed);
        for (const node of left) {
          const name = node.metadata?.name ?? "";
          if (!names.has(name)) verdicts.set(name, failed.get(name) ?? DROPPED);
        }
        left = left.filter((node) => names.has(node.metadata?.name ?? ""));
      } catch (error) {
        if (!extender.configuration.ignorable) throw error;
        this.#failed(extender, info, error);
      }
    }
    return { verdicts, scores: left.length > 1 ? await this.#scores(info, left) : new Map() };
  }

  /** An extender that cannot score scores nothing. */
  async #scores(info: PodInfo, nodes: readonly Node[]): Promise<Map<string, number>> {
    const sums = new Map<string, number>();
    const asked = this.#concerned(info).map(async (extender) => {
      try {
        return await extender.prioritize(info.pod, nodes);
      } catch (error) {
        this.#failed(extender, info, error);
        return new Map<string, number>();
      }
    });
    for (const scores of await Promise.all(asked)) {
      for (const [node, score] of scores) {
        sums.set(node, (sums.get(node) ?? 0) + score * (MAX_NODE_SCORE / MAX_EXTENDER_SCORE));
      }
    }
    return sums;
  }

  /** The candidates that all extenders leave. Rejects where one fails that must not be ignored. */
  async preempt(
    info: PodInfo,
    candidates: readonly Candidate[],
    snapshot: ClusterSnapshot,
  ): Promise<readonly Candidate[]> {
    let left = candidates;
    for (const extender of this.#concerned(info)) {
      if (extender.configuration.preemptVerb === "" || left.length === 0) continue;
      try {
        left = await extender.preempt(info.pod, left, snapshot);
      } catch (error) {
        if (!extender.configuration.ignorable) throw error;
        this.#failed(extender, info, error);
      }
    }
    return left;
  }

  /** Whether an extender binds such pods. */
  binds(info: PodInfo): boolean {
    return this.#concerned(info).some((one) => one.configuration.bindVerb !== "");
  }

  /** Undefined where no extender binds the pod, or none that must not be ignored. Never rejects. */
  async bind(info: PodInfo, node: string): Promise<ExtenderBinding | undefined> {
    for (const extender of this.#concerned(info)) {
      if (extender.configuration.bindVerb === "") continue;
      try {
        await extender.bind(info, node);
        return { bound: true };
      } catch (error) {
        // Who may have heard may have bound it: only a clear no lets another bind.
        if (extender.configuration.ignorable && error instanceof ExtenderError) {
          this.#failed(extender, info, error);
          continue;
        }
        return { bound: false, error: error instanceof Error ? error : new Error(String(error)) };
      }
    }
    return undefined;
  }
}
