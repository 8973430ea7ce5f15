// The cgroups of pods: the kubelet makes them and takes them away; the runtime makes those of containers below them.

/** What a cgroup gets of its node. */
export interface CgroupLimits {
  /** Its weight among its siblings, as cgroups version 1 count it: 1024 for a CPU, 2 at least. */
  readonly cpuShares: number;
  /** Thousandths of a CPU; unbounded where unset. */
  readonly cpuMillis?: number;
  /** Unbounded where unset. */
  readonly memoryBytes?: number;
}

export interface PodCgroups {
  /** Makes a cgroup, "/coxswain-x/node-1/burstable/pod<uid>", and those above it; one that is there gets the new limits. */
  apply(cgroup: string, limits: CgroupLimits): Promise<void>;
  /** Removes the pod's cgroups with all that is in them; idempotent. Only once no container runs. */
  remove(uid: string): Promise<void>;
  /** Uids of pods that have cgroups, for what an earlier process left. */
  known(): Promise<string[]>;
}
