// Ports: each process gets its well-known port where that is free, else any free one. A cluster keeps its ports across
// restarts of its processes, because clients know them.
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";

/** Resolves with `wanted` where it can be bound on 127.0.0.1, else with a free port. Never twice the same. */
export type PortChooser = (wanted: number) => Promise<number>;

/** Resolves with the port that was bound, undefined where `port` is taken; 0 means any. */
type TryBind = (port: number) => Promise<number | undefined>;

/** A port that others count on was taken by another program before the process that it was chosen for could listen there. */
export class PortTakenError extends Error {
  override readonly name = "PortTakenError";
}

/** The first of the ports that somebody listens on; undefined where all are free. 0 is no port. */
export async function takenPort(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) if (port !== 0 && (await isTaken(port))) return port;
  return undefined;
}

async function isTaken(port: number): Promise<boolean> {
  const bound = await listenOnce(port);
  return typeof bound !== "number" && bound.code === "EADDRINUSE";
}

/** Binds the port on 127.0.0.1 and lets it go. */
export async function bindOnce(port: number): Promise<number | undefined> {
  const bound = await listenOnce(port);
  return typeof bound === "number" ? bound : undefined;
}

/** The port that was bound for a moment, or why none was. */
function listenOnce(port: number): Promise<number | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", resolve);
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
      const { port: bound } = server.address() as AddressInfo;
      server.close(() => resolve(bound));
    });
  });
}

/** Below are the well-known ports of the components. */
const FIRST_PORT = 12_000;
/** Where a machine does not say which ports it gives to those who connect: all systems leave these alone. */
const EPHEMERAL_PORTS = 32_768;
/** More than a small cluster needs. Clusters that start at once have other process ids, and so begin elsewhere. */
const STRIDE = 61;

function firstEphemeralPort(): number {
  try {
    return Number.parseInt(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8"), 10);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return EPHEMERAL_PORTS;
    throw error;
  }
}

/**
 * Ports to try one after the other, for the process `pid`: none that the machine may give to a connection between the choice
 * and the start of the process that is to listen there. 0, any port, where the machine keeps too few back.
 */
export function createPortWalk(pid: number, ephemeral: number): () => number {
  const span = ephemeral - FIRST_PORT;
  if (span < 10 * STRIDE) return () => 0;
  let at = (pid * STRIDE) % span;
  return () => FIRST_PORT + (at++ % span);
}

/** A chooser that remembers what it gave out. `tryBind` may keep what it binds. */
export function createPortChooser(
  tryBind: TryBind = bindOnce,
  next: () => number = createPortWalk(process.pid, firstEphemeralPort()),
): PortChooser {
  const taken = new Set<number>();
  return async (wanted) => {
    if (wanted > 0 && !taken.has(wanted)) {
      taken.add(wanted);
      if ((await tryBind(wanted)) !== undefined) return wanted;
    }
    for (let attempt = 0; attempt < 1_000; attempt++) {
      const free = await tryBind(next());
      if (free !== undefined && !taken.has(free)) {
        taken.add(free);
        return free;
      }
    }
    throw new Error("no free port on 127.0.0.1");
  };
}
