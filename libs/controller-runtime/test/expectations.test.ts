// Expectations hold a controller back until its own writes are seen.
import { expect, test } from "vitest";
import { StatusError } from "@coxswain/apimachinery";
import { VirtualEnv } from "@coxswain/env";
import { createExpectations, EXPECTATION_TIMEOUT_MS } from "../src/expectations.ts";
import { settleAll, SettleError } from "../src/settle-all.ts";

const make = () => {
  const env = new VirtualEnv({ seed: 1 });
  return { env, expectations: createExpectations({ env }) };
};
const timeout = new StatusError("Timeout", 504, "timed out");
const refused = new StatusError("Forbidden", 403, "no");

test("creations are open until all are seen", () => {
  const { expectations } = make();
  expectations.expectCreations("u", 2);
  expectations.creationObserved("u");
  expect(expectations.satisfied("u")).toBe(false);
  expectations.creationObserved("u");
  expect(expectations.satisfied("u")).toBe(true);
});

test("a definite failure lowers, a time-out does not, and five minutes end it", async () => {
  const { env, expectations } = make();
  expectations.expectCreations("u", 2);
  expectations.creationFailed("u", refused);
  expectations.creationFailed("u", timeout);
  expect(expectations.satisfied("u")).toBe(false);
  expect(expectations.expiresInMs("u")).toBe(EXPECTATION_TIMEOUT_MS);
  await env.advance(EXPECTATION_TIMEOUT_MS);
  expect(expectations.satisfied("u")).toBe(true);
});

test("deletions are kept by uid: seeing another, or the same twice, does not count", () => {
  const { expectations } = make();
  expectations.expectDeletions("u", ["a", "b"]);
  expectations.deletionObserved("u", "x");
  expectations.deletionObserved("u", "a");
  expectations.deletionObserved("u", "a");
  expect(expectations.satisfied("u")).toBe(false);
  expectations.deletionFailed("u", "b", refused);
  expect(expectations.satisfied("u")).toBe(true);
  expect(expectations.satisfied("other")).toBe(true);
});

test("settleAll waits for all before it throws", async () => {
  let finished = false;
  const slow = Promise.resolve()
    .then(() => Promise.resolve())
    .then(() => (finished = true));
  await expect(settleAll([Promise.reject(timeout), slow])).rejects.toBe(timeout);
  expect(finished).toBe(true);
  const failure = await settleAll([Promise.reject(timeout), Promise.reject(refused), slow]).catch((e: unknown) => e);
  expect(failure).toBeInstanceOf(SettleError);
  expect(failure).toMatchObject({ errors: [timeout, refused], landed: 1, message: "timed out; no" });
  expect(await settleAll([Promise.resolve(1), Promise.resolve(2)])).toEqual([1, 2]);
});
