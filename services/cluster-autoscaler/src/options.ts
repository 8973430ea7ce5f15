// What the autoscaler is told, under upstream's names and with its defaults. Times in ms.
export type Expander = "least-waste" | "most-pods" | "random";

export interface AutoscalerOptions {
  readonly scanIntervalMs: number;
  readonly expander: Expander;
  readonly maxNodeProvisionMs: number;
  readonly maxTotalUnreadyPercentage: number;
  readonly okTotalUnreadyCount: number;
  readonly newPodScaleUpDelayMs: number;
  readonly expendablePodsPriorityCutoff: number;
  readonly initialBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly scaleDownEnabled: boolean;
  readonly scaleDownUnneededMs: number;
  readonly scaleDownUnreadyMs: number;
  readonly scaleDownDelayAfterAddMs: number;
  readonly scaleDownDelayAfterDeleteMs: number;
  readonly scaleDownDelayAfterFailureMs: number;
  readonly scaleDownUtilizationThreshold: number;
  readonly unremovableNodeRecheckMs: number;
  readonly skipNodesWithSystemPods: boolean;
  readonly skipNodesWithLocalStorage: boolean;
  readonly skipNodesWithCustomControllerPods: boolean;
  readonly ignoreDaemonSetsUtilization: boolean;
  readonly maxGracefulTerminationMs: number;
  readonly maxPodEvictionMs: number;
  readonly maxScaleDownParallelism: number;
  readonly maxDrainParallelism: number;
  readonly maxBulkSoftTaintCount: number;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

export const DEFAULT_OPTIONS: AutoscalerOptions = {
  scanIntervalMs: 10 * SECOND,
  expander: "least-waste",
  maxNodeProvisionMs: 15 * MINUTE,
  maxTotalUnreadyPercentage: 45,
  okTotalUnreadyCount: 3,
  newPodScaleUpDelayMs: 0,
  expendablePodsPriorityCutoff: -10,
  initialBackoffMs: 5 * MINUTE,
  maxBackoffMs: 30 * MINUTE,
  scaleDownEnabled: true,
  scaleDownUnneededMs: 10 * MINUTE,
  scaleDownUnreadyMs: 20 * MINUTE,
  scaleDownDelayAfterAddMs: 10 * MINUTE,
  scaleDownDelayAfterDeleteMs: 0,
  scaleDownDelayAfterFailureMs: 3 * MINUTE,
  scaleDownUtilizationThreshold: 0.5,
  unremovableNodeRecheckMs: 5 * MINUTE,
  skipNodesWithSystemPods: true,
  skipNodesWithLocalStorage: true,
  skipNodesWithCustomControllerPods: true,
  ignoreDaemonSetsUtilization: false,
  maxGracefulTerminationMs: 600 * SECOND,
  maxPodEvictionMs: 2 * MINUTE,
  maxScaleDownParallelism: 10,
  maxDrainParallelism: 1,
  maxBulkSoftTaintCount: 10,
};
