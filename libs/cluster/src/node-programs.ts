// The programs that containerd nodes run: found on the system, else unpacked from Debian's packages into the tools folder.
// Nothing is installed. Every path returned is absolute, and `env` is what a process in a node needs to run any of them.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import path from "node:path";
import { findProgram, MissingProgramError, missingDebianPackages, unpackDebianPackages } from "./external-programs.ts";
import { cgroupHierarchies } from "./platform/cgroup-tree.ts";

export interface NodePrograms {
  readonly containerd: string;
  readonly containerdShim: string;
  readonly ctr: string;
  readonly runc: string;
  /** The folder with the CNI plugins ptp, host-local, portmap and loopback. */
  readonly cniBinDir: string;
  readonly nft: string;
  readonly iptables: string;
  readonly conntrack: string;
  readonly ip: string;
  readonly nsenter: string;
  readonly unshare: string;
  readonly mount: string;
  /** A static busybox. */
  readonly busybox: string;
  /** Only where it was asked for (`egress`). */
  readonly slirp4netns: string | undefined;
  /** PATH, and where programs were unpacked LD_LIBRARY_PATH and XTABLES_LIBDIR. */
  readonly env: Readonly<Record<string, string>>;
}

const SYSTEM_PATH = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
const CNI_FOLDERS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
const CNI_PLUGINS = ["ptp", "host-local", "portmap", "loopback"];
const XTABLES_NAMES = ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save"];

/** Program → the Debian package that carries it. */
const PACKAGES: Readonly<Record<string, string>> = {
  containerd: "containerd",
  "containerd-shim-runc-v2": "containerd",
  ctr: "containerd",
  runc: "runc",
  nft: "nftables",
  iptables: "iptables",
  conntrack: "conntrack",
  ip: "iproute2",
  nsenter: "util-linux",
  unshare: "util-linux",
  mount: "mount",
  busybox: "busybox-static",
};

/**
 * Finds every program of a node, unpacking what is missing (with the shared libraries that it needs) on first use.
 * `options.egress` adds slirp4netns. Throws MissingProgramError, naming what to install, where that is impossible.
 */
export async function ensureNodePrograms(
  toolsDir: string,
  say: (line: string) => void,
  options: { readonly egress?: boolean } = {},
): Promise<NodePrograms> {
  const wanted = options.egress === true ? { ...PACKAGES, slirp4netns: "slirp4netns" } : PACKAGES;
  linkXtables(toolsDir);
  const packages = missingPackages(wanted, toolsDir);
  if (packages.length > 0) {
    const hint = `sudo apt-get install ${packages.join(" ")}`;
    if (!existsSync("/usr/bin/apt-get") || !existsSync("/usr/bin/dpkg-deb"))
      throw new MissingProgramError(`programs of a node are missing: install ${packages.join(", ")}`);
    say(`getting ${packages.join(", ")} from Debian's packages`);
    try {
      await unpackDebianPackages(await missingDebianPackages(packages), toolsDir);
    } catch (error) {
      throw new MissingProgramError(`programs of a node are missing: ${hint}`, { cause: error });
    }
    linkXtables(toolsDir);
    const still = missingPackages(wanted, toolsDir);
    if (still.length > 0) throw new MissingProgramError(`programs of a node are missing: ${hint}`);
  }
  return located(toolsDir, options.egress === true);
}

function missingPackages(wanted: Readonly<Record<string, string>>, toolsDir: string): string[] {
  const missing = Object.entries(wanted).filter(([program]) => find(program, toolsDir) === undefined);
  const packages = missing.map(([, name]) => name);
  if (findCniBinDir(toolsDir) === undefined) packages.push("containernetworking-plugins");
  return [...new Set(packages)];
}

function find(program: string, toolsDir: string): string | undefined {
  const linked = path.join(toolsDir, "node-bin", program);
  // A system's busybox may be a dynamic one, which no image could carry: the unpacked one comes first.
  const unpackedBusybox = path.join(toolsDir, "debian", "bin", "busybox");
  if (program === "busybox" && existsSync(unpackedBusybox)) return unpackedBusybox;
  return findProgram(program, toolsDir) ?? (existsSync(linked) ? linked : undefined);
}

