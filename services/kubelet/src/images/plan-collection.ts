// Which images of a node go, and when: as upstream's image garbage collection. Pure.
// https://kubernetes.io/docs/concepts/architecture/garbage-collection/#container-image-lifecycle

export interface ImagePolicy {
  /** From this share of the disk in use on, images go. */
  readonly highThresholdPercent: number;
  /** Until this share is in use. */
  readonly lowThresholdPercent: number;
  /** An image that was found on the node more recently stays. */
  readonly minimumAgeMs: number;
  /** An image that nobody has used for longer goes however much room there is; 0: none does. */
  readonly maximumAgeMs: number;
}

export const DEFAULT_IMAGE_POLICY: ImagePolicy = {
  highThresholdPercent: 85,
  lowThresholdPercent: 80,
  minimumAgeMs: 120_000,
  maximumAgeMs: 0,
};

/** What is wrong with a policy; undefined where nothing is. */
export function policyProblem({
  highThresholdPercent: high,
  lowThresholdPercent: low,
}: ImagePolicy): string | undefined {
  const share = (name: string, percent: number): string | undefined =>
    percent >= 0 && percent <= 100 ? undefined : `invalid ${name} ${percent}, must be in range [0-100]`;
  const wrong = share("HighThresholdPercent", high) ?? share("LowThresholdPercent", low);
  if (wrong !== undefined || low <= high) return wrong;
  return `LowThresholdPercent ${low} can not be higher than HighThresholdPercent ${high}`;
}

export interface ImageUse {
  readonly id: string;
  readonly sizeBytes: number;
  readonly detectedAtMs: number;
  /** When it was last seen in use; 0: never. */
  readonly usedAtMs: number;
  readonly inUse: boolean;
}

export interface DiskSpace {
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

/** Images that nobody uses, those first that have been idle, then here, for longest. */
export function evictionOrder(images: readonly ImageUse[]): ImageUse[] {
  return images
    .filter(({ inUse }) => !inUse)
    .toSorted((one, other) => one.usedAtMs - other.usedAtMs || one.detectedAtMs - other.detectedAtMs);
}

/**
 * Those that nobody has used for too long. None before the kubelet has looked for that long itself: it may not have seen the use. One
 * that nobody has used yet counts from when it was found.
 */
export function agedImages(order: readonly ImageUse[], policy: ImagePolicy, nowMs: number, bornMs: number): ImageUse[] {
  const { maximumAgeMs: most } = policy;
  if (most === 0 || nowMs - bornMs <= most) return [];
  return order.filter(({ detectedAtMs, usedAtMs }) => nowMs - Math.max(detectedAtMs, usedAtMs) > most);
}

export function usedPercent({ capacityBytes, availableBytes }: DiskSpace): number {
  return 100 - Math.floor((Math.min(availableBytes, capacityBytes) * 100) / capacityBytes);
}

/** How much must go; 0 below the high threshold. */
export function bytesToFree(disk: DiskSpace, { highThresholdPercent, lowThresholdPercent }: ImagePolicy): number {
  if (usedPercent(disk) < highThresholdPercent) return 0;
  const wanted = Math.floor((disk.capacityBytes * (100 - lowThresholdPercent)) / 100);
  return Math.max(0, wanted - Math.min(disk.availableBytes, disk.capacityBytes));
}

/** True of an image that has been here for long enough to be missed by nobody. */
export function isOldEnough({ detectedAtMs }: ImageUse, { minimumAgeMs }: ImagePolicy, nowMs: number): boolean {
  return nowMs - detectedAtMs >= minimumAgeMs;
}
