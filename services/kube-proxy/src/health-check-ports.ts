// The health check ports of Services of type LoadBalancer with a policy of Local. Guarantees: a port is open while its Service
// asks for it and says how things are now; one that cannot be opened is told of once, and tried again with the next change.
import type { Logger } from "@coxswain/component-base";
import { createServer, type Server } from "node:http";
import { healthCheckAnswer, type HealthCheck } from "./planner/plan-health-check.ts";

export interface HealthCheckPorts {
  /** Opens and closes ports so that these are open; resolves when it is so. Each has a port of its own. */
  sync(checks: readonly HealthCheck[]): Promise<void>;
  close(): Promise<void>;
}

/** `healthy`: whether the rules of the node are up to date. */
export function createHealthCheckPorts(
  host: string,
  logger: Pick<Logger, "warn">,
  healthy: () => boolean,
): HealthCheckPorts {
  const servers = new Map<number, Server>();
  const failed = new Set<number>();
  let checks = new Map<number, HealthCheck>();

  const open = async (port: number): Promise<void> => {
    const server = createServer((_, response) => {
      const check = checks.get(port);
      if (check === undefined) {
        response.destroy();
        return;
      }
      const { code, headers, body } = healthCheckAnswer(check, healthy());
      response.writeHead(code, headers).end(body);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ host, port }, resolve);
      });
      servers.set(port, server);
      failed.delete(port);
    } catch (error) {
      const { namespace, service } = checks.get(port)!;
      if (!failed.has(port))
        logger.warn({ err: error, port, namespace, service }, "could not open a health check port");
      failed.add(port);
    }
  };

  const shut = async (port: number): Promise<void> => {
    const server = servers.get(port)!;
    servers.delete(port);
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  };

  const sync = async (wanted: readonly HealthCheck[]): Promise<void> => {
    checks = new Map(wanted.map((check) => [check.port, check]));
    for (const port of failed) if (!checks.has(port)) failed.delete(port);
    for (const port of servers.keys()) if (!checks.has(port)) await shut(port);
    for (const port of checks.keys()) if (!servers.has(port)) await open(port);
  };
  return { sync, close: () => sync([]) };
}
