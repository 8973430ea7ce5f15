// The scheduler's process: makes the real dependencies and runs the app.
import {
  createDelegatedReviews,
  createEventRecorder,
  createInformerFactory,
  createLeaderElector,
} from "@coxswain/client";
import { createGrpcResourceClient } from "@coxswain/client/grpc/grpc-resource-client";
import { createDelegatedAuth } from "@coxswain/component-base/delegated-auth";
import { runComponent } from "@coxswain/component-base/process";
import { createNatsBus } from "@coxswain/event-bus";
import { InvalidArgumentError } from "commander";
import { hostname } from "node:os";
import { createScheduler } from "./app.ts";

interface Flags {
  readonly percentageOfNodesToScore: number;
}

function parsePercentage(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 100) throw new InvalidArgumentError("must be in 0..100");
  return value;
}

await runComponent<Flags>({
  name: "scheduler",
  version: "0.1.0",
  defaultPort: 10_259,
  defaultGrpcPort: 10_269,
  flags: (command) =>
    void command.option(
      "--percentage-of-nodes-to-score <percent>",
      "share of nodes that suffices to choose from; 0 adapts to the size of the cluster",
      parsePercentage,
      0,
    ),
  create(deps) {
    const { env, logger, metrics, flags, clientTls } = deps;
    const name = "scheduler";
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
    const identity = `${hostname()}_${flags.instance}_${env.random.uuid()}`;
    const recorder = createEventRecorder({ env, client, logger, component: "default-scheduler" });
    const lease = { namespace: "kube-system", name: "kube-scheduler", identity };
    return createScheduler({
      env,
      logger,
      metrics,
      client,
      recorder,
      identity,
      informers: createInformerFactory({ env, logger, client, ...(bus === undefined ? {} : { bus }) }),
      elector: createLeaderElector(lease, { env, client, logger, recorder }),
      options: { percentageOfNodesToScore: flags.percentageOfNodesToScore },
    });
  },
});
