// What metrics.k8s.io/v1beta1 answers to a GET, without any wire: nodes and pods of the API that there are figures of. Pods are
// asked for when they are needed, so that nothing is kept of those that nobody looks at.
import { NODES, PODS, type Node, type Pod } from "@coxswain/api";
import {
  isReason,
  newNotFound,
  parseFieldSelector,
  parseLabelSelector,
  parseQuantity,
  StatusError,
} from "@coxswain/apimachinery";
import type { ResourceClient, SharedInformer } from "@coxswain/client";
import type { Clock } from "@coxswain/env";
import * as objects from "./metrics-objects.ts";
import { OPEN_API } from "./open-api.ts";
import type { SampleStore } from "./sample-store.ts";

export interface MetricsApiDeps {
  readonly clock: Clock;
  readonly client: ResourceClient;
  readonly nodes: SharedInformer<Node>;
  readonly store: SampleStore;
  /** Asks the kubelets of these nodes now, unless that was done just now. */
  readonly lookAt: (nodes: ReadonlySet<string>) => Promise<void>;
}

export interface MetricsRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  /** Asked for as a Table. */
  readonly table: boolean;
}

/** What a path names: a resource and maybe one of its objects. */
export interface MetricsTarget {
  readonly resource: "nodes" | "pods";
  readonly namespace: string;
  readonly name: string;
}

const BASE = `/apis/${objects.API_VERSION}`;

/** Undefined for what is no resource. Pure. */
export function targetOf(path: string): MetricsTarget | undefined {
  const found = new RegExp(`^${BASE.replaceAll(".", "\\.")}(?:/namespaces/([^/]+))?/(nodes|pods)(?:/([^/]+))?/?$`).exec(
    path,
  );
  if (found === null) return undefined;
  const [, namespace = "", resource = "", name = ""] = found.map((part) => decodeURIComponent(part ?? ""));
  if (resource === "nodes") return namespace === "" ? { resource, namespace, name } : undefined;
  // A pod has a namespace: without one there are only lists.
  if (resource !== "pods" || (namespace === "" && name !== "")) return undefined;
  return { resource, namespace, name };
}

const DOCUMENTS: Readonly<Record<string, object>> = {
  "/apis": objects.GROUP_LIST,
  [`/apis/${objects.GROUP}`]: objects.API_GROUP,
  [BASE]: objects.RESOURCE_LIST,
  [`/openapi/v3/apis/${objects.API_VERSION}`]: OPEN_API,
};

type Measured = objects.NodeMetrics | objects.PodMetrics;

export class MetricsApi {
  readonly #deps: MetricsApiDeps;

  constructor(deps: MetricsApiDeps) {
    this.#deps = deps;
  }

  /** Rejects with StatusError. */
  async answer({ path, query, table }: MetricsRequest): Promise<object> {
    const document = DOCUMENTS[path.replace(/(?<=.)\/$/, "")];
    if (document !== undefined) return document;
    const target = targetOf(path);
    if (target === undefined)
      throw new StatusError("NotFound", 404, "the server could not find the requested resource");
    const kind = target.resource === "nodes" ? "NodeMetrics" : "PodMetrics";
    const type = { apiVersion: objects.API_VERSION };
    if (target.name !== "") {
      const one = await this.#one(target);
      return table ? tableOf([one]) : { kind, ...type, ...one };
    }
    const items = await this.#list(target, query);
    return table ? tableOf(items) : { kind: `${kind}List`, ...type, metadata: {}, items };
  }

  async #one({ resource, namespace, name }: MetricsTarget): Promise<Measured> {
    const key = resource === "nodes" ? name : `${namespace}/${name}`;
    const unknown = newNotFound(
      { group: objects.GROUP, resource: resource === "nodes" ? "nodemetrics" : "podmetrics" },
      key,
    );
    try {
      const { client } = this.#deps;
      const found =
        resource === "nodes"
          ? (await this.#ofNodes([await client.get<Node>(NODES, { name })]))[0]
          : (await this.#ofPods([await client.get<Pod>(PODS, { namespace, name })]))[0];
      if (found === undefined) throw unknown;
      return found;
    } catch (error) {
      if (isReason(error, "NotFound")) throw unknown;
      throw error;
    }
  }

  async #list({ resource, namespace }: MetricsTarget, query: URLSearchParams): Promise<Measured[]> {
    const [labels, fields] = [query.get("labelSelector") ?? "", query.get("fieldSelector") ?? ""];
    // Both throw StatusErrors that say what is wrong.
    const selector = parseLabelSelector(labels);
    const wanted = parseFieldSelector(fields);
    if (resource === "pods") return this.#pods(namespace, labels, fields);
    const nodes = this.#deps.nodes.lister
      .list()
      .filter(({ metadata }) => selector.matches(metadata?.labels))
      .filter(({ metadata }) => wanted.matches({ "metadata.name": metadata?.name ?? "" }));
    return this.#ofNodes(nodes);
  }

  async #pods(namespace: string, labelSelector: string, fields: string): Promise<Measured[]> {
    const fieldSelector = fields === "" ? "status.phase=Running" : `status.phase=Running,${fields}`;
    const selection = { labelSelector, fieldSelector, ...(namespace === "" ? {} : { namespace }) };
    const { items } = await this.#deps.client.list<Pod>(PODS, { ...selection, resourceVersion: "0" });
    return this.#ofPods(items);
  }

  /** A node that nobody has looked at yet is looked at first. */
  async #ofNodes(nodes: readonly Node[]): Promise<Measured[]> {
    const unseen = nodes.filter((node) => this.#node(node) === undefined).map(({ metadata }) => metadata?.name ?? "");
    if (unseen.length > 0) await this.#deps.lookAt(new Set(unseen));
    return byName(nodes.map((node) => this.#node(node)));
  }

  /** So is one with a new pod, where its figures are made up: measured ones need time in any case. */
  async #ofPods(pods: readonly Pod[]): Promise<Measured[]> {
    const { store, lookAt } = this.#deps;
    const unseen = pods
      .filter((pod) => pod.status?.phase === "Running" && this.#pod(pod) === undefined)
      .map(({ spec }) => spec?.nodeName ?? "")
      .filter((node) => store.isSimulated(node) || !store.has(node));
    if (unseen.length > 0) await lookAt(new Set(unseen));
    return byName(pods.map((pod) => this.#pod(pod)));
  }

  #node(node: Node): objects.NodeMetrics | undefined {
    const { store, clock } = this.#deps;
    const name = node.metadata?.name ?? "";
    const usage = store.nodeUsage(name);
    return usage === undefined ? undefined : objects.nodeMetrics(node, usage, store.isSimulated(name), clock.now());
  }

  #pod(pod: Pod): objects.PodMetrics | undefined {
    const { store, clock } = this.#deps;
    const { namespace = "", name = "" } = pod.metadata ?? {};
    const containers = pod.status?.phase === "Running" ? store.podUsage(namespace, name) : undefined;
    if (containers === undefined) return undefined;
    return objects.podMetrics(pod, containers, store.isSimulated(pod.spec?.nodeName ?? ""), clock.now());
  }
}

function byName(found: readonly (Measured | undefined)[]): Measured[] {
  const key = ({ metadata }: Measured): string => `${metadata.namespace ?? ""}/${metadata.name ?? ""}`;
  return found.filter((one) => one !== undefined).toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

function tableOf(items: readonly Measured[]): object {
  const rows = items.map((one) => ({
    metadata: one.metadata,
    window: one.window,
    usage: "usage" in one ? [one.usage] : one.containers.map(({ usage }) => usage),
  }));
  return objects.tableOf(rows, parseQuantity);
}
