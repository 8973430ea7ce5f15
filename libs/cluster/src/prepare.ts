// What must be on disk before the first process starts: folders, certificates, the NATS configuration, the kubeconfig.
// Idempotent: a second run keeps what still fits.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Env } from "@coxswain/env";
import { makeKubeconfig } from "@coxswain/component-base/identity/kubeconfig";
import type { NodePack } from "@coxswain/component-base/identity/node-identity";
import {
  clusterCertificates,
  ensurePki,
  loadCertificate,
  type ClusterPkiOptions,
} from "@coxswain/component-base/identity/pki";
import { busPermissions, natsServerConfig, type BusIdentity } from "@coxswain/event-bus/nats/server-config";
import { createApiFront, type ApiFront } from "./api-front.ts";
import type { ClusterPaths, ClusterSpec } from "./cluster-spec.ts";
import { bindOnce, createPortChooser, type PortChooser } from "./port-choice.ts";
import { servingCertificate } from "./process-flags.ts";
import { nodeGroups, planSlots, slotKey, type ProcessPorts, type Slot } from "./process-slots.ts";
import { loopbackSite, type Site } from "./site.ts";

/** "node-[1-5000]" as a pack of the identity library; undefined for a single node. */
export function packOf(group: string): NodePack | undefined {
  const match = /^(.*)\[(\d+)-(\d+)\]$/.exec(group);
  return match === null ? undefined : { prefix: match[1]!, first: Number(match[2]), last: Number(match[3]) };
}

/** Where the file of ports keeps the one before several api-servers. */
const FRONT_KEY = slotKey("api-front", "0");

/** Listens before several api-servers: on the port of last time, else the api-server's own. Undefined where there is one. */
export async function openFront(
  spec: ClusterSpec,
  file: string,
  avoidDefaults: boolean,
): Promise<ApiFront | undefined> {
  if (spec.apiServers < 2) return undefined;
  const [api] = planSlots(spec).filter(({ component }) => component === "api-server");
  const wanted = readJson(file)[FRONT_KEY]?.main ?? (avoidDefaults ? 0 : (api?.wanted.main ?? 0));
  return createApiFront({ wanted, claims: spec.runtime === "containerd" });
}

/** Gives each process its ports: those it had last time, else the well-known ones, else free ones. */
export async function choosePorts(
  spec: ClusterSpec,
  file: string,
  avoidDefaults: boolean,
  choose: PortChooser = createPortChooser(),
  front?: Pick<ApiFront, "port">,
): Promise<ReadonlyMap<string, ProcessPorts>> {
  const previous = new Map<string, ProcessPorts>(Object.entries(readJson(file)));
  const ports = new Map<string, ProcessPorts>();
  if (front !== undefined) ports.set(FRONT_KEY, { main: front.port, grpc: 0 });
  for (const slot of planSlots(spec)) {
    const key = slotKey(slot.component, slot.instance);
    const hint = previous.get(key) ?? (avoidDefaults ? { main: 0, grpc: 0 } : slot.wanted);
    ports.set(key, {
      main: slot.wanted.main === 0 ? 0 : await choose(hint.main),
      grpc: slot.wanted.grpc === 0 ? 0 : await choose(hint.grpc),
    });
  }
  writeFileSync(file, JSON.stringify(Object.fromEntries(ports)), { mode: 0o600 });
  return ports;
}

/**
 * The ports with those of `which` processes chosen anew where somebody else has taken them meanwhile; on record like all. None is
 * given that another process of the cluster has on record, be it down just now.
 */
export async function renewPorts(
  spec: ClusterSpec,
  file: string,
  which: (slot: Slot) => boolean,
): Promise<ReadonlyMap<string, ProcessPorts>> {
  const ports = new Map<string, ProcessPorts>(Object.entries(readJson(file)));
  const others = new Set([...ports.values()].flatMap(({ main, grpc }) => [main, grpc]));
  const slots = planSlots(spec).filter(which);
  for (const slot of slots) {
    const had = ports.get(slotKey(slot.component, slot.instance));
    for (const port of [had?.main ?? 0, had?.grpc ?? 0]) others.delete(port);
  }
  const choose = createPortChooser(async (port) => (others.has(port) ? undefined : bindOnce(port)));
  for (const slot of slots) {
    const key = slotKey(slot.component, slot.instance);
    const had = ports.get(key);
    if (had === undefined) continue;
    ports.set(key, {
      main: had.main === 0 ? 0 : await choose(had.main),
      grpc: had.grpc === 0 ? 0 : await choose(had.grpc),
    });
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
  const groups = nodeGroups(spec);
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

/** Certificate → the addresses that its processes listen on. A certificate names its own processes and no others. */
function namesBySite(spec: ClusterSpec, site: Site): Record<string, string[]> {
  const names: Record<string, string[]> = {};
  for (const slot of planSlots(spec)) {
    if (slot.wanted.main === 0) continue;
    const { address } = site.endpoint(slot);
    if (address !== "127.0.0.1") (names[servingCertificate(slot)] ??= []).push(address);
  }
  return names;
}

/** What the parts need that all others wait for, and whoever asks whether they are ready. */
export const FIRST_CERTIFICATES = ["etcd", "nats", "api-server", "api-server-client", "admin"];

/**
 * Makes the folders and certificates of a cluster, or `only` those of these names; certificates hold the addresses of `site`,
 * where processes have some.
 */
export async function prepareIdentity(
  env: Env,
  spec: ClusterSpec,
  paths: ClusterPaths,
  site?: Site,
  only?: readonly string[],
): Promise<void> {
  const folders = [paths.dataDir, paths.logs, ...(spec.storage === "etcd" ? [paths.etcd] : [])];
  for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const namesOf = site === undefined ? {} : namesBySite(spec, site);
  await ensurePki(paths.pki, { ...pkiOptions(spec), namesOf, ...(only === undefined ? {} : { only }) }, env);
}

/** Writes the files that depend on ports. */
export function writeConfigs(
  spec: ClusterSpec,
  paths: ClusterPaths,
  ports: ReadonlyMap<string, ProcessPorts>,
  site: Site = loopbackSite(ports),
): void {
  const nats = planSlots(spec)
    .filter(({ component }) => component === "nats")
    .map((slot) => site.endpoint(slot))[0];
  const pki = (file: string): string => path.join(paths.pki, file);
  const tls = { ca: pki("ca.crt"), cert: pki("nats.crt"), key: pki("nats.key") };
  writeFileSync(
    paths.natsConfig,
    natsServerConfig({
      host: nats?.address,
      port: nats?.ports.main ?? 0,
      tls,
      identities: busIdentities(pkiOptions(spec)),
    }),
    {
      mode: 0o600,
    },
  );
  const { caPem, certPem, keyPem } = loadCertificate(paths.pki, "admin");
  const server = `https://127.0.0.1:${(ports.get(FRONT_KEY) ?? ports.get(slotKey("api-server", "0")))?.main ?? 0}`;
  if (spec.autoscale !== undefined)
    writeFileSync(paths.cloudConfig, `address: unix:${paths.nodeProvider}\n`, { mode: 0o600 });
  writeFileSync(paths.kubeconfig, makeKubeconfig({ server, caPem, certPem, keyPem, name: `coxswain-${spec.name}` }), {
    mode: 0o600,
  });
}
