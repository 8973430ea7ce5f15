// The figures of requests under upstream's names and labels, as dashboards and alerts for upstream's api-server ask for them.
// Guarantee: only what is served gets labels of its own, so that nobody's requests make them grow.
// https://kubernetes.io/docs/reference/instrumentation/metrics/
import type { Metrics } from "@coxswain/component-base";
import type { RequestInfo, ResourceInfo } from "./request-info.ts";

const BUCKETS = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60];
const OF_RESOURCES = ["verb", "group", "version", "resource", "subresource", "scope", "component"];
const VERBS: Readonly<Record<ResourceInfo["verb"], string>> = {
  get: "GET",
  list: "LIST",
  watch: "WATCH",
  create: "POST",
  update: "PUT",
  patch: "PATCH",
  delete: "DELETE",
  deletecollection: "DELETE",
};
const METHODS: ReadonlySet<string> = new Set(["GET", "POST", "PUT", "PATCH", "DELETE"]);
const CONNECTIONS: ReadonlySet<string> = new Set(["exec", "attach", "portforward", "proxy"]);
const APPLY = "application/apply-patch+";
const COMPONENT = "apiserver";

export interface CountedRequest {
  /** Undefined where it could not be read. */
  readonly info: RequestInfo | undefined;
  readonly method: string;
  readonly contentType: string | undefined;
}

type Labels = Readonly<
  Record<"verb" | "group" | "version" | "resource" | "subresource" | "scope" | "component", string>
>;

export interface RequestMetrics {
  /** One more that is being answered; the function that is returned tells of its end. */
  begun(request: CountedRequest, long: boolean): (code: number, seconds: number) => void;
  /** One that nobody began to answer. */
  refused(request: CountedRequest, code: number, seconds: number): void;
}

function scopeOf({ name, verb, namespace }: ResourceInfo): string {
  if (name !== "" || verb === "create") return "resource";
  return namespace === "" ? "cluster" : "namespace";
}

function labelsOf({ info, method, contentType }: CountedRequest, isServed: (info: ResourceInfo) => boolean): Labels {
  if (info?.type !== "resource" || !isServed(info)) {
    const verb = METHODS.has(method) ? method : "other";
    return { verb, group: "", version: "", resource: "", subresource: "", scope: "", component: COMPONENT };
  }
  const { group, version, resource, subresource } = info;
  const applies = info.verb === "patch" && contentType?.startsWith(APPLY) === true;
  const verb = CONNECTIONS.has(subresource) ? "CONNECT" : applies ? "APPLY" : VERBS[info.verb];
  return { verb, group, version, resource, subresource, scope: scopeOf(info), component: COMPONENT };
}

function dryRunOf(info: RequestInfo | undefined): string {
  return info?.query.getAll("dryRun").includes("All") === true ? "All" : "";
}

/** The series of requests that are alike. */
interface Kept {
  readonly byCode: Map<number, { inc(): void }>;
  readonly duration: { observe(value: number): void };
}

/** How many run now. */
class Running {
  readonly #gauge: { set(value: number): void };
  #count = 0;

  constructor(gauge: { set(value: number): void }) {
    this.#gauge = gauge;
  }

  add(by: number): void {
    this.#count += by;
    this.#gauge.set(this.#count);
  }
}

const READS: ReadonlySet<string> = new Set(["GET", "LIST", "WATCH"]);

/** `isServed`: whether there is such a resource with such a subresource. */
export function createRequestMetrics(metrics: Metrics, isServed: (info: ResourceInfo) => boolean): RequestMetrics {
  const labelled = [...OF_RESOURCES, "dry_run"];
  const total = metrics.counter("apiserver_request_total", "Requests answered.", [...labelled, "code"]);
  const duration = metrics.histogram("apiserver_request_duration_seconds", "Time to answer.", BUCKETS, labelled);
  const long = metrics.gauge(
    "apiserver_longrunning_requests",
    "Requests without a limit of time that run.",
    OF_RESOURCES,
  );
  const inFlight = metrics.gauge("apiserver_current_inflight_requests", "Requests that are being answered.", [
    "request_kind",
  ]);
  const reading = new Running(inFlight.of({ request_kind: "readOnly" }));
  const mutating = new Running(inFlight.of({ request_kind: "mutating" }));
  const longRunning = new Map<string, Running>();
  const kept = new Map<string, Kept>();
  const keyOf = ({ verb, group, version, resource, subresource, scope }: Labels): string =>
    `${verb} ${group} ${version} ${resource} ${subresource} ${scope}`;
  const runningOf = (labels: Labels, isLong: boolean): Running => {
    if (!isLong) return READS.has(labels.verb) ? reading : mutating;
    const key = keyOf(labels);
    let running = longRunning.get(key);
    if (running === undefined) {
      running = new Running(long.of(labels));
      longRunning.set(key, running);
    }
    return running;
  };
  const count = (labels: Labels, dry_run: string, code: number, seconds: number): void => {
    const key = keyOf(labels) + dry_run;
    let found = kept.get(key);
    if (found === undefined) {
      found = { byCode: new Map(), duration: duration.of({ ...labels, dry_run }) };
      kept.set(key, found);
    }
    let answers = found.byCode.get(code);
    if (answers === undefined) {
      answers = total.of({ ...labels, dry_run, code: String(code) });
      found.byCode.set(code, answers);
    }
    answers.inc();
    found.duration.observe(seconds);
  };
  return {
    begun(request, isLong) {
      const labels = labelsOf(request, isServed);
      const running = runningOf(labels, isLong);
      running.add(1);
      return (code, seconds) => {
        running.add(-1);
        count(labels, dryRunOf(request.info), code, seconds);
      };
    },
    refused(request, code, seconds) {
      count(labelsOf(request, isServed), dryRunOf(request.info), code, seconds);
    },
  };
}
