// Carries one TCP connection to a target: both directions end on their own (half-close), a slow reader slows the writer, and
// an error at one end ends the other.
import { connect, type Socket } from "node:net";
import type { Logger } from "@coxswain/component-base";

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** "198.18.3.10:6443" as host and port; undefined for anything else. IPv4 only, as fabrics are. */
export function parseTarget(text: string): Target | undefined {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  return match === null || port < 1 || port > 65_535 ? undefined : { host: match[1]!, port };
}

/**
 * Connects `client` to the first of `targets` that takes the connection, and says to which. `client` must not have been read
 * from.
 */
export function forward(
  client: Socket,
  targets: readonly Target[],
  logger: Logger,
  onJoined: (target: Target) => void = () => {},
): void {
  const [target, ...others] = targets;
  if (target === undefined) return void client.destroy();
  const server = connect({ ...target, allowHalfOpen: true, noDelay: true });
  const giveUp = (): void => void server.destroy();
  client.once("close", giveUp);
  server.once("error", (error) => {
    logger.debug({ target, err: error }, "no connection to the target");
    client.off("close", giveUp);
    forward(client, others, logger, onJoined);
  });
  server.once("connect", () => {
    server.removeAllListeners("error");
    client.off("close", giveUp);
    onJoined(target);
    join(client, server, logger);
  });
}

function join(client: Socket, server: Socket, logger: Logger): void {
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on("error", (error) => {
      logger.debug({ err: error }, "connection broke");
      // A reset arrives as one: the other end must not take it for an orderly end.
      other.resetAndDestroy();
    });
    one.once("close", () => other.destroySoon());
    one.pipe(other);
  }
}
