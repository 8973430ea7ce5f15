// Counts everything on this machine that belongs to clusters, so that a check can compare before and after.
// It only looks: nothing is changed. On machines without /proc it finds processes of clusters nowhere and says nothing.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import type { NodePrograms } from "../node-programs.ts";
import { cgroupTree, hierarchies } from "./cgroup-tree.ts";
import { FABRIC_CIDR, POD_CIDR, SERVICE_CIDR } from "./platform-plan.ts";
import { networkOf, pinnedNetworks } from "./remove-platform.ts";

const RUN = "/run/coxswain";
/** Marks what a cluster makes as somebody's: a leak check then tells its own clusters from those that run beside it. */
export const RUN_LABEL = "COXSWAIN_RUN_LABEL";

export type ResourceKind = "mount" | "process" | "interface" | "address" | "route" | "rule" | "cgroup" | "file";

export interface Resource {
  readonly kind: ResourceKind;
  /** What it is, in one line; the same thing always has the same line. */
  readonly name: string;
  /** The label of the cluster that it belongs to; undefined where it belongs to none that says so. */
  readonly label: string | undefined;
}

export interface Inventory {
  readonly resources: readonly Resource[];
}

/** All that clusters have on this machine now. With `programs` also the packet rules of the root namespace. */
export function inventory(programs?: NodePrograms): Inventory {
  if (process.platform !== "linux") return { resources: [] };
  const ids = existsSync(RUN) ? readdirSync(RUN) : [];
  const labels = new Map(ids.map((id) => [id, labelOf(id)]));
  const own = (kind: ResourceKind, name: string, id: string): Resource => ({ kind, name, label: labels.get(id) });
  const root = (kind: ResourceKind, name: string): Resource => ({ kind, name, label: undefined });
  return {
    resources: [
      ...ids.map((id) => own("file", `${RUN}/${id}`, id)),
      ...mounts().map((point) => own("mount", point, point.split("/")[3] ?? "")),
      ...cgroups().map(({ folder, id }) => own("cgroup", folder, id)),
      ...clusterProcesses(ids).map(({ name, id }) => own("process", name, id)),
      ...labelledProcesses(),
      ...interfaces().map((name) => root("interface", name)),
      ...clusterRoutes().map(({ kind, name }) => root(kind, name)),
      ...(programs === undefined ? [] : packetRules(programs).map((name) => root("rule", name))),
    ],
  };
}

/** What is there after and was not before: one line each. Clusters with another label than `label` are somebody else's. */
export function diffInventory(before: Inventory, after: Inventory, label?: string): string[] {
  const line = ({ kind, name }: Resource): string => `${kind} ${name}`;
  const known = new Set(before.resources.map(line));
  const foreign = (resource: Resource): boolean =>
    label !== undefined && resource.label !== undefined && resource.label !== label;
  return [...new Set(after.resources.filter((resource) => !foreign(resource)).map(line))]
    .filter((name) => !known.has(name))
    .toSorted();
}

function labelOf(id: string): string | undefined {
  const text = readGone(path.join(RUN, id, "label"));
  return text === undefined || text === "" ? undefined : text;
}

/** A file's text; undefined where it is gone, as processes and clusters go while they are looked at. */
function readGone(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH", "EACCES", "ENODEV", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return undefined;
    throw error;
  }
}

/** Mount points of clusters: pins, and whatever of a node's folders came to be mounted in the root mount namespace. */
function mounts(): string[] {
  return (readGone("/proc/self/mountinfo") ?? "")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${RUN}/`) || /\/nodes\/node-\d+(\/|$)/.test(point));
}

function cgroups(): { folder: string; id: string }[] {
  return hierarchies().flatMap(({ mountPoint }) =>
    readdirSync(mountPoint)
      .filter((name) => name.startsWith("coxswain-"))
      .flatMap((name) =>
        cgroupTree(path.join(mountPoint, name)).map((folder) => ({ folder, id: name.slice("coxswain-".length) })),
      ),
  );
}

const pids = (): number[] =>
  readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0);

const processName = (pid: number): string => `${pid} ${(readGone(`/proc/${pid}/comm`) ?? "").trim()}`;

/** Processes in a cgroup or a network namespace of a cluster. */
function clusterProcesses(ids: readonly string[]): { name: string; id: string }[] {
  const owners = new Map(ids.flatMap((id) => [...pinnedNetworks(path.join(RUN, id))].map((inode) => [inode, id])));
  return pids().flatMap((pid) => {
    const inCgroup = /:\/coxswain-([^/\n]+)/.exec(readGone(`/proc/${pid}/cgroup`) ?? "")?.[1];
    const id = inCgroup ?? owners.get(networkOf(pid) ?? "");
    return id === undefined ? [] : [{ name: processName(pid), id }];
  });
}

/** Processes that were started under a label, wherever they are: also those of simulated clusters. */
function labelledProcesses(): Resource[] {
  return pids().flatMap((pid): Resource[] => {
    const entry = readGone(`/proc/${pid}/environ`)
      ?.split("\0")
      .find((variable) => variable.startsWith(`${RUN_LABEL}=`));
    return entry === undefined
      ? []
      : [{ kind: "process", name: processName(pid), label: entry.slice(RUN_LABEL.length + 1) }];
  });
}

interface Counter {
  readonly name: string;
  readonly sent: number;
}

/** The interfaces of this process's network namespace. /sys would show those of whoever mounted it. */
function counters(): Counter[] {
  return (readGone("/proc/self/net/dev") ?? "").split("\n").flatMap((line) => {
    const [name, numbers] = line.split(":");
    if (name === undefined || numbers === undefined) return [];
    return [{ name: name.trim(), sent: Number(numbers.trim().split(/\s+/)[9]) }];
  });
}

const interfaces = (): string[] => counters().map(({ name }) => name);

/**
 * Packets sent so far on every interface of the root network namespace but lo, whoever sent them. The difference of two
 * readings is an upper bound of what clusters let out, and exact where nothing else talks: tools/quiet-network.ts makes
 * such a place, in which the only way out is an interface that nobody but a leak would use.
 */
export function foreignPackets(): number {
  return counters()
    .filter(({ name }) => name !== "lo")
    .reduce((sum, { sent }) => sum + sent, 0);
}

/** Addresses and routes of the root namespace that lie in a cluster's ranges. There must be none at any time. */
function clusterRoutes(): { kind: "address" | "route"; name: string }[] {
  const of = (kind: "address" | "route", args: readonly string[]): { kind: "address" | "route"; name: string }[] =>
    execFileSync("ip", args, { encoding: "utf8" })
      .split("\n")
      .filter((line) => CLUSTER_RANGES.test(line))
      .map((line) => ({ kind, name: line.trim().replaceAll(/\s+/g, " ") }));
  return [
    ...of("address", ["-4", "-oneline", "address", "show"]),
    ...of("route", ["-4", "route", "show", "table", "all"]),
  ];
}

const CLUSTER_RANGES = new RegExp(
  String.raw`\b(${[FABRIC_CIDR, POD_CIDR, SERVICE_CIDR]
    .map((cidr) =>
      cidr
        .split(".")
        .slice(0, 2)
        .join(String.raw`\.`),
    )
    .join("|")}|198\.19)\.\d`,
);

/** Every line of the root namespace's packet rules, without its counters. */
function packetRules(programs: NodePrograms): string[] {
  const text = execFileSync(programs.nft, ["--stateless", "list", "ruleset"], {
    encoding: "utf8",
    env: programs.env,
    maxBuffer: 256 << 20,
  });
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && line !== "}");
}
