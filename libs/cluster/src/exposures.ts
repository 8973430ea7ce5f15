// Ports of 127.0.0.1 that a user asked for while the cluster runs: each leads to addresses inside. They last as long as the
// cluster's run, a killed gateway included.
import type { LoopbackSockets } from "./gateway/loopback-sockets.ts";
import { parseTarget } from "./gateway/forward.ts";
import type { Exposed } from "./state-file.ts";

export interface Exposures {
  list(): readonly Exposed[];
  /** `port` 0 means a free one. Rejects where the port is taken, or a target is no IPv4 address and port. */
  add(wish: Exposed): Promise<Exposed>;
  /** Throws where `expose` has not made the port. */
  remove(port: number): Exposed;
}

export function createExposures(sockets: LoopbackSockets): Exposures {
  const exposed = new Map<number, Exposed>();
  return {
    list: () => [...exposed.values()],
    async add({ port: wanted, targets, label }) {
      const bad = targets.find((target) => parseTarget(target) === undefined);
      if (bad !== undefined || targets.length === 0) throw new Error(`not an IPv4 address and a port: "${bad ?? ""}"`);
      const port = await sockets.choose(wanted);
      if (wanted !== 0 && port !== wanted) {
        sockets.unmap(port);
        throw new Error(`127.0.0.1:${wanted} is taken`);
      }
      try {
        await sockets.map({ port, targets });
      } catch (error) {
        sockets.unmap(port);
        throw error;
      }
      const made = { port, targets, label };
      exposed.set(port, made);
      return made;
    },
    remove(port) {
      const found = exposed.get(port);
      if (found === undefined) throw new Error(`127.0.0.1:${port} is not exposed`);
      exposed.delete(port);
      sockets.unmap(port);
      return found;
    },
  };
}
