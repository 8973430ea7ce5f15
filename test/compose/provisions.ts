// Everything that the compose suite needs on a Debian machine, from Debian's packages alone, kept in .tools/compose: a
// first run takes about a minute, a later one nothing.
import { existsSync } from "node:fs";
import path from "node:path";
import { aptForSuite, ensurePackageTree, ensureRepository } from "./debian-packages.ts";
import { ensureBase, type StandinSources } from "./standin-images.ts";

/** The release whose engine and compose 1.29 the suite uses, and the one that has compose v2. */
const RELEASE = "bookworm";
const NEXT_RELEASE = "trixie";

const ENGINE_PACKAGES = ["docker.io", "docker-compose", "mmdebstrap", "iptables", "iproute2"];

/** What the Dockerfile installs for nodes with real containers. */
const NODE_PACKAGES = [
  "busybox-static",
  "conntrack",
  "containerd",
  "containernetworking-plugins",
  "iproute2",
  "iptables",
  "nftables",
  "runc",
];

export interface Provisions {
  /** The engine, compose 1.29 and what they need, unpacked. */
  readonly packages: string;
  /** Compose v2's program, or why it is not to be had. */
  readonly composeV2: { readonly plugin: string } | { readonly missing: string };
  readonly sources: StandinSources;
}

/** Fetches what is missing. `folder` is .tools/compose of the repository. */
export async function provide(folder: string): Promise<Provisions> {
  const at = (name: string): string => path.join(folder, name);
  const packages = await ensurePackageTree(at("engine"), { packages: ENGINE_PACKAGES, withDependencies: true });
  const busybox = await ensurePackageTree(at("busybox"), { packages: ["busybox-static"], withDependencies: false });
  const base = at("base.tar");
  await ensureBase(base, packages, RELEASE);
  const wish = { packages: NODE_PACKAGES, base, release: RELEASE };
  const repository = await ensureRepository(at("repository"), wish);
  const next = await fromNextRelease(at("next"), at("apt"));
  if ("tree" in next) {
    const plugin = path.join(next.tree, "usr/libexec/docker/cli-plugins/docker-compose");
    return { packages, composeV2: { plugin }, sources: { base, servers: next.tree, busybox, repository } };
  }
  const servers = await ensurePackageTree(at("servers"), {
    packages: ["etcd-server", "etcd-client", "nats-server"],
    withDependencies: false,
  });
  return { packages, composeV2: next, sources: { base, servers, busybox, repository } };
}

/** etcd 3.5.16, nats-server 2.10 and compose v2: the next release has them, and its C library is not needed. */
async function fromNextRelease(folder: string, aptFolder: string): Promise<{ tree: string } | { missing: string }> {
  if (existsSync(folder)) return { tree: folder };
  try {
    const env = await aptForSuite(aptFolder, NEXT_RELEASE, RELEASE);
    const wanted = ["docker-compose", "etcd-server", "etcd-client", "nats-server"];
    return { tree: await ensurePackageTree(folder, { packages: wanted, withDependencies: false, env }) };
  } catch (error) {
    return { missing: `Debian ${NEXT_RELEASE}'s packages are not to be had: ${(error as Error).message}` };
  }
}
