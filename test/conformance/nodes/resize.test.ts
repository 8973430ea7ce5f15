// Pods that run are given other resources: what the API, the kubelet's status and the containers' own cgroups say of it.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, type Thing } from "../rest-client.ts";
import type { SharedCluster } from "../shared-cluster.ts";
import { BUSYBOX, type Part, untilReady } from "./real-pods.ts";

const LONG = { timeoutMs: 200_000 };
const resize = conformsShared("in-place resize");

interface Amounts {
  readonly cpu?: string;
  readonly memory?: string;
}

interface Wish {
  readonly requests?: Amounts;
  readonly limits?: Amounts;
}

const pods = (c: SharedCluster, ns: string) => c.api.resource("v1", "pods", ns);

/** A pod of containers c1, c2, … that sleep, ready. */
async function running(c: SharedCluster, ns: string, wishes: readonly Wish[]): Promise<Thing> {
  const containers = wishes.map((resources, n) => ({
    name: `c${n + 1}`,
    image: BUSYBOX,
    command: ["sleep", "3600"],
    resources,
  }));
  await pods(c, ns).create({ metadata: { name: "main" }, spec: { terminationGracePeriodSeconds: 1, containers } });
  return untilReady(c, ns, "main");
}

const statusOf = (pod: Thing, name: string): Part | undefined =>
  (at<Part[]>(pod, "status.containerStatuses") ?? []).find((one) => one["name"] === name);

/** Waits until each container has what it wants, by the status, with no resize open, and none of them was started again. */
async function untilResized(c: SharedCluster, ns: string, wishes: readonly Wish[], generation: number): Promise<Thing> {
  const has = (pod: Thing, { requests, limits }: Wish, n: number): boolean => {
    const status = statusOf(pod, `c${n + 1}`);
    return (
      isSame(at(status, "resources.requests"), requests) &&
      isSame(at(status, "resources.limits"), limits) &&
      isSame(at(status, "allocatedResources"), requests)
    );
  };
  const pod = await eventually(
    () => pods(c, ns).get("main"),
    (now) =>
      at(now, "status.observedGeneration") === generation &&
      wishes.every((wish, n) => has(now, wish, n)) &&
      !(at<Part[]>(now, "status.conditions") ?? []).some((one) => String(one["type"]).startsWith("PodResize")),
    90_000,
  );
  expect(wishes.map((_, n) => statusOf(pod, `c${n + 1}`)?.["restartCount"])).toEqual(wishes.map(() => 0));
  return pod;
}

/** Equal as amounts of the same resources; what is absent asks for nothing. */
function isSame(a: unknown, b: Amounts = {}): boolean {
  const had = (a as Amounts | undefined) ?? {};
  return had.cpu === b.cpu && had.memory === b.memory;
}

const patchFor = (wishes: readonly Wish[]): Part => ({
  spec: { containers: wishes.map((resources, n) => ({ name: `c${n + 1}`, resources })) },
});

const millis = (cpu: string): number => (cpu.endsWith("m") ? Number(cpu.slice(0, -1)) : Number(cpu) * 1000);
/** What the kernel is told: at least 1 ms of each period of 100 ms. */
const quotaOf = ({ limits }: Wish): string =>
  limits?.cpu === undefined ? "max" : String(Math.max(millis(limits.cpu) * 100, 1000));
const bytesOf = ({ limits }: Wish): string =>
  limits?.memory === undefined ? "max" : String(Number(limits.memory.replace(/Mi$/, "")) * 2 ** 20);

/** What the containers' own cgroups say, v1 or v2: CPU quota and memory bound, each "max" where there is none. */
async function expectCgroups(c: SharedCluster, ns: string, wishes: readonly Wish[]): Promise<void> {
  const script = `cd /sys/fs/cgroup
if [ -e cpu.max ]; then cut -d' ' -f1 cpu.max; cat memory.max
else cat cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes; fi`;
  for (const [n, wish] of wishes.entries()) {
    const [quota = "", bytes = ""] = (
      await c.ok(["-n", ns, "exec", "main", "-c", `c${n + 1}`, "--", "sh", "-c", script])
    )
      .trim()
      .split("\n");
    // Version 1 writes no bound as -1, and as the largest number of pages.
    const unbounded = Number(bytes) > 2 ** 60;
    expect([quota === "-1" ? "max" : quota, unbounded ? "max" : bytes], `c${n + 1}`).toEqual([
      quotaOf(wish),
      bytesOf(wish),
    ]);
  }
}

