// Gauges of how many endpoints and slices there are over all Services, kept up as each Service changes.
import type { Metrics } from "@coxswain/component-base";

/** What there is for a Service when its slices are written. */
export interface ServiceSize {
  readonly endpoints: number;
  readonly slices: number;
  /** As few as would do. */
  readonly desired: number;
}

const NOTHING: ServiceSize = { endpoints: 0, slices: 0, desired: 0 };

export class SliceTotals {
  readonly #endpoints;
  readonly #slices;
  readonly #desired;
  readonly #sizes = new Map<string, ServiceSize>();
  #total = NOTHING;

  /** `controller`: as the gauges' names begin. */
  constructor(metrics: Metrics, controller: string) {
    const gauge = (suffix: string, help: string) => metrics.gauge(`${controller}_${suffix}`, help);
    this.#endpoints = gauge("endpoints_desired", "Endpoints that should be listed.");
    this.#slices = gauge("num_endpoint_slices", "EndpointSlices that there are.");
    this.#desired = gauge("desired_endpoint_slices", "EndpointSlices that would do, if each were full.");
  }

  /** Undefined for a Service that is gone. */
  set(key: string, size: ServiceSize | undefined): void {
    const before = this.#sizes.get(key) ?? NOTHING;
    const after = size ?? NOTHING;
    if (size === undefined) this.#sizes.delete(key);
    else this.#sizes.set(key, size);
    this.#total = {
      endpoints: this.#total.endpoints + after.endpoints - before.endpoints,
      slices: this.#total.slices + after.slices - before.slices,
      desired: this.#total.desired + after.desired - before.desired,
    };
    this.#endpoints.set(this.#total.endpoints);
    this.#slices.set(this.#total.slices);
    this.#desired.set(this.#total.desired);
  }
}
