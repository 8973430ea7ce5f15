// The public face of kube-proxy: what processes, the simulator and authors of backends use.
export { createKubeProxy, type KubeProxyDeps, type KubeProxyOptions } from "./app.ts";
export type { Packet, ProxyBackend, Resolution } from "./backend/contract.ts";
export { createSimulatedBackend, type SimulatedBackendOptions } from "./backend/simulated.ts";
export { planService } from "./planner/plan-service.ts";
export type { ProxyEndpoint, ProxyRule, RuleChange } from "./planner/rule.ts";
