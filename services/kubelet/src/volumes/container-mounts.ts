// What is mounted into one container: its volumeMounts with their sub paths. /etc/hosts and the termination message file
// come from host-volumes.ts. Rejects with MountError, in upstream's words.
import type { Container, VolumeMount } from "@coxswain/api";
import type { ContainerMount } from "../cri/contract.ts";
import { MountError } from "./contract.ts";
import type { Mounter } from "./mounter.ts";
import type { PodFolder } from "./pod-folder.ts";
import type { DiskPlan } from "./claimed-volumes.ts";
import type { VolumePlan } from "./plan-volumes.ts";
import { EMPTY_DIR } from "./pod-folder.ts";
import { bindSubPath, checkSubPath } from "./sub-path.ts";

/** A volume as it is made on a real node. */
export type MadePlan = VolumePlan | DiskPlan;

export interface MountInput {
  readonly container: Container;
  readonly plans: readonly MadePlan[];
  readonly folder: PodFolder;
  readonly env: ReadonlyMap<string, string>;
  /** The images that stand for volumes, as the runtime calls them, by the volumes' names. */
  readonly images: ReadonlyMap<string, string>;
  readonly mounter: Mounter;
}

/** Where a volume is on the node; undefined where it is not made here. */
export function volumePath(plan: MadePlan, folder: PodFolder): string | undefined {
  if (plan.kind === "hostPath" || plan.kind === "disk") return plan.path;
  if (plan.kind === "emptyDir") return folder.volume(EMPTY_DIR, plan.name);
  return plan.kind === "files" ? folder.volume(plan.plugin, plan.name) : undefined;
}

export async function volumeMounts(input: MountInput): Promise<ContainerMount[]> {
  const mounts: ContainerMount[] = [];
  for (const [index, mount] of (input.container.volumeMounts ?? []).entries()) {
    mounts.push(await mountOf(input, mount, index));
  }
  return mounts;
}

async function mountOf(input: MountInput, mount: VolumeMount, index: number): Promise<ContainerMount> {
  const { container, plans, folder, env, mounter } = input;
  const plan = plans.find(({ name }) => name === mount.name);
  if (plan?.kind === "image") return imageMount(input, mount, plan);
  const volumeDir = plan === undefined ? undefined : volumePath(plan, folder);
  if (plan === undefined || volumeDir === undefined) {
    throw new MountError(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
  }
  checkRecursiveReadOnly(mount);
  const subPath = subPathOf(mount, env);
  let hostPath = volumeDir;
  if (subPath !== "") {
    hostPath = folder.subPath(mount.name, container.name, index);
    await prepareSubPath({ volumeDir, subPath, target: hostPath }, mount, container, mounter);
  }
  const containerPath = containerPathOf(mount);
  // What comes out of the API is the kubelet's to write.
  const fixed = plan.kind === "files" || (plan.kind === "disk" && plan.readOnly);
  const readonly = mount.readOnly === true || fixed;
  return { hostPath, containerPath, readonly, propagation: propagationOf(mount) };
}

/** The runtime mounts it, and the folder of it that is meant. */
function imageMount(
  { container, images, env }: MountInput,
  mount: VolumeMount,
  { reference }: Extract<VolumePlan, { readonly kind: "image" }>,
): ContainerMount {
  const subPath = subPathOf(mount, env);
  checkSubPath(subPath);
  checkRecursiveReadOnly(mount);
  const id = images.get(mount.name);
  if (id === undefined) {
    throw new MountError(`cannot find volume "${mount.name}" to mount into container "${container.name}"`);
  }
  const image = { id, reference, subPath };
  return {
    hostPath: "",
    containerPath: containerPathOf(mount),
    readonly: true,
    propagation: propagationOf(mount),
    image,
  };
}

function containerPathOf({ mountPath }: VolumeMount): string {
  return mountPath.startsWith("/") ? mountPath : `/${mountPath}`;
}

function checkRecursiveReadOnly({ name, recursiveReadOnly }: VolumeMount): void {
  if (recursiveReadOnly !== "Enabled") return;
  const why = `volume "${name}" requested recursive read-only mode, but it is not supported by the runtime`;
  throw new MountError(`failed to resolve recursive read-only mode: ${why}`);
}

async function prepareSubPath(
  request: { volumeDir: string; subPath: string; target: string },
  mount: VolumeMount,
  container: Container,
  mounter: Mounter,
): Promise<void> {
  try {
    await bindSubPath(request, mounter);
  } catch (error) {
    const what = `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}"`;
    throw new MountError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function subPathOf({ subPath = "", subPathExpr = "" }: VolumeMount, env: ReadonlyMap<string, string>): string {
  if (subPathExpr === "") return subPath;
  return subPathExpr.replaceAll(/\$(?:\$|\(([^)]*)\))/g, (_whole, name: string | undefined) => {
    if (name === undefined) return "$";
    const value = env.get(name) ?? "";
    // An empty one would mount the whole volume.
    if (value === "") throw new MountError(`missing value for ${name}`);
    return value;
  });
}

function propagationOf({ mountPropagation }: VolumeMount): NonNullable<ContainerMount["propagation"]> {
  if (mountPropagation === "HostToContainer") return "HOST_TO_CONTAINER";
  return mountPropagation === "Bidirectional" ? "BIDIRECTIONAL" : "PRIVATE";
}
