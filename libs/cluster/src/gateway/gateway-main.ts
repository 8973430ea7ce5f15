// The gateway's process. Only the supervisor starts it: mappings come over the channel to the parent.
import { runComponent } from "@coxswain/component-base/process";
import { createGateway, type GatewayChannel } from "./gateway.ts";
import type { ToGateway } from "./messages.ts";

const channel: GatewayChannel = {
  onMessage: (take) => void process.on("message", (message, handle) => take(message as ToGateway, handle)),
  // A supervisor that is gone has nothing to hear; what is open stays open.
  send: (message) => void (process.connected && process.send?.(message)),
};

void runComponent<object>({
  name: "gateway",
  version: "0.1.0",
  defaultPort: 10_254,
  defaultGrpcPort: 10_264,
  create: ({ env, logger, metrics }) => createGateway({ env, logger, metrics, channel }),
});
