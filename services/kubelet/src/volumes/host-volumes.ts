// Volumes on the disk of a real node: a PodVolumes that works in the mount namespace of the containers' runtime.
// Guarantees besides the contract's: one thing at a time for each pod; what an earlier process made is found and used.
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Container, Pod } from "@coxswain/api";
import { parseBytes } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { ContainerMount } from "../cri/contract.ts";
import { podHostNames } from "../pods/pod-hostname.ts";
import type { ObjectCache } from "../pods/object-cache.ts";
import { writeAtomically } from "./atomic-writer.ts";
import { claimedVolumes, diskOf, type DiskPlan, type Failed } from "./claimed-volumes.ts";
import { volumeMounts, volumePath, type MadePlan } from "./container-mounts.ts";
import { MountError, VolumeError, type EndedLife, type MountFacts, type PodVolumes } from "./contract.ts";
import { diskUsage } from "./disk-usage.ts";
import { prepareHostPath } from "./host-path.ts";
import { nodeHosts, podHosts } from "./hosts-file.ts";
import { makeNodeDisk, nodeDiskFolder } from "./node-disk.ts";
import type { Mounter } from "./mounter.ts";
import { belongsTo, giveToGroup } from "./ownership.ts";
import { planVolumes, type FilesPlan, type TmpfsPlan, type VolumePlan } from "./plan-volumes.ts";
import { EMPTY_DIR, LOCAL_VOLUME, podFolder, podsFolder, type PodFolder } from "./pod-folder.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";
import { readTerminationMessage } from "./termination-message.ts";
import { readContents, type Contents } from "./volume-contents.ts";
import { readVolumeFile } from "./volume-file.ts";
import { isMissing, namesIn } from "./missing-files.ts";

/** How often what may change is looked at; upstream's interval of syncs. */
const LOOK_AGAIN_MS = 60_000;
const LOOK_AGAIN_SPREAD_MS = 15_000;

export interface HostVolumesDeps {
  readonly env: Env;
  readonly logger: Logger;
  /** "/var/lib/kubelet" */
  readonly rootDir: string;
  readonly objects: ObjectCache;
  readonly tokens: ServiceAccountTokens;
  readonly mounter: Mounter;
  /** The node's allocatable resources. */
  readonly allocatable: Readonly<Record<string, string>>;
  /** "cluster.local" */
  readonly clusterDomain: string;
  /** The node's own hosts file, for pods on its network; "/etc/hosts" where unset. */
  readonly nodeHostsFile?: string;
  /** Gives up what was made to mount images in a pod, once nothing of it is mounted any more; idempotent. */
  readonly releaseImages?: (uid: string) => Promise<void>;
}

export function createHostVolumes(deps: HostVolumesDeps): PodVolumes {
  return new HostVolumes(deps);
}

class HostVolumes implements PodVolumes {
  readonly #deps: HostVolumesDeps;
  /** What is under way for each pod. */
  readonly #busy = new Map<string, Promise<unknown>>();
  /** What the claims of each pod stand for: that does not change while the pod lives. */
  readonly #disks = new Map<string, ReadonlyMap<string, DiskPlan>>();

  constructor(deps: HostVolumesDeps) {
    this.#deps = deps;
  }

  setUp(pod: Pod): Promise<void> {
    return this.#alone(uidOf(pod), async () => {
      const folder = this.#folder(pod);
      const isNew = (await mkdir(folder.root, { recursive: true, mode: 0o750 })) !== undefined;
      if (isNew) this.#deps.objects.renew(pod);
      const mounted = new Set(await this.#deps.mounter.mountsBelow(folder.root));
      const { plans, failed } = await this.#made(pod);
      await forEachVolume(plans, (plan) => this.#setUpVolume(pod, plan, mounted), failed);
    });
  }

