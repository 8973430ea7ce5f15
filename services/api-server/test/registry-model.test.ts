// Random writes at two api-servers at once against a model: what was acknowledged is there, versions grow, lists at a
// version tell the same on every server, and a frozen leader's late write is refused.
import { describe, expect, test } from "vitest";
import fc from "fast-check";
import { CONFIG_MAPS, LEASES, type ConfigMap, type Lease } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { Fence } from "@coxswain/client";
import { startTestServer } from "./test-server.ts";

interface Step {
  readonly op: "create" | "replace" | "patch" | "delete" | "finalize";
  readonly name: string;
  readonly server: 0 | 1;
}

const steps = fc.array(
  fc.record<Step>({
    op: fc.constantFrom("create", "create", "replace", "patch", "delete", "finalize"),
    name: fc.constantFrom("a", "b", "c", "d"),
    server: fc.constantFrom(0, 1),
  }),
  { minLength: 1, maxLength: 40 },
);

interface Expected {
  value: string;
  held: boolean;
  going: boolean;
}

describe("random writes", () => {
  test("leave what the model says", async () => {
    const one = await startTestServer();
    const two = await startTestServer({ store: one.store });
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const prefix = `r${++runs}-`;
        const model = new Map<string, Expected>();
        const snapshots: { rv: string; names: string[] }[] = [];
        for (const [index, step] of history.entries()) {
          const { client } = [one, two][step.server]!;
          await apply(client, model, step, prefix + step.name, String(index));
          const listed = await [two, one][step.server]!.client.list<ConfigMap>(CONFIG_MAPS, { namespace: "default" });
          const mine = listed.items.filter(({ metadata }) => metadata!.name!.startsWith(prefix));
          expect(Object.fromEntries(mine.map((each) => [each.metadata!.name, each.data!["v"]]))).toEqual(
            Object.fromEntries([...model].map(([name, { value }]) => [name, value])),
          );
          snapshots.push({
            rv: listed.metadata.resourceVersion,
            names: listed.items.map((each) => each.metadata!.name!),
          });
        }
        for (const { rv, names } of snapshots) {
          const options = { namespace: "default", resourceVersion: rv, resourceVersionMatch: "Exact" as const };
          const again = await one.client.list<ConfigMap>(CONFIG_MAPS, options);
          expect(again.items.map((each) => each.metadata!.name)).toEqual(names);
        }
      }),
      { numRuns: 30 },
    );
    await one.stop();
    await two.stop();
  });
});

type Client = Awaited<ReturnType<typeof startTestServer>>["client"];

async function apply(
  client: Client,
  model: Map<string, Expected>,
  step: Step,
  name: string,
  value: string,
): Promise<void> {
  const known = model.get(name);
  const target = { namespace: "default", name };
  const outcome = await attempt(client, step, target, value, known);
  expect(outcome).toBe(step.op === "create" ? (known ? "AlreadyExists" : "ok") : known ? "ok" : "NotFound");
  if (outcome !== "ok") return;
  if (step.op === "create") model.set(name, { value, held: false, going: false });
  if (known === undefined) return;
  if (step.op === "replace" || step.op === "patch") known.value = value;
  if (step.op === "replace") known.held = false;
  if (step.op === "finalize" && !known.going) known.held = true;
  if (step.op === "delete") known.going = true;
  if (known.going && !known.held) model.delete(name);
}

async function attempt(
  client: Client,
  step: Step,
  target: { namespace: string; name: string },
  value: string,
  known: Expected | undefined,
): Promise<string> {
  const object: ConfigMap = { apiVersion: "v1", kind: "ConfigMap", metadata: target, data: { v: value } };
  const finalizers = known?.going ? undefined : { finalizers: ["example.test/hold"] };
  try {
    if (step.op === "create") await client.create(CONFIG_MAPS, object);
    else if (step.op === "replace") await client.update(CONFIG_MAPS, object);
    else if (step.op === "patch")
      await client.patch(CONFIG_MAPS, target, "application/merge-patch+json", { data: { v: value } });
    else if (step.op === "finalize")
      await client.patch(CONFIG_MAPS, target, "application/merge-patch+json", { metadata: { ...finalizers } });
    else await client.delete(CONFIG_MAPS, target);
    return "ok";
  } catch (error) {
    if (isReason(error, "AlreadyExists", "NotFound")) return error.reason;
    throw error;
  }
}

describe("fencing", () => {
  test("a leader that was frozen past its lease writes nothing", async () => {
    const server = await startTestServer();
    const { client } = server;
    const lease = (holder: string, transitions: number, resourceVersion?: string): Lease => ({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "leader", namespace: "kube-system", resourceVersion },
      spec: { holderIdentity: holder, leaseTransitions: transitions, leaseDurationSeconds: 15 },
    });
    const held = await client.create(LEASES, lease("a", 0));
    const fence = (holder: string, transitions: number) => (): Fence => ({
      lease: "kube-system/leader",
      holder,
      transitions,
    });
    const old = client.fenced(fence("a", 0));
    const map = (name: string): ConfigMap => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name, namespace: "default" },
    });
    await old.create(CONFIG_MAPS, map("first"));
    // Handed over while "a" is frozen; renewals in between do not break the fence.
    const renewed = await client.update(LEASES, { ...held, spec: { ...held.spec, leaseDurationSeconds: 16 } });
    await old.create(CONFIG_MAPS, map("second"));
    await client.update(LEASES, lease("b", 1, renewed.metadata!.resourceVersion));
    for (const write of [
      () => old.create(CONFIG_MAPS, map("third")),
      () => old.update(CONFIG_MAPS, { ...map("first"), data: { late: "yes" } }),
      () => old.delete(CONFIG_MAPS, { namespace: "default", name: "first" }),
    ]) {
      await expect(write()).rejects.toMatchObject({
        reason: "Conflict",
        message: expect.stringContaining(
          'lease kube-system/leader is held by "b" (transition 1), not by "a"',
        ) as string,
      });
    }
    await client.fenced(fence("b", 1)).create(CONFIG_MAPS, map("fourth"));
    const { items } = await client.list<ConfigMap>(CONFIG_MAPS, { namespace: "default" });
    expect(items.map(({ metadata, data }) => [metadata!.name, data])).toEqual([
      ["first", undefined],
      ["fourth", undefined],
      ["second", undefined],
    ]);
    await server.stop();
  });
});
