// planSync followed against a model of a runtime that fails at random: never two lives of a container, always an end.
import type { Container, Pod } from "@coxswain/api";
import fc from "fast-check";
import { expect, test } from "vitest";
import { nextBackoff } from "../src/pods/backoff.ts";
import { lastEndMs, planSync, type PodAction } from "../src/pods/plan-sync.ts";
import {
  isRunning,
  newPodState,
  type ContainerKind,
  type ContainerRecord,
  type PodState,
} from "../src/pods/pod-state.ts";
import { shouldRestart } from "../src/pods/restart-policy.ts";

const START_MS = Date.UTC(2026, 0, 1);

interface Model {
  readonly state: PodState;
  nowMs: number;
  lives: number;
  gone: boolean;
  readonly violations: string[];
}

type Own = Pick<Container, "restartPolicy" | "restartPolicyRules">;

function podOf(restartPolicy: string, init: readonly boolean[], main: readonly Own[]): Pod {
  const containers = main.map((own, at): Container => ({ name: `m${at}`, image: "i", ...own }));
  const initContainers = init.map((sidecar, at): Container => ({
    name: `i${at}`,
    image: "i",
    ...(sidecar ? { restartPolicy: "Always" } : {}),
  }));
  const metadata = { name: "p", namespace: "default", uid: "u" };
  return { metadata, spec: { restartPolicy, containers, initContainers, terminationGracePeriodSeconds: 5 } };
}

function end(model: Model, record: ContainerRecord, exitCode: number): void {
  if (record.run?.state !== "running") return;
  Object.assign(record.run, { state: "exited", exitCode, finishedAtMs: model.nowMs, reason: "" });
  Object.assign(record, { stoppingUntilMs: undefined, started: false, mustRestart: undefined });
}

function startOne(model: Model, record: ContainerRecord): void {
  const { state, nowMs } = model;
  if (isRunning(record)) model.violations.push(`${record.name} has two lives`);
  if (state.sandbox === undefined) model.violations.push(`${record.name} has no sandbox`);
  const before = state.containers.slice(0, state.containers.indexOf(record));
  const open = before.some((one) => one.kind === "init" && one.run?.exitCode !== 0);
  if (open) model.violations.push(`${record.name} starts before an init container is done`);
  if (record.run !== undefined) {
    record.crashBackoff = nextBackoff(record.crashBackoff, lastEndMs(record) ?? nowMs, nowMs);
    record.restartCount++;
  }
  const run = {
    id: String(model.lives++),
    sandboxId: "s",
    imageRef: "",
    startedAtMs: nowMs,
    finishedAtMs: 0,
    exitCode: 0,
  };
  record.run = { ...run, state: "running", reason: "", message: "" };
  record.started = true;
}

function perform(model: Model, action: PodAction): void {
  const { state } = model;
  const record = "name" in action ? state.containers.find((one) => one.name === action.name) : undefined;
  if (action.do === "createSandbox") {
    state.sandbox = { id: "s", ip: "1.2.3.4", lost: false };
    state.holdsResources = true;
  } else if (action.do === "release") {
    if (state.sandbox !== undefined) model.violations.push("volumes go before the sandbox");
    state.holdsResources = false;
  } else if (action.do === "stopSandbox") {
    if (state.containers.some(isRunning)) model.violations.push("the sandbox goes before its containers");
    state.sandbox = undefined;
  } else if (action.do === "finishDeletion") {
    if (state.holdsResources) model.violations.push("the object goes before its volumes");
    model.gone = true;
    state.finishing = true;
  } else if (action.do === "fail") state.failure = { reason: action.reason, message: action.message };
  else if (action.do === "startContainer" && record !== undefined) startOne(model, record);
  else if (action.do === "stopContainer" && record !== undefined) end(model, record, 0);
}

/** Follows the plan until it rests; false where it does not. */
function settle(model: Model): boolean {
  for (let round = 0; round < 200; round++) {
    const { actions, wakeAtMs } = planSync(model.state, model.nowMs);
    if (actions.length === 0 && wakeAtMs === undefined) return true;
    if (actions.length === 0 && wakeAtMs !== undefined) {
      if (wakeAtMs <= model.nowMs) model.violations.push("it wakes in the past");
      model.nowMs = wakeAtMs;
    }
    for (const action of actions) perform(model, action);
  }
  return false;
}

const ownArbitrary: fc.Arbitrary<Own> = fc.constantFrom<Own>(
  {},
  {},
  { restartPolicy: "Always" },
  { restartPolicy: "Never" },
  { restartPolicy: "Never", restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [1] } }] },
);
const podArbitrary = fc.record({
  policy: fc.constantFrom("Always", "OnFailure", "Never"),
  init: fc.array(fc.boolean(), { maxLength: 3 }),
  main: fc.array(ownArbitrary, { minLength: 1, maxLength: 3 }),
});
const exits = fc.array(fc.record({ at: fc.nat(5), code: fc.constantFrom(0, 1) }), { maxLength: 12 });

