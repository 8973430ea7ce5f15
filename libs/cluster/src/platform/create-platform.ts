// Makes what a plan says: namespaces pinned under /run/coxswain/<id>, a fabric, addresses, routes, each node's own root.
// Idempotent: the same plan again returns the same platform; another plan, or a half-made one, is removed and made anew.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { createRealEnv, type Env } from "@coxswain/env";
import { CONTAINERD_CONFIG, CONTAINERD_SOCKET, containerdConfig, type Snapshotter } from "./containerd-config.ts";
import { joinCgroup, makeTrackingCgroup } from "./cgroup-tree.ts";
import { joiningShell } from "./enter-member.ts";
import { RUN_LABEL } from "./inventory.ts";
import { fabricScript, memberScript, nodeScript, plugScript, quote, unplugScript } from "./member-scripts.ts";
import { FABRIC, type MemberPlan, type NodePlan, PlatformError, type PlatformPlan, runDir } from "./platform-plan.ts";
import { removeMember, removePlatform } from "./remove-platform.ts";

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

export interface Platform {
  readonly plan: PlatformPlan;
  /** The environment that processes in nodes need. */
  readonly nodeEnv: Readonly<Record<string, string>>;
  /** Append a program (an absolute path) and its arguments: it starts in the member's namespaces and cgroup, in the same pid. */
  enter(member: string): Command;
  /** The member's address on the fabric. Throws PlatformError for a name that the plan does not have. */
  address(member: string): string;
  /** Puts a process that was started otherwise into the member's cgroup. */
  adopt(pid: number, member: string): void;
  /** containerd of a node, in the foreground. Run it with `nodeEnv`. */
  containerdCommand(node: string): Command;
  /** containerd's socket of a node, for callers outside of it. */
  containerdSocket(node: string): string;
  /** How containerd of every node keeps layers. */
  snapshotter(): Snapshotter;
  /** Makes a node of the plan that is not there. Throws PlatformError with what a failing step said; nothing of it then stays. */
  addNode(node: string): Promise<void>;
  /** Ends all that runs on the node and removes it, its disk too; also a half-made one, any number of times. */
  removeNode(node: string): Promise<void>;
  /** Where a path of the node's own (/run/…, /var/…, /tmp/…, /etc/… as far as changed) is on the machine; other paths are the machine's. */
  pathOnHost(node: string, inside: string): string;
}

/**
 * Makes the platform of `plan`, or finds it made: with all nodes of the plan, or with those called `nodes`. Throws
 * PlatformError with what a failing step said.
 */
export async function createPlatform(
  plan: PlatformPlan,
  env: Env,
  nodes: readonly string[] = plan.nodes.map(({ name }) => name),
): Promise<Platform> {
  const marker = path.join(runDir(plan.id), "plan");
  const digest = digestOf(plan);
  const wanted = plan.nodes.filter(({ name }) => nodes.includes(name));
  if (!isMade(plan, wanted, marker, digest)) {
    await removePlatform(plan.id, plan.dataDir, env);
    try {
      await make(plan, wanted);
    } catch (error) {
      await removePlatform(plan.id, plan.dataDir, env);
      throw error;
    }
    writeFileSync(marker, digest);
  }
  return openPlatform(plan, env);
}

const digestOf = (plan: PlatformPlan): string => createHash("sha256").update(JSON.stringify(plan)).digest("hex");

/** After a reboot the folder may be there without its mounts: a pin counts only as a mounted one. */
function isMade(plan: PlatformPlan, nodes: readonly NodePlan[], marker: string, digest: string): boolean {
  if (!existsSync(marker) || readFileSync(marker, "utf8") !== digest) return false;
  return pins(plan, nodes).every(([kind, name]) => isPin(path.join(runDir(plan.id), kind, name)));
}

/** The kind and the member of every namespace that is to be pinned. */
function pins(plan: PlatformPlan, nodes: readonly NodePlan[]): [kind: string, name: string][] {
  return [
    ["net", FABRIC],
    ...plan.controlMembers.map(({ name }): [string, string] => ["net", name]),
    ...nodes.flatMap(({ name }) => NODE_NAMESPACES.map((kind): [string, string] => [kind, name])),
  ];
}

const NODE_NAMESPACES = ["net", "mount", "uts"];
const NSFS_MAGIC = 0x6e_73_66_73;

/** Whether a namespace is mounted on `file`. */
function isPin(file: string): boolean {
  return existsSync(file) && statfsSync(file).type === NSFS_MAGIC;
}

