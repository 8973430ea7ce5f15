// The scheduler's process: makes the real dependencies and runs the app.
import { createEventRecorder, createLeaderElector } from "@coxswain/client";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { InvalidArgumentError } from "commander";
import { hostname } from "node:os";
import { createScheduler } from "./app.ts";
import { createHttpTransport } from "./extenders/http-transport.ts";
import { loadSchedulerOptions, type SchedulerFlags } from "./config/load-options.ts";

function parsePercentage(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 100) throw new InvalidArgumentError("must be in 0..100");
  return value;
}

const append = (file: string, before: readonly string[]): readonly string[] => [...before, file];

void runComponent<SchedulerFlags>({
  name: "scheduler",
  version: "0.1.0",
  defaultPort: 10_259,
  defaultGrpcPort: 10_269,
  flags: (command) =>
    void command
      .option("--config <file>", "a KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1: profiles and plugins")
      .option("--plugin <module>", "JavaScript or TypeScript that exports further plugins; repeatable", append, [])
      .option(
        "--percentage-of-nodes-to-score <percent>",
        "share of nodes that suffices to choose from, where the configuration does not say; 0 adapts to the cluster's size",
        parsePercentage,
        0,
      ),
  async create(deps) {
    const { env, logger, metrics, flags } = deps;
    const options = await loadSchedulerOptions(flags);
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
      options,
      callExtender: createHttpTransport(env.timers),
    });
  },
});
