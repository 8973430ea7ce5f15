// The controller-manager's process: makes the real dependencies and runs the app.
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
import { hostname } from "node:os";
import { createControllerManager } from "./app.ts";
import { addFlags, optionsFrom, type Flags } from "./flags.ts";

await runComponent<Flags>({
  name: "controller-manager",
  version: "0.1.0",
  defaultPort: 10_257,
  defaultGrpcPort: 10_267,
  flags: addFlags,
  create(deps) {
    const { env, logger, metrics, flags, clientTls } = deps;
    const name = "controller-manager";
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
    const recorderFor = (component: string) => createEventRecorder({ env, client, logger, component });
    const lease = { namespace: "kube-system", name: "kube-controller-manager", identity };
    const elector = createLeaderElector(lease, {
      env,
      client,
      logger,
      recorder: recorderFor("kube-controller-manager"),
    });
    return createControllerManager({
      env,
      logger,
      metrics,
      client,
      recorderFor,
      identity,
      informers: createInformerFactory({ env, logger, client, ...(bus === undefined ? {} : { bus }) }),
      elector,
      options: optionsFrom(flags),
    });
  },
});