  refresh(pod: Pod): Promise<number | undefined> {
    return this.#alone(uidOf(pod), async () => {
      const nowMs = this.#deps.env.clock.now();
      let nextMs: number | undefined;
      const files = this.#plans(pod).filter((plan) => plan.kind === "files");
      await forEachVolume(files, async (plan) => {
        const contents = await this.#contents(pod, plan);
        await this.#write(pod, plan, contents);
        for (const ms of this.#waits(contents, nowMs)) nextMs = Math.min(nextMs ?? ms, ms);
      });
      return nextMs;
    });
  }

  mounts(pod: Pod, container: Container, facts: MountFacts): Promise<ContainerMount[]> {
    return this.#alone(uidOf(pod), async () => {
      const folder = this.#folder(pod);
      const { mounter } = this.#deps;
      const { plans, failed } = await this.#made(pod);
      const [problem] = failed.filter(({ name }) => container.volumeMounts?.some((one) => one.name === name));
      if (problem !== undefined) throw new MountError(problem.message);
      await this.#setUpLate(pod, container, plans);
      const { env, images } = facts;
      const mounts = await volumeMounts({ container, plans, folder, env, images, mounter });
      const taken = new Set(mounts.map((one) => one.containerPath));
      if (!taken.has("/etc/hosts")) {
        await this.#writeHosts(pod, folder, facts.podIp);
        mounts.push(ownFile(folder.etcHosts, "/etc/hosts"));
      }
      const messages = container.terminationMessagePath ?? "";
      if (messages !== "") {
        const file = folder.terminationLog(container.name, facts.attempt);
        await mkdir(dirname(file), { recursive: true, mode: 0o750 });
        await writeFile(file, "");
        // Whoever the container runs as may write.
        await chmod(file, 0o666);
        mounts.push(ownFile(file, messages));
      }
      return mounts;
    });
  }

  async readFile(pod: Pod, volume: string, path: string): Promise<Buffer | undefined> {
    const plan = this.#plans(pod).find(({ name }) => name === volume);
    const dir = plan?.kind === "emptyDir" ? volumePath(plan, this.#folder(pod)) : undefined;
    if (dir === undefined) throw new MountError(`cannot find the volume "${volume}" referenced by FileKeyRef`);
    return readVolumeFile(dir, path);
  }

  async excess(pod: Pod): Promise<string | undefined> {
    const folder = this.#folder(pod);
    for (const plan of this.#plans(pod)) {
      // The kernel bounds what is in memory.
      if (plan.kind !== "emptyDir" || plan.tmpfs !== undefined || plan.sizeLimit === undefined) continue;
      const limit = parseBytes(plan.sizeLimit);
      if ((await diskUsage(folder.volume(EMPTY_DIR, plan.name), limit)) <= limit) continue;
      return `Usage of EmptyDir volume "${plan.name}" exceeds the limit "${plan.sizeLimit}". `;
    }
    return undefined;
  }

  async usage(pod: Pod): Promise<number> {
    const folder = this.#folder(pod);
    let bytes = 0;
    for (const plan of this.#plans(pod)) {
      // What is in memory takes nothing of the disk, and counts as memory.
      const plugin = plan.kind === "emptyDir" ? EMPTY_DIR : plan.kind === "files" ? plan.plugin : undefined;
      if (plugin === undefined || ("tmpfs" in plan && plan.tmpfs)) continue;
      bytes += await diskUsage(folder.volume(plugin, plan.name));
    }
    return bytes;
  }

  async terminationMessage(pod: Pod, container: Container, life: EndedLife): Promise<string | undefined> {
    return readTerminationMessage(this.#folder(pod).terminationLog(container.name, life.attempt), container, life);
  }

  async forgetLife(pod: Pod, container: Container, attempt: number): Promise<void> {
    await rm(this.#folder(pod).terminationLog(container.name, attempt), { force: true });
  }

  tearDown(uid: string): Promise<void> {
    return this.#alone(uid, async () => {
      const { mounter, rootDir, tokens, releaseImages } = this.#deps;
      tokens.forget(uid);
      this.#disks.delete(uid);
      const { root } = podFolder(rootDir, uid);
      await mounter.unmount(await mounter.mountsBelow(root));
      const left = await mounter.mountsBelow(root);
      // What is mounted here belongs to others: it is never deleted through.
      if (left.length > 0) throw new Error(`still mounted: ${left.join(", ")}`);
      // Before the folder, which says what there is to give up.
      await releaseImages?.(uid);
      await rm(root, { recursive: true, force: true });
    });
  }

  async known(): Promise<string[]> {
    return (await namesIn(podsFolder(this.#deps.rootDir))).toSorted();
  }

  #folder(pod: Pod): PodFolder {
    return podFolder(this.#deps.rootDir, uidOf(pod));
  }

  #plans(pod: Pod): VolumePlan[] {
    return planVolumes(pod, parseBytes(this.#deps.allocatable["memory"] ?? "0"));
  }

  /** With each claim followed to its volume; those that lead nowhere are in `failed`. */
  async #made(pod: Pod): Promise<{ plans: MadePlan[]; failed: Failed[] }> {
    const plans = this.#plans(pod);
    if (!plans.some(({ kind }) => kind === "claim")) return { plans, failed: [] };
    const known = this.#disks.get(uidOf(pod)) ?? new Map<string, DiskPlan>();
    const open = plans.some(({ kind, name }) => kind === "claim" && !known.has(name));
    const { disks, failed } = open ? await this.#followClaims(pod) : { disks: known, failed: [] };
    this.#disks.set(uidOf(pod), disks);
    const made = plans.flatMap((plan) => (plan.kind === "claim" ? (disks.get(plan.name) ?? []) : plan));
    return { plans: made, failed };
  }

  async #followClaims(pod: Pod): Promise<{ disks: Map<string, DiskPlan>; failed: Failed[] }> {
    const { objects, rootDir } = this.#deps;
    const disks = new Map<string, DiskPlan>();
    const failed: Failed[] = [];
    for (const one of await claimedVolumes(pod, objects)) {
      const disk = "kind" in one ? one : await diskOf(one, pod, objects);
      if (disk.kind === "failed") failed.push(disk);
      else disks.set(disk.name, disk.nodeDisk ? { ...disk, path: nodeDiskFolder(rootDir, disk.volume) } : disk);
    }
    return { disks, failed };
  }

  #contents(pod: Pod, plan: FilesPlan): Promise<Contents> {
    const { objects, tokens, allocatable } = this.#deps;
    return readContents(pod, plan, { objects, tokens, allocatable });
  }

  async #setUpVolume(pod: Pod, plan: MadePlan, mounted: ReadonlySet<string>): Promise<void> {
    if (plan.kind === "refused") throw new Error(plan.message);
    if (plan.kind === "disk") return this.#setUpDisk(pod, plan);
    // It is pulled before the containers that mount it, and mounted by their runtime.
    if (plan.kind === "image") return;
    if (plan.kind === "claim") throw new Error(`the claim of volume ${plan.name} was not followed`);
    if (plan.kind === "hostPath") return prepareHostPath(plan.path, plan.type);
    if (plan.kind === "emptyDir") return this.#setUpEmptyDir(pod, plan.name, plan.tmpfs, mounted);
    // First what can be missing: a volume that cannot be filled is not made.
    const contents = await this.#contents(pod, plan);
    const dir = this.#folder(pod).volume(plan.plugin, plan.name);
    await this.#makeFolder(dir, plan.tmpfs ? { sizeBytes: undefined } : undefined, mounted);
    return this.#write(pod, plan, contents);
  }

  async #setUpDisk(pod: Pod, plan: DiskPlan): Promise<void> {
    if (plan.nodeDisk) await makeNodeDisk(this.#deps.rootDir, plan.volume);
    else if (plan.type !== undefined) await prepareHostPath(plan.path, plan.type);
    else if (!(await exists(plan.path))) {
      const why = `path "${plan.path}" does not exist`;
      throw new WholeMessage(`MountVolume.NewMounter initialization failed for volume "${plan.volume}" : ${why}`);
    }
    const { fsGroup, fsGroupChangePolicy } = pod.spec?.securityContext ?? {};
    const mark = this.#folder(pod).readyMark(LOCAL_VOLUME, plan.name);
    if (!plan.ownable || fsGroup === undefined || (await exists(mark))) return;
    if (fsGroupChangePolicy !== "OnRootMismatch" || !(await belongsTo(plan.path, fsGroup))) {
      await giveToGroup(plan.path, fsGroup, false);
    }
    await mkdir(dirname(mark), { recursive: true, mode: 0o750 });
    await writeFile(mark, "");
  }

  /** A container that joined the pod late may be the first to mount a volume. */
  async #setUpLate(pod: Pod, container: Container, plans: readonly MadePlan[]): Promise<void> {
    const folder = this.#folder(pod);
    const wanted = new Set((container.volumeMounts ?? []).map(({ name }) => name));
    for (const plan of plans) {
      const dir = plan.kind === "hostPath" ? undefined : volumePath(plan, folder);
      if (!wanted.has(plan.name) || dir === undefined || (await exists(dir))) continue;
      try {
        await this.#setUpVolume(pod, plan, new Set());
      } catch (error) {
        throw new MountError(failureOf(plan, error), { cause: error });
      }
    }
  }

  async #setUpEmptyDir(
    pod: Pod,
    name: string,
    tmpfs: TmpfsPlan | undefined,
    mounted: ReadonlySet<string>,
  ): Promise<void> {
    const folder = this.#folder(pod);
    const dir = folder.volume(EMPTY_DIR, name);
    const mark = folder.readyMark(EMPTY_DIR, name);
    // What containers have made in it since is theirs: it is given to the group once. A lost tmpfs begins anew.
    if ((await exists(mark)) && (tmpfs === undefined || mounted.has(dir))) return;
    await this.#makeFolder(dir, tmpfs, mounted);
    const group = pod.spec?.securityContext?.fsGroup;
    if (group !== undefined) await giveToGroup(dir, group, false);
    await mkdir(dirname(mark), { recursive: true, mode: 0o750 });
    await writeFile(mark, "");
  }

  async #makeFolder(dir: string, tmpfs: TmpfsPlan | undefined, mounted: ReadonlySet<string>): Promise<void> {
    await mkdir(dir, { recursive: true, mode: 0o750 });
    if (tmpfs !== undefined && !mounted.has(dir)) await this.#deps.mounter.mountTmpfs(dir, tmpfs.sizeBytes);
    // As mount(8) makes a tmpfs: nobody removes what is another's.
    await chmod(dir, tmpfs === undefined ? 0o777 : 0o1777);
  }

  async #write(pod: Pod, plan: FilesPlan, { payload }: Contents): Promise<void> {
    const { clock, random } = this.#deps.env;
    const time = new Date(clock.now()).toISOString().slice(0, 19).replaceAll(/[-T:]/g, "_");
    const group = pod.spec?.securityContext?.fsGroup;
    await writeAtomically(this.#folder(pod).volume(plan.plugin, plan.name), payload, {
      version: `..${time}.${random.nameSuffix(10)}`,
      ...(group === undefined ? {} : { finish: (version) => giveToGroup(version, group, true) }),
    });
  }

  #waits({ mayChange, renewAtMs }: Contents, nowMs: number): number[] {
    const waits = mayChange ? [LOOK_AGAIN_MS + this.#deps.env.random.int(LOOK_AGAIN_SPREAD_MS)] : [];
    return renewAtMs === undefined ? waits : [...waits, Math.max(1_000, renewAtMs - nowMs)];
  }

  async #writeHosts(pod: Pod, folder: PodFolder, podIp: string): Promise<void> {
    const { nodeHostsFile = "/etc/hosts", clusterDomain } = this.#deps;
    const aliases = pod.spec?.hostAliases ?? [];
    const text = pod.spec?.hostNetwork
      ? nodeHosts(await readFile(nodeHostsFile, "utf8"), aliases)
      : podHosts(podIp, podHostNames(pod, clusterDomain), aliases);
    // In place: containers that run have this very file mounted.
    await writeFile(folder.etcHosts, text, { mode: 0o644 });
    await chmod(folder.etcHosts, 0o644);
  }

  async #alone<T>(uid: string, work: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(uid) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#busy.set(uid, mine);
    try {
      return await mine;
    } finally {
      if (this.#busy.get(uid) === mine) this.#busy.delete(uid);
    }
  }
}

