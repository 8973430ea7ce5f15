// metrics-server's process: makes the real dependencies and runs the app. What its identity must be allowed:
// - list and watch of nodes; get and list of pods; ListStats of kubelets;
// - get, create and update of services and endpointslices in kube-system and of APIServices: its own way to be reached;
// - get of the ConfigMap kube-system/extension-apiserver-authentication; reviews of tokens and of access.
import { isIP } from "node:net";
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { serveUntilAborted } from "@coxswain/component-base/serve-until-aborted";
import { InvalidArgumentError } from "commander";
import { createMetricsServer, type MetricsServerDeps } from "./app.ts";
import { createMetricsHttpsServer, type MetricsHttpsDeps } from "./https-server.ts";
import { createKubeletStats } from "./kubelet-stats.ts";

interface Flags {
  readonly advertiseAddress?: string;
  readonly metricResolution: number;
}

function address(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError("must be an IP address");
  return text;
}

/** A whole number of seconds, as in 15s; in ms. */
function resolution(text: string): number {
  const found = /^(\d+)s$/.exec(text)?.[1];
  if (found === undefined || Number(found) < 1) throw new InvalidArgumentError("must be whole seconds, as in 15s");
  return Number(found) * 1000;
}

void runComponent<Flags>({
  name: "metrics-server",
  version: "0.1.0",
  defaultPort: 10_272,
  defaultGrpcPort: 10_282,
  servesHttps: false,
  flags: (command) =>
    void command
      .option(
        "--advertise-address <address>",
        "address at which api-servers reach it (default: --listen-address)",
        address,
      )
      .option("--metric-resolution <duration>", "how often kubelets are asked", resolution, 15_000),
  create(deps) {
    const { env, logger, metrics, flags, servingTls, clientTls } = deps;
    const { client, informers } = connectComponent(deps, "metrics-server");
    const source = createKubeletStats({ tls: clientTls, clock: env.clock });
    const serve: MetricsServerDeps["serve"] = async ({ api, proxies, checks }, listening, signal) => {
      const parts: MetricsHttpsDeps = { checks, metrics, auth: deps.auth, api, proxies };
      const server = createMetricsHttpsServer(servingTls, parts);
      await serveUntilAborted(server, { host: flags.listenAddress, port: flags.port }, signal, listening);
      source.close();
    };
    return createMetricsServer({
      env,
      logger,
      metrics,
      client,
      informers,
      source,
      serve,
      options: {
        advertiseAddress: flags.advertiseAddress ?? flags.listenAddress,
        instance: flags.instance,
        ca: String(servingTls.ca),
        resolutionMs: flags.metricResolution,
      },
    });
  },
});
