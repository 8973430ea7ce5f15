// PodVolumes: what a pod's volumes are on its node. Guarantees:
// - After setUp every volume of the pod is on disk as its source says; nothing is left half-made for a reader to see.
// - What a running container has mounted stays mounted; contents of ConfigMaps, Secrets, downward API and tokens change
//   under it as a whole, never file by file.
// - tearDown leaves nothing of the pod behind, and never deletes through a mount.
// Where a kubelet has no PodVolumes (the simulated runtime), pods have no mounts.
import type { Container, Pod } from "@coxswain/api";
import type { ContainerMount } from "../cri/contract.ts";

/** What keeps volumes from being made: one message a volume, each as FailedMount says it. */
export class VolumeError extends Error {
  override readonly name = "VolumeError";
  readonly messages: readonly string[];
  constructor(messages: readonly string[]) {
    super(messages.join("; "));
    this.messages = messages;
  }
}

/** What keeps a container's mounts from being made: the container waits with CreateContainerConfigError. */
export class MountError extends Error {
  override readonly name = "MountError";
}

export interface MountFacts {
  /** The life of the container, as in ContainerConfig.attempt. */
  readonly attempt: number;
  /** The container's environment, for subPathExpr. */
  readonly env: ReadonlyMap<string, string>;
  /** The pod's own address; the node's where it has none of its own. */
  readonly podIp: string;
  /** The images that stand for volumes, as the runtime calls them, by the volumes' names. */
  readonly images: ReadonlyMap<string, string>;
}

/** One life of a container that is over. */
export interface EndedLife {
  readonly attempt: number;
  readonly exitCode: number;
  /** Its log from the start; read only where the policy falls back to it. */
  log(): AsyncIterable<{ readonly line: Buffer; readonly partial?: boolean }>;
}

export interface PodVolumes {
  /** Makes what the pod's volumes need; idempotent. Rejects with VolumeError. */
  setUp(pod: Pod): Promise<void>;
  /**
   * Brings ConfigMaps, Secrets, downward API and tokens of a running pod up to date. Resolves with when to look again, in
   * ms from now; undefined: nothing of this pod ever changes. Rejects like setUp; what was there before then stays.
   */
  refresh(pod: Pod): Promise<number | undefined>;
  /**
   * What to mount into a container: its volumeMounts, /etc/hosts and the termination message file (/dev/shm is the
   * runtime's part). Rejects with MountError.
   */
  mounts(pod: Pod, container: Container, facts: MountFacts): Promise<ContainerMount[]>;
  /** A file that containers have made in a volume; undefined where there is none. Rejects with MountError. */
  readFile(pod: Pod, volume: string, path: string): Promise<Buffer | undefined>;
  /** Which of the pod's emptyDirs takes more of the disk than it may, in upstream's words; undefined: none. */
  excess(pod: Pod): Promise<string | undefined>;
  /** What the pod's emptyDirs and ConfigMaps take of the disk, bytes. */
  usage(pod: Pod): Promise<number>;
  /** What the container had to say at its end, by its terminationMessagePolicy; at most 4096 bytes, undefined: nothing. */
  terminationMessage(pod: Pod, container: Container, life: EndedLife): Promise<string | undefined>;
  /** Forgets the files of a container's life whose end has been reported; idempotent. */
  forgetLife(pod: Pod, container: Container, attempt: number): Promise<void>;
  /** Ends a pod's volumes: unmounts and deletes; idempotent. Only once no container runs. Data behind hostPath stays. */
  tearDown(uid: string): Promise<void>;
  /** Uids of pods that have something on disk, for what an earlier process left. */
  known(): Promise<string[]>;
}
