// kube-proxy's process: makes the real dependencies and runs the app.
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { serveUntilAborted } from "@coxswain/component-base/serve-until-aborted";
import { InvalidArgumentError } from "commander";
import { createKubeProxy } from "./app.ts";
import { chooseBackend } from "./backend/choose-backend.ts";
import { createHealthCheckPorts } from "./health-check-ports.ts";
import { createHealthServer } from "./health-server.ts";
import { parseNodeNames } from "./node-names.ts";
import { parseProxyMode, type ProxyMode } from "./proxy-mode.ts";

interface Flags {
  readonly nodes: readonly string[];
  readonly proxyMode: ProxyMode;
  readonly clusterCidr: readonly string[];
}

function append(text: string, before: readonly string[]): readonly string[] {
  return [...before, ...text.split(",").filter((item) => item !== "")];
}

function nodes(text: string, before: readonly string[] = []): readonly string[] {
  try {
    return [...before, ...parseNodeNames(text)];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function mode(text: string): ProxyMode {
  try {
    return parseProxyMode(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

void runComponent<Flags>({
  name: "kube-proxy",
  version: "0.1.0",
  defaultPort: 10_256,
  defaultGrpcPort: 10_266,
  servesHttps: false,
  flags: (command) =>
    void command
      .requiredOption("--nodes <names>", "nodes to serve, as in node-1,node-2 or node-[1-50]; repeatable", nodes)
      .option("--proxy-mode <mode>", "how rules are put in place", mode, "simulated")
      .option("--cluster-cidr <cidr>", "where pods have their addresses; repeatable", append, []),
  async create(deps) {
    const { env, logger, metrics, flags, servingTls, auth } = deps;
    const name = "kube-proxy";
    const createBackend = await chooseBackend(env, flags);
    const { client, informers } = connectComponent(deps, name);
    return createKubeProxy({
      env,
      logger,
      metrics,
      client,
      informers,
      nodeNames: flags.nodes,
      createBackend,
      serveHttps: ({ checks, health }, signal) => {
        const server = createHealthServer(servingTls, { checks, metrics, auth, clock: env.clock, health });
        return serveUntilAborted(server, { host: flags.listenAddress, port: flags.port }, signal);
      },
      ...(flags.proxyMode === "nftables"
        ? {
            // In the node's own network, of which all addresses are the node's.
            createHealthCheckPorts: (healthy) => createHealthCheckPorts("0.0.0.0", logger, healthy),
            options: { families: ["IPv4"] },
          }
        : { options: { onDemand: true } }),
    });
  },
});
