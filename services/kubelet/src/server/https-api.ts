// The kubelet's HTTPS API on 10250: health and metrics as every process has them, and what upstream's kubelet serves of its
// pods' and its own figures. Guarantees: each path asks for the right that upstream asks for; nothing else is served.
import type { ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { createEndpointHandler, type HttpEndpointsOptions } from "@coxswain/component-base/http-endpoints";
import { serverTlsOptions, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { StatusError } from "@coxswain/apimachinery";
import type { PodManager } from "../pods/pod-manager.ts";
import { collectStats, type NodeStats } from "../stats/node-stats.ts";
import { cadvisorMetrics, resourceMetrics } from "../stats/prometheus.ts";
import { statsSummary } from "../stats/summary.ts";
import { requireNodeRight } from "./node-authorization.ts";

export interface HttpsApiDeps extends HttpEndpointsOptions {
  readonly managers: ReadonlyMap<string, PodManager>;
}

const JSON_TYPE = "application/json";
const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

interface Answer {
  readonly type: string;
  readonly text: string;
}

function send(response: ServerResponse, code: number, { type, text }: Answer): void {
  response.writeHead(code, { "content-type": type, "x-content-type-options": "nosniff" });
  response.end(text);
}

const json = (body: unknown): Answer => ({ type: JSON_TYPE, text: JSON.stringify(body) });

/** A PodList of all nodes of the process. */
function podList(managers: HttpsApiDeps["managers"]): object {
  const items = [...managers.values()].flatMap((manager) => manager.pods());
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

/** Path → what it answers. */
function pages(managers: HttpsApiDeps["managers"]): Readonly<Record<string, () => Promise<Answer>>> {
  const stats = (): Promise<NodeStats[]> => Promise.all([...managers.values()].map(collectStats));
  return {
    "/pods": async () => json(podList(managers)),
    "/stats/summary": async () => json(statsSummary(await stats())),
    "/metrics/resource": async () => ({ type: PROMETHEUS_TYPE, text: resourceMetrics(await stats()) }),
    "/metrics/cadvisor": async () => ({ type: PROMETHEUS_TYPE, text: cadvisorMetrics(await stats()) }),
  };
}

/** Not listening yet. */
export function createHttpsApi(tls: TlsMaterial, deps: HttpsApiDeps): Server {
  const { managers, auth } = deps;
  // Who may read /metrics is asked here, as upstream's kubelet asks it.
  const endpoints = createEndpointHandler({
    ...deps,
    auth: { authenticate: auth.authenticate, authorize: () => Promise.resolve({ allowed: true }) },
  });
  const served = pages(managers);
  const [only] = managers.keys();
  const node = managers.size === 1 ? (only ?? "") : "";
  return createServer(serverTlsOptions(tls), (request, response) => {
    const answer = async (): Promise<void> => {
      const { pathname } = new URL(request.url ?? "/", "https://localhost");
      const path = pathname.replace(/(?<=.)\/$/, "");
      const open = path === "/healthz" || path === "/livez" || path === "/readyz";
      if (!open) await requireNodeRight(auth, request, path, node);
      if (await endpoints(request, response)) return;
      const page = served[path];
      if (page === undefined)
        throw new StatusError("NotFound", 404, "the server could not find the requested resource");
      send(response, 200, await page());
    };
    answer().catch((error: unknown) => {
      const known =
        error instanceof StatusError
          ? error
          : new StatusError("InternalError", 500, `Internal error occurred: ${String(error)}`);
      send(response, known.code, json(known.toStatus()));
    });
  });
}
