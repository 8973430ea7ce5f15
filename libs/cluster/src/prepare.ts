// What must be on disk before the first process starts: folders, certificates, the NATS configuration, the kubeconfig.
// Idempotent: a second run keeps what still fits.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Env } from "@coxswain/env";
import {
  clusterCertificates,
  ensurePki,
  loadCertificate,
  makeKubeconfig,
  type ClusterPkiOptions,
  type NodePack,
} from "@coxswain/component-base/identity/index";
import { busPermissions, natsServerConfig, type BusIdentity } from "@coxswain/event-bus/nats/server-config";
import type { ClusterPaths, ClusterSpec } from "./cluster-spec.ts";
import { createPortChooser } from "./port-choice.ts";
import { nodeGroups, planSlots, slotKey, type ProcessPorts } from "./process-plan.ts";

/** "node-[1-5000]" as a pack of the identity library; undefined for a single node. */
export function packOf(group: string): NodePack | undefined {
  const match = /^(.*)\[(\d+)-(\d+)\]$/.exec(group);
  return match === null ? undefined : { prefix: match[1]!, first: Number(match[2]), last: Number(match[3]) };
}

/** Gives each process its ports: those it had last time, else the well-known ones, else free ones. */
export async function choosePorts(
  spec: ClusterSpec,
  file: string,
  avoidDefaults: boolean,
): Promise<ReadonlyMap<string, ProcessPorts>> {
  const previous = new Map<string, ProcessPorts>(Object.entries(readJson(file)));
  const choose = createPortChooser({ avoidDefaults: false });
  const ports = new Map<string, ProcessPorts>();
  for (const slot of planSlots(spec)) {
    const key = slotKey(slot.component, slot.instance);
    const wanted = previous.get(key) ?? (avoidDefaults ? { main: 0, grpc: 0 } : slot.wanted);
    ports.set(key, { main: await choose(wanted.main), grpc: slot.wanted.grpc === 0 ? 0 : await choose(wanted.grpc) });
  }
  writeFileSync(file, JSON.stringify(Object.fromEntries(ports)), { mode: 0o600 });
  return ports;
}

function readJson(file: string): Record<string, ProcessPorts> {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Record<string, ProcessPorts>;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new Error(`${file} is damaged; remove it to choose ports anew`, { cause: error });
  }
}

function pkiOptions(spec: ClusterSpec): ClusterPkiOptions {
  const groups = nodeGroups(spec.nodes);
  const packs = groups.map(packOf).filter((pack) => pack !== undefined);
  return { nodes: groups.filter((group) => packOf(group) === undefined), packs };
}

/** Who may speak to NATS: every identity of ours that is a client, with what it needs there. */
export function busIdentities(options: ClusterPkiOptions): BusIdentity[] {
  return clusterCertificates(options)
    .filter(({ usages }) => usages.includes("client"))
    .map(({ commonName, organizations }) => ({
      // RFC 2253 writes the most specific part first.
      subject: [`CN=${commonName}`, ...(organizations ?? []).map((name) => `O=${name}`)].join(","),
      permissions: busPermissions(commonName),
    }));
}

/** Makes the folders and certificates of a cluster. */
export async function prepareIdentity(env: Env, spec: ClusterSpec, paths: ClusterPaths): Promise<void> {
  for (const folder of [paths.dataDir, paths.logs, paths.etcd]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  await ensurePki(paths.pki, pkiOptions(spec), env);
}

/** Writes the files that depend on ports. */
export function writeConfigs(spec: ClusterSpec, paths: ClusterPaths, ports: ReadonlyMap<string, ProcessPorts>): void {
  const port = (component: string): number => ports.get(slotKey(component, "0"))?.main ?? 0;
  const pki = (file: string): string => path.join(paths.pki, file);
  const tls = { ca: pki("ca.crt"), cert: pki("nats.crt"), key: pki("nats.key") };
  writeFileSync(
    paths.natsConfig,
    natsServerConfig({ port: port("nats"), tls, identities: busIdentities(pkiOptions(spec)) }),
    {
      mode: 0o600,
    },
  );
  const { caPem, certPem, keyPem } = loadCertificate(paths.pki, "admin");
  const server = `https://127.0.0.1:${port("api-server")}`;
  writeFileSync(paths.kubeconfig, makeKubeconfig({ server, caPem, certPem, keyPem, name: `coxswain-${spec.name}` }), {
    mode: 0o600,
  });
}
