// How pod statuses are written to a server that takes its time, and to one that takes nothing.
import { PODS, type Pod } from "@coxswain/api";
import { newInternalError, newServiceUnavailable, StatusError } from "@coxswain/apimachinery";
import type { BatchOperation, BatchOutcome, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { StatusWriter, type StatusSource, type WriteOutcome } from "../src/pods/status-writer.ts";

type Answer = (outcomes: BatchOutcome<Pod>[]) => void;

const OK: BatchOutcome<Pod> = { ok: true, object: {} };

class Source implements StatusSource {
  readonly key: string;
  /** How often its status changed, and what the server has of that. */
  changes = 1;
  sent = 0;
  known = 0;
  lost: Error | undefined;

  constructor(key: string) {
    this.key = key;
  }

  nextWrite(): BatchOperation | undefined {
    if (this.known === this.changes) return undefined;
    this.sent = this.changes;
    const target = { namespace: "default", name: this.key };
    const type = "application/strategic-merge-patch+json";
    return { op: "patch", ref: PODS, target, type, patch: {}, subresource: "status" };
  }

  written(outcome: WriteOutcome): void {
    if ("error" in outcome) this.lost = outcome.error;
    else this.known = this.sent;
  }
}

function make() {
  const env = new VirtualEnv({ seed: 1 });
  const batches: { readonly operations: readonly BatchOperation[]; readonly answer: Answer; readonly atMs: number }[] =
    [];
  const lines: string[] = [];
  const write = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const logger = { warn: write, info: write } as unknown as Logger;
  /** What is answered at once, where it is set. */
  const server: { outcome?: (operation: BatchOperation) => BatchOutcome<Pod> } = {};
  const client = {
    batch: (operations: readonly BatchOperation[]) =>
      new Promise<BatchOutcome<Pod>[]>((answer) => {
        batches.push({ operations, answer, atMs: env.elapsedMs });
        if (server.outcome !== undefined) answer(operations.map(server.outcome));
      }),
  } as unknown as ResourceClient;
  const writer = new StatusWriter(env, client, logger);
  const sources = (count: number): Source[] => Array.from({ length: count }, (_, at) => new Source(`pod-${at}`));
  return { env, batches, lines, server, writer, sources };
}

const sizes = (batches: readonly { readonly operations: readonly unknown[] }[]): number[] =>
  batches.map(({ operations }) => operations.length);

test("no more writes are on their way than a server soon answers, and what waits is written once, as it is then", async () => {
  const { env, batches, server, writer, sources } = make();
  const all = sources(3_000);
  for (const source of all) writer.touch(source);
  await env.advance(0);
  expect(sizes(batches)).toEqual([200, 200, 200, 200, 200]);
  // Meanwhile all of them change: those that wait have no second write for it.
  for (const source of all) {
    source.changes++;
    writer.touch(source);
  }
  await env.advance(30_000);
  expect(batches).toHaveLength(5);
  server.outcome = () => OK;
  for (const { operations, answer } of batches.slice()) answer(operations.map(() => OK));
  await env.advance(1_000);
  expect(all.every(({ known }) => known === 2)).toBe(true);
  expect(sizes(batches).reduce((sum, size) => sum + size, 0)).toBe(1_000 + 3_000);
});

test("a server that takes nothing is asked with one batch, less and less often, and told of in one line", async () => {
  const { env, batches, lines, server, writer, sources } = make();
  const all = sources(20_000);
  server.outcome = () => ({ ok: false, error: newServiceUnavailable("no api-server could be reached") });
  for (const source of all) writer.touch(source);
  await env.advance(120_000);
  // Those that were on their way when the first failed, and a batch after each pause.
  const [first, later] = [batches.filter(({ atMs }) => atMs === 0), batches.filter(({ atMs }) => atMs > 0)];
  expect(sizes(first)).toEqual([200, 200, 200, 200, 200]);
  expect(sizes(later).every((size) => size === 200)).toBe(true);
  const gaps = later.slice(1).map(({ atMs }, at) => atMs - later[at]!.atMs);
  for (const [at, gap] of gaps.entries()) {
    const lengthMs = Math.min(1_000 * 2 ** (at + 1), 10_000);
    expect(gap).toBeGreaterThanOrEqual(lengthMs / 2);
    expect(gap).toBeLessThanOrEqual(lengthMs * 1.5 + 1);
  }
  expect(later.length).toBeGreaterThan(8);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("the api-server takes no statuses of pods now, trying again");
  server.outcome = () => OK;
  await env.advance(16_000);
  expect(all.every(({ known }) => known === 1)).toBe(true);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toContain("the api-server takes statuses of pods again");
  expect(lines[1]).toContain(`"failed":${1_000 + 200 * later.length}`);
});

test("a batch that is answered in part slows the writer down, and stops it no longer than a second or so", async () => {
  const { env, batches, server, writer, sources } = make();
  const all = sources(2_000);
  let calls = 0;
  const error = new StatusError("Timeout", 504, "Timeout: the server did not answer in time");
  server.outcome = () => (calls++ % 10 === 0 ? { ok: false, error } : OK);
  for (const source of all) writer.touch(source);
  await env.advance(30_000);
  expect(all.every(({ known }) => known === 1)).toBe(true);
  const gaps = batches.slice(1).map(({ atMs }, at) => atMs - batches[at]!.atMs);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(1_501);
});

test("a write that is refused for its own sake holds up no other and is told of once", async () => {
  const { env, batches, lines, server, writer, sources } = make();
  const [bad, ...good] = sources(300);
  const error = newInternalError("a webhook has failed");
  server.outcome = (operation) =>
    operation.op === "patch" && operation.target.name === bad!.key ? { ok: false, error } : OK;
  for (const source of [bad!, ...good]) writer.touch(source);
  await env.advance(0);
  expect(good.every(({ known }) => known === 1)).toBe(true);
  expect(bad!.known).toBe(0);
  await env.advance(300_000);
  const tries = sizes(batches).reduce((sum, size) => sum + size, 0) - good.length;
  expect(tries).toBeGreaterThan(6);
  expect(tries).toBeLessThan(16);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain("a webhook has failed");
  server.outcome = () => OK;
  await env.advance(90_000);
  expect(bad!.known).toBe(1);
});

test("a pod that is gone is not tried again", async () => {
  const { env, batches, server, writer, sources } = make();
  const [gone, forgotten] = sources(2);
  server.outcome = (operation) => ({
    ok: false,
    error:
      operation.op === "patch" && operation.target.name === gone!.key
        ? new StatusError("NotFound", 404, "pods not found")
        : newInternalError("no"),
  });
  writer.touch(gone!);
  writer.touch(forgotten!);
  await env.advance(0);
  expect(gone!.lost?.message).toBe("pods not found");
  writer.forget(forgotten!);
  await env.advance(120_000);
  expect(sizes(batches)).toEqual([2]);
});
