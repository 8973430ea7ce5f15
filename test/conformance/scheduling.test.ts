// What is placed, what waits, and who makes room for whom; and the limits and priorities that pods get at admission.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { type ApiError, at, type Rest, type Thing } from "./rest-client.ts";
import { gone } from "./shared-cluster.ts";
import { onSpare, SPARE_NODES } from "./spare-nodes.ts";
import { type Part, pod, readyPods } from "./workload.ts";

const NODE = SPARE_NODES[1];
const predicates = conformsShared("predicates");

/** Waits until the scheduler says why the pod waits, and checks that it does. */
async function staysPending(api: Rest, ns: string, name: string, why: RegExp): Promise<void> {
  const pods = api.resource("v1", "pods", ns);
  const events = await eventually(
    () =>
      api.resource("v1", "events", ns).list({ fieldSelector: `involvedObject.name=${name},reason=FailedScheduling` }),
    ({ items }) => items.length > 0,
  );
  expect(String(events.items[0]?.["message"])).toMatch(why);
  const now = await eventually(
    () => pods.get(name),
    (one) => (at<Part[]>(one, "status.conditions") ?? []).some((c) => c["reason"] === "Unschedulable"),
  );
  expect([at(now, "status.phase"), at(now, "spec.nodeName")]).toEqual(["Pending", undefined]);
}

predicates("nodeSelector without match stays Pending", async ({ api, namespace }) => {
  const ns = await namespace("sched");
  await api.resource("v1", "pods", ns).create(pod("restricted", {}, { nodeSelector: { label: "nonempty" } }));
  await staysPending(
    api,
    ns,
    "restricted",
    /^0\/\d+ nodes are available: .*node\(s\) didn't match Pod's node affinity\/selector/,
  );
});

predicates("pod over remaining CPU stays Pending", async ({ api, namespace }) => {
  const ns = await namespace("sched");
  const node = await api.resource("v1", "nodes").get(NODE);
  const cpu = at<string>(node, "status.allocatable.cpu") ?? "";
  const milli = cpu.endsWith("m") ? Number(cpu.slice(0, -1)) : Number(cpu) * 1000;
  const asking = (share: number): Part => ({ resources: { requests: { cpu: `${Math.floor(milli * share)}m` } } });
  const pods = api.resource("v1", "pods", ns);
  await pods.create(pod("filler", { filler: "yes" }, onSpare(NODE), asking(0.7)));
  await readyPods(api, ns, "filler=yes", 1);
  await pods.create(pod("additional", {}, onSpare(NODE), asking(0.5)));
  await staysPending(api, ns, "additional", /1 Insufficient cpu/);
  await pods.delete("filler", { gracePeriodSeconds: 0 });
  await eventually(
    () => pods.get("additional"),
    (now) => at(now, "spec.nodeName") === NODE,
  );
  await pods.delete("additional", { gracePeriodSeconds: 0 });
});

