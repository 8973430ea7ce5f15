// What the shop's services share: an HTTP server that answers JSON, listens until SIGTERM and then ends without dropping a
// request: it goes on serving for a while, tells keep-alive clients to go, and leaves when the last answer is out.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createRealEnv, type Env } from "@coxswain/env";

export interface ShopRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

export interface ShopAnswer {
  readonly code: number;
  readonly json: unknown;
}

export type ShopHandler = (request: ShopRequest) => Promise<ShopAnswer> | ShopAnswer;

/** More than any request of the shop. */
const MAX_BODY_BYTES = 1 << 20;
/** For clients that keep connections: each is told to go with its next answer. */
const LINGER_MS = 1_000;

/** The whole body, or undefined where it is too large. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** An HTTP server over `handle`; not listening yet. `leaving` tells clients to close. */
export function shopServer(handle: ShopHandler, leaving: () => boolean = () => false): Server {
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request);
    const { code, json } =
      body === undefined
        ? { code: 413, json: { error: "the request is too large" } }
        : await handle({ method: request.method ?? "GET", path: request.url ?? "/", headers: request.headers, body });
    const bytes = Buffer.from(`${JSON.stringify(json)}\n`);
    response.writeHead(code, {
      "content-type": "application/json",
      "content-length": bytes.length,
      ...(leaving() ? { connection: "close" } : {}),
    });
    response.end(bytes);
  };
  return createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(JSON.stringify({ path: request.url, error: String(error) }));
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end(`${JSON.stringify({ error: String(error) })}\n`);
    });
  });
}

/** Serves until SIGTERM or SIGINT, and resolves when the last answer is out. */
export async function serveShop(
  handle: ShopHandler,
  listen: { readonly host: string; readonly port: number },
  env: Env = createRealEnv(),
): Promise<void> {
  let leaving = false;
  const server = shopServer(handle, () => leaving);
  const told = new Promise<void>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(listen, resolve);
  });
  console.log(JSON.stringify({ listening: `${listen.host}:${listen.port}` }));
  await told;
  leaving = true;
  await env.timers.sleep(LINGER_MS);
  await new Promise<void>((resolve) => server.close(() => resolve()));
}

/** The value of an environment variable that the manifest must set. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") throw new Error(`the environment variable ${name} is not set`);
  return value;
}
