// The Batch stream's queue and time-outs, over a stream that the test answers.
import { EventEmitter } from "node:events";
import { connectivityState, type Channel } from "@grpc/grpc-js";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualEnv } from "@coxswain/env";
import { BatchStream, type BatchRequest, type BatchStreamDeps } from "../src/grpc/batch-stream.ts";
import { Fifo } from "../src/grpc/fifo.ts";

const TIMEOUT_MS = 10_000;

/** Answers as the server would: the oldest first. */
class FakeCall extends EventEmitter {
  readonly unanswered: BatchRequest[] = [];
  messages = 0;
  write(request: BatchRequest): void {
    this.messages++;
    this.unanswered.push(request, ...(request.more ?? []));
  }
  cancel(): void {}
  answer(count: number): void {
    const [first, ...more] = this.unanswered
      .splice(0, count)
      .map(({ id }) => ({ id, status: Buffer.alloc(0), more: [] as unknown[] }));
    if (first !== undefined) this.emit("data", { ...first, more });
  }
}

function make() {
  const env = new VirtualEnv({ seed: 1 });
  const { timers, random, failpoints } = env;
  let stoodMs = 0;
  const clock = { now: () => env.clock.now() + stoodMs, monotonic: () => env.clock.monotonic() + stoodMs };
  /** Time goes by, and no timer fires meanwhile. */
  const standStill = (ms: number): void => void (stoodMs += ms);
  const call = new FakeCall();
  const channel = { getConnectivityState: () => connectivityState.READY } as unknown as Channel;
  const open = (() => call) as unknown as BatchStreamDeps["open"];
  const unary = (): Promise<never> => Promise.reject(new Error("no unary calls here"));
  const stream = new BatchStream({
    env: { clock, timers, random, failpoints },
    channel,
    timeoutMs: TIMEOUT_MS,
    open,
    unary,
  });
  const outcomes: string[] = [];
  const submit = (count: number, request: BatchRequest = {}): void => {
    for (let at = 0; at < count; at++) {
      stream.submit(request).then(
        () => outcomes.push("ok"),
        (error: { reason: string }) => outcomes.push(error.reason),
      );
    }
  };
  const count = (outcome: string): number => outcomes.filter((one) => one === outcome).length;
  return { env, call, stream, submit, count, standStill };
}

test("thousands of writes to a server that takes its time are all in time", async () => {
  const { env, call, stream, submit, count } = make();
  submit(3_000);
  await env.advance(0);
  expect(call.unanswered).toHaveLength(512);
  // 100 answers a second: the last comes after 30 s.
  for (let second = 0; second < 30; second++) {
    await env.advance(1_000);
    call.answer(100);
    expect(call.unanswered.length).toBeLessThanOrEqual(512);
  }
  await env.advance(0);
  expect(count("ok")).toBe(3_000);
  stream.close();
});

test("a server that takes long gets less at once, so that others wait less, and all again when it is quick", async () => {
  const { env, call, stream, submit, count } = make();
  submit(20_000);
  await env.advance(0);
  const tick = async (answers: number): Promise<void> => {
    await env.advance(100);
    call.answer(answers);
    await env.advance(0);
  };
  // 400 answers a second: what is sent last of 512 would take more than a second.
  for (let at = 0; at < 100; at++) await tick(40);
  for (let at = 0; at < 100; at++) {
    await tick(40);
    expect(call.unanswered.length).toBeLessThanOrEqual(330);
    expect(call.unanswered.length).toBeGreaterThanOrEqual(100);
  }
  // Hardly any: some are sent all the same.
  for (let at = 0; at < 200; at++) await tick(4);
  expect(call.unanswered).toHaveLength(128);
  for (let at = 0; at < 12; at++) await tick(call.unanswered.length);
  expect(call.unanswered).toHaveLength(512);
  expect(count("Timeout")).toBe(0);
  stream.close();
});

