// The cluster autoscaler's process: makes the real dependencies and runs the app. What its identity must be allowed:
// - list and watch of pods, nodes, DaemonSets and disruption budgets; patch and delete of nodes; evictions;
// - its Lease, Events, and the ConfigMap kube-system/cluster-autoscaler-status;
// - WhatIf of a scheduler; reviews of tokens and of access.
import { createEventRecorder, createLeaderElector } from "@coxswain/client";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { hostname } from "node:os";
import { createClusterAutoscaler } from "./app.ts";
import { readCloudConfig } from "./cloud-config.ts";
import { createExternalGrpcProvider } from "./external-grpc-provider.ts";
import { addFlags, optionsFrom, type Flags } from "./flags.ts";
import { createSchedulerPlacement } from "./scheduler-placement.ts";

void runComponent<Flags>({
  name: "cluster-autoscaler",
  version: "0.1.0",
  defaultPort: 10_273,
  defaultGrpcPort: 10_283,
  flags: addFlags,
  create(deps) {
    const { env, logger, metrics, flags, clientTls } = deps;
    const name = "cluster-autoscaler";
    if (flags.scheduler.length === 0) throw new Error("--scheduler: Required value: the address of a scheduler");
    const { client, informers } = connectComponent(deps, name);
    const identity = `${hostname()}_${flags.instance}_${env.random.uuid()}`;
    const recorder = createEventRecorder({ env, client, logger, component: name });
    const lease = { namespace: "kube-system", name, identity };
    return createClusterAutoscaler({
      env,
      logger,
      metrics,
      client,
      informers,
      recorder,
      identity,
      elector: createLeaderElector(lease, { env, client, logger, recorder }),
      provider: createExternalGrpcProvider(readCloudConfig(flags.cloudConfig), env.clock),
      placement: createSchedulerPlacement({ addresses: flags.scheduler, tls: clientTls, clock: env.clock }),
      options: optionsFrom(flags),
    });
  },
});
