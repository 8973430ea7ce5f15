// The constraint that all devices of some requests have the same value of an attribute. Guarantee: once it says no, more devices
// do not make it say yes, so that a search may stop there.
import type { DeviceAttribute } from "@coxswain/api";
import type { ConstraintPlan } from "./claim-requests.ts";
import type { DeviceEntry } from "./device-pools.ts";

/** Undefined where the device has no such attribute. Values of different types differ. */
export function attributeOf({ device, driver }: DeviceEntry, attribute: string): string | undefined {
  const { attributes = {} } = device;
  const own = attribute.startsWith(`${driver}/`) ? attribute.slice(driver.length + 1) : undefined;
  const found = lookUp(attributes, attribute) ?? (own === undefined ? undefined : lookUp(attributes, own));
  return found === undefined ? undefined : JSON.stringify(found);
}

function lookUp(attributes: Readonly<Record<string, DeviceAttribute>>, name: string): DeviceAttribute | undefined {
  return Object.hasOwn(attributes, name) ? attributes[name] : undefined;
}

export class MatchAttribute {
  readonly plan: ConstraintPlan;
  #value: string | undefined;
  #devices = 0;

  constructor(plan: ConstraintPlan) {
    this.plan = plan;
  }

  #concerns(request: string): boolean {
    const { requests } = this.plan;
    return requests.size === 0 || requests.has(request) || requests.has(request.split("/", 1)[0]!);
  }

  /** Counts the device, unless it does not fit with the others. */
  add(request: string, entry: DeviceEntry): boolean {
    if (!this.#concerns(request)) return true;
    const value = attributeOf(entry, this.plan.attribute);
    if (value === undefined || (this.#devices > 0 && value !== this.#value)) return false;
    this.#value = value;
    this.#devices++;
    return true;
  }

  remove(request: string): void {
    if (this.#concerns(request)) this.#devices--;
  }
}
