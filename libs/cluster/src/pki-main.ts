// The one-shot `pki` service of docker-compose.yml: certificates, service-account key, kubeconfig and NATS configuration
// in one folder. Run again, it keeps what still fits.
import { writeFileSync } from "node:fs";
import { isIP } from "node:net";
import path from "node:path";
import { parseArgs } from "node:util";
import { createRealEnv } from "@coxswain/env";
import {
  ensurePki,
  loadCertificate,
  makeKubeconfig,
  type ClusterPkiOptions,
} from "@coxswain/component-base/identity/index";
import { natsServerConfig } from "@coxswain/event-bus/nats/server-config";
import { busIdentities } from "./prepare.ts";

const SERVICE_NAMES = ["etcd", "nats", "api-server", "scheduler", "controller-manager", "kubelet", "kube-proxy"];

function parseNode(text: string): { name: string; address: string } {
  const [name = "", address = ""] = text.split("=");
  if (name === "" || isIP(address) === 0)
    throw new Error(`--node: Invalid value: "${text}": must be like node-1=198.18.0.101`);
  return { name, address };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      dir: { type: "string", default: "/pki" },
      nodes: { type: "string", default: "3" },
      server: { type: "string", default: "https://127.0.0.1:6443" },
      // A node of its own, outside the pack: node-1=198.18.0.101
      node: { type: "string", multiple: true, default: [] },
    },
  });
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 10_000) {
    throw new Error(`--nodes: Invalid value: "${values.nodes}": must be a whole number in 1..10000`);
  }
  const real = values.node.map(parseNode);
  const options: ClusterPkiOptions = {
    nodes: real.map(({ name }) => name),
    packs: [{ prefix: "node-", first: 1, last: nodes }],
    serverNames: SERVICE_NAMES,
    namesOf: Object.fromEntries(real.map(({ name, address }) => [`kubelet-${name}`, [address]])),
  };
  const { made } = await ensurePki(values.dir, options, createRealEnv());
  const at = (file: string): string => path.join(values.dir, file);
  const tls = { ca: at("ca.crt"), cert: at("nats.crt"), key: at("nats.key") };
  const bus = natsServerConfig({ host: "0.0.0.0", port: 4222, tls, identities: busIdentities(options) });
  // Only the container itself can ask: for its health check.
  writeFileSync(at("nats.conf"), `${bus}http: "127.0.0.1:8222"\n`, { mode: 0o600 });
  const { caPem, certPem, keyPem } = loadCertificate(values.dir, "admin");
  writeFileSync(at("kubeconfig"), makeKubeconfig({ server: values.server, caPem, certPem, keyPem, name: "coxswain" }), {
    mode: 0o600,
  });
  console.log(made.length === 0 ? "all certificates still fit" : `made: ${made.join(", ")}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
