// What a patch of a pod's status says, and whether it says more than which generation of the pod the status speaks of.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { PodCondition, PodStatus } from "@coxswain/api";
import { changesGenerationOnly, statusPatch } from "../src/pods/status-patch.ts";

const generation = fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined });

function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T;
}

const condition = fc
  .record({
    type: fc.constantFrom("Ready", "Initialized", "PodResizePending"),
    status: fc.constantFrom("True", "False"),
    reason: fc.constantFrom(undefined, "", "ContainersNotReady"),
    message: fc.constantFrom(undefined, "", "why"),
    observedGeneration: generation,
  })
  .map((one) => present(one) as PodCondition);

const status = fc
  .record({
    phase: fc.constantFrom("Pending", "Running"),
    podIP: fc.constantFrom(undefined, "10.0.0.1"),
    observedGeneration: generation,
    conditions: fc.uniqueArray(condition, { selector: ({ type }) => type, maxLength: 3 }),
  })
  .map((one) => present(one) as PodStatus);

/** The status as it would be had it spoken of the other's generation all along. */
function movedTo(before: PodStatus, after: PodStatus): PodStatus {
  const { observedGeneration } = after;
  const conditions = (before.conditions ?? []).map((one) => {
    const now = after.conditions?.find(({ type }) => type === one.type);
    return now === undefined ? one : (present({ ...one, observedGeneration: now.observedGeneration }) as PodCondition);
  });
  return { ...before, conditions, ...(observedGeneration === undefined ? {} : { observedGeneration }) };
}

test("a patch changes the generation alone where it is needless once the status speaks of that generation", () => {
  fc.assert(
    fc.property(status, status, (before, after) => {
      const patch = statusPatch(before, after);
      fc.pre(patch !== undefined);
      expect(changesGenerationOnly(before, patch)).toBe(statusPatch(movedTo(before, after), after) === undefined);
    }),
    { numRuns: 2_000 },
  );
});

test("a pod that is seen to be deleted has nothing but its generation to tell", () => {
  const before: PodStatus = {
    phase: "Running",
    observedGeneration: 1,
    conditions: [{ type: "Ready", status: "True", observedGeneration: 1 }],
  };
  const after: PodStatus = {
    phase: "Running",
    observedGeneration: 2,
    conditions: [{ type: "Ready", status: "True", observedGeneration: 2 }],
  };
  expect(changesGenerationOnly(before, statusPatch(before, after)!)).toBe(true);
  expect(changesGenerationOnly(before, statusPatch(before, { ...after, phase: "Failed" })!)).toBe(false);
});
