// What a node tells a load balancer that asks at a Service's health check port: whether it has endpoints of the Service itself,
// since with a policy of Local it passes packets to no others. Pure.
import type { EndpointSlice, Service } from "@coxswain/api";
import { isProxied } from "./plan-service.ts";

export interface HealthCheck {
  /** On every address of the node. */
  readonly port: number;
  readonly namespace: string;
  readonly service: string;
  /** Ready ones on this node, by address. */
  readonly localEndpoints: number;
}

/** Undefined where nobody is to be told anything. */
export function planHealthCheck(
  service: Service,
  slices: readonly EndpointSlice[],
  node: string,
): HealthCheck | undefined {
  const { type, externalTrafficPolicy, healthCheckNodePort: port = 0 } = service.spec ?? {};
  if (!isProxied(service) || type !== "LoadBalancer" || externalTrafficPolicy !== "Local" || port === 0) {
    return undefined;
  }
  const local = slices
    .flatMap(({ endpoints }) => endpoints)
    .filter(({ nodeName, conditions }) => nodeName === node && (conditions?.ready ?? true));
  return {
    port,
    namespace: service.metadata?.namespace ?? "",
    service: service.metadata?.name ?? "",
    localEndpoints: new Set(local.map(({ addresses }) => addresses[0])).size,
  };
}

/** Pure: the answer, in upstream's form; 503 sends the load balancer to other nodes. */
export function healthCheckAnswer(
  { namespace, service, localEndpoints }: HealthCheck,
  healthy: boolean,
): { readonly code: number; readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  return {
    code: localEndpoints > 0 && healthy ? 200 : 503,
    headers: {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": String(localEndpoints),
    },
    body: JSON.stringify({ service: { namespace, name: service }, localEndpoints, serviceProxyHealthy: healthy }),
  };
}
