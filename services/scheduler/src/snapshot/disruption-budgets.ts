// The budgets that say how many pods may be disrupted, by "namespace/name".
import type { PodDisruptionBudget } from "@coxswain/api";

export class DisruptionBudgets extends Map<string, PodDisruptionBudget> {
  #generation = 0;

  /** Grows when other pods may be protected than before; how many disruptions are allowed does not count. */
  get generation(): number {
    return this.#generation;
  }

  override set(key: string, budget: PodDisruptionBudget): this {
    if (JSON.stringify(this.get(key)?.spec?.selector) !== JSON.stringify(budget.spec?.selector)) this.#generation++;
    return super.set(key, budget);
  }

  override delete(key: string): boolean {
    this.#generation++;
    return super.delete(key);
  }
}
