// One HTTP GET as upstream's kubelet makes it. Guarantees: a connection of its own that is closed afterwards, no proxy, no
// verified certificate, at most 10 KiB of the answer read, and an end when the time is over, whatever the server does.
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import type { Timers } from "@coxswain/env";
import type { HttpTarget, ProbeResult } from "./contract.ts";
import { dialError, hostPort } from "./dial-error.ts";

const MAX_BODY_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

/** What the request could not get, with the URL that was asked for. */
export class HttpProbeError extends Error {
  override readonly name = "HttpProbeError";
}

/** "http://10.1.2.3:80/healthz" */
export function urlOf({ scheme, host, port, path }: HttpTarget): URL {
  const url = new URL(`${scheme}://${hostPort(host, port)}/`);
  const [pathname = "", search = ""] = path.split(/\?(.*)/s);
  url.pathname = pathname;
  url.search = search;
  return url;
}

/** As it is printed: with the port, although it is the scheme's own. */
function shown(url: URL): string {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return `${url.protocol}//${url.hostname}:${port}${url.pathname}${url.search}`;
}

function headersOf({ headers, userAgent }: HttpTarget): Record<string, string | string[]> {
  const all: Record<string, string | string[]> = { "user-agent": userAgent, accept: "*/*", connection: "close" };
  const own = new Map<string, string[]>();
  for (const { name, value } of headers) {
    const key = name.toLowerCase();
    own.set(key, [...(own.get(key) ?? []), value]);
  }
  for (const [key, values] of own) {
    // An empty value takes one of the kubelet's own headers away.
    if ((key === "user-agent" || key === "accept") && values[0] === "") delete all[key];
    else all[key] = key === "host" || values.length === 1 ? (values[0] ?? "") : values;
  }
  return all;
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= MAX_BODY_BYTES) break;
  }
  response.destroy();
  return Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString("utf8");
}

/** One request, without following redirects. Rejects with HttpProbeError. */
async function getOnce(url: URL, target: HttpTarget, signal: AbortSignal): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  const options: RequestOptions = {
    host,
    port,
    path: `${url.pathname}${url.search}`,
    headers: headersOf(target),
    agent: false,
    signal,
  };
  const request =
    url.protocol === "https:"
      ? httpsRequest({ ...options, rejectUnauthorized: false, minVersion: "TLSv1" })
      : httpRequest(options);
  request.on("response", resolve);
  request.on("error", reject);
  request.end();
  let awaiting = "awaiting headers";
  try {
    const response = await promise;
    awaiting = "reading body";
    return { status: response.statusCode ?? 0, body: await bodyOf(response), location: response.headers.location };
  } catch (error) {
    const late =
      awaiting === "awaiting headers"
        ? "(Client.Timeout exceeded while awaiting headers)"
        : "(Client.Timeout or context cancellation while reading body)";
    const why = signal.aborted ? `context deadline exceeded ${late}` : dialError(error as Error, host, port);
    throw new HttpProbeError(`Get "${shown(url)}": ${why}`);
  } finally {
    request.destroy();
  }
}

/** Follows redirects on the same host. Rejects with HttpProbeError; answers with the redirect where it leads elsewhere. */
export async function httpGet(target: HttpTarget, signal: AbortSignal): Promise<HttpAnswer> {
  const first = urlOf(target);
  let url = first;
  for (let hop = 0; ; hop++) {
    const answer = await getOnce(url, target, signal);
    if (![301, 302, 303, 307, 308].includes(answer.status) || answer.location === undefined) return answer;
    if (!URL.canParse(answer.location, url.href)) return answer;
    const next = new URL(answer.location, url);
    if (next.hostname !== first.hostname || !/^https?:$/.test(next.protocol)) return answer;
    if (hop >= MAX_REDIRECTS - 1) throw new HttpProbeError(`Get "${shown(next)}": stopped after 10 redirects`);
    url = next;
  }
}

/** 200–399 is well. */
export async function probeHttp(target: HttpTarget, timeoutMs: number, timers: Timers): Promise<ProbeResult> {
  try {
    const { status, body } = await httpGet(target, timers.timeoutSignal(timeoutMs));
    if (status < 200 || status >= 400)
      return { outcome: "failure", output: `HTTP probe failed with statuscode: ${status}` };
    if (status >= 300) return { outcome: "warning", output: `Probe terminated redirects, Response body: ${body}` };
    return { outcome: "success", output: body };
  } catch (error) {
    // What the request is made of came from the pod: a header that is none fails, too.
    return { outcome: "failure", output: (error as Error).message };
  }
}