function findCniBinDir(toolsDir: string): string | undefined {
  return [...CNI_FOLDERS, path.join(toolsDir, "debian/usr/lib/cni")].find((folder) =>
    CNI_PLUGINS.every((plugin) => existsSync(path.join(folder, plugin))),
  );
}

/** The package's iptables is one program under many names, which its installation would have made. */
function linkXtables(toolsDir: string): void {
  const program = path.join(toolsDir, "debian/usr/sbin/xtables-nft-multi");
  const folder = path.join(toolsDir, "node-bin");
  if (!existsSync(program)) return;
  mkdirSync(folder, { recursive: true });
  for (const name of XTABLES_NAMES) {
    const link = path.join(folder, name);
    if (existsSync(link)) continue;
    // Made beside and moved: two first uses at once must not trip over each other.
    const beside = `${link}-${process.pid}`;
    rmSync(beside, { force: true });
    symlinkSync(program, beside);
    renameSync(beside, link);
  }
}

function located(toolsDir: string, egress: boolean): NodePrograms {
  const must = (program: string): string => {
    const file = find(program, toolsDir);
    if (file === undefined) throw new MissingProgramError(`${program} is missing`);
    return path.resolve(file);
  };
  const cniBinDir = findCniBinDir(toolsDir);
  if (cniBinDir === undefined) throw new MissingProgramError("the CNI plugins are missing");
  return {
    containerd: must("containerd"),
    containerdShim: must("containerd-shim-runc-v2"),
    ctr: must("ctr"),
    runc: must("runc"),
    cniBinDir: path.resolve(cniBinDir),
    nft: must("nft"),
    iptables: must("iptables"),
    conntrack: must("conntrack"),
    ip: must("ip"),
    nsenter: must("nsenter"),
    unshare: must("unshare"),
    mount: must("mount"),
    busybox: must("busybox"),
    slirp4netns: egress ? must("slirp4netns") : undefined,
    env: nodeEnvironment(path.resolve(toolsDir)),
  };
}

/**
 * What a process in a node needs in its environment to run the programs of `toolsDir` (absolute) and the system's.
 * Names only folders that exist: which ones packages fill depends on what the system had before, and a node mounts them.
 */
export function nodeEnvironment(toolsDir: string): Record<string, string> {
  const debian = path.join(toolsDir, "debian");
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const existing = (...folders: string[]): string[] => folders.filter((folder) => existsSync(folder));
  const programs = existing(
    path.join(toolsDir, "node-bin"),
    path.join(debian, "usr/sbin"),
    path.join(debian, "usr/bin"),
  );
  const libraries = existing(path.join(debian, "usr/lib", triplet), path.join(debian, "lib", triplet));
  const extensions = path.join(debian, "usr/lib", triplet, "xtables");
  return {
    // The system's own programs come first: unpacked ones only fill gaps.
    PATH: [...SYSTEM_PATH, ...programs].join(":"),
    ...(libraries.length > 0 ? { LD_LIBRARY_PATH: libraries.join(":") } : {}),
    ...(existsSync(extensions) ? { XTABLES_LIBDIR: extensions } : {}),
  };
}

/** Why this machine cannot run nodes with real containers, in a few words for people; undefined where it can. */
export function nodeRuntimeMissing(toolsDir: string): string | undefined {
  if (process.platform !== "linux") return "needs Linux";
  if (process.getuid?.() !== 0) return "needs root";
  if (cgroupHierarchies(readFileSync("/proc/self/mountinfo", "utf8")).length === 0)
    return "needs a mounted cgroup file system";
  for (const program of ["unshare", "nsenter", "mount", "ip"])
    if (find(program, toolsDir) === undefined) return `needs ${program} (package ${PACKAGES[program]})`;
  const packages = missingPackages(PACKAGES, toolsDir);
  if (packages.length > 0 && !existsSync("/usr/bin/apt-get")) return `needs ${packages.join(", ")}`;
  const unshare = find("unshare", toolsDir) ?? "unshare";
  const script = "mount --make-rprivate / && mount -t tmpfs none /tmp && ip link add a0 type veth peer name b0";
  const tried = spawnSync(unshare, ["--net", "--mount", "--uts", "/bin/sh", "-c", script], { encoding: "utf8" });
  if (tried.status !== 0)
    return `needs to make namespaces, mounts and interfaces (${tried.stderr.trim().split("\n")[0]})`;
  return undefined;
}
