// Images as volumes where the runtime's interface cannot mount them yet (containerd before 2.1): a view of the image's layers, made
// by containerd's own snapshots, is mounted read-only in the pod's folder. Guarantees:
// - A view is kept from containerd's garbage collection until it is released, though its image be removed.
// - What is not finished, or was left by an earlier process, can be told from the pod's folder alone, and is used or released.
// - All containers of a pod that mount one image share one view of it.
import { mkdir, realpath, stat } from "node:fs/promises";
import path from "node:path";
import type { Env } from "@coxswain/env";
import { IMAGE_VOLUME, podFolder, type PodFolder } from "../../volumes/pod-folder.ts";
import type { Mounter } from "../../volumes/mounter.ts";
import { CriError, type ContainerMount, type ImageMount } from "../contract.ts";
import type { CriChannel } from "./cri-channel.ts";
import { chainIdIn, planImageMount, snapshotterAt, type SnapshotMount } from "./plan-image-mount.ts";
import { ignoreNotFound } from "./runtime-sandboxes.ts";
import { mountsImages, mountsImageSubPaths } from "./runtime-version.ts";
import { CHANGE_TIMEOUT_MS, READ_TIMEOUT_MS } from "./time-limits.ts";
import { namesIn } from "../../volumes/missing-files.ts";

/** Where the views are mounted. */
export interface ImageVolumesPlace {
  /** "/var/lib/kubelet" */
  readonly rootDir: string;
  readonly mounter: Mounter;
}

/** What errors of image volumes begin with, in the words of the runtime interface. */
const FAILED = "ImageVolumeMountFailed";

export class ImageMounts {
  readonly #env: Env;
  readonly #channel: CriChannel;
  readonly #place: ImageVolumesPlace | undefined;
  #snapshotter: string | undefined;

  constructor(env: Env, channel: CriChannel, place: ImageVolumesPlace | undefined) {
    this.#env = env;
    this.#channel = channel;
    this.#place = place;
  }

  /** The mounts of a container of the pod as its runtime can make them. Rejects with CriError. */
  async forRuntime(podUid: string, mounts: readonly ContainerMount[]): Promise<readonly ContainerMount[]> {
    if (!mounts.some(({ image }) => image !== undefined)) return mounts;
    const { runtimeName, runtimeVersion } = await this.#channel.call("version", { version: "v1" }, READ_TIMEOUT_MS);
    const made: ContainerMount[] = [];
    for (const mount of mounts) {
      const { image, ...others } = mount;
      const needed = image?.subPath === "" ? mountsImages : mountsImageSubPaths;
      if (image === undefined || needed(runtimeName, runtimeVersion)) made.push(mount);
      else made.push({ ...others, ...(await this.#mount(podUid, image)) });
    }
    return made;
  }

  /** Gives up the pod's views, which nothing has mounted any more; idempotent. */
  async release(podUid: string): Promise<void> {
    if (this.#place === undefined) return;
    const folder = podFolder(this.#place.rootDir, podUid).volumes(IMAGE_VOLUME);
    for (const name of await namesIn(folder)) {
      const request = { snapshotter: await this.#snapshotterName(), key: `${folder}/${name}` };
      await this.#channel.call("remove", request, CHANGE_TIMEOUT_MS).catch(ignoreNotFound);
    }
  }

  async #mount(podUid: string, image: ImageMount): Promise<Pick<ContainerMount, "hostPath" | "readonly">> {
    try {
      const place = this.#place;
      if (place === undefined) throw new Error("this runtime cannot mount images");
      const folder = podFolder(place.rootDir, podUid);
      const chain = await this.#chainOf(image);
      const target = folder.volume(IMAGE_VOLUME, chain.replace(/^[^:]*:/, ""));
      if (!(await place.mounter.mountsBelow(target)).includes(target))
        await this.#makeView(chain, target, folder, place);
      const hostPath = await folderIn(target, image.subPath);
      // Whoever binds a mount read-only takes its other flags away. One that cannot be written anyway keeps them: noexec.
      return { hostPath, readonly: !(await place.mounter.isReadOnly(target)) };
    } catch (error) {
      if (error instanceof CriError && error.code !== "Internal" && error.code !== "NotFound") throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new CriError("Internal", `${FAILED}: ${why}`);
    }
  }

  async #chainOf({ id }: ImageMount): Promise<string> {
    const request = { image: { image: id }, verbose: true };
    const { image, info } = await this.#channel.call("imageStatus", request, READ_TIMEOUT_MS);
    if (image === null) throw new Error(`failed to resolve image "${id}": not found`);
    const chain = chainIdIn(info["info"]);
    if (chain === undefined) throw new Error(`failed to get diff IDs for image volume "${id}"`);
    return chain;
  }

  /** The folder is made first: from then on it is known that there may be a view of this name. */
  async #makeView(chain: string, target: string, folder: PodFolder, { mounter }: ImageVolumesPlace): Promise<void> {
    await mkdir(target, { recursive: true, mode: 0o755 });
    const empty = `${folder.root}/plugins/${IMAGE_VOLUME}/empty`;
    await mkdir(empty, { recursive: true, mode: 0o755 });
    const [first, ...others] = planImageMount(await this.#view(target, chain), empty);
    let failure: unknown;
    for (const call of first === undefined ? [] : [first, ...others]) {
      try {
        return await mounter.mount(call, target);
      } catch (error) {
        failure ??= error;
      }
    }
    throw new Error(`failed to mount image volume component "${target}"`, { cause: failure });
  }

  async #view(key: string, parent: string): Promise<readonly SnapshotMount[]> {
    const snapshotter = await this.#snapshotterName();
    const labels = { "containerd.io/gc.root": new Date(this.#env.clock.now()).toISOString() };
    try {
      const request = { snapshotter, key, parent, labels };
      return (await this.#channel.call("view", request, CHANGE_TIMEOUT_MS)).mounts;
    } catch (error) {
      if (!(error instanceof CriError) || error.code !== "AlreadyExists") throw error;
      return (await this.#channel.call("mounts", { snapshotter, key }, READ_TIMEOUT_MS)).mounts;
    }
  }

  async #snapshotterName(): Promise<string> {
    return (this.#snapshotter ??= snapshotterAt((await imagesMountpoint(this.#channel)) ?? ""));
  }
}

/** Where the runtime says that its images are; undefined where it does not tell. */
export async function imagesMountpoint(channel: CriChannel): Promise<string | undefined> {
  const { imageFilesystems } = await channel.call("imageFsInfo", {}, READ_TIMEOUT_MS);
  return imageFilesystems[0]?.fsId?.mountpoint;
}

/** A folder of the image; nothing in it ever changes, so that where it leads now is where it leads. */
async function folderIn(target: string, subPath: string): Promise<string> {
  if (subPath === "") return target;
  const about = `failed to ensure image subpath "${subPath}" in "${target}"`;
  try {
    const base = await realpath(target);
    const real = await realpath(path.join(base, subPath));
    if (real !== base && !real.startsWith(`${base}/`)) throw new Error("path escapes from parent");
    if ((await stat(real)).isDirectory()) return real;
  } catch (error) {
    const missing = error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
    const why = missing ? `openat ${subPath}: no such file or directory` : (error as Error).message;
    throw new Error(`${about}: ${why}`, { cause: error });
  }
  throw new Error(`${about}: only directory subpath is supported, subpath: "${subPath}", mountpoint: "${target}" `);
}
