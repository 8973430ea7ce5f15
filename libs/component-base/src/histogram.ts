// A histogram as prom-client's registry prints it. Guarantee: who keeps a series pays for an observation with a search among the
// buckets, where prom-client's own sorts and joins the labels each time: several microseconds of every request.
import type { MetricValueWithName } from "prom-client";

type Labels = Readonly<Record<string, string>>;

class Series {
  readonly labels: Labels;
  /** Observations by the bucket that is the first to hold them; the last one has no bound. */
  readonly counts: number[];
  sum = 0;
  readonly #bounds: readonly number[];

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
  }
}

export class BucketHistogram {
  readonly name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #labelNames: readonly string[];
  readonly #series = new Map<string, Series>();

  /** One without labels is told before the first observation. */
  constructor(name: string, help: string, buckets: readonly number[], labelNames: readonly string[]) {
    this.name = name;
    this.#help = help;
    this.#bounds = [...buckets];
    this.#labelNames = labelNames;
    if (labelNames.length === 0) this.of({});
  }

  /** @throws Error for a label that the histogram does not have */
  of(labels: Labels): { observe(value: number): void } {
    for (const name of Object.keys(labels)) {
      if (!this.#labelNames.includes(name)) throw new Error(`${this.name} has no label ${name}`);
    }
    const key = JSON.stringify(this.#labelNames.map((name) => labels[name] ?? null));
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new Series(labels, this.#bounds);
      this.#series.set(key, series);
    }
    return series;
  }

  observe(value: number, labels: Labels = {}): void {
    this.of(labels).observe(value);
  }

  /** As the registry asks for it. */
  async get(): Promise<object> {
    const values = [...this.#series.values()].flatMap((series) => this.#valuesOf(series));
    return { name: this.name, help: this.#help, type: "histogram", aggregator: "sum", values };
  }

  #valuesOf({ labels, counts, sum }: Series): MetricValueWithName<string>[] {
    const value = (suffix: string, number: number, more: object = {}): MetricValueWithName<string> => ({
      metricName: `${this.name}_${suffix}`,
      labels: { ...more, ...labels },
      value: number,
    });
    let count = 0;
    const buckets = counts.map((each, at) => value("bucket", (count += each), { le: this.#bounds[at] ?? "+Inf" }));
    return [...buckets, value("sum", sum), value("count", count)];
  }
}
