// The logs of a node's pods: the runtime writes them, the kubelet takes them away.
import type { Pod } from "@coxswain/api";

export interface PodLogs {
  /** Of one life of a container; idempotent. */
  removeLife(pod: Pod, container: string, attempt: number): Promise<void>;
  /** What the logs of a container, rotated ones too, take of the disk, bytes. */
  usage(pod: Pod, container: string): Promise<number>;
  /** All of a pod; idempotent. */
  remove(uid: string): Promise<void>;
  /** Uids of pods that have logs, for what an earlier process left. */
  known(): Promise<string[]>;
}