predicates("hostPort on 0.0.0.0 conflicts with same port", async ({ api, namespace }) => {
  const ns = await namespace("sched");
  const pods = api.resource("v1", "pods", ns);
  const listening = (hostIP?: string): Part => ({
    ports: [{ hostPort: 54322, containerPort: 8080, protocol: "TCP", ...(hostIP === undefined ? {} : { hostIP }) }],
  });
  await pods.create(pod("any", { any: "yes" }, onSpare(NODE), listening()));
  await readyPods(api, ns, "any=yes", 1);
  await pods.create(pod("one", {}, onSpare(NODE), listening("127.0.0.1")));
  await staysPending(api, ns, "one", /1 node\(s\) didn't have free ports for the requested pod ports/);
  await pods.delete("any", { gracePeriodSeconds: 0 });
});

const preemption = conformsShared("preemption");

/** Gives the node five of a resource, and fills it with a pod of low priority that holds three. */
async function occupied(
  c: { api: Rest; namespace: (word: string) => Promise<string> },
  word: string,
  victim: Part = {},
) {
  const ns = await c.namespace(word);
  const resource = `example.com/${ns}`;
  const amount = { status: { capacity: { [resource]: "5" }, allocatable: { [resource]: "5" } } };
  await c.api.resource("v1", "nodes").patch(NODE, amount, "merge", "status");
  const classes = c.api.resource("scheduling.k8s.io/v1", "priorityclasses");
  await classes.create({ metadata: { name: `low-${ns}` }, value: 1 });
  await classes.create({ metadata: { name: `high-${ns}` }, value: 1000 });
  const asking = (count: string): Part => ({
    resources: { requests: { [resource]: count }, limits: { [resource]: count } },
  });
  const pods = c.api.resource("v1", "pods", ns);
  const low = pod("low", { low: "yes" }, onSpare(NODE, { priorityClassName: `low-${ns}` }), asking("3"));
  await pods.create({ ...low, metadata: { ...(low["metadata"] as Part), ...victim } });
  await readyPods(c.api, ns, "low=yes", 1);
  return { ns, pods, asking };
}

const runsThere = (api: Rest, ns: string, name: string): Promise<Thing> =>
  eventually(
    () => api.resource("v1", "pods", ns).get(name),
    (now) => at(now, "status.phase") === "Running" && at(now, "spec.nodeName") === NODE,
  );

preemption("higher priority preempts lower", async (c) => {
  const { ns, pods, asking } = await occupied(c, "preempts");
  await pods.create(pod("high", {}, onSpare(NODE, { priorityClassName: `high-${ns}` }), asking("4")));
  await gone(() => pods.get("low"));
  const high = await runsThere(c.api, ns, "high");
  expect(at(high, "spec.priority")).toBe(1000);
});

preemption("system-critical pod preempts", async (c) => {
  const { ns, pods, asking } = await occupied(c, "critical");
  const critical = c.api.resource("v1", "pods", "kube-system");
  const name = `critical-${ns}`;
  await critical.create(pod(name, {}, onSpare(NODE, { priorityClassName: "system-cluster-critical" }), asking("4")));
  await gone(() => pods.get("low"));
  await runsThere(c.api, "kube-system", name);
  await critical.delete(name, { gracePeriodSeconds: 0 });
});

preemption("DisruptionTarget condition set on victim", async (c) => {
  const { ns, pods, asking } = await occupied(c, "target", { finalizers: ["example.com/test-finalizer"] });
  await pods.create(pod("high", {}, onSpare(NODE, { priorityClassName: `high-${ns}` }), asking("4")));
  const victim = await eventually(
    () => pods.get("low"),
    (now) => now.metadata.deletionTimestamp !== undefined,
  );
  expect(at(victim, "status.conditions")).toContainEqual(
    expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler" }),
  );
  await pods.patch("low", { metadata: { finalizers: null } });
  await gone(() => pods.get("low"));
  await runsThere(c.api, ns, "high");
});

conformsShared("PriorityClass")("PriorityClass verbs; value immutable (setup needs Ready nodes)", async ({ api }) => {
  const classes = api.resource("scheduling.k8s.io/v1", "priorityclasses");
  const label = `verbs-${process.pid}`;
  for (const n of [1, 2]) {
    await classes.create({
      metadata: { name: `p${n}-${label}`, labels: { verbs: label } },
      value: n,
      description: "A test",
    });
  }
  const name = `p1-${label}`;
  const refused = await classes.patch(name, { value: 7 }).then(
    () => undefined,
    (error: unknown) => error as ApiError,
  );
  expect(refused?.code).toBe(422);
  expect(refused?.status.message).toContain("value: Forbidden: may not be changed in an update.");
  expect((await classes.get(name))["value"]).toBe(1);
  expect((await classes.patch(name, { description: "changed" }))["description"]).toBe("changed");
  const now = await classes.get(name);
  expect((await classes.replace({ ...now, description: "updated" }))["description"]).toBe("updated");
  await expect(classes.replace({ ...(await classes.get(name)), value: 9 })).rejects.toMatchObject({ code: 422 });
  expect((await classes.list({ labelSelector: `verbs=${label}` })).items).toHaveLength(2);
  await classes.delete(name);
  await gone(() => classes.get(name));
  await classes.deleteCollection({ labelSelector: `verbs=${label}` });
  expect((await classes.list({ labelSelector: `verbs=${label}` })).items).toEqual([]);
});

const limits = conformsShared("LimitRange");
const amounts = (cpu: string, memory: string, disk: string): Part => ({ cpu, memory, "ephemeral-storage": disk });
const range = {
  metadata: { name: "limits", labels: { limits: "yes" } },
  spec: {
    limits: [
      {
        type: "Container",
        min: amounts("50m", "100Mi", "100Gi"),
        max: amounts("500m", "500Mi", "500Gi"),
        default: amounts("500m", "500Mi", "500Gi"),
        defaultRequest: amounts("100m", "200Mi", "200Gi"),
        maxLimitRequestRatio: {},
      },
    ],
  },
};

limits("defaults applied and limits enforced on pods at admission", async ({ api, namespace }) => {
  const ns = await namespace("limits");
  const ranges = api.resource("v1", "limitranges", ns);
  const pods = api.resource("v1", "pods", ns);
  using watch = ranges.watch({ labelSelector: "limits=yes" });
  await ranges.create(range);
  await watch.until("added", (event) => event.type === "ADDED");
  const resources = async (name: string, wish: Part): Promise<Part | undefined> =>
    at<Part>(await pods.create(pod(name, {}, {}, { resources: wish })), "spec.containers.0.resources");
  const max = amounts("500m", "500Mi", "500Gi");
  expect(await resources("none", {})).toEqual({ requests: amounts("100m", "200Mi", "200Gi"), limits: max });
  expect(await resources("partial", { requests: { cpu: "300m", memory: "150Mi" }, limits: { cpu: "300m" } })).toEqual({
    requests: amounts("300m", "150Mi", "200Gi"),
    limits: { ...max, cpu: "300m" },
  });
  const refuses = async (name: string, wish: Part, why: string): Promise<void> => {
    const made = pods.create(pod(name, {}, {}, { resources: wish }));
    await expect(made).rejects.toMatchObject({ code: 403, status: { message: expect.stringContaining(why) } });
  };
  await refuses(
    "too-little",
    { requests: amounts("10m", "50Mi", "50Gi") },
    "minimum cpu usage per Container is 50m, but request is 10m",
  );
  await refuses("too-much", { limits: { cpu: "600m" } }, "maximum cpu usage per Container is 500m, but limit is 600m");
  await retryOnConflict(async () => {
    const now = await ranges.get("limits");
    const [limit] = at<Part[]>(now, "spec.limits") ?? [];
    return ranges.replace({
      ...now,
      spec: { limits: [{ ...limit, min: { cpu: "9m", memory: "49Mi", "ephemeral-storage": "49Gi" } }] },
    });
  });
  await eventually(
    () => resources(`little-${Math.trunc(performance.now())}`, { requests: amounts("10m", "50Mi", "50Gi") }),
    (now) => now !== undefined,
  );
  await refuses(
    "still-too-much",
    { requests: { cpu: "600m" }, limits: { cpu: "600m" } },
    "maximum cpu usage per Container",
  );
  await ranges.delete("limits");
  await watch.until("deleted", (event) => event.type === "DELETED");
  await eventually(
    () =>
      pods.create(pod(`free-${Math.trunc(performance.now())}`, {}, {}, { resources: { requests: { cpu: "600m" } } })),
    (now) => at(now, "spec.containers.0.resources.limits") === undefined,
  );
});

limits("list, patch, deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("limits");
  const other = await namespace("limits");
  const ranges = api.resource("v1", "limitranges", ns);
  const labelled = { ...range, metadata: { name: "limits", labels: { limits: ns } } };
  await ranges.create(labelled);
  await api.resource("v1", "limitranges", other).create(labelled);
  const everywhere = (): Promise<{ items: Thing[] }> =>
    api.resource("v1", "limitranges").list({ labelSelector: `limits=${ns}` });
  expect((await everywhere()).items).toHaveLength(2);
  const change = {
    metadata: { labels: { patched: "yes" } },
    spec: { limits: [{ type: "Container", min: { cpu: "60m" } }] },
  };
  const patched = await ranges.patch("limits", change, "strategic");
  expect(patched).toMatchObject({
    metadata: { labels: { patched: "yes" } },
    spec: { limits: [{ min: { cpu: "60m" } }] },
  });
  await ranges.delete("limits");
  await gone(() => ranges.get("limits"));
  await api.resource("v1", "limitranges", other).deleteCollection({ labelSelector: `limits=${ns}` });
  expect((await everywhere()).items).toEqual([]);
});
