// The admission chain: plugins in upstream's order, first all that change the object, then all that only look. Where a policy
// or a webhook has changed the object, those that may change it are asked once more.
import type { AdmissionAttributes, AdmissionPlugin } from "../pipeline/extension.ts";
import { Reinvocation } from "./reinvocation.ts";

interface Plugins {
  readonly mutating: readonly AdmissionPlugin[];
  readonly deleting: readonly AdmissionPlugin[];
  readonly validating: readonly AdmissionPlugin[];
}

function sorted(plugins: readonly AdmissionPlugin[]): Plugins {
  return {
    mutating: plugins.filter((plugin) => plugin.admit !== undefined),
    deleting: plugins.filter((plugin) => plugin.admitDelete !== undefined),
    validating: plugins.filter((plugin) => plugin.validate !== undefined),
  };
}

export class AdmissionChain {
  readonly #all: Plugins;
  readonly #dynamic: Plugins;
  readonly #builtIn: Plugins;

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#all = sorted(plugins);
    this.#dynamic = sorted(plugins.filter((plugin) => plugin.dynamic === true));
    this.#builtIn = sorted(plugins.filter((plugin) => plugin.dynamic !== true));
  }

  /** Those who are asked about more than what is stored: first who may change the object, then who only looks. */
  async ask(attributes: AdmissionAttributes): Promise<void> {
    await this.askToChange(attributes);
    await validateBy(this.#dynamic, attributes);
  }

  /** Of those the ones who may change the object. */
  async askToChange(attributes: AdmissionAttributes): Promise<void> {
    await admitBy(this.#dynamic.mutating, attributes);
  }

  /** `asked`: who is asked about more than what is stored was so already, about what the change is made of. */
  async admit(attributes: AdmissionAttributes, asked = false): Promise<void> {
    await admitBy((asked ? this.#builtIn : this.#all).mutating, attributes);
  }

  async validate(attributes: AdmissionAttributes, asked = false): Promise<void> {
    await validateBy(asked ? this.#builtIn : this.#all, attributes);
  }
}

async function validateBy({ deleting, validating }: Plugins, attributes: AdmissionAttributes): Promise<void> {
  if (attributes.operation === "DELETE") {
    const round = { ...attributes, reinvocation: new Reinvocation() };
    for (const plugin of deleting) await plugin.admitDelete!(round);
  }
  for (const plugin of validating) {
    const pending = plugin.validate!(attributes);
    if (pending !== undefined) await pending;
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
