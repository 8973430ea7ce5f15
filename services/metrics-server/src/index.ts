// metrics.k8s.io out of the kubelets' figures.
export { createMetricsServer, type MetricsServer, type MetricsServerDeps, type MetricsServerOptions } from "./app.ts";
export { MetricsApi } from "./metrics-api.ts";
export type { NodeSample, StatsSource } from "./stats-source.ts";
