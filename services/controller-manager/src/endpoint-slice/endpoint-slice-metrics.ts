// What the EndpointSlice controller counts, named and labelled as upstream's does.
import type { Service } from "@coxswain/api";
import { objectKey } from "@coxswain/apimachinery";
import type { Metrics } from "@coxswain/component-base";
import { trafficDistributionOf } from "./endpoints.ts";
import type { SlicePlan } from "./plan.ts";
import { wantsTopologyHints } from "./topology-hints.ts";

const name = (suffix: string): string => `endpoint_slice_controller_${suffix}`;
const ENDPOINT_BUCKETS = Array.from({ length: 15 }, (_, at) => 2 ** (at + 1));
const SLICE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** What there is for a Service when its slices are written. */
export interface ServiceSize {
  readonly endpoints: number;
  readonly slices: number;
  /** As few as would do. */
  readonly desired: number;
}

const NOTHING: ServiceSize = { endpoints: 0, slices: 0, desired: 0 };

export class EndpointSliceMetrics {
  readonly #added;
  readonly #removed;
  readonly #endpoints;
  readonly #slices;
  readonly #desired;
  readonly #changes;
  readonly #changed;
  readonly #syncs;
  readonly #distributed;
  readonly #sizes = new Map<string, ServiceSize>();
  #total = NOTHING;
  readonly #distributions = new Map<string, string>();
  readonly #services = new Map<string, number>();

  constructor(metrics: Metrics) {
    const histogram = (suffix: string, help: string) => metrics.histogram(name(suffix), help, ENDPOINT_BUCKETS);
    this.#added = histogram("endpoints_added_per_sync", "Endpoints that a look at a Service added.");
    this.#removed = histogram("endpoints_removed_per_sync", "Endpoints that a look at a Service took away.");
    this.#endpoints = metrics.gauge(name("endpoints_desired"), "Endpoints that should be listed.");
    this.#slices = metrics.gauge(name("num_endpoint_slices"), "EndpointSlices that there are.");
    this.#desired = metrics.gauge(name("desired_endpoint_slices"), "EndpointSlices that would do, if each were full.");
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
    this.#resize(key, size);
    this.#distribute(key, wantsTopologyHints(service) ? undefined : trafficDistributionOf(service));
  }

  forget(service: Service): void {
    const key = objectKey(service);
    this.#resize(key, undefined);
    this.#distribute(key, undefined);
  }

  #resize(key: string, size: ServiceSize | undefined): void {
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
