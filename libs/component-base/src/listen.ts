// Ports that are listened on. Guarantee: who cannot listen hears it; a later error of the server is not taken for that, nor lost.
import type { Server } from "node:net";

/** Where to listen: an address (port 0 picks one), or a listening socket that was inherited. */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** Resolves with the port (0 for an inherited unix socket), once `server` listens; rejects where it cannot. */
export function listenOn(server: Server, target: ListenTarget): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(target, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
