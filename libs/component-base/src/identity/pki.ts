// All certificates of a cluster, in one directory. ensurePki is idempotent: what is there, fits and lives long enough stays,
// the rest is made; files are 0600 and appear whole or not at all.
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  createCa,
  issueCertificate,
  remainingMs,
  type CertificateRequest,
  type IdentityDeps,
  type KeyPairPem,
} from "./certificates.ts";
import { NODE_PACKS_GROUP, NODES_GROUP, nodePackUsername, nodeUsername, type NodePack } from "./node-identity.ts";

export interface ClusterPkiOptions {
  /** A certificate each: `kubelet-<node>`. */
  readonly nodes?: readonly string[];
  /** A certificate each: `kubelet-pack-<prefix><first>-<last>`. */
  readonly packs?: readonly NodePack[];
  /** Further names and addresses under which the api-servers are reached. */
  readonly apiServerNames?: readonly string[];
  /** Further names and addresses of all other servers, etcd and NATS included. */
  readonly serverNames?: readonly string[];
  /** Name of a certificate → further names and addresses of that one alone. */
  readonly namesOf?: Readonly<Record<string, readonly string[]>>;
  /** Life of the certificates under the CA; 365 where unset. */
  readonly days?: number;
  /** Names of the certificates to make now; all where unset. */
  readonly only?: readonly string[];
}

export interface NamedCertificate extends CertificateRequest {
  /** File name without extension. */
  readonly name: string;
}

/** Paths of one certificate, its key, and the CA that verifies its peers. */
export interface CertificateFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Renewed when less than this part of its life is left. */
const RENEW_BEFORE_MS = 30 * 86_400_000;
const CA_RENEW_BEFORE_MS = 400 * 86_400_000;
const LOOPBACK = { dnsNames: ["localhost"], ips: ["127.0.0.1", "::1"] };
const MASTERS = ["system:masters"];

function addNames(base: { dnsNames: string[]; ips: string[] }, extra: readonly string[]): typeof base {
  const isIp = (name: string): boolean => /^[\d.]+$/.test(name) || name.includes(":");
  return {
    dnsNames: [...new Set([...base.dnsNames, ...extra.filter((name) => !isIp(name))])],
    ips: [...new Set([...base.ips, ...extra.filter(isIp)])],
  };
}

function componentCertificates(options: ClusterPkiOptions, days: number): NamedCertificate[] {
  const extra = options.serverNames ?? [];
  const both = ["client", "server"] as const;
  const serving = (...names: string[]): { dnsNames: string[]; ips: string[] } =>
    addNames(LOOPBACK, [...names, ...extra]);
  return [
    { name: "scheduler", commonName: "system:kube-scheduler", usages: both, days, ...serving("scheduler") },
    {
      name: "controller-manager",
      commonName: "system:kube-controller-manager",
      usages: both,
      days,
      ...serving("controller-manager"),
    },
    { name: "kube-proxy", commonName: "system:kube-proxy", usages: both, days, ...serving("kube-proxy") },
    { name: "cluster-dns", commonName: "system:cluster-dns", usages: both, days, ...serving("cluster-dns") },
    {
      name: "metrics-server",
      commonName: "system:metrics-server",
      usages: both,
      days,
      // api-servers ask for it by the name of its Service.
      ...serving("metrics-server", "metrics-server.kube-system.svc"),
    },
    {
      name: "cluster-autoscaler",
      commonName: "system:cluster-autoscaler",
      usages: both,
      days,
      ...serving("cluster-autoscaler"),
    },
    // Nobody's client: it carries bytes that it cannot read.
    { name: "gateway", commonName: "system:gateway", usages: ["server"], days, ...serving("gateway") },
    { name: "etcd", commonName: "etcd", usages: both, days, ...serving("etcd") },
    { name: "nats", commonName: "nats", usages: both, days, ...serving("nats") },
  ];
}

function nodeCertificates(options: ClusterPkiOptions, days: number): NamedCertificate[] {
  const usages = ["client", "server"] as const;
  const extra = options.serverNames ?? [];
  const nodes = (options.nodes ?? []).map((node) => ({
    name: `kubelet-${node}`,
    commonName: nodeUsername(node),
    organizations: [NODES_GROUP],
    usages,
    days,
    ...addNames(LOOPBACK, [node, ...extra]),
  }));
  const packs = (options.packs ?? []).map((pack) => ({
    name: `kubelet-pack-${pack.prefix}${pack.first}-${pack.last}`,
    commonName: nodePackUsername(pack),
    organizations: [NODE_PACKS_GROUP],
    usages,
    days,
    ...addNames(LOOPBACK, ["kubelet", ...extra]),
  }));
  return [...nodes, ...packs];
}

