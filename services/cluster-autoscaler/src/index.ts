// The cluster autoscaler, for whoever composes it with other dependencies.
export { createClusterAutoscaler } from "./app.ts";
export type { ClusterAutoscalerDeps } from "./app.ts";
