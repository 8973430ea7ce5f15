// What the EndpointSlice controller counts, named and labelled as upstream's does.
import type { Service } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import { doublingBuckets, type Metrics } from "@coxswain/component-base";
import { trafficDistributionOf } from "./endpoints.ts";
import type { SlicePlan } from "./plan.ts";
import { SliceTotals, type ServiceSize } from "./slice-totals.ts";
import { wantsTopologyHints } from "./topology-hints.ts";

const CONTROLLER = "endpoint_slice_controller";
const name = (suffix: string): string => `${CONTROLLER}_${suffix}`;
const ENDPOINT_BUCKETS = doublingBuckets(2, 15);
const SLICE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class EndpointSliceMetrics {
  readonly #added;
  readonly #removed;
  readonly #changes;
  readonly #changed;
  readonly #syncs;
  readonly #distributed;
  readonly #totals;
  readonly #distributions = new Map<string, string>();
  readonly #services = new Map<string, number>();

  constructor(metrics: Metrics) {
    const histogram = (suffix: string, help: string) => metrics.histogram(name(suffix), help, ENDPOINT_BUCKETS);
    this.#added = histogram("endpoints_added_per_sync", "Endpoints that a look at a Service added.");
    this.#removed = histogram("endpoints_removed_per_sync", "Endpoints that a look at a Service took away.");
    this.#totals = new SliceTotals(metrics, CONTROLLER);
    this.#changes = metrics.counter(name("changes"), "EndpointSlices that were written.", ["operation"]);
    this.#changed = metrics.histogram(
      name("endpointslices_changed_per_sync"),
      "EndpointSlices that a look at a Service wrote.",
      SLICE_BUCKETS,
      ["topology", "traffic_distribution"],
    );
    this.#syncs = metrics.counter(name("syncs"), "Looks at Services.", ["result"]);
    this.#distributed = metrics.gauge(
      name("services_count_by_traffic_distribution"),
      "Services that ask for a distribution of their traffic.",
      ["traffic_distribution"],
    );
  }

  synced(result: "success" | "stale" | "error"): void {
    this.#syncs.inc({ result });
  }

  wrote(operation: "create" | "update" | "delete"): void {
    this.#changes.inc({ operation });
  }

  /** One address type of a Service has been planned. */
  planned({ added, removed }: SlicePlan): void {
    this.#added.observe(added);
    this.#removed.observe(removed);
  }

  /** What was planned is written. */
  executed(service: Service, { create, update, remove }: SlicePlan): void {
    const hinted = wantsTopologyHints(service);
    const labels = {
      topology: hinted ? "Auto" : "Disabled",
      traffic_distribution: hinted ? "" : (trafficDistributionOf(service) ?? ""),
    };
    this.#changed.observe(create.length + update.length + remove.length, labels);
  }

  /** A Service with all its address types. */
  measured(service: Service, size: ServiceSize): void {
    const key = objectKey(service);
    this.#totals.set(key, size);
    this.#distribute(key, wantsTopologyHints(service) ? undefined : trafficDistributionOf(service));
  }

  forget(service: Service): void {
    const key = objectKey(service);
    this.#totals.set(key, undefined);
    this.#distribute(key, undefined);
  }

  #distribute(key: string, distribution: string | undefined): void {
    const before = this.#distributions.get(key);
    if (before === distribution) return;
    if (before !== undefined) this.#shift(before, -1);
    if (distribution === undefined) this.#distributions.delete(key);
    else {
      this.#distributions.set(key, distribution);
      this.#shift(distribution, 1);
    }
  }

  #shift(distribution: string, by: number): void {
    const count = (this.#services.get(distribution) ?? 0) + by;
    this.#services.set(distribution, count);
    this.#distributed.set(count, { traffic_distribution: distribution });
  }
}
