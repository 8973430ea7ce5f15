// CPU as the kernel weighs it: a cgroup's shares among its siblings. Pure.

export const MIN_CPU_SHARES = 2;
const MAX_CPU_SHARES = 262_144;

/** The kernel's share for a request in thousandths of a CPU. */
export function cpuShares(millis: number | undefined): number {
  const shares = Math.floor(((millis ?? 0) * 1024) / 1000);
  return Math.min(MAX_CPU_SHARES, Math.max(MIN_CPU_SHARES, shares));
}
