// The port that a component serves itself, as long as it runs.
import type { Server } from "node:net";
import { listenOn } from "./listen.ts";

/** A server of node:http or node:https. */
type HttpServer = Server & { closeAllConnections(): void };

/**
 * Listens until `signal` aborts; rejects where it cannot listen, or no longer. Whatever is still connected then is cut off.
 * `listening` hears the port.
 */
export async function serveUntilAborted(
  server: HttpServer,
  listen: { readonly host: string; readonly port: number },
  signal: AbortSignal,
  listening?: (port: number) => void,
): Promise<void> {
  try {
    const port = await listenOn(server, listen);
    if (signal.aborted) return;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      signal.addEventListener("abort", () => resolve(), { once: true });
      listening?.(port);
    });
  } finally {
    server.close();
    server.closeAllConnections();
  }
}
