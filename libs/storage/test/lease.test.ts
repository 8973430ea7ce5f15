// A lease is held while etcd answers, and lost by the holder's own clock before etcd can take it away.
import { EventEmitter } from "node:events";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import type { Connection } from "../src/etcd/connection.ts";
import { grantLease, type HeldLease } from "../src/etcd/lease.ts";
import { LEASE_GRANT, LEASE_REVOKE } from "../src/etcd/rpc.ts";

const TTL_MS = 3_000;

class FakeStream extends EventEmitter {
  requests = 0;
  cancelled = false;
  /** Somebody listens when it tells, later, that it was cancelled: else the process would end by that. */
  heard = false;
  readonly #answer: (stream: FakeStream) => void;
  constructor(answer: (stream: FakeStream) => void) {
    super();
    this.#answer = answer;
  }
  write(): void {
    this.requests++;
    this.#answer(this);
  }
  cancel(): void {
    if (this.cancelled) return;
    this.cancelled = true;
    this.heard = this.listenerCount("error") > 0;
    if (this.heard) this.emit("error", new Error("CANCELLED"));
  }
}

interface Harness {
  readonly env: VirtualEnv;
  readonly streams: FakeStream[];
  readonly revoked: string[];
  readonly lease: () => Promise<HeldLease>;
}

function harness(answer: (stream: FakeStream, at: number) => void, opened?: Promise<void>): Harness {
  const env = new VirtualEnv({ seed: 1 });
  const streams: FakeStream[] = [];
  const revoked: string[] = [];
  const connection = {
    async write(method: unknown, request: { ID: string; TTL: string }) {
      if (method === LEASE_REVOKE) revoked.push(request.ID);
      if (method === LEASE_GRANT) expect(request.TTL).toBe("3");
      return { ID: "77" };
    },
    async stream() {
      await opened;
      const stream: FakeStream = new FakeStream((one) => answer(one, streams.length - 1));
      streams.push(stream);
      return stream;
    },
  } as unknown as Connection;
  return { env, streams, revoked, lease: () => grantLease({ env, logger: silentLogger, connection }, TTL_MS) };
}

const renews = (stream: FakeStream): void => void stream.emit("data", { ID: "77", TTL: "3" });

test("an answered lease stays held, over one stream, a request each third of its life", async () => {
  const { env, streams, lease } = harness(renews);
  const { id, lost } = await lease();
  await env.advance(30_000);
  expect(id).toBe("77");
  expect(lost.aborted).toBe(false);
  expect(streams.map(({ requests }) => requests)).toEqual([30]);
});

test("a lease without answers is lost when its life is over, counted from the last request that was answered", async () => {
  let answering = true;
  const { env, lease } = harness((stream) => answering && renews(stream));
  const { lost } = await lease();
  // The latest answered request was sent at 5,000.
  await env.advance(5_500);
  answering = false;
  await env.advance(2_400);
  expect(lost.aborted).toBe(false);
  await env.advance(101);
  expect(lost.aborted).toBe(true);
});

test("a broken stream is replaced in time", async () => {
  const { env, streams, lease } = harness((stream, at) => {
    if (at % 2 === 0 && stream.requests === 2) stream.emit("error", new Error("UNAVAILABLE"));
    else renews(stream);
  });
  const { lost } = await lease();
  await env.advance(20_000);
  expect(lost.aborted).toBe(false);
  expect(streams.length).toBeGreaterThan(1);
  expect(streams[0]?.cancelled).toBe(true);
});

test("a lease that etcd knows no more is lost at once", async () => {
  const { env, streams, lease } = harness((stream) => void stream.emit("data", { ID: "77", TTL: "0" }));
  const { lost } = await lease();
  await env.advance(1_100);
  expect(lost.aborted).toBe(true);
  expect(streams.map(({ cancelled }) => cancelled)).toEqual([true]);
});

test("one that is given back is lost, revoked, and asks no more", async () => {
  const { env, streams, revoked, lease } = harness(renews);
  const held = await lease();
  await env.advance(2_500);
  await held.resign();
  const [asked] = streams.map(({ requests }) => requests);
  await env.advance(10_000);
  expect(held.lost.aborted).toBe(true);
  expect(revoked).toEqual(["77"]);
  expect(streams.map(({ requests }) => requests)).toEqual([asked]);
});

test("a stream that opens when the lease is lost already is let go, and what it says then is heard", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { env, streams, lease } = harness(() => {}, promise);
  const { lost } = await lease();
  await env.advance(TTL_MS);
  expect([lost.aborted, streams.length]).toEqual([true, 0]);
  resolve();
  await env.advance(1);
  expect(streams.map(({ requests, cancelled, heard }) => ({ requests, cancelled, heard }))).toEqual([
    { requests: 0, cancelled: true, heard: true },
  ]);
});
