// cluster-dns's process: makes the real dependencies and runs the app. What its identity must be allowed:
// - list and watch of services, namespaces and endpointslices (discovery.k8s.io) in all namespaces;
// - get, create, update and delete of services and endpointslices in kube-system: its own way to be reached.
import { connectComponent } from "@coxswain/client/grpc/connect-component";
import { runComponent } from "@coxswain/component-base/process";
import { InvalidArgumentError } from "commander";
import { isIP } from "node:net";
import { createClusterDns } from "./app.ts";
import { parseUpstream, type Upstream } from "./forwarder.ts";

interface Flags {
  readonly dnsAddress?: string;
  readonly dnsPort: number;
  readonly advertiseAddress?: string;
  readonly clusterIp: string;
  readonly domain: string;
  readonly upstream?: Upstream;
}

function address(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError("must be an IP address");
  return text;
}

function port(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 0 || number > 65_535) throw new InvalidArgumentError("must be in 0..65535");
  return number;
}

function domain(text: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(name))
    throw new InvalidArgumentError("must be a domain name");
  return name;
}

function upstream(text: string): Upstream {
  try {
    return parseUpstream(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

void runComponent<Flags>({
  name: "cluster-dns",
  version: "0.1.0",
  defaultPort: 10_271,
  defaultGrpcPort: 10_281,
  flags: (command) =>
    void command
      .option("--dns-address <address>", "address to answer queries on (default: --listen-address)", address)
      .option("--dns-port <port>", "port to answer queries on, UDP and TCP", port, 53)
      .option("--advertise-address <address>", "address at which nodes reach it (default: --dns-address)", address)
      .option("--cluster-ip <address>", "address of Service kube-system/kube-dns", address, "10.96.0.10")
      .option("--domain <name>", "the cluster's domain", domain, "cluster.local")
      .option("--upstream <host:port>", "server for names outside the domain, which are refused without it", upstream),
  create(deps) {
    const { env, logger, metrics, flags } = deps;
    const dnsAddress = flags.dnsAddress ?? flags.listenAddress;
    const { client, informers } = connectComponent(deps, "cluster-dns");
    return createClusterDns({
      env,
      logger,
      metrics,
      client,
      informers,
      options: {
        domain: flags.domain,
        dnsAddress,
        dnsPort: flags.dnsPort,
        advertiseAddress: flags.advertiseAddress ?? dnsAddress,
        clusterIp: flags.clusterIp,
        instance: flags.instance,
        ...(flags.upstream === undefined ? {} : { upstream: flags.upstream }),
      },
    });
  },
});
