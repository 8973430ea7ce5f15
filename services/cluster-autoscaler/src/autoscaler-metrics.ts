// The autoscaler's metrics, named as upstream's.
import type { Metrics } from "@coxswain/component-base";

const BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Registers them all. */
export function autoscalerMetrics(metrics: Metrics) {
  return {
    safe: metrics.gauge("cluster_autoscaler_cluster_safe_to_autoscale", "Whether the cluster is healthy enough."),
    nodes: metrics.gauge("cluster_autoscaler_nodes_count", "Nodes in the groups, by state.", ["state"]),
    groups: metrics.gauge("cluster_autoscaler_node_groups_count", "Node groups.", ["node_group_type"]),
    unschedulable: metrics.gauge("cluster_autoscaler_unschedulable_pods_count", "Pods that ask for a node.", ["type"]),
    unneeded: metrics.gauge("cluster_autoscaler_unneeded_nodes_count", "Nodes that are not needed."),
    scaledUp: metrics.counter("cluster_autoscaler_scaled_up_nodes_total", "Nodes that were asked for.", ["node_group"]),
    scaledDown: metrics.counter("cluster_autoscaler_scaled_down_nodes_total", "Nodes that were removed, by reason.", [
      "reason",
    ]),
    failedScaleUps: metrics.counter("cluster_autoscaler_failed_scale_ups_total", "Failed scale-ups, by reason.", [
      "reason",
    ]),
    evicted: metrics.counter("cluster_autoscaler_evicted_pods_total", "Pods evicted from nodes that went.", [
      "eviction_result",
    ]),
    errors: metrics.counter("cluster_autoscaler_errors_total", "Scans that failed.", ["type"]),
    duration: metrics.histogram("cluster_autoscaler_function_duration_seconds", "Time of a scan.", BUCKETS, [
      "function",
    ]),
    lastActivity: metrics.gauge(
      "cluster_autoscaler_last_activity",
      "When something was last done, in seconds since 1970.",
      ["activity"],
    ),
  };
}

export type AutoscalerMetrics = ReturnType<typeof autoscalerMetrics>;
