// The admission chain: plugins in upstream's order, first all that change the object, then all that only look.
import type { AdmissionAttributes, AdmissionPlugin } from "../pipeline/extension.ts";

export class AdmissionChain {
  readonly #mutating: readonly AdmissionPlugin[];
  readonly #deleting: readonly AdmissionPlugin[];
  readonly #validating: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#mutating = plugins.filter((plugin) => plugin.admit !== undefined);
    this.#deleting = plugins.filter((plugin) => plugin.admitDelete !== undefined);
    this.#validating = plugins.filter((plugin) => plugin.validate !== undefined);
  }

  /** Those who are asked about more than what is stored: first who may change the object, then who only looks. */
  async ask(attributes: AdmissionAttributes): Promise<void> {
    for (const plugin of this.#mutating) if (plugin.dynamic === true) await plugin.admit!(attributes);
    for (const plugin of this.#validating) if (plugin.dynamic === true) await plugin.validate!(attributes);
  }

  async admit(attributes: AdmissionAttributes): Promise<void> {
    for (const plugin of this.#mutating) {
      const pending = plugin.admit!(attributes);
      if (pending !== undefined) await pending;
    }
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    if (attributes.operation === "DELETE") {
      for (const plugin of this.#deleting) await plugin.admitDelete!(attributes);
    }
    for (const plugin of this.#validating) {
      const pending = plugin.validate!(attributes);
      if (pending !== undefined) await pending;
    }
  }
}
