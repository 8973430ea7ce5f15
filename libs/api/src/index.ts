// The kinds of the API: what they are, their types, and how to find one.
export * from "./kind.ts";
export * from "./object-meta.ts";
export * from "./refs.ts";
export * from "./same-value.ts";
export * from "./scheme.ts";
export {
  NAMESPACE_FINALIZER,
  prepareNamespaceFinalize,
  validateNamespaceFinalize,
} from "./core-v1/namespace/namespace.ts";
export { allContainers } from "./core-v1/pod-spec/defaults.ts";
export { chargedPod, largestAmounts, occupyingPod } from "./core-v1/pod/occupied-requests.ts";
export { qosClass } from "./core-v1/pod/qos.ts";
export { preparePodResize, validatePodResize } from "./core-v1/pod/resize.ts";
export { prepareEphemeralContainersUpdate } from "./core-v1/pod/strategy.ts";
export { validateEphemeralContainersUpdate } from "./core-v1/pod/validation.ts";
export { externallyAccessible } from "./core-v1/service/defaults.ts";
export { needsClusterIp, needsHealthCheckNodePort, needsNodePort } from "./core-v1/service/type-change.ts";
export { EVERYBODY, EVERYTHING, MANDATORY_LEVELS, MANDATORY_SCHEMAS } from "./flowcontrol-v1/mandatory.ts";
export { cidrFamily, ipFamily } from "./validation/ip.ts";
export type * from "./types.gen.ts";
