// The kubelet's process: makes the real dependencies and runs the app.
import { createEventRecorder } from "@coxswain/client";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { parseQuantity, QuantityError } from "@coxswain/apimachinery";
import { InvalidArgumentError } from "commander";
import { createKubelet } from "./app.ts";
import { expandNodeNames } from "./node/node-names.ts";
import { createHttpsApi, serveUntilAborted } from "./server/https-api.ts";

interface Flags {
  readonly nodes: readonly string[];
  readonly runtime: string;
  readonly advertiseAddress: string;
  readonly capacityCpu: string;
  readonly capacityMemory: string;
  readonly capacityPods: string;
}

function parseNodes(text: string): readonly string[] {
  try {
    return expandNodeNames(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function parseRuntime(text: string): string {
  if (text === "simulated") return text;
  throw new InvalidArgumentError(`the runtime ${JSON.stringify(text)} is not supported; supported: simulated`);
}

function parseAmount(text: string): string {
  try {
    return parseQuantity(text).toString();
  } catch (error) {
    if (error instanceof QuantityError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

await runComponent<Flags>({
  name: "kubelet",
  version: "0.1.0",
  defaultPort: 10_250,
  defaultGrpcPort: 10_260,
  servesHttps: false,
  flags: (command) =>
    void command
      .requiredOption("--nodes <names>", "the node that this process is, or a range: node-1, node-[1-5000]", parseNodes)
      .option("--runtime <name>", "container runtime: simulated", parseRuntime, "simulated")
      .option("--advertise-address <host>", "address under which others reach this process", "127.0.0.1")
      .option("--capacity-cpu <quantity>", "CPUs of each node", parseAmount, "4")
      .option("--capacity-memory <quantity>", "memory of each node", parseAmount, "8Gi")
      .option("--capacity-pods <number>", "pods that each node takes", parseAmount, "110"),
  create(deps) {
    const { env, logger, metrics, flags, servingTls } = deps;
    const name = "kubelet";
    const { client, informers } = connectComponent(deps, name);
    return createKubelet({
      env,
      logger,
      metrics,
      client,
      recorder: createEventRecorder({ env, client, logger, component: name }),
      informers,
      nodes: flags.nodes,
      serveHttps: ({ checks, managers }, signal) => {
        const api = createHttpsApi(servingTls, { checks, metrics, auth: deps.auth, clock: env.clock, managers });
        return serveUntilAborted(api, { host: flags.listenAddress, port: flags.port }, signal);
      },
      options: {
        advertiseAddress: flags.advertiseAddress,
        httpsPort: flags.port,
        grpcPort: flags.grpcPort,
        capacity: { cpu: flags.capacityCpu, memory: flags.capacityMemory, pods: flags.capacityPods },
      },
    });
  },
});
