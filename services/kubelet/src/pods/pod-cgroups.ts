// The cgroups of pods: the runtime makes those of containers below them, and the kubelet takes them away.
export interface PodCgroups {
  /** Removes the pod's cgroups with all that is in them; idempotent. Only once no container runs. */
  remove(uid: string): Promise<void>;
  /** Uids of pods that have cgroups, for what an earlier process left. */
  known(): Promise<string[]>;
}
