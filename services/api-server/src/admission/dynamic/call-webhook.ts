// Sends an AdmissionReview over HTTPS: to a URL, or to a Service's endpoints. Guarantees: it ends within the webhook's time
// limit; the certificate must be one of the caBundle, in the Service's or the host's name; no credential is sent.
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import type { WebhookClientConfig } from "@coxswain/api";
import { readAtMost } from "@coxswain/component-base/read-at-most";
import type { RemoteTargetDeps } from "../../aggregation/remote-target.ts";
import { remoteTarget } from "../../aggregation/remote-target.ts";
import { dialTcp, openSocket, type ProxyTarget } from "../../rest/proxy/proxy-transport.ts";
import type { CallWebhook } from "./webhooks.ts";

const MAX_BYTES = 3 * 1024 * 1024;

interface Target {
  readonly to: ProxyTarget;
  /** As it is told in errors. */
  readonly url: string;
  readonly path: string;
}

/** Throws Error where nobody can be asked. */
function targetOf(deps: RemoteTargetDeps, config: WebhookClientConfig, timeoutMs: number): Target {
  const query = `?timeout=${timeoutMs / 1_000}s`;
  const { service, url, caBundle } = config;
  if (service !== undefined) {
    const { namespace, name, port = 443, path = "/" } = service;
    const bundle = caBundle === undefined ? {} : { caBundle };
    const found = remoteTarget(deps, { spec: { service: { namespace, name, port }, ...bundle } as never }, true);
    const full = `https://${name}.${namespace}.svc:${port}${path}${query}`;
    if ("available" in found) throw new Error(`Post ${JSON.stringify(full)}: ${found.message}`);
    const { cert: _cert, key: _key, ...tls } = found.tls;
    return { to: { ...found, tls }, url: full, path: path + query };
  }
  const parsed = new URL(url ?? "");
  const host = parsed.hostname.replace(/^\[|\]$/g, "");
  const to: ProxyTarget = {
    scheme: "https",
    host,
    port: Number(parsed.port === "" ? 443 : parsed.port),
    dial: deps.dial ?? dialTcp,
    timers: deps.env.timers,
    tls: { servername: host, ...(caBundle === undefined ? {} : { ca: Buffer.from(caBundle, "base64") }) },
  };
  return { to, url: `${url ?? ""}${query}`, path: parsed.pathname + query };
}

function refusalOf(code: number, said: string): string {
  if (code === 404) return "the server could not find the requested resource";
  if (code === 401) return "the server has asked for the client to provide credentials";
  if (code === 403) return "forbidden";
  return `an error on the server (${JSON.stringify(said.trim().slice(0, 200) || "unknown")}) has prevented the request from succeeding`;
}

export function createWebhookCaller(deps: RemoteTargetDeps): CallWebhook {
  return async (config, review, timeoutMs, signal) => {
    const { to, url, path } = targetOf(deps, config, timeoutMs);
    if (signal.aborted) throw new Error(`Post ${JSON.stringify(url)}: context canceled`);
    const body = Buffer.from(JSON.stringify(review));
    const outgoing = httpRequest({
      method: "POST",
      path,
      headers: {
        Host: new URL(url).host,
        Accept: "application/json",
        "Content-Type": "application/json",
        "Content-Length": body.length,
        "User-Agent": "coxswain-api-server-admission",
        Connection: "close",
      },
      createConnection: () => openSocket(to),
    });
    const late = deps.env.timers.setTimeout(() => outgoing.destroy(new Error("context deadline exceeded")), timeoutMs);
    const stop = (): void => void outgoing.destroy(new Error("context canceled"));
    signal.addEventListener("abort", stop, { once: true });
    let code: number;
    let said: string;
    try {
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        outgoing.once("response", resolve).on("error", reject);
        outgoing.end(body);
      });
      code = answer.statusCode ?? 0;
      said = (await readAtMost(answer, MAX_BYTES)).toString("utf8");
    } catch (error) {
      throw new Error(`Post ${JSON.stringify(url)}: ${reasonOf(error, to)}`, { cause: error });
    } finally {
      deps.env.timers.clear(late);
      signal.removeEventListener("abort", stop);
      outgoing.destroy();
    }
    if (code < 200 || code > 299) throw new Error(refusalOf(code, said));
    return said;
  };
}

function reasonOf(error: unknown, { host, port }: ProxyTarget): string {
  const { code = "", message } = error as { code?: string; message: string };
  if (code === "ECONNREFUSED") return `dial tcp ${host}:${port}: connect: connection refused`;
  return code === "ECONNRESET" ? "EOF" : message;
}
