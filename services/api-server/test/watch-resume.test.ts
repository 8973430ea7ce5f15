// A watch that is cut at any event and resumed, on the same api-server, another one or one that was restarted, sees every
// event once and in order.
import { afterEach, describe, expect, test } from "vitest";
import fc from "fast-check";
import { CONFIG_MAPS } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { startTestServer, type TestServer } from "./test-server.ts";

const servers: TestServer[] = [];

async function start(options: Parameters<typeof startTestServer>[0] = {}): Promise<TestServer> {
  const server = await startTestServer(options);
  servers.push(server);
  return server;
}

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

interface Seen {
  readonly type: string;
  readonly name: string;
  readonly rv: string;
}

async function read(client: ResourceClient, resourceVersion: string, count: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  if (count === 0) return seen;
  const abort = new AbortController();
  const options = { namespace: "default", resourceVersion, labelSelector: "in=yes" };
  for await (const { type, object } of client.watch<KubeObject>(CONFIG_MAPS, options, abort.signal)) {
    seen.push({ type, name: object.metadata!.name!, rv: object.metadata!.resourceVersion! });
    if (seen.length === count) break;
  }
  abort.abort();
  return seen;
}

type Step = { readonly op: "put" | "delete" | "leave"; readonly name: string; readonly parallel: boolean };

/** Writes the history; steps that are parallel to the next share a commit. Returns how many events it selects. */
async function write(client: ResourceClient, steps: readonly Step[]): Promise<void> {
  let pending: Promise<unknown>[] = [];
  for (const step of steps) {
    pending.push(one(client, step));
    if (step.parallel) continue;
    await Promise.all(pending);
    pending = [];
  }
  await Promise.all(pending);
}

let serial = 0;

async function one(client: ResourceClient, step: Step): Promise<unknown> {
  const target = { namespace: "default", name: step.name };
  const labels = { in: step.op === "leave" ? "no" : "yes" };
  const data = { serial: String(++serial) };
  const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { ...target, labels }, data };
  const ignored = (): undefined => undefined;
  if (step.op === "delete") return await client.delete(CONFIG_MAPS, target).catch(ignored);
  return await client
    .create(CONFIG_MAPS, object)
    .catch(() =>
      client.patch(CONFIG_MAPS, target, "application/merge-patch+json", { metadata: { labels }, data }).catch(ignored),
    );
}

const steps = fc.array(
  fc.record<Step>({
    op: fc.constantFrom("put", "put", "put", "delete", "leave"),
    name: fc.constantFrom("a", "b", "c"),
    parallel: fc.boolean(),
  }),
  { minLength: 1, maxLength: 14 },
);

describe("a watch that is cut and resumed", () => {
  test("at every event of random histories, on any server", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const first = await start();
        const second = await start({ store: first.store });
        const from = (await first.client.list(CONFIG_MAPS, { namespace: "default" })).metadata.resourceVersion;
        await write(first.client, history);
        // A last event that everybody waits for.
        const end = await first.client.create<KubeObject>(CONFIG_MAPS, {
          apiVersion: "v1",
          kind: "ConfigMap",
          metadata: { name: "end", namespace: "default", labels: { in: "yes" } },
        });
        const all = await readUntil(first.client, from, end.metadata!.resourceVersion!);
        const restarted = await start({ store: first.store });
        for (let cut = 0; cut < all.length; cut++) {
          const head = all.slice(0, cut);
          const since = head.at(-1)?.rv ?? from;
          for (const server of [first, second, restarted]) {
            expect([...head, ...(await read(server.client, since, all.length - cut))]).toEqual(all);
          }
        }
        for (const server of servers.splice(0)) await server.stop();
      }),
      { numRuns: 12 },
    );
  });

  test("after history was compacted, is told to start over", async () => {
    const server = await start();
    const config: KubeObject = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default" } };
    const made = await server.client.create(CONFIG_MAPS, config);
    const target = { namespace: "default", name: "a" };
    let last = made;
    for (let i = 0; i < 5; i++) {
      const patch = { data: { i: String(i) } };
      last = await server.client.patch(CONFIG_MAPS, target, "application/merge-patch+json", patch);
    }
    await server.storage.compact(BigInt(last.metadata!.resourceVersion!));
    const restarted = await start({ store: server.store });
    const since = made.metadata!.resourceVersion!;
    await expect(read(restarted.client, since, 1)).rejects.toMatchObject({
      reason: "Expired",
      code: 410,
      message: expect.stringMatching(/^too old resource version: \d+ \(\d+\)$/) as string,
    });
    expect(await read(server.client, since, 0)).toEqual([]);
  });
});

async function readUntil(client: ResourceClient, since: string, lastRv: string): Promise<Seen[]> {
  const seen: Seen[] = [];
  const abort = new AbortController();
  const options = { namespace: "default", resourceVersion: since, labelSelector: "in=yes" };
  for await (const { type, object } of client.watch<KubeObject>(CONFIG_MAPS, options, abort.signal)) {
    seen.push({ type, name: object.metadata!.name!, rv: object.metadata!.resourceVersion! });
    if (object.metadata!.resourceVersion === lastRv) break;
  }
  abort.abort();
  return seen;
}
