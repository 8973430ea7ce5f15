// LimitRanger: containers of a namespace get the requests and limits that its LimitRanges give by default, and what lies
// outside of their bounds is refused.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#limitranger
import type { Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, PodSpec } from "@coxswain/api";
import { aggregateText, isQuantity, newForbidden, parseQuantity, type Quantity } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";
import { createdPod, resizedPod, type CreatedPod } from "./created-pod.ts";

const LIMIT_RANGES = { group: "", resource: "limitranges" };
const LIMITED: ReadonlySet<string> = new Set(["pods", "persistentvolumeclaims"]);
const ANNOTATION = "kubernetes.io/limit-ranger";

type Quantities = Readonly<Record<string, string>>;

/** What something asks for and may use, by resource. */
export interface Demand {
  readonly requests: Quantities;
  readonly limits: Quantities;
}

export function createLimitRanger(source: ObjectSource): AdmissionPlugin {
  const itemsOf = (namespace: string): LimitRangeItem[] =>
    source.list(LIMIT_RANGES, namespace).flatMap(({ object }) => (object as LimitRange).spec?.limits ?? []);
  return {
    name: "LimitRanger",
    admit(attributes) {
      const pod = createdPod(attributes);
      if (pod === undefined) return;
      for (const item of itemsOf(attributes.namespace)) if (item.type === "Container") fillIn(pod, item);
    },
    validate(attributes) {
      if (attributes.kind.group !== "" || !LIMITED.has(attributes.kind.resource)) return;
      const items = itemsOf(attributes.namespace);
      if (items.length === 0) return;
      const errors = demandsOf(attributes).flatMap(([type, demand]) =>
        items.filter((item) => item.type === type).flatMap((item) => limitErrors(item, demand)),
      );
      if (errors.length === 0) return;
      throw newForbidden(attributes.kind, attributes.name, aggregateText(errors));
    },
  };
}

function fillIn(pod: CreatedPod, item: LimitRangeItem): void {
  const notes: string[] = [];
  const fill = (containers: PodSpec["containers"], what: string): void => {
    for (const container of containers) {
      const { limits = {}, requests = {} } = container.resources ?? {};
      // What has a limit of its own requests as much; that comes before any default.
      const asked = { ...limits, ...requests };
      const newRequests = missing(item.defaultRequest, asked);
      const newLimits = missing(item.default, limits);
      if (newRequests.length + newLimits.length === 0) continue;
      container.resources = {
        ...container.resources,
        requests: { ...pick(item.defaultRequest, newRequests), ...asked },
        limits: { ...pick(item.default, newLimits), ...limits },
      };
      if (newRequests.length > 0) notes.push(`${newRequests.join(", ")} request for ${what} ${container.name}`);
      if (newLimits.length > 0) notes.push(`${newLimits.join(", ")} limit for ${what} ${container.name}`);
    }
  };
  fill(pod.spec.containers, "container");
  fill(pod.spec.initContainers ?? [], "init container");
  if (notes.length === 0) return;
  pod.metadata ??= {};
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    [ANNOTATION]: `LimitRanger plugin set: ${notes.join("; ")}`,
  };
}

function missing(defaults: Quantities | undefined, present: Quantities): string[] {
  return Object.keys(defaults ?? {})
    .filter((name) => present[name] === undefined)
    .toSorted();
}

function pick(from: Quantities | undefined, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, from?.[name] ?? "0"]));
}

/** What the request creates, by the type of limit that it falls under. */
function demandsOf(attributes: AdmissionAttributes): [string, Demand][] {
  const { kind, operation, object, old, subresource } = attributes;
  const pod = createdPod(attributes) ?? resizedPod(attributes);
  if (pod !== undefined) {
    const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    return [
      ...containers.map(({ resources }): [string, Demand] => ["Container", demand(resources)]),
      ["Pod", podDemand(pod.spec)],
    ];
  }
  const isClaim = kind.group === "" && kind.resource === "persistentvolumeclaims" && subresource === "";
  if (!isClaim || (operation !== "CREATE" && operation !== "UPDATE")) return [];
  const claimBefore: PersistentVolumeClaim | undefined = old;
  const requests = (object as PersistentVolumeClaim).spec?.resources?.requests ?? {};
  const before = claimBefore?.spec?.resources?.requests;
  if (before !== undefined && before["storage"] === requests["storage"]) return [];
  return [["PersistentVolumeClaim", { requests, limits: requests }]];
}

function demand(resources: { requests?: Quantities; limits?: Quantities } | undefined): Demand {
  const limits = resources?.limits ?? {};
  return { requests: { ...limits, ...resources?.requests }, limits };
}

