// How an image becomes a mounted folder, from what containerd tells of it. Pure.
import { createHash } from "node:crypto";
import path from "node:path";
import type { MountCall } from "../../volumes/mounter.ts";

/** A mount as a snapshotter describes it. */
export interface SnapshotMount {
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** Which snapshotter holds a runtime's images, by where it says that they are; containerd's default where it does not tell. */
export function snapshotterAt(mountpoint: string): string {
  return /(?:^|\/)io\.containerd\.snapshotter\.v1\.([^/]+)\/?$/.exec(mountpoint)?.[1] ?? "overlayfs";
}

/** The name of a stack of layers, lowest first, by the digests of their contents. */
export function chainId(diffIds: readonly string[]): string {
  const [first = "", ...more] = diffIds;
  return more.reduce(
    (below, layer) => `sha256:${createHash("sha256").update(`${below} ${layer}`).digest("hex")}`,
    first,
  );
}

/** The same, of the image that a runtime described at length (ImageStatus, verbose); undefined where it did not. */
export function chainIdIn(info: string | undefined): string | undefined {
  if (info === undefined) return undefined;
  const { chainID, imageSpec } = JSON.parse(info) as {
    readonly chainID?: string;
    readonly imageSpec?: { readonly rootfs?: { readonly diff_ids?: readonly string[] } };
  };
  const diffIds = imageSpec?.rootfs?.diff_ids ?? [];
  const found = diffIds.length > 0 ? chainId(diffIds) : chainID;
  return found === "" ? undefined : found;
}

const LOWER = "lowerdir=";
/** What is only for who writes: a view has none of it. */
const WRITERS = /^(upperdir=|workdir=|rw$|ro$|volatile$)/;

/**
 * The calls of mount that show a snapshot read-only, the first that works to be taken. An overlay without an upper layer cannot be
 * written whatever becomes of the flags of its mounts: one layer alone is laid over an empty folder for that. Throws where the
 * snapshot is of a kind that is not known.
 */
export function planImageMount(mounts: readonly SnapshotMount[], emptyFolder: string): MountCall[] {
  const [mount, ...more] = mounts;
  if (mount === undefined || more.length > 0) throw new Error(`a snapshot of ${mounts.length} mounts is not known`);
  const { type, source, options } = mount;
  if (type === "overlay") {
    const lower =
      options
        .find((one) => one.startsWith(LOWER))
        ?.slice(LOWER.length)
        .split(":") ?? [];
    const others = options.filter((one) => !one.startsWith(LOWER) && !WRITERS.test(one));
    return [overlay(lower.length === 1 ? [...lower, emptyFolder] : lower, others)];
  }
  if (type !== "bind") throw new Error(`a snapshot of type ${JSON.stringify(type)} is not known`);
  const bind = { type: "none", source, options: ["bind", "ro", "noexec"] };
  return [overlay([source, emptyFolder], []), bind];
}

/** Many layers fit in one page of options, as the kernel wants them, where their common folder is not said again for each. */
function overlay(layers: readonly string[], options: readonly string[]): MountCall {
  const cwd = commonFolder(layers);
  const lower = layers.map((layer) => path.posix.relative(cwd, layer)).join(":");
  return { type: "overlay", source: "overlay", options: ["ro", "noexec", ...options, `${LOWER}${lower}`], cwd };
}

function commonFolder(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((one) => path.posix.dirname(one).split("/"));
  let length = first.length;
  for (const names of others) {
    let same = 0;
    while (same < length && names[same] === first[same]) same++;
    length = same;
  }
  return first.slice(0, length).join("/") || "/";
}
