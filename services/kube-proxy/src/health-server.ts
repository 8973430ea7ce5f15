// The proxy's HTTPS port, 10256: what every process serves, but /healthz in upstream's form, which load balancers ask whether
// this node takes traffic: 503 while rules are out of date or the node is being deleted.
import { serverTlsOptions, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { createEndpointHandler, type HttpEndpointsOptions } from "@coxswain/component-base/http-endpoints";
import { StatusError } from "@coxswain/apimachinery";
import type { Clock } from "@coxswain/env";
import { createServer, type Server } from "node:https";
import type { ProxyHealth } from "./app.ts";

export interface HealthServerDeps extends HttpEndpointsOptions {
  readonly clock: Clock;
  readonly health: () => ProxyHealth;
}

interface Answer {
  readonly code: number;
  readonly body: object;
}

/** Pure: what /healthz says at a moment, ms since the epoch. */
export function healthAnswer(health: ProxyHealth, nowMs: number): Answer {
  const time = (ms: number): string => new Date(ms).toISOString();
  const body = {
    lastUpdated: time(health.lastUpdatedMs),
    currentTime: time(nowMs),
    nodeEligible: health.nodeEligible,
  };
  return { code: health.healthy && health.nodeEligible ? 200 : 503, body };
}

/** Not listening yet. */
export function createHealthServer(tls: TlsMaterial, deps: HealthServerDeps): Server {
  const others = createEndpointHandler(deps);
  return createServer(serverTlsOptions(tls), (request, response) => {
    const send = ({ code, body }: Answer): void => {
      response.writeHead(code, { "content-type": "application/json", "x-content-type-options": "nosniff" });
      response.end(JSON.stringify(body));
    };
    const answer = async (): Promise<void> => {
      const { pathname } = new URL(request.url ?? "/", "https://localhost");
      if (pathname === "/healthz") return send(healthAnswer(deps.health(), deps.clock.now()));
      if (await others(request, response)) return;
      throw new StatusError("NotFound", 404, "the server could not find the requested resource");
    };
    answer().catch((error: unknown) => {
      const known = error instanceof StatusError ? error : new StatusError("InternalError", 500, String(error));
      send({ code: known.code, body: known.toStatus() });
    });
  });
}
