// The admission chain: plugins in upstream's order, first all that change the object, then all that only look. Where a policy
// or a webhook has changed the object, those that may change it are asked once more.
import type { AdmissionAttributes, AdmissionPlugin } from "../pipeline/extension.ts";
import { Reinvocation } from "./reinvocation.ts";

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
    const dynamic = (plugin: AdmissionPlugin): boolean => plugin.dynamic === true;
    await admitBy(this.#mutating.filter(dynamic), attributes);
    for (const plugin of this.#validating) if (dynamic(plugin)) await plugin.validate!(attributes);
  }

  async admit(attributes: AdmissionAttributes): Promise<void> {
    await admitBy(this.#mutating, attributes);
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    if (attributes.operation === "DELETE") {
      const round = { ...attributes, reinvocation: new Reinvocation() };
      for (const plugin of this.#deleting) await plugin.admitDelete!(round);
    }
    for (const plugin of this.#validating) {
      const pending = plugin.validate!(attributes);
      if (pending !== undefined) await pending;
    }
  }
}

async function admitBy(plugins: readonly AdmissionPlugin[], attributes: AdmissionAttributes): Promise<void> {
  const reinvocation = new Reinvocation();
  const round = { ...attributes, reinvocation };
  do {
    for (const plugin of plugins) {
      const pending = plugin.admit!(round);
      if (pending !== undefined) await pending;
    }
  } while (reinvocation.begin());
}
