// What the EndpointSliceMirroring controller counts, named as upstream's does.
import { doublingBuckets, type Metrics } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import { SliceTotals } from "../endpoint-slice/slice-totals.ts";
import type { MirrorPlan } from "./plan.ts";

const CONTROLLER = "endpoint_slice_mirroring_controller";
const name = (suffix: string): string => `${CONTROLLER}_${suffix}`;

export class MirroringMetrics {
  readonly #clock: Clock;
  readonly #added;
  readonly #updated;
  readonly #removed;
  readonly #skipped;
  readonly #seconds;
  readonly #changes;
  readonly #totals;

  constructor(metrics: Metrics, clock: Clock) {
    this.#clock = clock;
    const histogram = (suffix: string, help: string) => metrics.histogram(name(suffix), help, doublingBuckets(2, 15));
    this.#added = histogram("endpoints_added_per_sync", "Endpoints that a look at an Endpoints object added.");
    this.#updated = histogram("endpoints_updated_per_sync", "Endpoints that a look at an Endpoints object changed.");
    this.#removed = histogram("endpoints_removed_per_sync", "Endpoints that a look at an Endpoints object took away.");
    this.#skipped = histogram("addresses_skipped_per_sync", "Addresses that are none or too many.");
    const seconds = "Time of a look at an Endpoints object.";
    this.#seconds = metrics.histogram(name("endpoints_sync_duration"), seconds, doublingBuckets(0.001, 15));
    this.#changes = metrics.counter(name("changes"), "EndpointSlices that were written.", ["operation"]);
    this.#totals = new SliceTotals(metrics, CONTROLLER);
  }

  async timed<T>(work: () => Promise<T>): Promise<T> {
    const began = this.#clock.monotonic();
    try {
      return await work();
    } finally {
      this.#seconds.observe((this.#clock.monotonic() - began) / 1000);
    }
  }

  planned(key: string, { added, updated, removed, skipped, size }: MirrorPlan): void {
    this.#added.observe(added);
    this.#updated.observe(updated);
    this.#removed.observe(removed);
    this.#skipped.observe(skipped);
    this.#totals.set(key, size);
  }

  forget(key: string): void {
    this.#totals.set(key, undefined);
  }

  wrote(operation: "create" | "update" | "delete"): void {
    this.#changes.inc({ operation });
  }
}
