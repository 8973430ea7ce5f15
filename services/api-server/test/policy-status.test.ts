// The status of policies is written even where the first attempt fails.
import type { ValidatingAdmissionPolicy } from "@coxswain/api";
import { newServiceUnavailable } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { runPolicyStatus } from "../src/admission/policies/policy-status.ts";

test("a status that could not be written is written later, though nothing changes", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const policy = { metadata: { name: "p", generation: 1 }, spec: { validations: [] } } as ValidatingAdmissionPolicy;
  const written: (number | undefined)[] = [];
  let failures = 2;
  const client = {
    update: async (_: unknown, next: ValidatingAdmissionPolicy) => {
      if (failures-- > 0) throw newServiceUnavailable("the store is away");
      written.push(next.status?.observedGeneration);
      return next;
    },
  } as unknown as ResourceClient;
  const source = {
    list: () => (written.length > 0 ? [] : [{ name: "p", namespace: "", object: policy }]),
    onChange: () => () => {},
  };
  const ending = new AbortController();
  const deps = { env, logger: silentLogger, source, client, kinds: { kindFor: () => undefined } } as unknown;
  const running = runPolicyStatus(deps as Parameters<typeof runPolicyStatus>[0], ending.signal);
  await env.advance(5_000);
  ending.abort();
  await running;
  expect(written).toEqual([1]);
});
