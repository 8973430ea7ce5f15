// The HTTPS port: health and metrics as every process has them, and metrics.k8s.io for those who may read it. Guarantees: nothing
// is told to a caller before the api-server has allowed exactly that; what is written is refused.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { StatusError } from "@coxswain/apimachinery";
import type { AccessRequest } from "@coxswain/component-base/credentials";
import { createEndpointHandler, type HttpEndpointsOptions } from "@coxswain/component-base/http-endpoints";
import { serverTlsOptions, type TlsMaterial } from "@coxswain/component-base/tls-files";
import { callerOf } from "./caller.ts";
import { targetOf, type MetricsApi } from "./metrics-api.ts";
import { GROUP, VERSION } from "./metrics-objects.ts";

export interface MetricsHttpsDeps extends HttpEndpointsOptions {
  readonly api: MetricsApi;
  /** Names in certificates of api-servers. */
  readonly proxies: () => readonly string[];
}

/** What RBAC is asked. Pure. */
export function accessOf(path: string): AccessRequest {
  const target = targetOf(path);
  if (target === undefined) return { verb: "get", path };
  const { resource, namespace, name } = target;
  const attributes = { group: GROUP, version: VERSION, resource, subresource: "", namespace, name };
  return { verb: name === "" ? "list" : "get", path, resource: attributes };
}

function wantsTable(accept: string | undefined): boolean {
  const [first = ""] = (accept ?? "").split(",");
  return /;\s*as=Table(;|$)/.test(first) && /;\s*v=v1(;|$)/.test(first);
}

function send(response: ServerResponse, code: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(code, { "content-type": "application/json", "x-content-type-options": "nosniff" });
  response.end(text);
}

async function serve(deps: MetricsHttpsDeps, request: IncomingMessage): Promise<object> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "https://localhost");
  const user = await callerOf(request, deps.proxies(), deps.auth.authenticate);
  if (user === undefined) throw new StatusError("Unauthorized", 401, "Unauthorized");
  if (request.method !== "GET" && request.method !== "HEAD") {
    throw new StatusError("MethodNotAllowed", 405, "the server does not allow this method on the requested resource");
  }
  const access = accessOf(pathname);
  const verdict = await deps.auth.authorize(user, access);
  if (!verdict.allowed) throw forbidden(user.username, access);
  if (searchParams.get("watch") === "true") {
    throw new StatusError("MethodNotAllowed", 405, "watch is not supported on resources of metrics.k8s.io");
  }
  return deps.api.answer({ path: pathname, query: searchParams, table: wantsTable(request.headers.accept) });
}

function forbidden(username: string, { verb, path, resource }: AccessRequest): StatusError {
  const who = `User ${JSON.stringify(username)}`;
  if (resource === undefined) {
    return new StatusError("Forbidden", 403, `forbidden: ${who} cannot ${verb} path ${JSON.stringify(path)}`);
  }
  const { group, namespace, name } = resource;
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  const what = `resource ${JSON.stringify(resource.resource)} in API group ${JSON.stringify(group)} ${where}`;
  const which = name === "" ? "" : ` ${JSON.stringify(name)}`;
  const message = `${resource.resource}.${group}${which} is forbidden: ${who} cannot ${verb} ${what}`;
  return new StatusError("Forbidden", 403, message, { group, kind: resource.resource, name });
}

/** Not listening yet. */
export function createMetricsHttpsServer(tls: TlsMaterial, deps: MetricsHttpsDeps): Server {
  const endpoints = createEndpointHandler(deps);
  return createServer(serverTlsOptions(tls), (request, response) => {
    const answer = async (): Promise<void> => {
      if (await endpoints(request, response)) return;
      send(response, 200, await serve(deps, request));
    };
    answer().catch((error: unknown) => {
      const known =
        error instanceof StatusError
          ? error
          : new StatusError("InternalError", 500, `Internal error occurred: ${String(error)}`);
      send(response, known.code, known.toStatus());
    });
  });
}
