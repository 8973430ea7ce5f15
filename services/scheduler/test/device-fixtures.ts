// Slices, classes and claims of devices for the tables of tests.
import type {
  Device,
  DeviceClaim,
  DeviceClass,
  DeviceRequest,
  DeviceResourceClaim,
  ResourceClaimStatus,
  ResourceSlice,
  ResourceSliceSpec,
} from "@coxswain/api";

export const DRIVER = "gpu.example";

/** The names of devices, or devices. */
export function slice(
  name: string,
  devices: readonly (string | Device)[],
  { pool, ...spec }: Partial<Omit<ResourceSliceSpec, "pool">> & { pool?: Partial<ResourceSliceSpec["pool"]> } = {},
): ResourceSlice {
  const placed = spec.allNodes === undefined && spec.nodeSelector === undefined ? { nodeName: "a" } : {};
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { name },
    spec: {
      driver: DRIVER,
      ...placed,
      pool: { name: spec.nodeName ?? "a", generation: 1, resourceSliceCount: 1, ...pool },
      devices: devices.map((device) => (typeof device === "string" ? { name: device } : device)),
      ...spec,
    },
  };
}

export function deviceClass(name: string, expression?: string, config?: DeviceClass["spec"]["config"]): DeviceClass {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "DeviceClass",
    metadata: { name },
    spec: {
      ...(expression === undefined ? {} : { selectors: [{ cel: { expression } }] }),
      ...(config === undefined ? {} : { config }),
    },
  };
}

/** One device of a class. */
export function exactly(name: string, more: Partial<NonNullable<DeviceRequest["exactly"]>> = {}): DeviceRequest {
  return { name, exactly: { deviceClassName: "gpu", allocationMode: "ExactCount", count: 1, ...more } };
}

export function deviceClaim(
  name: string,
  devices: readonly DeviceRequest[] | DeviceClaim = [exactly("r")],
  status: ResourceClaimStatus = {},
  metadata: object = {},
): DeviceResourceClaim {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { name, namespace: "default", uid: `uid-${name}`, ...metadata },
    spec: { devices: "length" in devices ? { requests: [...devices] } : devices },
    status,
  };
}