/**
 * The sum of the containers, or the largest init container with those that stay and were started before it, where that is more;
 * in the place of both what is asked for the pod as a whole. As upstream's PodRequests and PodLimits, without overhead.
 */
export function podDemand(spec: PodSpec): Demand {
  const total = (which: keyof Demand): Record<string, string> => {
    const of = ({ resources }: Container): Quantities => demand(resources)[which];
    const sums = new Map<string, Quantity>();
    const staying = new Map<string, Quantity>();
    const most = new Map<string, Quantity>();
    for (const container of spec.containers) sumUp(sums, of(container));
    for (const container of spec.initContainers ?? []) {
      if (container.restartPolicy === "Always") {
        sumUp(sums, of(container));
        sumUp(staying, of(container));
        continue;
      }
      const meanwhile = new Map(staying);
      sumUp(meanwhile, of(container));
      for (const [name, value] of meanwhile) {
        const before = most.get(name);
        if (before === undefined || value.compare(before) > 0) most.set(name, value);
      }
    }
    for (const [name, value] of most) {
      const before = sums.get(name);
      if (before === undefined || value.compare(before) > 0) sums.set(name, value);
    }
    for (const [name, value] of Object.entries(demand(spec.resources)[which])) {
      if (isPodLevelResource(name) && isQuantity(value)) sums.set(name, parseQuantity(value));
    }
    return Object.fromEntries([...sums].map(([name, value]) => [name, value.toString()]));
  };
  return { requests: total("requests"), limits: total("limits") };
}

function sumUp(sums: Map<string, Quantity>, amounts: Quantities): void {
  for (const [name, value] of Object.entries(amounts)) {
    if (!isQuantity(value)) continue;
    const amount = parseQuantity(value);
    sums.set(name, sums.get(name)?.add(amount) ?? amount);
  }
}

/** What can be asked for a pod as a whole. https://kubernetes.io/docs/tasks/configure-pod-container/assign-pod-level-resources/ */
export function isPodLevelResource(name: string): boolean {
  return name === "cpu" || name === "memory" || name.startsWith("hugepages-");
}

/** What of the demand lies outside of the item's bounds, in upstream's words. */
export function limitErrors(item: LimitRangeItem, { requests, limits }: Demand): string[] {
  const usage = (name: string): string => `${name} usage per ${item.type}`;
  const isClaim = item.type === "PersistentVolumeClaim";
  const errors: string[] = [];
  for (const [name, min] of Object.entries(item.min ?? {})) {
    const text = `minimum ${usage(name)} is ${min}`;
    if (requests[name] === undefined) errors.push(`${text}.  No request is specified`);
    else if (compare(requests[name], min) < 0) errors.push(`${text}, but request is ${requests[name]}`);
    if (limits[name] !== undefined && compare(limits[name], min) < 0 && !isClaim) {
      errors.push(`${text}, but limit is ${limits[name]}`);
    }
  }
  for (const [name, max] of Object.entries(item.max ?? {})) {
    const text = `maximum ${usage(name)} is ${max}`;
    if (limits[name] === undefined) errors.push(`${text}.  No ${isClaim ? "request" : "limit"} is specified`);
    else if (compare(limits[name], max) > 0)
      errors.push(`${text}, but ${isClaim ? "request" : "limit"} is ${limits[name]}`);
    if (!isClaim && requests[name] !== undefined && compare(requests[name], max) > 0) {
      errors.push(`${text}, but request is ${requests[name]}`);
    }
  }
  for (const [name, ratio] of Object.entries(item.maxLimitRequestRatio ?? {})) {
    const error = ratioError(
      `${name} max limit to request ratio per ${item.type} is ${ratio}`,
      ratio,
      requests[name],
      limits[name],
    );
    if (error !== undefined) errors.push(error);
  }
  return errors;
}

function ratioError(
  text: string,
  ratio: string,
  request: string | undefined,
  limit: string | undefined,
): string | undefined {
  if (request === undefined || compare(request, "0") === 0)
    return `${text}, but no request is specified or request is 0`;
  if (limit === undefined || compare(limit, "0") === 0) return `${text}, but no limit is specified or limit is 0`;
  const provided = Number(parseQuantity(limit).nanos) / Number(parseQuantity(request).nanos);
  const allowed = Number(parseQuantity(ratio).nanos) / 1e9;
  return provided > allowed ? `${text}, but provided ratio is ${provided.toFixed(6)}` : undefined;
}

/** Text that is no quantity is validation's to refuse. */
function compare(a: string, b: string): number {
  return isQuantity(a) && isQuantity(b) ? parseQuantity(a).compare(parseQuantity(b)) : 0;
}
