// MetricsSource: the figures that autoscalers go by, out of metrics.k8s.io, custom.metrics.k8s.io and external.metrics.k8s.io,
// whoever serves those. Amounts are in thousandths. Wording of errors is upstream's.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#support-for-metrics-apis
import type { CrossVersionObjectReference } from "@coxswain/api";
import { parseApiVersion, parseGoDuration, parseQuantity, parseTime, type ObjectMeta } from "@coxswain/apimachinery";
import type { AggregatedReader } from "@coxswain/client";
import type { ApiVersions } from "./api-versions.ts";
import type { KindResolver } from "./kind-resolver.ts";
import { MetricError, type PodMetric, type PodMetrics } from "./replica-calculator.ts";

export interface MetricsSource {
  /** What pods use of a resource, or what one container of each does where `container` is not "". */
  resource(resource: string, namespace: string, selector: string, container: string): Promise<PodMetrics>;
  pods(metric: MetricName, namespace: string, selector: string): Promise<PodMetrics>;
  object(metric: MetricName, namespace: string, object: CrossVersionObjectReference): Promise<number>;
  external(metric: MetricName, namespace: string): Promise<readonly number[]>;
}

export interface MetricName {
  readonly name: string;
  /** In the text form; "" selects all. */
  readonly selector: string;
}

interface PodMetricsItem {
  readonly metadata: ObjectMeta;
  readonly timestamp: string;
  readonly window: string;
  readonly containers?: readonly { readonly name: string; readonly usage: Readonly<Record<string, string>> }[];
}

interface MetricValue {
  readonly describedObject?: { readonly name?: string };
  readonly timestamp: string;
  readonly windowSeconds?: number;
  readonly value: string;
}

