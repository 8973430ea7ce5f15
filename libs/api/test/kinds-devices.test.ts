// Claims of devices, their classes and the slices that drivers publish: what is refused, dropped and kept.
import { fieldErrorText, type FieldError } from "@coxswain/apimachinery";
import { describe, expect, it, test } from "vitest";
import { validatePodStatusUpdate } from "../src/core-v1/pod/validation.ts";
import { deviceClassKind, resourceClaimKind, resourceSliceKind } from "../src/resource-v1/resource-kinds.ts";
import type {
  AllocationResult,
  DeviceClaim,
  DeviceResourceClaim,
  Pod,
  ResourceClaimConsumerReference,
  ResourceClaimStatus,
  ResourceSlice,
  ResourceSliceSpec,
} from "../src/types.gen.ts";

const context = { nowMs: 0 };
const texts = (errors: readonly FieldError[]): string[] => errors.map(fieldErrorText);

function claimOf(devices: DeviceClaim, status?: ResourceClaimStatus): DeviceResourceClaim {
  const claim: DeviceResourceClaim = { metadata: { name: "c", namespace: "ns" }, spec: { devices } };
  resourceClaimKind.defaults(claim);
  return status === undefined ? claim : { ...claim, status };
}

const request = { name: "r", exactly: { deviceClassName: "gpu" } };
const problems = (devices: DeviceClaim): string[] => texts(resourceClaimKind.validateCreate(claimOf(devices)));

describe("a claim", () => {
  it("may have selectors that compile to bool and are not too complex", () => {
    const withSelector = (expression: string): string[] =>
      problems({
        requests: [{ name: "r", exactly: { deviceClassName: "gpu", selectors: [{ cel: { expression } }] } }],
      });
    const at = "spec.devices.requests[0].exactly.selectors[0].cel.expression";
    expect(withSelector(`device.driver == "a.example"`)).toEqual([]);
    expect(withSelector("device.driver")[0]).toContain(
      `${at}: Invalid value: "device.driver": must evaluate to bool or the unknown type, not string`,
    );
    expect(withSelector("device.size > 3")[0]).toContain("compilation failed: ");
    const all = (name: string, body: string): string => `device.attributes.all(${name}, ${body})`;
    expect(withSelector(all("a", all("b", all("c", all("d", "a == b && c == d")))))).toEqual([
      `${at}: Forbidden: too complex, exceeds cost limit`,
    ]);
    expect(withSelector("x".repeat(10 * 1024 + 1))).toEqual([`${at}: Too long: may not be more than 10240 bytes`]);
  });

  it("needs an attribute in each constraint, and requests that are there", () => {
    expect(problems({ requests: [request], constraints: [{ matchAttribute: "a.example/x" }] })).toEqual([]);
    expect(problems({ requests: [request], constraints: [{ requests: ["s"] }, { matchAttribute: "x" }] })).toEqual([
      `spec.devices.constraints[0].requests[0]: Invalid value: "s": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'`,
      "spec.devices.constraints[0].matchAttribute: Required value",
      `spec.devices.constraints[1].matchAttribute: Invalid value: "x": a fully qualified name must be a domain and a name separated by a slash`,
    ]);
  });

  it("loses the fields of features that are off", () => {
    const exactly = {
      deviceClassName: "gpu",
      tolerations: [{ operator: "Exists" }],
      capacity: { requests: { m: "1" } },
    };
    const claim = claimOf({ requests: [{ name: "r", exactly }], constraints: [{ distinctAttribute: "a.example/x" }] });
    resourceClaimKind.strategy.prepareForCreate(claim, context);
    expect(claim.spec.devices).toEqual({
      requests: [{ name: "r", exactly: { deviceClassName: "gpu", allocationMode: "ExactCount", count: 1 } }],
      constraints: [{}],
    });
  });
});

const allocation: AllocationResult = {
  devices: { results: [{ request: "r", driver: "a.example", pool: "p", device: "d" }] },
};
const consumer = (at: number): ResourceClaimConsumerReference => ({ resource: "pods", name: `p${at}`, uid: `u${at}` });
const many = (count: number): ResourceClaimConsumerReference[] =>
  Array.from({ length: count }, (_, at) => consumer(at));

