// Fields of features that v1.35 has off by default: they are dropped from what is written, unless the object has such already.
// These are taints of devices, partitionable devices, consumable capacity, conditions of binding, and extended resources.
import type {
  AllocationResult,
  DeviceClaim,
  DeviceClassSpec,
  ResourceClaimStatus,
  ResourceSliceSpec,
} from "../types.gen.ts";

/** Deletes `names` of each of `objects`, unless one of `old` has one of them. */
function drop(objects: readonly object[], old: readonly object[], names: readonly string[]): void {
  if (old.some((one) => names.some((name) => Object.hasOwn(one, name)))) return;
  for (const one of objects) for (const name of names) Reflect.deleteProperty(one, name);
}

const requestsOf = (claim: DeviceClaim | undefined): object[] =>
  (claim?.requests ?? []).flatMap((one) => [...(one.exactly ? [one.exactly] : []), ...(one.firstAvailable ?? [])]);

export function dropGatedOfClaim(claim: DeviceClaim | undefined, old: DeviceClaim | undefined): void {
  drop(requestsOf(claim), requestsOf(old), ["tolerations"]);
  const shares = (one: DeviceClaim | undefined): object[] => [...requestsOf(one), ...(one?.constraints ?? [])];
  drop(shares(claim), shares(old), ["capacity", "distinctAttribute"]);
}

const resultsOf = (allocation: AllocationResult | undefined): object[] => allocation?.devices?.results ?? [];

export function dropGatedOfStatus(status: ResourceClaimStatus | undefined, old: ResourceClaimStatus | undefined): void {
  const shares = (one: ResourceClaimStatus | undefined): object[] => [
    ...resultsOf(one?.allocation),
    ...(one?.devices ?? []),
  ];
  drop(shares(status), shares(old), ["shareID", "consumedCapacity"]);
  const conditions = ["bindingConditions", "bindingFailureConditions"];
  drop(resultsOf(status?.allocation), resultsOf(old?.allocation), conditions);
}

export function dropGatedOfClass(spec: DeviceClassSpec | undefined, old: DeviceClassSpec | undefined): void {
  drop(spec ? [spec] : [], old ? [old] : [], ["extendedResourceName"]);
}

export function dropGatedOfSlice(spec: ResourceSliceSpec | undefined, old: ResourceSliceSpec | undefined): void {
  const devicesOf = (one: ResourceSliceSpec | undefined): object[] => one?.devices ?? [];
  drop(devicesOf(spec), devicesOf(old), ["taints"]);
  drop(devicesOf(spec), devicesOf(old), ["bindingConditions", "bindingFailureConditions", "bindsToNode"]);
  const capacities = (one: ResourceSliceSpec | undefined): object[] => [
    ...devicesOf(one),
    ...(one?.devices ?? []).flatMap(({ capacity = {} }) => Object.values(capacity)),
  ];
  drop(capacities(spec), capacities(old), ["allowMultipleAllocations", "requestPolicy"]);
  dropPartitions(spec, old);
}

const PARTS = ["consumesCounters", "nodeName", "nodeSelector", "allNodes"];

function dropPartitions(spec: ResourceSliceSpec | undefined, old: ResourceSliceSpec | undefined): void {
  if (spec === undefined) return;
  const inUse =
    old?.sharedCounters !== undefined ||
    old?.perDeviceNodeSelection !== undefined ||
    old?.devices?.some((device) => PARTS.some((name) => Object.hasOwn(device, name))) === true;
  if (inUse) return;
  delete spec.sharedCounters;
  delete spec.perDeviceNodeSelection;
  drop(spec.devices ?? [], [], PARTS);
}
