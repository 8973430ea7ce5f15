// kube-proxy's process: makes the real dependencies and runs the app.
import { createDelegatedReviews, createInformerFactory } from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { createDelegatedAuth } from "@coxswain/component-base/delegated-auth";
import { runComponent } from "@coxswain/component-base/process";
import { createNatsBus } from "@coxswain/event-bus";
import { InvalidArgumentError } from "commander";
import { createKubeProxy } from "./app.ts";
import { createSimulatedBackend } from "./backend/simulated.ts";
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

await runComponent<Flags>({
  name: "kube-proxy",
  version: "0.1.0",
  defaultPort: 10_256,
  defaultGrpcPort: 10_266,
  flags: (command) =>
    void command
      .requiredOption("--nodes <names>", "nodes to serve, as in node-1,node-2 or node-[1-50]; repeatable", nodes)
      .option("--proxy-mode <mode>", "how rules are put in place", mode, "simulated")
      .option("--cluster-cidr <cidr>", "where pods have their addresses; repeatable", append, []),
  create(deps) {
    const { env, logger, metrics, flags, clientTls } = deps;
    const name = "kube-proxy";
    const client = createGrpcResourceClient({
      env,
      logger,
      addresses: flags.apiServer,
      tls: clientTls,
      userAgent: name,
    });
    deps.setAuth(createDelegatedAuth(env.clock, createDelegatedReviews(client, env.clock)));
    const bus =
      flags.nats.length === 0 ? undefined : createNatsBus({ env, logger, servers: flags.nats, tls: clientTls, name });
    return createKubeProxy({
      env,
      logger,
      metrics,
      client,
      informers: createInformerFactory({ env, logger, client, ...(bus === undefined ? {} : { bus }) }),
      nodeNames: flags.nodes,
      createBackend: () => createSimulatedBackend({ env, clusterCidrs: flags.clusterCidr }),
      options: { onDemand: true },
    });
  },
});