/** Which certificates a cluster has. Pure. */
export function clusterCertificates(options: ClusterPkiOptions): NamedCertificate[] {
  const days = options.days ?? 365;
  const apiServer = addNames(
    {
      dnsNames: [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "api-server",
        "localhost",
      ],
      ips: ["127.0.0.1", "::1", "10.96.0.1"],
    },
    options.apiServerNames ?? [],
  );
  const all: NamedCertificate[] = [
    { name: "api-server", commonName: "kube-apiserver", usages: ["server"], days, ...apiServer },
    {
      name: "api-server-client",
      commonName: "system:apiserver",
      organizations: MASTERS,
      usages: ["client"],
      days,
    },
    { name: "admin", commonName: "kubernetes-admin", organizations: MASTERS, usages: ["client"], days },
    ...componentCertificates(options, days),
    ...nodeCertificates(options, days),
  ];
  return all.map((one) => {
    const extra = options.namesOf?.[one.name];
    if (extra === undefined) return one;
    return { ...one, ...addNames({ dnsNames: [...(one.dnsNames ?? [])], ips: [...(one.ips ?? [])] }, extra) };
  });
}

function writeWhole(path: string, text: string): void {
  const draft = `${path}.tmp`;
  writeFileSync(draft, text, { mode: 0o600 });
  chmodSync(draft, 0o600);
  renameSync(draft, path);
}

function readPair(dir: string, name: string): KeyPairPem | undefined {
  const certFile = join(dir, `${name}.crt`);
  const keyFile = join(dir, `${name}.key`);
  if (!existsSync(certFile) || !existsSync(keyFile)) return undefined;
  return { certPem: readFileSync(certFile, "utf8"), keyPem: readFileSync(keyFile, "utf8") };
}

function writePair(dir: string, name: string, pair: KeyPairPem): void {
  writeWhole(join(dir, `${name}.key`), pair.keyPem);
  writeWhole(join(dir, `${name}.crt`), pair.certPem);
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}

/** Does a certificate on disk still serve: ours, right key, right names, not near its end? */
function stillFits(pair: KeyPairPem, wanted: NamedCertificate, ca: KeyPairPem, deps: IdentityDeps): boolean {
  const certificate = new X509Certificate(pair.certPem);
  const issuer = new X509Certificate(ca.certPem);
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return false;
  if (!certificate.checkPrivateKey(createPrivateKey(pair.keyPem))) return false;
  if (remainingMs(pair.certPem, deps.clock) < Math.min(RENEW_BEFORE_MS, (wanted.days * 86_400_000) / 3)) return false;
  const subject = [...(wanted.organizations ?? []).map((name) => `O=${name}`), `CN=${wanted.commonName}`];
  if (!sameSet(certificate.subject.split("\n"), subject)) return false;
  const hosts = [...(wanted.dnsNames ?? []), ...(wanted.ips ?? [])];
  const matches = (host: string): boolean =>
    (wanted.ips ?? []).includes(host)
      ? certificate.checkIP(host) !== undefined
      : certificate.checkHost(host) !== undefined;
  const count = certificate.subjectAltName?.split(", ").length ?? 0;
  return count === hosts.length && hosts.every(matches);
}

/** An EC P-256 key pair for service-account tokens, PEM. */
export function createServiceAccountKey(): { keyPem: string; publicPem: string } {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    keyPem: pair.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicPem: pair.publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

export interface PkiResult {
  /** Names of certificates that were made now; "ca" and "sa" among them where new. */
  readonly made: readonly string[];
}

/** Makes what is missing, does not fit or ends soon. With a new CA, everything is new. Existing nodes' files stay. */
export async function ensurePki(dir: string, options: ClusterPkiOptions, deps: IdentityDeps): Promise<PkiResult> {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  let ca = readPair(dir, "ca");
  if (ca === undefined || remainingMs(ca.certPem, deps.clock) < CA_RENEW_BEFORE_MS) {
    ca = await createCa(deps);
    writePair(dir, "ca", ca);
    made.push("ca");
  }
  if (!existsSync(join(dir, "sa.key")) || !existsSync(join(dir, "sa.pub"))) {
    const key = createServiceAccountKey();
    writeWhole(join(dir, "sa.key"), key.keyPem);
    writeWhole(join(dir, "sa.pub"), key.publicPem);
    made.push("sa");
  }
  for (const wanted of clusterCertificates(options)) {
    if (options.only?.includes(wanted.name) === false) continue;
    const present = readPair(dir, wanted.name);
    if (present !== undefined && stillFits(present, wanted, ca, deps)) continue;
    writePair(dir, wanted.name, await issueCertificate(ca, wanted, deps));
    made.push(wanted.name);
  }
  return { made };
}

/** Paths of a certificate by its name; they need not exist. */
export function certificateFiles(dir: string, name: string): CertificateFiles {
  return { caFile: join(dir, "ca.crt"), certFile: join(dir, `${name}.crt`), keyFile: join(dir, `${name}.key`) };
}

/** Reads one certificate with the CA. Throws where a file is missing. */
export function loadCertificate(dir: string, name: string): KeyPairPem & { readonly caPem: string } {
  const pair = readPair(dir, name);
  if (pair === undefined) throw new Error(`no certificate ${name} in ${dir}`);
  return { ...pair, caPem: readFileSync(join(dir, "ca.crt"), "utf8") };
}
