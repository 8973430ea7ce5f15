// The kubelet's HTTPS API on 10250: health and metrics as every process has them, /pods and /stats/summary as upstream's
// kubelet serves them. Guarantees: pods and figures go only to users who may read them; nothing else is served.
import type { ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { createEndpointHandler, requireUser, type HttpEndpointsOptions } from "@coxswain/component-base/http-endpoints";
import { serverTlsOptions, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { formatTime, StatusError } from "@coxswain/apimachinery";
import type { Clock } from "@coxswain/env";
import type { PodManager } from "../pods/pod-manager.ts";

export interface HttpsApiDeps extends HttpEndpointsOptions {
  readonly clock: Clock;
  readonly managers: ReadonlyMap<string, PodManager>;
}

function sendJson(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { "content-type": "application/json", "x-content-type-options": "nosniff" });
  response.end(JSON.stringify(body));
}

/** A PodList of all nodes of the process. */
function podList(managers: HttpsApiDeps["managers"]): object {
  const items = [...managers.values()].flatMap((manager) => manager.pods());
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

/** The stats/v1alpha1 summary of one node; of several, one an entry of `nodes`. */
async function summary({ managers, clock }: HttpsApiDeps): Promise<object> {
  const nodes = await Promise.all([...managers.values()].map((manager) => nodeSummary(manager, clock.now())));
  return nodes.length === 1 ? (nodes[0] ?? {}) : { nodes };
}

async function nodeSummary(manager: PodManager, nowMs: number): Promise<object> {
  const time = formatTime(nowMs);
  const pods: object[] = [];
  for (const { metadata = {} } of manager.pods()) {
    const { namespace = "", name = "", uid } = metadata;
    const state = manager.worker(namespace, name)?.state;
    if (state?.sandbox === undefined) continue;
    const stats = await manager.context.cri.containerStats(state.sandbox.id);
    const containers = stats.map((one) => ({
      name: state.containers.find((record) => record.run?.id === one.containerId)?.name ?? "",
      cpu: { time, usageNanoCores: one.cpuNanoCores },
      memory: { time, workingSetBytes: one.memoryWorkingSetBytes },
    }));
    pods.push({ podRef: { name, namespace, uid }, containers });
  }
  return { node: { nodeName: manager.context.node }, pods };
}

/** Not listening yet. */
export function createHttpsApi(tls: TlsMaterial, deps: HttpsApiDeps): Server {
  const endpoints = createEndpointHandler(deps);
  return createServer(serverTlsOptions(tls), (request, response) => {
    const answer = async (): Promise<void> => {
      if (await endpoints(request, response)) return;
      const { pathname } = new URL(request.url ?? "/", "https://localhost");
      const path = pathname.replace(/(?<=.)\/$/, "");
      if (path !== "/pods" && path !== "/stats/summary") {
        throw new StatusError("NotFound", 404, "the server could not find the requested resource");
      }
      await requireUser(deps.auth, request, path);
      sendJson(response, 200, path === "/pods" ? podList(deps.managers) : await summary(deps));
    };
    answer().catch((error: unknown) => {
      const known =
        error instanceof StatusError
          ? error
          : new StatusError("InternalError", 500, `Internal error occurred: ${String(error)}`);
      sendJson(response, known.code, known.toStatus());
    });
  });
}

/** Listens until `signal` aborts; rejects where it cannot. */
export async function serveUntilAborted(
  server: Server,
  listen: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen, resolve);
  });
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  server.close();
  server.closeAllConnections();
}
