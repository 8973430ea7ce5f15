// Devices by the real kubectl, on simulated nodes: slices are published as a driver would, and pods get devices by claims of their
// own and by claims from templates.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DeviceResourceClaim, Event, Pod } from "@coxswain/api";
import { eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 2, name: "devices" });
  await apply(
    {
      ...resource("DeviceClass", "gpu"),
      spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }] },
    },
    slice("node-1", { "gpu-0": "40Gi" }),
    slice("node-2", { "gpu-0": "40Gi", "gpu-1": "80Gi" }),
  );
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const apply = (...objects: readonly object[]): Promise<string> =>
  k.apply(objects.map((object) => JSON.stringify(object)).join("\n---\n"));

const resource = (kind: string, name: string) => ({ apiVersion: "resource.k8s.io/v1", kind, metadata: { name } });

function slice(nodeName: string, memory: Readonly<Record<string, string>>): object {
  const devices = Object.entries(memory).map(([name, value]) => ({ name, capacity: { memory: { value } } }));
  const pool = { name: nodeName, generation: 1, resourceSliceCount: 1 };
  return {
    ...resource("ResourceSlice", `${nodeName}-gpus`),
    spec: { driver: "gpu.example.com", nodeName, pool, devices },
  };
}

const asking = (exactly: object = {}) => ({
  devices: { requests: [{ name: "gpu", exactly: { deviceClassName: "gpu", ...exactly } }] },
});
const large = 'device.capacity["gpu.example.com"].memory.compareTo(quantity("60Gi")) >= 0';

function pod(name: string, claim: object, more: object = {}): object {
  const containers = [{ name: "main", image: "example.test/app:v1", resources: { claims: [{ name: "gpu" }] } }];
  const resourceClaims = [{ name: "gpu", ...claim }];
  const spec = { terminationGracePeriodSeconds: 1, containers, resourceClaims, ...more };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec };
}

const ready = (name: string) => k.ok(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
const claimNamed = (name: string) => k.get<DeviceResourceClaim>(["resourceclaim", name]);
const deviceOf = ({ status }: DeviceResourceClaim): string =>
  (status?.allocation?.devices?.results ?? []).map((one) => `${one.pool}/${one.device}`).join();

test("a claim goes to the only device that its selector takes, and the pod to that device's node", async () => {
  await apply(
    { ...resource("ResourceClaim", "large"), spec: asking({ selectors: [{ cel: { expression: large } }] }) },
    pod("trainer", { resourceClaimName: "large" }),
  );
  await ready("trainer");
  const { metadata, spec } = await k.get<Pod>(["pod", "trainer"]);
  expect(spec?.nodeName).toBe("node-2");
  const claim = await claimNamed("large");
  expect(deviceOf(claim)).toBe("node-2/gpu-1");
  expect(claim.metadata?.finalizers).toEqual(["resource.kubernetes.io/delete-protection"]);
  expect(claim.status?.reservedFor).toEqual([{ resource: "pods", name: "trainer", uid: metadata?.uid }]);
  expect(await k.ok(["get", "resourceclaim", "large", "--no-headers"])).toMatch(/^large\s+allocated,reserved\s/);
});

test("claims from a template come with their pods, run out, and are free again with the pods", async () => {
  await apply({ ...resource("ResourceClaimTemplate", "any"), spec: { spec: asking() } });
  const workers = ["worker-1", "worker-2", "worker-3"];
  await apply(...workers.map((name) => pod(name, { resourceClaimTemplateName: "any" })));
  const running = async (): Promise<string[]> => {
    const { items } = await k.get<{ items: Pod[] }>(["pods"]);
    const started = items.filter(({ status }) => status?.phase === "Running");
    return started.map(({ metadata }) => metadata?.name ?? "").filter((name) => workers.includes(name));
  };
  // One device is the trainer's.
  await eventually(running, (names) => names.length === 2);
  const waiting = async (): Promise<string> => {
    const started = await running();
    return workers.find((name) => !started.includes(name)) ?? "";
  };
  const last = await waiting();
  const told = await eventually(
    () => k.get<{ items: Event[] }>(["events", `--field-selector=involvedObject.name=${last}`]),
    ({ items }) => items.some(({ reason }) => reason === "FailedScheduling"),
  );
  expect(told.items.map(({ message }) => message).join("\n")).toContain(
    "0/2 nodes are available: 2 cannot allocate all claims. still not schedulable, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
  );
  const claims = async () => (await k.get<{ items: DeviceResourceClaim[] }>(["resourceclaims"])).items;
  const names = (await claims()).map(({ metadata }) => metadata?.name ?? "").filter((name) => name !== "large");
  expect(names).toHaveLength(workers.length);
  for (const name of workers) expect(names.join(" ")).toMatch(new RegExp(`\\b${name}-gpu-[a-z0-9]{5}\\b`));
  const given = (await claims()).map(deviceOf).filter((device) => device !== "");
  expect(given.toSorted()).toEqual(["node-1/gpu-0", "node-2/gpu-0", "node-2/gpu-1"]);
  const first = workers.find((name) => name !== last)!;
  await k.ok(["delete", "pod", first]);
  await ready(last);
  await eventually(claims, (items) => !items.some(({ metadata }) => metadata?.name?.startsWith(`${first}-`)));
  await k.ok(["delete", "pod", ...workers.filter((name) => name !== first)]);
});

test("a claim of one's own outlives its pods, without its devices", async () => {
  await k.ok(["delete", "pod", "trainer"]);
  const idle = await eventually(
    () => claimNamed("large"),
    ({ status, metadata }) => status?.allocation === undefined && metadata?.finalizers === undefined,
  );
  expect(idle.status?.reservedFor).toBeUndefined();
  expect(await k.ok(["get", "resourceclaim", "large", "--no-headers"])).toMatch(/^large\s+pending\s/);
  await k.ok(["delete", "resourceclaim", "large"]);
});

test("a pod that is not to use a claim does not start, whoever has bound it", async () => {
  await apply({ ...resource("ResourceClaim", "idle"), spec: asking() });
  await apply(pod("intruder", { resourceClaimName: "idle" }, { nodeName: "node-1" }));
  const described = await eventually(
    () => k.ok(["describe", "pod", "intruder"]),
    (text) => text.includes("FailedPrepareDynamicResources"),
  );
  expect(described).toMatch(
    /Failed to prepare dynamic resources: prepare dynamic resources: pod intruder \(\S+\) is not allowed to use ResourceClaim idle/,
  );
  await k.ok(["delete", "pod/intruder", "resourceclaim/idle"]);
});