/** Those that are understood here. */
const CUSTOM_VERSIONS: readonly string[] = ["v1beta2", "v1beta1"];
const CUSTOM_GROUP = "custom.metrics.k8s.io";
const DEFAULT_WINDOW_MS = 60_000;
const NOT_SERVED = "the server could not find the requested resource";
const UNABLE = "the server is currently unable to handle the request";
const UNREACHED = "error trying to reach service: ";
/** As coxswain.api.v1.Aggregated tells of an answer that is no Status. */
const NO_STATUS = /^the server answered (\d+): (.*)$/s;
function withQuery(path: string, query: Readonly<Record<string, string>>): string {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const text = new URLSearchParams(given).toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Upstream's clients tell of answers that are no Status by their code, and say what was asked. */
function told(error: unknown, what: string): string {
  const message = error instanceof Error ? error.message : String(error);
  const [, code, text = ""] = NO_STATUS.exec(message) ?? [];
  if (message === NOT_SERVED || code === "404") return `${NOT_SERVED} (get ${what})`;
  if (message === UNABLE || message.startsWith(UNREACHED) || code === "503") return `${UNABLE} (get ${what})`;
  if (code === undefined || Number(code) < 500) return message;
  const said = JSON.stringify(text === "" ? "unknown" : text);
  return `an error on the server (${said}) has prevented the request from succeeding (get ${what})`;
}

export function createMetricsSource(
  reader: AggregatedReader,
  kinds: KindResolver,
  versions: ApiVersions,
): MetricsSource {
  const listOf = async <T>(path: string): Promise<readonly T[]> =>
    ((await reader.read(path)) as { items?: readonly T[] }).items ?? [];

  /** In the version that discovery prefers of those that are understood. */
  async function custom(path: string, query: Readonly<Record<string, string>>): Promise<readonly MetricValue[]> {
    const registered = versions(CUSTOM_GROUP);
    if (registered.length === 0) throw new MetricError(`no custom metrics API (${CUSTOM_GROUP}) registered`);
    const version = registered.find((each) => CUSTOM_VERSIONS.includes(each));
    if (version === undefined) throw new MetricError("no known available metric versions found");
    return await listOf<MetricValue>(withQuery(`/apis/${CUSTOM_GROUP}/${version}/${path}`, query));
  }

  async function customValues(
    path: string,
    query: Readonly<Record<string, string>>,
    what: string,
  ): Promise<readonly MetricValue[]> {
    try {
      return await custom(path, query);
    } catch (error) {
      throw new MetricError(`unable to fetch metrics from custom metrics API: ${told(error, what)}`);
    }
  }

  return {
    async resource(resource, namespace, labelSelector, container) {
      const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`;
      let items: readonly PodMetricsItem[];
      try {
        items = await listOf<PodMetricsItem>(withQuery(path, { labelSelector }));
      } catch (error) {
        throw new MetricError(
          `unable to fetch metrics from resource metrics API: ${told(error, "pods.metrics.k8s.io")}`,
        );
      }
      if (items.length === 0) throw new MetricError("no metrics returned from resource metrics API");
      return resourceMetrics(items, resource, container, namespace);
    },
    async pods({ name, selector: metricLabelSelector }, namespace, labelSelector) {
      const path = `namespaces/${namespace}/pods/*/${encodeURIComponent(name)}`;
      const what = `pods.custom.metrics.k8s.io *`;
      const items = await customValues(path, { labelSelector, metricLabelSelector }, what);
      if (items.length === 0) throw new MetricError("no metrics returned from custom metrics API");
      return new Map(items.map((item) => [item.describedObject?.name ?? "", metricOf(item)]));
    },
    async object({ name, selector: metricLabelSelector }, namespace, object) {
      const { path, what } = describedPath(name, namespace, object, kinds);
      const items = await customValues(path, { metricLabelSelector }, what);
      const [item] = items;
      if (item === undefined || items.length > 1) {
        const count = `the custom metrics API server returned ${items.length} results when we asked for exactly one`;
        throw new MetricError(`unable to fetch metrics from custom metrics API: ${count}`);
      }
      return parseQuantity(item.value).milliValue();
    },
    async external({ name, selector: labelSelector }, namespace) {
      const path = `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${encodeURIComponent(name)}`;
      let items: readonly MetricValue[];
      try {
        items = await listOf<MetricValue>(withQuery(path, { labelSelector }));
      } catch (error) {
        const why = told(error, `${name}.external.metrics.k8s.io`);
        throw new MetricError(`unable to fetch metrics from external metrics API: ${why}`);
      }
      if (items.length === 0) throw new MetricError("no metrics returned from external metrics API");
      return items.map(({ value }) => parseQuantity(value).milliValue());
    },
  };
}

/**
 * Where a metric of an object is asked for, and how that is told of. A Namespace is always the autoscaler's own: a reference
 * must not lead out of it. Throws MetricError where nobody serves the kind.
 */
function describedPath(
  metric: string,
  namespace: string,
  { apiVersion = "", kind, name }: CrossVersionObjectReference,
  kinds: KindResolver,
): { readonly path: string; readonly what: string } {
  const { group } = parseApiVersion(apiVersion);
  const last = encodeURIComponent(metric);
  if (kind === "Namespace" && group === "") {
    return { path: `namespaces/${namespace}/metrics/${last}`, what: `metrics.custom.metrics.k8s.io ${metric}` };
  }
  const resource = resourceNameOf(group, kind, kinds);
  return {
    path: `namespaces/${namespace}/${resource}/${name}/${last}`,
    what: `${resource}.custom.metrics.k8s.io ${name}`,
  };
}

/** "services", "deployments.apps": as custom metrics APIs name what they describe. Throws MetricError. */
function resourceNameOf(group: string, kind: string, kinds: KindResolver): string {
  const found = kinds.resolve({ group, kind });
  if (found === undefined) {
    const named = group === "" ? kind : `${kind}.${group}`;
    const why = `no matches for kind ${JSON.stringify(kind)} in group ${JSON.stringify(group)}`;
    throw new MetricError(
      `unable to fetch metrics from custom metrics API: unable to map kind ${named} to resource: ${why}`,
    );
  }
  return group === "" ? found.ref.resource : `${found.ref.resource}.${group}`;
}

function metricOf({ value, timestamp, windowSeconds }: MetricValue): PodMetric {
  return {
    value: parseQuantity(value).milliValue(),
    timestampMs: parseTime(timestamp) ?? 0,
    windowMs: windowSeconds === undefined ? DEFAULT_WINDOW_MS : windowSeconds * 1000,
  };
}

/** A pod without containers, or with one whose use is not known, is left out. */
function resourceMetrics(
  items: readonly PodMetricsItem[],
  resource: string,
  container: string,
  namespace: string,
): PodMetrics {
  const metrics = new Map<string, PodMetric>();
  for (const { metadata, timestamp, window, containers = [] } of items) {
    const name = metadata.name ?? "";
    const counting = container === "" ? containers : containers.filter((one) => one.name === container);
    if (container !== "" && counting.length === 0) {
      const missing = `container ${container} not present in metrics for pod ${namespace}/${name}`;
      throw new MetricError(`failed to get container metrics: ${missing}`);
    }
    const used = counting.map(({ usage }) => usage[resource]);
    if (used.length === 0 || used.includes(undefined)) continue;
    const value = used.reduce((sum, text) => sum + parseQuantity(text ?? "0").milliValue(), 0);
    metrics.set(name, {
      value,
      timestampMs: parseTime(timestamp) ?? 0,
      windowMs: window === "" ? 0 : parseGoDuration(window),
    });
  }
  return metrics;
}
