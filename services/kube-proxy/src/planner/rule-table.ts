// All rules of one node, updated Service by Service. Guarantees: after any sequence of updates it holds what a table built
// afresh from the same Services would hold; where two Services claim one address, the one whose name sorts first has it.
import { diffRules, type ProxyRule, type RuleChange } from "./rule.ts";

export class RuleTable {
  readonly #byService = new Map<string, readonly ProxyRule[]>();
  readonly #claims = new Map<string, Map<string, ProxyRule>>();

  /** Sets the rules of one Service ("namespace/name"); returns what that changes. */
  set(service: string, rules: readonly ProxyRule[]): RuleChange {
    const keys = new Set([...(this.#byService.get(service) ?? []), ...rules].map((rule) => rule.key));
    const before = this.#winners(keys);
    for (const rule of this.#byService.get(service) ?? []) this.#unclaim(service, rule.key);
    for (const rule of rules) {
      const claims = this.#claims.get(rule.key) ?? new Map<string, ProxyRule>();
      if (!claims.has(service)) claims.set(service, rule);
      this.#claims.set(rule.key, claims);
    }
    if (rules.length > 0) this.#byService.set(service, rules);
    else this.#byService.delete(service);
    return diffRules(before, this.#winners(keys));
  }

  rules(): ProxyRule[] {
    return this.#winners(this.#claims.keys());
  }

  services(): string[] {
    return [...this.#byService.keys()];
  }

  #unclaim(service: string, key: string): void {
    const claims = this.#claims.get(key);
    claims?.delete(service);
    if (claims?.size === 0) this.#claims.delete(key);
  }

  #winners(keys: Iterable<string>): ProxyRule[] {
    const out: ProxyRule[] = [];
    for (const key of keys) {
      let winner: string | undefined;
      const claims = this.#claims.get(key);
      for (const service of claims?.keys() ?? []) if (winner === undefined || service < winner) winner = service;
      if (winner !== undefined) out.push(claims!.get(winner)!);
    }
    return out;
  }
}