describe("the status of a claim", () => {
  const update = (status: ResourceClaimStatus, old: ResourceClaimStatus = {}, deleted = false): string[] => {
    const claim = claimOf({ requests: [request] }, status);
    if (deleted) claim.metadata!.deletionTimestamp = "2026-01-01T00:00:00Z";
    return texts(resourceClaimKind.validateStatusUpdate!(claim, claimOf({ requests: [request] }, old)));
  };

  it("is reserved only when allocated, for 256 at most, each once", () => {
    expect(update({ allocation, reservedFor: many(256) })).toEqual([]);
    expect(update({ allocation, reservedFor: many(257) })).toEqual([
      "status.reservedFor: Too many: 257: must have at most 256 items",
    ]);
    expect(update({ reservedFor: many(1) })).toEqual([
      "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
    ]);
    expect(update({ allocation, reservedFor: [consumer(1), consumer(1)] })).toEqual([
      `status.reservedFor[1]: Duplicate value: "u1"`,
    ]);
  });

  it("gets no new consumers while the claim is being deleted", () => {
    const before = { allocation, reservedFor: many(2) };
    expect(update({ allocation, reservedFor: many(1) }, before, true)).toEqual([]);
    expect(update({ allocation, reservedFor: many(3) }, before, true)).toEqual([
      "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
    ]);
  });

  it("keeps its allocation until it is taken away as a whole", () => {
    const other: AllocationResult = {
      devices: { results: [{ request: "r", driver: "a.example", pool: "p", device: "e" }] },
    };
    expect(update({ allocation: other }, { allocation })[0]).toContain("field is immutable");
    expect(update({}, { allocation })).toEqual([]);
    const unknown = { devices: { results: [{ request: "s", driver: "a.example", pool: "p", device: "d" }] } };
    expect(update({ allocation: unknown })[0]).toContain("status.allocation.devices.results[0].request: Invalid value");
  });

  it("speaks of allocated devices only, and forgets those that were given back", () => {
    const device = { driver: "a.example", pool: "p", device: "d" };
    expect(update({ allocation, devices: [device] })).toEqual([]);
    expect(update({ devices: [device] })[0]).toContain("must be an allocated device in the claim");
    const claim = claimOf({ requests: [request] }, { devices: [device] });
    const old = claimOf({ requests: [request] }, { allocation, devices: [device] });
    resourceClaimKind.strategy.prepareForStatusUpdate!(claim, old, context);
    expect(claim.status).toEqual({});
  });
});

describe("a class", () => {
  it("tells drivers JSON objects only, and names no extended resource", () => {
    const opaque = { driver: "a.example", parameters: "text" };
    const deviceClass = { spec: { config: [{ opaque }], extendedResourceName: "a.example/gpu" } };
    expect(texts(deviceClassKind.validateCreate(deviceClass))).toEqual([
      `spec.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object`,
    ]);
    deviceClassKind.strategy.prepareForCreate(deviceClass, context);
    expect(deviceClass.spec).toEqual({ config: [{ opaque }] });
  });
});

describe("a slice", () => {
  const pool = { name: "p", generation: 1, resourceSliceCount: 1 };
  const slice = (spec: Partial<ResourceSliceSpec>): ResourceSlice => ({ spec: { driver: "a.example", pool, ...spec } });
  const wrong = (spec: Partial<ResourceSliceSpec>): string[] => texts(resourceSliceKind.validateCreate(slice(spec)));
  const choice = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

  it("is in one place", () => {
    expect(wrong({ nodeName: "n" })).toEqual([]);
    expect(wrong({})).toEqual([`spec: Required value: ${choice}`]);
    expect(wrong({ nodeName: "n", allNodes: true })).toEqual([
      `spec: Invalid value: "{\`nodeName\`, \`allNodes\`}": ${choice}, but multiple fields are set`,
    ]);
    const term = { matchExpressions: [{ key: "zone", operator: "Exists" }] };
    expect(wrong({ nodeSelector: { nodeSelectorTerms: [term] } })).toEqual([]);
    expect(wrong({ nodeSelector: { nodeSelectorTerms: [term, term] } })[0]).toContain("must have exactly one");
  });

  it("has attributes of one value each", () => {
    const attributes = { "a/b-c": { int: 1 }, both: { int: 1, bool: true }, none: {}, v: { version: "1.2" } };
    expect(
      wrong({ nodeName: "n", devices: [{ name: "d", attributes }] }).map((text) => text.split(": Inv")[0]),
    ).toEqual(
      ["a/b-c", "both", "none", "v"].map(
        (name) => `spec.devices[0].attributes[${name}]${name === "v" ? ".version" : ""}`,
      ),
    );
  });

  it("loses what is off, and with it the only place where devices say theirs", () => {
    const given = slice({
      perDeviceNodeSelection: true,
      devices: [{ name: "d", nodeName: "n", taints: [{ key: "k", effect: "NoSchedule" }] }],
    });
    resourceSliceKind.strategy.prepareForCreate(given, context);
    expect(given.spec).toEqual({ driver: "a.example", pool, devices: [{ name: "d" }] });
    expect(texts(resourceSliceKind.validateCreate(given))).toEqual([`spec: Required value: ${choice}`]);
  });
});

test("the status of a pod names claims that its spec has, each once", () => {
  const statuses = (...names: string[]) => names.map((name) => ({ name, resourceClaimName: `p-${name}-x` }));
  const pod = (...names: string[]): Pod => ({
    metadata: { name: "p", namespace: "ns" },
    spec: { containers: [], resourceClaims: [{ name: "gpu", resourceClaimTemplateName: "t" }] },
    status: { resourceClaimStatuses: statuses(...names) },
  });
  expect(texts(validatePodStatusUpdate(pod("gpu"), pod()))).toEqual([]);
  expect(texts(validatePodStatusUpdate(pod("gpu", "gpu", "nic"), pod()))).toEqual([
    'status.resourceClaimStatuses[1].name: Duplicate value: "gpu"',
    'status.resourceClaimStatuses[2].name: Invalid value: "nic": must match the name of an entry in `spec.resourceClaims`',
  ]);
});
