// The controller-manager's process: makes the real dependencies and runs the app.
import { createEventRecorder, createLeaderElector } from "@coxswain/client";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { createLegacyTokenSigner } from "@coxswain/component-base/identity/legacy-tokens";
import { runComponent } from "@coxswain/component-base/process";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { createControllerManager } from "./app.ts";
import { loadAuthority } from "./certificates/load-authority.ts";
import { addFlags, optionsFrom, signingFiles, type Flags } from "./flags.ts";

void runComponent<Flags>({
  name: "controller-manager",
  version: "0.1.0",
  defaultPort: 10_257,
  defaultGrpcPort: 10_267,
  flags: addFlags,
  create(deps) {
    const { env, logger, metrics, flags } = deps;
    const name = "controller-manager";
    const { client, informers, aggregated } = connectComponent(deps, name);
    const identity = `${hostname()}_${flags.instance}_${env.random.uuid()}`;
    const remotes = aggregated();
    const recorderFor = (component: string) => createEventRecorder({ env, client, logger, component });
    const lease = { namespace: "kube-system", name: "kube-controller-manager", identity };
    const elector = createLeaderElector(lease, {
      env,
      client,
      logger,
      recorder: recorderFor("kube-controller-manager"),
    });
    const keyFile = flags.serviceAccountPrivateKeyFile;
    return createControllerManager({
      env,
      logger,
      metrics,
      client,
      aggregated: remotes,
      remotes,
      recorderFor,
      identity,
      informers,
      elector,
      ...(keyFile === undefined ? {} : { tokens: createLegacyTokenSigner(readFileSync(keyFile, "utf8")) }),
      authority: loadAuthority(signingFiles(flags), env),
      options: optionsFrom(flags),
    });
  },
});
