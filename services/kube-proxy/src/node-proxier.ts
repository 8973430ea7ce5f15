// Keeps one node's rules in place. Guarantees: what the backend holds equals the plan once the last change has been applied;
// after a failed write everything is written again, because nobody knows what is there.
import type { ProxyBackend } from "./backend/contract.ts";
import { diffRules, type ProxyRule, type RuleChange } from "./planner/rule.ts";
import { RuleTable } from "./planner/rule-table.ts";

export class NodeProxier {
  readonly node: string;
  readonly backend: ProxyBackend;
  readonly #table = new RuleTable();
  #pending = new Map<string, ProxyRule | undefined>();
  #addresses: readonly string[] = [];
  #addressesChanged = false;
  #mustSync = true;
  #generation = 0;

  constructor(node: string, backend: ProxyBackend) {
    this.node = node;
    this.backend = backend;
  }

  /** Grows with each write that the backend took. */
  get generation(): number {
    return this.#generation;
  }
  get serviceCount(): number {
    return this.#table.services().length;
  }
  rules(): ProxyRule[] {
    return this.#table.rules();
  }
  services(): string[] {
    return this.#table.services();
  }

  set(service: string, rules: readonly ProxyRule[]): void {
    const change = this.#table.set(service, rules);
    for (const key of change.removals) this.#pending.set(key, undefined);
    for (const rule of change.upserts) this.#pending.set(rule.key, rule);
  }

  /** Returns whether that changes anything. */
  setAddresses(addresses: readonly string[]): boolean {
    if (JSON.stringify(addresses) === JSON.stringify(this.#addresses)) return false;
    this.#addresses = addresses;
    this.#addressesChanged = true;
    return true;
  }

  /** The next `flush` writes everything. */
  requireSync(): void {
    this.#mustSync = true;
  }

  /** Writes what has changed since the last flush. Rejects as the backend does; the next flush then writes all. */
  async flush(): Promise<void> {
    const pending = this.#pending;
    this.#pending = new Map();
    const full = this.#mustSync;
    this.#mustSync = false;
    const newAddresses = this.#addressesChanged || full;
    this.#addressesChanged = false;
    try {
      if (newAddresses) await this.backend.setNodeAddresses(this.#addresses);
      if (full) await this.backend.sync(this.#table.rules());
      else if (pending.size > 0) await this.backend.apply(toChange(pending));
    } catch (error) {
      this.#mustSync = true;
      throw error;
    }
    if (full || pending.size > 0) this.#generation++;
  }

  /** Whether the backend can tell that somebody else changed its rules. */
  get canCheck(): boolean {
    return this.backend.damage !== undefined;
  }

  /** What somebody else has changed in the rules; the next flush then writes everything. */
  async check(): Promise<string | undefined> {
    const damage = await this.backend.damage?.();
    if (damage !== undefined) this.#mustSync = true;
    return damage;
  }

  /** How the backend differs from the plan; nothing where all is well. */
  async drift(): Promise<RuleChange> {
    return diffRules(await this.backend.rules(), this.#table.rules());
  }
}

function toChange(pending: ReadonlyMap<string, ProxyRule | undefined>): RuleChange {
  const upserts: ProxyRule[] = [];
  const removals: string[] = [];
  for (const [key, rule] of pending) {
    if (rule === undefined) removals.push(key);
    else upserts.push(rule);
  }
  return { upserts, removals };
}