test("who asks for little does not wait behind all that others have to write", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const channel = { getConnectivityState: () => connectivityState.READY } as unknown as Channel;
  // All streams have one server, which takes what comes in turn: 700 operations a second.
  const asked: { readonly call: FakeCall; readonly request: BatchRequest }[] = [];
  const open = (): FakeCall => {
    const call = new FakeCall();
    call.write = (request) => {
      for (const one of [request, ...(request.more ?? [])]) asked.push({ call, request: one });
    };
    return call;
  };
  const make = (): BatchStream =>
    new BatchStream({
      env,
      channel,
      timeoutMs: TIMEOUT_MS,
      open: open as never,
      unary: () => Promise.reject(new Error()),
    });
  const busy = [make(), make(), make(), make()];
  const failed: unknown[] = [];
  for (const stream of busy) {
    for (let at = 0; at < 5_000; at++) stream.submit({}).catch((error: unknown) => failed.push(error));
  }
  const quiet = make();
  const waits: number[] = [];
  let asking = false;
  for (let at = 0; at < 200; at++) {
    if (!asking) {
      asking = true;
      const sinceMs = env.elapsedMs;
      const answered = (): void => {
        waits.push(env.elapsedMs - sinceMs);
        asking = false;
      };
      quiet.submit({}).then(answered, (error: unknown) => failed.push(error));
    }
    await env.advance(100);
    for (const { call, request } of asked.splice(0, 70)) {
      call.emit("data", { id: request.id, status: Buffer.alloc(0), more: [] });
    }
    await env.advance(0);
  }
  // The first finds all that was sent at once.
  expect(Math.max(...waits.slice(3))).toBeLessThanOrEqual(1_000);
  expect(failed).toEqual([]);
  for (const stream of [...busy, quiet]) stream.close();
});

test("of a server that stands still, what was sent may have landed and the rest was never sent", async () => {
  const { env, call, stream, submit, count } = make();
  submit(600);
  await env.advance(100);
  call.answer(20);
  await env.advance(TIMEOUT_MS + 10);
  expect([count("ok"), count("Timeout"), count("ServiceUnavailable")]).toEqual([20, 512, 68]);
  stream.close();
});

test("a process that stood still reads what has come meanwhile before it gives anything up", async () => {
  const { env, call, stream, submit, count, standStill } = make();
  submit(600);
  await env.advance(1_000);
  // Everything that came in this minute is read after the timers.
  standStill(60_000);
  await env.advance(TIMEOUT_MS - 500);
  call.answer(512);
  await env.advance(0);
  call.answer(88);
  await env.advance(0);
  expect(count("ok")).toBe(600);
  // A server that has not answered even then is given up.
  submit(1);
  await env.advance(1_000);
  standStill(60_000);
  await env.advance(TIMEOUT_MS + 2_000);
  expect([count("ok"), count("Timeout")]).toEqual([600, 1]);
  stream.close();
});

test("what is written in one turn shares messages, as far as those stay small", async () => {
  const { env, call, stream, submit, count } = make();
  submit(130);
  await env.advance(0);
  expect([call.messages, call.unanswered.length]).toEqual([3, 130]);
  submit(4, { create: { object: { json: Buffer.alloc(300 * 1024) } } });
  submit(1, { patch: { patch: Buffer.alloc(3 * 1024 * 1024) } });
  submit(2);
  await env.advance(0);
  expect([call.messages, call.unanswered.length]).toEqual([3 + 6, 137]);
  expect(new Set(call.unanswered.map(({ id }) => id)).size).toBe(137);
  call.answer(137);
  await env.advance(0);
  expect(count("ok")).toBe(137);
  stream.close();
});

test("property: a queue gives out what came first", () => {
  const steps = fc.array(
    fc.record({ push: fc.integer({ min: 0, max: 1_500 }), shift: fc.integer({ min: 0, max: 1_500 }) }),
  );
  fc.assert(
    fc.property(steps, fc.boolean(), (all, drain) => {
      const queue = new Fifo<number>();
      const model: number[] = [];
      let next = 0;
      for (const { push, shift } of all) {
        for (let at = 0; at < push; at++) {
          model.push(next);
          queue.push(next++);
        }
        for (let at = 0; at < shift; at++) {
          expect(queue.peek()).toBe(model[0]);
          expect(queue.shift()).toBe(model.shift());
        }
        expect(queue.size).toBe(model.length);
      }
      if (drain) expect(queue.takeAll()).toEqual(model);
    }),
    { numRuns: 20 },
  );
});
