// The affinity and anti-affinity terms of the pods that are placed: for each distinct term, how many pods hold it, by
// domain of its topology. So a decision looks at distinct terms instead of at all pods.
import { termSelects, type AffinityTerm, type NamespaceLabels } from "../affinity-terms.ts";
import type { PodInfo } from "../pod-info.ts";
import { DomainSums, type Topology } from "./topologies.ts";

export interface TermGroup {
  readonly term: AffinityTerm;
  /** Pods that hold the term, by domain. */
  readonly holders: DomainSums;
}

interface Selected {
  readonly groups: TermGroup[];
  /** Groups that have been judged. */
  judged: number;
}

const MAX_SIGNATURES = 16_384;
/** With so many groups, those that nobody holds are dropped. */
const SWEEP_AT = 4096;

export class TermCounters {
  readonly #topology: (key: string) => Topology;
  readonly #namespaceLabels: NamespaceLabels;
  readonly #groups = new Map<string, TermGroup>();
  #list: TermGroup[] = [];
  readonly #memo = new Map<string, Selected>();
  #sweepAt = SWEEP_AT;

  constructor(topology: (key: string) => Topology, namespaceLabels: NamespaceLabels) {
    this.#topology = topology;
    this.#namespaceLabels = namespaceLabels;
  }

  pod(row: number, info: PodInfo, sign: 1 | -1): void {
    for (const term of info.terms.all) this.#group(term).holders.add(row, sign);
  }

  /** The terms of placed pods that mean a pod with this one's namespace and labels; some may have no holders left. */
  selecting(info: PodInfo): readonly TermGroup[] {
    let selected = this.#memo.get(info.signature);
    if (selected === undefined) {
      if (this.#memo.size >= MAX_SIGNATURES) this.#memo.clear();
      selected = { groups: [], judged: 0 };
      this.#memo.set(info.signature, selected);
    }
    for (; selected.judged < this.#list.length; selected.judged++) {
      const group = this.#list[selected.judged]!;
      if (termSelects(group.term, info.namespace, info.labels, this.#namespaceLabels)) selected.groups.push(group);
    }
    return selected.groups;
  }

  forgetNamespaceLabels(): void {
    this.#memo.clear();
  }

  #group(term: AffinityTerm): TermGroup {
    let group = this.#groups.get(term.key);
    if (group === undefined) {
      if (this.#list.length >= this.#sweepAt) this.#sweep();
      group = { term, holders: new DomainSums(this.#topology(term.topologyKey)) };
      this.#groups.set(term.key, group);
      this.#list.push(group);
    }
    return group;
  }

  #sweep(): void {
    this.#list = this.#list.filter((group) => group.holders.total > 0);
    this.#groups.clear();
    for (const group of this.#list) this.#groups.set(group.term.key, group);
    this.#memo.clear();
    this.#sweepAt = Math.max(SWEEP_AT, this.#list.length * 2);
  }
}
