// HTTPS endpoints of a process: /healthz, /livez and /readyz are open, /metrics and /metrics/slis need a user who may get them.
// A client certificate is asked for but not required, as on the gRPC port.
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { StatusError } from "@coxswain/apimachinery";
import type { ComponentApp, UserInfo } from "./contract.ts";
import { bearerToken, verifiedCertificate, type Credentials } from "./credentials.ts";
import type { AuthHook } from "./delegated-auth.ts";
import { HealthSlis, type HealthEndpoint } from "./health-slis.ts";
import type { MetricsRegistry } from "./metrics.ts";
import { serverTlsOptions, type TlsMaterial } from "./tls-files.ts";

export interface HttpEndpointsOptions {
  readonly checks: ComponentApp["checks"];
  readonly metrics: MetricsRegistry;
  readonly auth: AuthHook;
}

const verified = new WeakMap<TLSSocket, { readonly certificate: Buffer | undefined }>();

/** The credentials of an HTTPS request: a verified certificate, a bearer token, or neither. */
export function requestCredentials(request: IncomingMessage): Credentials {
  const socket = request.socket as TLSSocket;
  let known = verified.get(socket);
  if (known === undefined) {
    known = { certificate: verifiedCertificate(socket) };
    verified.set(socket, known);
  }
  const token = bearerToken(request.headers.authorization);
  return {
    ...(known.certificate !== undefined && { certificate: known.certificate }),
    ...(token !== undefined && { bearerToken: token }),
  };
}

export interface ProbeResult {
  readonly ok: boolean;
  readonly text: string;
}

/** The answer of a health endpoint, in upstream's format; reasons stay in the process. */
export function runChecks(
  endpoint: HealthEndpoint,
  checks: ComponentApp["checks"],
  verbose: boolean,
  slis?: HealthSlis,
): ProbeResult {
  const names = Object.keys(checks).filter((name) => endpoint === "readyz" || name.startsWith("live-"));
  const failed = new Set(names.filter((name) => checks[name]?.() !== undefined));
  for (const name of ["ping", ...names]) slis?.observe(endpoint, name, !failed.has(name));
  if (failed.size === 0 && !verbose) return { ok: true, text: "ok" };
  const lines = names.map((name) => (failed.has(name) ? `[-]${name} failed: reason withheld` : `[+]${name} ok`));
  const verdict = failed.size === 0 ? "passed" : "failed";
  return { ok: failed.size === 0, text: `${["[+]ping ok", ...lines].join("\n")}\n${endpoint} check ${verdict}\n` };
}

function send(response: ServerResponse, code: number, type: string, text: string): void {
  response.writeHead(code, { "content-type": type, "x-content-type-options": "nosniff" });
  response.end(text);
}

/** Returns the user who may do this; throws StatusError Unauthorized or Forbidden. */
export async function requireUser(auth: AuthHook, request: IncomingMessage, path: string): Promise<UserInfo> {
  const user = await auth.authenticate(requestCredentials(request));
  if (user === undefined) throw new StatusError("Unauthorized", 401, "Unauthorized");
  const verb = (request.method ?? "GET").toLowerCase();
  const verdict = await auth.authorize(user, { verb, path });
  if (verdict.allowed) return user;
  const why = verdict.reason ? `: ${verdict.reason}` : "";
  const message = `forbidden: User ${JSON.stringify(user.username)} cannot ${verb} path ${JSON.stringify(path)}${why}`;
  throw new StatusError("Forbidden", 403, message);
}

/** Answers the paths it knows and says whether it did, so that a server with more paths can ask it first. */
export function createEndpointHandler(options: HttpEndpointsOptions) {
  const slis = new HealthSlis();
  return async (request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    const url = new URL(request.url ?? "/", "https://localhost");
    const endpoint = url.pathname.slice(1);
    if (endpoint === "healthz" || endpoint === "livez" || endpoint === "readyz") {
      const result = runChecks(endpoint, options.checks, url.searchParams.has("verbose"), slis);
      send(response, result.ok ? 200 : 500, "text/plain; charset=utf-8", result.text);
      return true;
    }
    if (endpoint !== "metrics" && endpoint !== "metrics/slis") return false;
    await requireUser(options.auth, request, url.pathname);
    const text = await (endpoint === "metrics" ? options.metrics : slis).text();
    send(response, 200, options.metrics.contentType, text);
    return true;
  };
}

/** An HTTPS server with these endpoints and nothing else; 404 for other paths, Statuses for refusals. */
export function createHttpsServer(tls: TlsMaterial, options: HttpEndpointsOptions): Server {
  const handle = createEndpointHandler(options);
  return createServer(serverTlsOptions(tls), (request, response) => {
    const answer = async (): Promise<void> => {
      try {
        const handled = await handle(request, response);
        if (!handled) send(response, 404, "text/plain; charset=utf-8", "404 page not found\n");
      } catch (error) {
        sendError(response, error);
      }
    };
    void answer();
  });
}

function sendError(response: ServerResponse, error: unknown): void {
  const known =
    error instanceof StatusError
      ? error
      : new StatusError("InternalError", 500, `Internal error occurred: ${String(error)}`);
  send(response, known.code, "application/json", JSON.stringify(known.toStatus()));
}