test("follows any sequence of exits to rest, with one life a container, and a deleted pod goes", () => {
  fc.assert(
    fc.property(podArbitrary, exits, ({ policy, init, main }, ends) => {
      const state = newPodState(podOf(policy, init, main), START_MS);
      const model: Model = { state, nowMs: START_MS, lives: 0, gone: false, violations: [] };
      expect(settle(model)).toBe(true);
      for (const { at, code } of ends) {
        model.nowMs += 1_000;
        const record = state.containers[at % state.containers.length];
        if (record !== undefined) end(model, record, code);
        expect(settle(model)).toBe(true);
      }
      // Init containers that still run end well, one after another: all that is to run then runs.
      for (const record of state.containers) {
        if (record.kind === "init") end(model, record, 0);
        expect(settle(model)).toBe(true);
      }
      state.pod = {
        ...state.pod,
        metadata: { ...state.pod.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 5 },
      };
      expect(settle(model)).toBe(true);
      expect(model.violations).toEqual([]);
      expect(model.gone).toBe(true);
      expect(state.containers.some(isRunning)).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test("a container's own policy and rules come before the pod's policy", () => {
  const restarts = (policy: string, own: Own, code: number, kind: ContainerKind = "main"): boolean =>
    shouldRestart(podOf(policy, [], [{}]), { kind, spec: { name: "c", ...own } }, code);
  const rule = (operator: string, ...values: number[]): Own => ({
    restartPolicy: "Never",
    restartPolicyRules: [{ action: "Restart", exitCodes: { operator, values } }],
  });
  expect(restarts("Never", { restartPolicy: "Always" }, 0)).toBe(true);
  expect(restarts("Always", { restartPolicy: "Never" }, 1)).toBe(false);
  expect(restarts("Always", { restartPolicy: "OnFailure" }, 0)).toBe(false);
  expect(restarts("Never", rule("In", 42, 43), 43)).toBe(true);
  expect(restarts("Never", rule("In", 42), 1)).toBe(false);
  expect(restarts("Never", rule("NotIn", 0, 42), 1)).toBe(true);
  expect(restarts("Never", rule("NotIn", 0, 42), 42)).toBe(false);
  // Rules without a policy of the container's own do not count; what is unknown is no match.
  expect(restarts("Never", { ...rule("In", 1), restartPolicy: undefined }, 1)).toBe(false);
  expect(restarts("Never", rule("Other", 1), 1)).toBe(false);
  // An init container that is done is done.
  expect(restarts("Never", { restartPolicy: "OnFailure" }, 1, "init")).toBe(true);
  expect(restarts("Always", { restartPolicy: "OnFailure" }, 0, "init")).toBe(false);
  expect(restarts("Always", { restartPolicy: "Never" }, 1, "init")).toBe(false);
});

test("a pod's end begins with all its hooks, whoever ends last", () => {
  const pod = podOf("Always", [true, true], [{}]);
  for (const one of pod.spec?.initContainers ?? []) one.lifecycle = { preStop: { sleep: { seconds: 1 } } };
  const state = newPodState(pod, START_MS);
  const model: Model = { state, nowMs: START_MS, lives: 0, gone: false, violations: [] };
  expect(settle(model)).toBe(true);
  state.pod = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 5 } };
  const steps = () =>
    planSync(state, model.nowMs).actions.map((one) => ("name" in one ? `${one.do} ${one.name}` : one.do));
  expect(steps()).toEqual(["beginPreStop i0", "beginPreStop i1", "stopContainer m0"]);
  for (const record of state.containers) if (record.kind === "sidecar") record.preStopBegun = true;
  expect(steps()).toEqual(["stopContainer m0"]);
  for (const record of state.containers) if (record.kind === "main") end(model, record, 0);
  expect(steps()).toEqual(["stopContainer i1"]);
  // Where there is no time there are no hooks.
  state.pod = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "x", deletionGracePeriodSeconds: 0 } };
  for (const record of state.containers) record.preStopBegun = false;
  expect(steps()).toEqual(["stopContainer i1"]);
});

test("an active deadline ends the pod", () => {
  const pod = podOf("Always", [], [{}]);
  pod.spec!.activeDeadlineSeconds = 60;
  const state = newPodState(pod, START_MS);
  const model: Model = { state, nowMs: START_MS, lives: 0, gone: false, violations: [] };
  expect(settle(model)).toBe(true);
  expect(state.failure?.reason).toBe("DeadlineExceeded");
  expect(model.nowMs).toBe(START_MS + 60_000);
  expect(state.containers.some(isRunning)).toBe(false);
});
