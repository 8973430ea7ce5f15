// The scheduler's process: makes the real dependencies and runs the app.
import { createEventRecorder, createLeaderElector } from "@coxswain/client";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
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
    const { env, logger, metrics, flags } = deps;
    const name = "scheduler";
    const { client, informers } = connectComponent(deps, name);
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
      informers,
      elector: createLeaderElector(lease, { env, client, logger, recorder }),
      options: { percentageOfNodesToScore: flags.percentageOfNodesToScore },
    });
  },
});
