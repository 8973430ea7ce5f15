// One port of 127.0.0.1 before several api-servers: what a kubeconfig names. Bytes pass through, TLS and all. Guarantees: a new
// connection goes to an api-server that is ready, each in its turn, as long as there is one; what leads to one that was frozen is
// cut, so that clients move on instead of waiting; none is ready: whoever runs is tried.
import { createServer, type Server, type Socket } from "node:net";
import { silentLogger } from "@coxswain/component-base";
import { forward, type Target } from "./gateway/forward.ts";
import { claimPort } from "./gateway/loopback-sockets.ts";
import type { ProcessRecord } from "./supervisor.ts";

const LOOPBACK = "127.0.0.1";

export interface FrontPlan {
  /** Ports of those that take connections, in order of their names. */
  readonly take: readonly number[];
  /** Ports of those whose connections end. */
  readonly cut: readonly number[];
}

/** Pure. */
export function planFront(records: readonly ProcessRecord[]): FrontPlan {
  const servers = records.filter(({ spec }) => spec.component === "api-server");
  const portsOf = (some: readonly ProcessRecord[]): number[] => some.map(({ spec }) => spec.ports.main);
  const ready = servers.filter(({ state }) => state === "ready");
  if (ready.length > 0)
    return { take: portsOf(ready), cut: portsOf(servers.filter(({ state }) => state === "frozen")) };
  return { take: portsOf(servers.filter(({ pid }) => pid > 0)), cut: [] };
}

export interface ApiFront {
  readonly port: number;
  /** Hears of every change. */
  follow(records: readonly ProcessRecord[]): void;
  close(): void;
}

export interface ApiFrontOptions {
  /** Another one where it is taken. */
  readonly wanted: number;
  /** Whether ports of this machine are claimed by bound sockets that nobody listens on yet. */
  readonly claims: boolean;
}

/** Listens at once, so that nobody else is given the port. Rejects where nothing can be listened on. */
export async function createApiFront({ wanted, claims }: ApiFrontOptions): Promise<ApiFront> {
  const clients = new Map<Socket, number>();
  let plan: FrontPlan = { take: [], cut: [] };
  let turn = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    // An end of the client is the matter of whoever it is joined with.
    client.on("error", () => undefined);
    client.once("close", () => clients.delete(client));
    const first = plan.take.length === 0 ? 0 : turn++ % plan.take.length;
    const order = [...plan.take.slice(first), ...plan.take.slice(0, first)];
    const targets = order.map((port): Target => ({ host: LOOPBACK, port }));
    clients.set(client, 0);
    forward(client, targets, silentLogger, ({ port }) => {
      clients.set(client, port);
      // It may have been frozen since it was chosen.
      if (plan.cut.includes(port)) client.destroy();
    });
  });
  const { port, claim } = await listenOnFree(server, wanted, claims);
  const endWhere = (ends: (port: number) => boolean): void => {
    for (const [client, target] of clients) if (ends(target)) client.destroy();
  };
  return {
    port,
    follow: (records) => {
      plan = planFront(records);
      if (plan.cut.length > 0) endWhere((target) => plan.cut.includes(target));
    },
    close: () => {
      server.close();
      claim?.close();
      endWhere(() => true);
    },
  };
}

function listen(server: Server, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      if (error.code === "EADDRINUSE" && port !== 0) resolve(undefined);
      else reject(error);
    };
    server.once("error", fail);
    server.listen({ port, host: LOOPBACK, exclusive: true }, () => {
      server.off("error", fail);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : undefined);
    });
  });
}

/** The wanted port, or any that is nobody's. */
async function listenOnFree(
  server: Server,
  wanted: number,
  claims: boolean,
): Promise<{ port: number; claim: Server | undefined }> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = await listen(server, attempt === 0 ? wanted : 0);
    if (port === undefined) continue;
    const claim = claims ? await claimPort(port) : undefined;
    if (!claims || claim !== undefined) return { port, claim };
    await new Promise((resolve) => server.close(resolve));
  }
  throw new Error("no free port on 127.0.0.1");
}