async function resizesTo(
  c: SharedCluster,
  before: readonly Wish[],
  after: readonly Wish[],
  patch: Part,
  then: (ns: string) => Promise<void> = async () => {},
): Promise<void> {
  const ns = await c.namespace("resize");
  const first = await running(c, ns, before);
  await expectCgroups(c, ns, before);
  const ids = (pod: Thing): unknown[] => before.map((_, n) => statusOf(pod, `c${n + 1}`)?.["containerID"]);
  const patched = await pods(c, ns).patch("main", patch, "strategic", "resize");
  expect(patched.metadata.generation).toBe((first.metadata.generation ?? 0) + 1);
  const resized = await untilResized(c, ns, after, patched.metadata.generation ?? 0);
  expect(ids(resized)).toEqual(ids(first));
  await expectCgroups(c, ns, after);
  await then(ns);
  await pods(c, ns).delete("main", { gracePeriodSeconds: 0 });
}

const guaranteed = (cpu: string, memory: string): Wish => ({ requests: { cpu, memory }, limits: { cpu, memory } });

resize(
  "three containers, net decrease",
  (c) => {
    const before = [guaranteed("100m", "48Mi"), guaranteed("120m", "64Mi"), guaranteed("150m", "64Mi")];
    const after = [guaranteed("150m", "56Mi"), guaranteed("60m", "48Mi"), guaranteed("80m", "48Mi")];
    return resizesTo(c, before, after, patchFor(after));
  },
  LONG,
);

// Every container changes in another way. What is there can be changed and added to, and never taken away.
resize(
  "six containers, mixed add/remove of requests and limits",
  async (c) => {
    const before: Wish[] = [
      { requests: { cpu: "20m" } },
      { requests: { memory: "32Mi" } },
      { requests: { cpu: "20m", memory: "48Mi" } },
      { requests: { cpu: "20m" } },
      { requests: { memory: "32Mi" } },
      { requests: { cpu: "20m", memory: "48Mi" }, limits: { memory: "64Mi" } },
    ];
    const after: Wish[] = [
      { requests: { cpu: "30m" }, limits: { cpu: "60m" } },
      { requests: { memory: "40Mi" }, limits: { memory: "64Mi" } },
      { requests: { cpu: "20m", memory: "32Mi" } },
      { requests: { cpu: "10m", memory: "32Mi" } },
      { requests: { cpu: "10m", memory: "40Mi" } },
      { requests: { cpu: "30m", memory: "32Mi" }, limits: { cpu: "50m", memory: "48Mi" } },
    ];
    await resizesTo(c, before, after, patchFor(after), async (ns) => {
      for (const [kind, name] of [
        ["requests", "c3"],
        ["limits", "c6"],
      ] as const) {
        const resources = { [kind]: { memory: null } };
        const patch = { spec: { containers: [{ name, resources }] } };
        await expect(pods(c, ns).patch("main", patch, "strategic", "resize")).rejects.toThrow(
          `resource ${kind} cannot be removed`,
        );
      }
    });
  },
  LONG,
);

// 2m and 1m are the same number of the kernel's shares, so that nothing it could report changes.
resize(
  "equivalent values (2m to 1m) handled",
  (c) => {
    const tiny = (cpu: string): Wish => ({ requests: { cpu }, limits: { cpu } });
    return resizesTo(c, [tiny("2m")], [tiny("1m")], patchFor([tiny("1m")]));
  },
  LONG,
);

resize(
  "resize subresource PUT equals GET",
  async (c) => {
    const ns = await c.namespace("resize");
    const before = [guaranteed("100m", "32Mi")];
    await running(c, ns, before);
    const read = await pods(c, ns).get("main", "resize");
    expect(read).toMatchObject({ kind: "Pod", metadata: { name: "main" } });
    expect(read["spec"]).toEqual((await pods(c, ns).get("main"))["spec"]);
    const after = [guaranteed("150m", "40Mi")];
    const spec = structuredClone(read["spec"]) as { containers: Part[] };
    Object.assign(spec.containers[0]!, { resources: after[0] });
    const put = await pods(c, ns).replace({ ...read, spec }, "resize");
    const resized = await untilResized(c, ns, after, put.metadata.generation ?? 0);
    // Of the status alone, which is the kubelet's, the answer of the write may be behind.
    const again = await pods(c, ns).get("main", "resize");
    expect(again["spec"]).toEqual(put["spec"]);
    expect(again["spec"]).toEqual(resized["spec"]);
    expect(at(again, "spec.containers.0.resources")).toEqual(after[0]);
    await expectCgroups(c, ns, after);
    await pods(c, ns).delete("main", { gracePeriodSeconds: 0 });
  },
  LONG,
);