function uidOf(pod: Pod): string {
  return pod.metadata?.uid ?? "";
}

function ownFile(hostPath: string, containerPath: string): ContainerMount {
  return { hostPath, containerPath, readonly: false, propagation: "PRIVATE" };
}

/** All at once; rejects with VolumeError that tells of each that failed, and of those that had failed before. */
async function forEachVolume<P extends MadePlan>(
  plans: readonly P[],
  work: (plan: P) => Promise<void>,
  failed: readonly Failed[] = [],
): Promise<void> {
  const outcomes = await Promise.allSettled(plans.map(work));
  const messages = outcomes.flatMap((outcome, at) =>
    outcome.status === "fulfilled" ? [] : [failureOf(plans[at]!, outcome.reason)],
  );
  const all = [...failed.map(({ message }) => message), ...messages];
  if (all.length > 0) throw new VolumeError(all);
}

/** An error whose text says all that there is to say. */
class WholeMessage extends Error {
  override readonly name = "WholeMessage";
}

/** As FailedMount says it: volumes of the cluster go by the cluster's name for them. */
function failureOf(plan: MadePlan, error: unknown): string {
  if (error instanceof WholeMessage) return error.message;
  const reason = error instanceof Error ? error.message : String(error);
  return `MountVolume.SetUp failed for volume "${plan.kind === "disk" ? plan.volume : plan.name}" : ${reason}`;
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
