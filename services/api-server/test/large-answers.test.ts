// Answers that are made while they are written: whole at a slow reader although their memory is used again, over when the
// reader is gone, and in turns with other work.
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { afterEach, expect, test } from "vitest";
import type { Timers } from "@coxswain/env";
import { sendEncoded } from "../src/rest/respond.ts";
import { inTurns } from "../src/rest/turns.ts";

const PART_BYTES = 100_000;
const PARTS = 100;

/** Two buffers in turns, as encode.ts says. */
async function* parts(): AsyncGenerator<Buffer> {
  const buffers = [Buffer.alloc(PART_BYTES), Buffer.alloc(PART_BYTES)];
  for (let at = 0; at < PARTS; at++) yield buffers[at % 2]!.fill(at);
}

const whole = Buffer.concat(Array.from({ length: PARTS }, (_, at) => Buffer.alloc(PART_BYTES, at)));

let server: Server | undefined;
let sent: PromiseWithResolvers<void>;

afterEach(() => server?.close());

async function get(headers: Record<string, string>): Promise<IncomingMessage> {
  sent = Promise.withResolvers();
  server = createServer((request, response) => {
    const encoded = { contentType: "application/json", parts: parts(), length: whole.length };
    response.on("error", () => undefined);
    sendEncoded(request, response, 200, encoded).then(sent.resolve, sent.reject);
  });
  await new Promise<void>((resolve) => {
    server!.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return await new Promise((resolve, reject) => {
    httpRequest({ host: "127.0.0.1", port, headers }, resolve).on("error", reject).end();
  });
}

test.each(["identity", "gzip"])("a reader gets all of it (%s)", async (encoding) => {
  const answer = await get({ "accept-encoding": encoding });
  const chunks: Buffer[] = [];
  for await (const chunk of answer) {
    chunks.push(chunk as Buffer);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  await sent.promise;
  const body = Buffer.concat(chunks);
  expect((encoding === "gzip" ? gunzipSync(body) : body).equals(whole)).toBe(true);
});

test.each(["identity", "gzip"])("an answer to a reader that goes away is over (%s)", async (encoding) => {
  const answer = await get({ "accept-encoding": encoding });
  await new Promise((resolve) => {
    answer.once("data", resolve);
  });
  answer.destroy();
  await expect(sent.promise).rejects.toThrow();
});

test("long work lets others have their turn each few milliseconds, and no more often", async () => {
  let nowMs = 100;
  let turns = 0;
  const clock = { now: () => nowMs, monotonic: () => nowMs };
  const defer: Timers["defer"] = (run) => {
    turns++;
    queueMicrotask(run);
  };
  const pause = inTurns({ clock, timers: { defer } });
  for (let step = 0; step < 1_000; step++) {
    nowMs += 0.25;
    await pause();
  }
  expect(turns).toBeGreaterThanOrEqual(250 / 10);
  expect(turns).toBeLessThanOrEqual(250 / 4);
});
