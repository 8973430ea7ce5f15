// Reviews through a client: what is asked, what is believed and for how long, and that failures are not answers.
import { expect, test } from "vitest";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import { VirtualEnv } from "@coxswain/env";
import { createDelegatedReviews, type ResourceClient } from "../src/index.ts";

interface Asked {
  readonly resource: string;
  readonly spec: Record<string, unknown>;
}

function fixture(answer: (asked: Asked) => object) {
  const env = new VirtualEnv({ seed: 1 });
  const asked: Asked[] = [];
  const create = (async (ref: ResourceRef, object: KubeObject & { spec: Asked["spec"] }) => {
    const question = { resource: ref.resource, spec: object.spec };
    asked.push(question);
    return { ...object, status: answer(question) };
  }) as unknown as ResourceClient["create"];
  return { env, asked, reviews: createDelegatedReviews({ create }, env.clock) };
}

const later = async (env: VirtualEnv, ms: number): Promise<void> => {
  const slept = env.timers.sleep(ms);
  await env.runUntil(() => false, env.elapsedMs + ms);
  await slept;
};

const jane = { username: "jane", groups: ["devs"], extra: { scopes: ["a"] } };

test("a token's user, asked once in ten seconds and once for callers at the same time", async () => {
  const user = { username: "jane", uid: "7", groups: ["devs"], extra: { scopes: ["a"] } };
  const { env, asked, reviews } = fixture(() => ({ authenticated: true, user }));
  expect(await Promise.all([reviews.reviewToken("t"), reviews.reviewToken("t")])).toEqual([user, user]);
  await later(env, 9_000);
  expect(await reviews.reviewToken("t")).toEqual(user);
  expect(asked).toEqual([{ resource: "tokenreviews", spec: { token: "t" } }]);
  await later(env, 1_001);
  await reviews.reviewToken("t");
  expect(asked).toHaveLength(2);
});

test("a token that proves nobody is refused", async () => {
  const { reviews } = fixture(() => ({ authenticated: false, user: {}, error: "expired" }));
  expect(await reviews.reviewToken("t")).toBeUndefined();
});

test("access by path, refusals kept as long as permissions, each user and path by itself", async () => {
  const { env, asked, reviews } = fixture(({ spec }) => ({ allowed: spec["user"] === "jane", reason: "RBAC: why" }));
  const request = { verb: "post", path: "/coxswain.scheduler.v1.Scheduler/Explain" };
  expect(await reviews.reviewAccess(jane, request)).toEqual({ allowed: true });
  const eve = { username: "eve", groups: [] };
  expect(await reviews.reviewAccess(eve, request)).toEqual({ allowed: false, reason: "RBAC: why" });
  await reviews.reviewAccess(eve, request);
  expect(asked).toHaveLength(2);
  expect(asked[0]).toEqual({
    resource: "subjectaccessreviews",
    spec: { user: "jane", groups: ["devs"], extra: { scopes: ["a"] }, nonResourceAttributes: request },
  });
  await later(env, 10_001);
  await reviews.reviewAccess(eve, request);
  await reviews.reviewAccess(eve, { ...request, verb: "get" });
  expect(asked).toHaveLength(4);
});

test("a review that failed is asked again", async () => {
  let broken = true;
  const { asked, reviews } = fixture(() => {
    if (broken) throw new Error("no api-server");
    return { allowed: true };
  });
  await expect(reviews.reviewAccess(jane, { verb: "get", path: "/metrics" })).rejects.toThrow("no api-server");
  broken = false;
  expect(await reviews.reviewAccess(jane, { verb: "get", path: "/metrics" })).toEqual({ allowed: true });
  expect(asked).toHaveLength(2);
});
