// What a user names to `expose`, as addresses inside the cluster: a Service, a NodePort, or an address and a port. The
// decision is pure; only `exposeTargets` asks the api-server.
import { parseTarget } from "./gateway/forward.ts";

export class ExposeError extends Error {
  override readonly name = "ExposeError";
}

export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly protocol?: string;
  readonly nodePort?: number;
}

/** As much of a Service as counts here. */
export interface ServiceView {
  readonly spec: { readonly ports?: readonly ServicePort[] };
}

export interface EndpointSliceView {
  readonly ports?: readonly { readonly name?: string; readonly port?: number; readonly protocol?: string }[] | null;
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
}

export type Wish =
  | { readonly kind: "address"; readonly target: string }
  | { readonly kind: "node-port"; readonly port: number }
  | { readonly kind: "service"; readonly namespace: string; readonly service: string; readonly port: string };

const DNS_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?";
const SERVICE = new RegExp(`^(?:(${DNS_LABEL})/)?(${DNS_LABEL})(?::([-a-z0-9]+))?$`);

/** "10.244.1.2:80", "30080", "web", "shop/web:http". Throws ExposeError for anything else. */
export function parseWish(text: string): Wish {
  if (parseTarget(text) !== undefined) return { kind: "address", target: text };
  if (/^\d+$/.test(text)) {
    const port = Number(text);
    if (port < 1 || port > 65_535) throw new ExposeError(`"${text}" is no port`);
    return { kind: "node-port", port };
  }
  const match = SERVICE.exec(text);
  if (match === null)
    throw new ExposeError(`"${text}" is none of SERVICE, NAMESPACE/SERVICE:PORT, NODEPORT and ADDRESS:PORT`);
  return { kind: "service", namespace: match[1] ?? "default", service: match[2]!, port: match[3] ?? "" };
}

/** The port of the Service that is meant, by name or number; the first where none is named. */
export function choosePort(service: string, view: ServiceView, wanted: string): ServicePort {
  const ports = view.spec.ports ?? [];
  const found = wanted === "" ? ports[0] : ports.find(({ name, port }) => name === wanted || String(port) === wanted);
  if (found === undefined)
    throw new ExposeError(`Service ${service} has no port${wanted === "" ? "" : ` "${wanted}"`}`);
  if ((found.protocol ?? "TCP") !== "TCP")
    throw new ExposeError(`Service ${service} speaks ${found.protocol} on ${found.port}: only TCP can be exposed`);
  return found;
}

/** host:port addresses of the Service: its NodePort on every node, else its ready endpoints as they are now. */
export function planServiceTargets(
  service: string,
  port: ServicePort,
  nodeAddresses: readonly string[],
  slices: readonly EndpointSliceView[],
): string[] {
  if (port.nodePort !== undefined && port.nodePort > 0)
    return nodeAddresses.map((address) => `${address}:${port.nodePort}`);
  const targets = slices.flatMap((slice) => {
    const number = slice.ports?.find(({ name }) => (name ?? "") === (port.name ?? ""))?.port;
    const ready = (slice.endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
    return number === undefined ? [] : ready.flatMap(({ addresses }) => addresses.map((one) => `${one}:${number}`));
  });
  if (targets.length === 0) throw new ExposeError(`Service ${service} has no NodePort and no ready endpoint`);
  return targets;
}

/** Resolves what the user named. `get` asks the api-server and rejects where there is nothing of the name. */
export async function exposeTargets(
  wish: Wish,
  nodeAddresses: readonly string[],
  get: (path: string) => Promise<unknown>,
): Promise<string[]> {
  if (wish.kind === "address") return [wish.target];
  if (nodeAddresses.length === 0) throw new ExposeError("the cluster has no nodes");
  if (wish.kind === "node-port") return nodeAddresses.map((address) => `${address}:${wish.port}`);
  const { namespace, service } = wish;
  const view = (await get(`/api/v1/namespaces/${namespace}/services/${service}`)) as ServiceView;
  const port = choosePort(service, view, wish.port);
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  const { items } = (await get(
    `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=${selector}`,
  )) as { items: EndpointSliceView[] };
  return planServiceTargets(service, port, nodeAddresses, items);
}
