// The kubelet for other packages: the component and its runtime contract.
export { createKubelet, type Kubelet, type KubeletDeps, type KubeletOptions } from "./app.ts";
export type * from "./cri/contract.ts";
export { createSimulatedCri, type SimulatedCriOptions } from "./cri/simulated/simulated-cri.ts";
