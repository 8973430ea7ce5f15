// Ports: each process gets its well-known port where that is free, else any free one. A cluster keeps its ports across
// restarts of its processes, because clients know them.
import { createServer } from "node:net";

/** Resolves with `wanted` where it can be bound on 127.0.0.1, else with a free port. Never twice the same. */
export type PortChooser = (wanted: number) => Promise<number>;

/** Resolves with the port that was bound, undefined where `port` is taken; 0 means any. */
type TryBind = (port: number) => Promise<number | undefined>;

function bindOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const address = server.address();
      const bound = typeof address === "object" && address !== null ? address.port : undefined;
      server.close(() => resolve(bound));
    });
  });
}

/** A chooser that remembers what it gave out. `tryBind` may keep what it binds. */
export function createPortChooser(tryBind: TryBind = bindOnce): PortChooser {
  const taken = new Set<number>();
  return async (wanted) => {
    if (wanted > 0 && !taken.has(wanted)) {
      taken.add(wanted);
      if ((await tryBind(wanted)) !== undefined) return wanted;
    }
    for (let attempt = 0; attempt < 100; attempt++) {
      const free = await tryBind(0);
      if (free !== undefined && !taken.has(free)) {
        taken.add(free);
        return free;
      }
    }
    throw new Error("no free port on 127.0.0.1");
  };
}
