// Speaks HTTP to extenders.
import type { Timers } from "@coxswain/env";
import { readFileSync } from "node:fs";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest, type AgentOptions } from "node:https";
import { ExtenderError, type ExtenderConfiguration, type ExtenderTransport } from "./extender.ts";

function pem(data: string | undefined, file: string | undefined): string | undefined {
  return data ?? (file === undefined ? undefined : readFileSync(file, "utf8"));
}

/** As upstream: with enableHTTPS and no authority any certificate will do. */
function tlsOptions({ tls, enableHTTPS }: ExtenderConfiguration): AgentOptions {
  const ca = pem(tls?.caData, tls?.caFile);
  const cert = pem(tls?.certData, tls?.certFile);
  const key = pem(tls?.keyData, tls?.keyFile);
  return {
    rejectUnauthorized: !(tls?.insecure === true || (enableHTTPS && ca === undefined)),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

/** Keeps connections to each extender. Throws where a file of its TLS configuration cannot be read. */
export function createHttpTransport(timers: Timers): ExtenderTransport {
  const agents = new Map<ExtenderConfiguration, HttpAgent | HttpsAgent>();
  const agentOf = (extender: ExtenderConfiguration, secure: boolean): HttpAgent | HttpsAgent => {
    let agent = agents.get(extender);
    if (agent === undefined) {
      agent = secure
        ? new HttpsAgent({ keepAlive: true, ...tlsOptions(extender) })
        : new HttpAgent({ keepAlive: true });
      agents.set(extender, agent);
    }
    return agent;
  };
  return async (extender, verb, body) => {
    const url = new URL(`${extender.urlPrefix.replace(/\/+$/, "")}/${verb}`);
    const secure = url.protocol === "https:";
    const stop = new AbortController();
    const late = (): void => stop.abort(new Error(`${url.href}: no answer within ${extender.httpTimeoutMs} ms`));
    const timer = timers.setTimeout(late, extender.httpTimeoutMs);
    try {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
      const bytes = Buffer.from(JSON.stringify(body));
      const headers = { "content-type": "application/json", "content-length": bytes.length };
      const options = { method: "POST", headers, signal: stop.signal, agent: agentOf(extender, secure) };
      const request = secure ? httpsRequest(url, options) : httpRequest(url, options);
      request.on("error", reject).on("response", resolve).end(bytes);
      const response = await promise;
      const text = await textOf(response);
      const code = response.statusCode ?? 0;
      if (code !== 200) throw new ExtenderError(`failed ${verb} with extender at URL ${url.href}, code ${code}`);
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw stop.signal.aborted ? stop.signal.reason : error;
    } finally {
      timers.clear(timer);
    }
  };
}