async function make(plan: PlatformPlan, wanted: readonly NodePlan[]): Promise<void> {
  const { ip, unshare } = plan.programs;
  const overlay = plan.nodes.length > 0 && (await overlayWorks(plan));
  prepareFolders(plan, wanted, overlay ? "overlayfs" : "native");
  const run = runDir(plan.id);
  const pin = (kind: string, name: string): string => `--${kind}=${run}/${kind}/${name}`;
  // A namespace can be pinned only on a mount that is private, and one lazy unmount takes all pins away.
  await shell(run, plan, `mount --bind ${quote(run)} ${quote(run)} && mount --make-private ${quote(run)}`);
  await shell(FABRIC, plan, fabricScript(ip), [unshare, pin("net", FABRIC)]);
  const control = plan.controlMembers.map((member) =>
    shell(member.name, plan, memberScript(ip, member), [unshare, pin("net", member.name)]),
  );
  const nodes = wanted.map((node) => makeNode(plan, node, overlay));
  const outcomes = await Promise.allSettled([...nodes, ...control]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  await plug(plan, [...plan.controlMembers, ...wanted]);
}

/** Namespaces of a node whose folders are prepared. */
function makeNode(plan: PlatformPlan, node: NodePlan, overlay: boolean): Promise<void> {
  const pinned = NODE_NAMESPACES.map((kind) => `--${kind}=${runDir(plan.id)}/${kind}/${node.name}`);
  const prefix = [plan.programs.unshare, ...pinned, "--propagation=slave"];
  return shell(node.name, plan, nodeScript(plan, node, overlay), prefix);
}

async function plug(plan: PlatformPlan, members: readonly MemberPlan[]): Promise<void> {
  if (members.length > 0) await inFabric(plan, plugScript(plan.programs.ip, members));
}

function inFabric(plan: PlatformPlan, script: string): Promise<void> {
  return shell(FABRIC, plan, script, [plan.programs.nsenter, `--net=${runDir(plan.id)}/net/${FABRIC}`]);
}

const snapshotterFile = ({ id }: PlatformPlan): string => path.join(runDir(id), "snapshotter");

/** The same for all nodes of a platform, those that are not there yet included. */
function snapshotterOf(plan: PlatformPlan): Snapshotter {
  return readFileSync(snapshotterFile(plan), "utf8") === "overlayfs" ? "overlayfs" : "native";
}

async function addNode(plan: PlatformPlan, node: NodePlan, env: Env): Promise<void> {
  await removeNode(plan, node, env);
  const snapshotter = snapshotterOf(plan);
  for (const kind of NODE_NAMESPACES) writeFileSync(path.join(runDir(plan.id), kind, node.name), "");
  makeTrackingCgroup(node.cgroup);
  prepareNode(plan, node, snapshotter);
  try {
    await makeNode(plan, node, snapshotter === "overlayfs");
    await plug(plan, [node]);
  } catch (error) {
    await removeNode(plan, node, env);
    throw error;
  }
}

async function removeNode(plan: PlatformPlan, node: NodePlan, env: Env): Promise<void> {
  const run = runDir(plan.id);
  const pinned = NODE_NAMESPACES.map((kind) => path.join(run, kind, node.name));
  await removeMember(node.podCgroupRoot, { pins: pinned, folders: [node.dir, node.run] }, env);
  // The kernel takes its time over a network namespace; the node's next life wants the name of its interface.
  const { ip } = plan.programs;
  await inFabric(plan, unplugScript(ip, node));
}

function prepareFolders(plan: PlatformPlan, nodes: readonly NodePlan[], snapshotter: Snapshotter): void {
  const run = runDir(plan.id);
  for (const folder of [...NODE_NAMESPACES, "host"]) mkdirSync(path.join(run, folder), { recursive: true });
  writeFileSync(path.join(run, "label"), process.env[RUN_LABEL] ?? "");
  writeFileSync(snapshotterFile(plan), snapshotter);
  for (const [kind, name] of pins(plan, nodes)) writeFileSync(path.join(run, kind, name), "");
  for (const member of [...plan.controlMembers, ...nodes]) makeTrackingCgroup(member.cgroup);
  for (const node of nodes) prepareNode(plan, node, snapshotter);
}

const ROOT_FOLDERS = ["proc", "sys", "dev", "etc", "run", "var", "tmp"];
const VAR_FOLDERS = ["lib/containerd", "lib/kubelet", "lib/cni", "log/pods", "log/containers", "tmp", "cache"];
const RUN_FOLDERS = ["containerd", "netns", "lock", "coxswain"];

function prepareNode(plan: PlatformPlan, node: NodePlan, snapshotter: Snapshotter): void {
  const make = (base: string, names: readonly string[]): void => {
    for (const name of names) mkdirSync(path.join(base, name), { recursive: true });
  };
  make(node.dir, ["etc/cni/net.d", "etc/containerd", "etc-work", ...ROOT_FOLDERS.map((name) => `root/${name}`)]);
  make(path.join(node.dir, "var"), VAR_FOLDERS);
  for (const shared of ["tmp", "var/tmp"]) {
    mkdirSync(path.join(node.dir, shared), { recursive: true });
    chmodSync(path.join(node.dir, shared), 0o1777);
  }
  make(node.run, RUN_FOLDERS);
  const files = { ...node.files, [CONTAINERD_CONFIG]: containerdConfig(plan.programs, snapshotter) };
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(node.dir, file), text);
}

