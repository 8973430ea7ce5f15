// The puller's door: HTTP over one unix socket a node, so that who asks is known by where it asks.
// POST /pull {"image": "…", "auth"?: {"username", "password"}} answers 200 {"imageRef"} or an error {"code", "message"}.
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { readAtMost } from "@coxswain/component-base/read-at-most";
import type { NodeImageStore } from "../node-images.ts";
import { PullError, type PullCode } from "./pull-error.ts";
import type { Puller } from "./puller.ts";
import type { RegistryAuth } from "./registry-client.ts";

export interface PullerNode {
  readonly name: string;
  /** Path of the socket to listen on. */
  readonly listen: string;
  readonly store: NodeImageStore;
}

export interface PullLog {
  readonly node: string;
  readonly image: string;
  readonly outcome: string;
  readonly ms: number;
}

const MOST_BODY_BYTES = 64 << 10;
const HTTP_STATUS: Readonly<Record<PullCode, number>> = {
  NotFound: 404,
  PermissionDenied: 403,
  Unavailable: 503,
  InvalidArgument: 400,
  Unknown: 500,
};

/** Listens for every node; resolves with what ends it all. Rejects where a socket cannot be had. */
export async function servePuller(
  nodes: readonly PullerNode[],
  pull: Puller,
  clock: { monotonic(): number },
  log: (line: PullLog) => void,
): Promise<() => Promise<void>> {
  const servers: Server[] = [];
  const close = async (): Promise<void> => {
    const open = servers.filter((server) => server.listening);
    const closed = open.map((server) => once(server, "close"));
    for (const server of open) server.close();
    for (const server of open) server.closeAllConnections();
    await Promise.all(closed);
  };
  try {
    for (const node of nodes) {
      const server = createServer((request, response) => void serve(node, request, response, pull, clock, log));
      servers.push(server);
      // A socket that a killed puller left behind would refuse the next.
      await rm(node.listen, { force: true });
      const listening = once(server, "listening");
      server.listen(node.listen);
      await listening;
    }
    return close;
  } catch (error) {
    await close();
    throw error;
  }
}

async function serve(
  node: PullerNode,
  request: IncomingMessage,
  response: ServerResponse,
  pull: Puller,
  clock: { monotonic(): number },
  log: (line: PullLog) => void,
): Promise<void> {
  const startMs = clock.monotonic();
  let image = "";
  let outcome = "pulled";
  try {
    if (request.method !== "POST" || request.url !== "/pull")
      throw new PullError("NotFound", "only POST /pull is served");
    const asked = await readRequest(request);
    image = asked.image;
    answer(response, 200, { imageRef: await pull(node.store, asked.image, asked.auth) });
  } catch (error) {
    const code = error instanceof PullError ? error.code : "Unknown";
    outcome = error instanceof Error ? error.message : String(error);
    answer(response, HTTP_STATUS[code], { code, message: outcome });
  }
  log({ node: node.name, image, outcome, ms: Math.round(clock.monotonic() - startMs) });
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

async function readRequest(request: IncomingMessage): Promise<{ image: string; auth?: RegistryAuth }> {
  const tooLarge = (): Error => new PullError("InvalidArgument", "the request is too large");
  const body = parseBody((await readAtMost(request, MOST_BODY_BYTES, tooLarge)).toString());
  const { image, auth } = body;
  if (typeof image !== "string" || image === "") throw new PullError("InvalidArgument", "image: Required value");
  const { username, password } = (auth ?? {}) as Partial<RegistryAuth>;
  if (typeof username !== "string" || typeof password !== "string") return { image };
  return { image, auth: { username, password } };
}

function parseBody(text: string): { image?: unknown; auth?: unknown } {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === "object" && parsed !== null) return parsed;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new PullError("InvalidArgument", "the request must be a JSON object");
}