/** Whether an overlay can have its changes on the data folder's file system: not where that is an overlay itself, as in many containers. */
async function overlayWorks(plan: PlatformPlan): Promise<boolean> {
  const probe = path.join(plan.dataDir, "overlay-probe");
  const script = `d=${quote(probe)}; mkdir -p "$d/l" "$d/u" "$d/w" "$d/m"
mount -t overlay overlay -o "lowerdir=$d/l,upperdir=$d/u,workdir=$d/w" "$d/m" && touch "$d/m/file" && echo yes
umount "$d/m"; rm -rf "$d"`;
  return new Promise((resolve) => {
    execFile(plan.programs.unshare, ["--mount", "/bin/sh", "-c", `(${script}) 2>/dev/null; true`], (error, stdout) =>
      resolve(error === null && stdout.includes("yes")),
    );
  });
}

/** Runs a script of root's for `what`, in the namespaces that `prefix` makes or enters. */
async function shell(what: string, plan: PlatformPlan, script: string, prefix: readonly string[] = []): Promise<void> {
  const [command, ...args] = [...prefix, "/bin/sh", "-c", script];
  await new Promise<void>((resolve, reject) => {
    execFile(command, args, { env: plan.programs.env }, (error, _out, said) => {
      if (error === null) resolve();
      else reject(new PlatformError(`${what}: ${said.trim() || error.message}`));
    });
  });
}

/** The platform of a plan that `createPlatform` has made, also by another process. */
export function openPlatform(plan: PlatformPlan, env: Env = createRealEnv()): Platform {
  const members = new Map<string, MemberPlan>(
    [...plan.controlMembers, ...plan.nodes].map((member) => [member.name, member]),
  );
  const nodes = new Map(plan.nodes.map((node) => [node.name, node]));
  const run = runDir(plan.id);
  const member = (name: string): MemberPlan => {
    const found = members.get(name);
    if (found === undefined) throw new PlatformError(`the cluster has no member ${name}`);
    return found;
  };
  const node = (name: string): NodePlan => {
    const found = nodes.get(name);
    if (found === undefined) throw new PlatformError(`the cluster has no node ${name}`);
    return found;
  };
  const enter = (name: string): Command => {
    const { cgroup } = member(name);
    const kinds = nodes.has(name) ? ["net", "mount", "uts"] : ["net"];
    const namespaces = kinds.map((kind) => `--${kind}=${run}/${kind}/${name}`);
    const { command, args } = joiningShell(cgroup);
    return { command, args: [...args, plan.programs.nsenter, ...namespaces, "--"] };
  };
  const pathOnHost = (name: string, inside: string): string => {
    if (plan.visible.some((folder) => inside === folder || inside.startsWith(`${folder}/`))) return inside;
    if (inside.startsWith("/run/coxswain/")) return path.join(run, "host", inside.slice("/run/coxswain/".length));
    if (inside.startsWith("/run/")) return path.join(node(name).run, inside.slice("/run/".length));
    return /^\/(var|tmp|etc)\//.test(inside) ? path.join(node(name).dir, inside) : inside;
  };
  return {
    plan,
    nodeEnv: { ...plan.programs.env, TMPDIR: "/var/tmp" },
    enter,
    address: (name) => member(name).address,
    adopt: (pid, name) => joinCgroup(member(name).cgroup, pid),
    containerdCommand: (name) => {
      const { command, args } = enter(node(name).name);
      return { command, args: [...args, plan.programs.containerd, "--config", CONTAINERD_CONFIG] };
    },
    containerdSocket: (name) => pathOnHost(name, CONTAINERD_SOCKET),
    snapshotter: () => snapshotterOf(plan),
    addNode: (name) => addNode(plan, node(name), env),
    removeNode: (name) => removeNode(plan, node(name), env),
    pathOnHost,
  };
}
