// How a kubelet that has just started takes over what an earlier one left in the runtime: pure, but for the state that it
// fills in. Guarantees: what runs goes on as it is, with its count of restarts, its backoff and its readiness; the life
// before it stays known; nothing is adopted twice.
import type { ContainerStateTerminated } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import type { ContainerStatus, PodSandbox } from "../cri/contract.ts";
import { BACKOFF_MAX_MS, BACKOFF_MIN_MS, type Backoff } from "./backoff.ts";
import { isFinished, terminationGrace } from "./plan-sync.ts";
import {
  reportedStatuses,
  restartForImage,
  type ContainerRecord,
  type ContainerRun,
  type PodState,
} from "./pod-state.ts";

/** All that a runtime has of one pod. */
export interface RuntimePod {
  readonly sandboxes: readonly PodSandbox[];
  readonly containers: readonly ContainerStatus[];
}

/** What is of no use to the pod: to be removed. */
export interface Leftovers {
  readonly sandboxes: readonly string[];
  /** Made but never started. */
  readonly containers: readonly string[];
}

export const UNKNOWN_STATUS = {
  exitCode: 137,
  reason: "ContainerStatusUnknown",
  message: "The container could not be located when the pod was terminated",
} as const;

/** A container's life as the runtime tells it; undefined where it was never started. */
export function runOf(status: ContainerStatus, nowMs: number): ContainerRun | undefined {
  if (status.state === "CONTAINER_CREATED") return undefined;
  const { id, sandboxId, imageRef } = status;
  const startedAtMs = status.startedAtMs === 0 ? nowMs : status.startedAtMs;
  const run = { id, sandboxId, imageRef, startedAtMs };
  if (status.state === "CONTAINER_RUNNING") {
    return { ...run, state: "running", finishedAtMs: 0, exitCode: 0, reason: "", message: "" };
  }
  if (status.state === "CONTAINER_UNKNOWN")
    return { ...run, state: "exited", finishedAtMs: nowMs, startedAtMs, ...UNKNOWN_STATUS };
  const { finishedAtMs, exitCode, reason, message } = status;
  return { ...run, state: "exited", finishedAtMs, exitCode, reason, message };
}

function terminated(run: ContainerRun, runtimeName: string): ContainerStateTerminated {
  const { exitCode, reason, message, startedAtMs, finishedAtMs, id } = run;
  return {
    exitCode,
    reason,
    ...(message === "" ? {} : { message }),
    startedAt: formatTime(startedAtMs),
    finishedAt: formatTime(finishedAtMs),
    containerID: `${runtimeName}://${id}`,
  };
}

/** The backoff that a life which began at `startedAtMs`, after an end at `endedAtMs`, had waited for. */
export function planAdoptedBackoff(endedAtMs: number, startedAtMs: number): Backoff {
  const waitedMs = startedAtMs - endedAtMs;
  let delayMs = BACKOFF_MIN_MS;
  // What waited 10 s waits 20 s next time; clocks and calls take a part of a second more.
  for (let step = BACKOFF_MIN_MS; step <= waitedMs && delayMs < BACKOFF_MAX_MS; step *= 2) {
    delayMs = Math.min(BACKOFF_MAX_MS, step * 2);
  }
  return { delayMs, updatedAtMs: startedAtMs };
}

function adoptContainer(record: ContainerRecord, lives: readonly ContainerStatus[], input: AdoptionInput): void {
  const { state, nowMs, runtimeName } = input;
  const [latest, before] = [lives.at(-1), lives.at(-2)];
  const run = latest === undefined ? undefined : runOf(latest, nowMs);
  if (latest === undefined || run === undefined) return;
  const reported = reportedStatuses(state.pod).find((one) => one.name === record.name);
  record.run = run;
  record.settled = undefined;
  record.restartCount = latest.config.attempt;
  const previous = before === undefined ? undefined : runOf(before, nowMs);
  record.previousId = previous?.id;
  record.last = previous === undefined ? reported?.lastState?.terminated : terminated(previous, runtimeName);
  record.crashBackoff = previous === undefined ? undefined : planAdoptedBackoff(previous.finishedAtMs, run.startedAtMs);
  const same = reported?.containerID === `${runtimeName}://${run.id}`;
  const alive = run.state === "running";
  record.applied = same ? (reported.resources ?? record.spec.resources) : record.spec.resources;
  if (alive && latest.config.image !== (record.spec.image ?? "")) restartForImage(record);
  record.started = alive && (record.spec.startupProbe === undefined || (same && reported?.started === true));
  record.ready = alive && (record.spec.readinessProbe === undefined || (same && reported.ready));
  // The message that a container left at its end is in the API if it was read already.
  const told = reported?.state?.terminated;
  if (!alive && same && told?.message !== undefined && run.message === "") run.message = told.message;
}

function byAttempt(a: ContainerStatus, b: ContainerStatus): number {
  return a.config.attempt - b.config.attempt || a.createdAtMs - b.createdAtMs;
}

function adoptSandboxes(state: PodState, sandboxes: readonly PodSandbox[]): string[] {
  const known = sandboxes.toSorted((a, b) => a.config.attempt - b.config.attempt || a.createdAtMs - b.createdAtMs);
  const hostNetwork = state.pod.spec?.hostNetwork ?? false;
  const ready = known.filter((one) => one.state === "SANDBOX_READY");
  const chosen = ready.findLast((one) => hostNetwork || one.ip !== "") ?? ready.at(-1);
  if (chosen !== undefined) {
    state.sandbox = { id: chosen.id, ip: chosen.ip, lost: !hostNetwork && chosen.ip === "" };
    if (chosen.ip !== "") state.lastIp = chosen.ip;
  }
  state.attempts = Math.max(state.attempts, ...known.map((one) => one.config.attempt + 1));
  for (const one of known) if (one.state !== "SANDBOX_READY") state.stoppedSandboxes.push(one.id);
  return ready.filter((one) => one !== chosen).map((one) => one.id);
}

/** Init containers run again in a new sandbox: what they did for the old one is lost. */
export function forgetInitialization(state: PodState, runtimeName: string): void {
  for (const record of state.containers) {
    if (record.kind !== "init" || record.run?.state !== "exited") continue;
    record.last = terminated(record.run, runtimeName);
    record.previousId = record.run.id;
    record.run = undefined;
    record.restartCount++;
  }
}

export interface AdoptionInput {
  readonly state: PodState;
  readonly found: RuntimePod;
  readonly nowMs: number;
  readonly runtimeName: string;
}

/** Fills in what the runtime has of the pod, and says what of it is of no use. */
export function adoptRuntimePod(input: AdoptionInput): Leftovers {
  const { state, found, runtimeName } = input;
  const sandboxes = adoptSandboxes(state, found.sandboxes);
  const unwanted = new Set(sandboxes);
  const containers: string[] = [];
  for (const record of state.containers) {
    const all = found.containers.filter((one) => one.config.name === record.name && !unwanted.has(one.sandboxId));
    const lives = all.filter((one) => one.state !== "CONTAINER_CREATED").toSorted(byAttempt);
    containers.push(...all.filter((one) => one.state === "CONTAINER_CREATED").map((one) => one.id));
    // Logs of lives before the last two are of no use to anybody.
    containers.push(...lives.slice(0, -2).map((one) => one.id));
    adoptContainer(record, lives, input);
  }
  state.holdsResources = true;
  const begun = state.containers.some((record) => record.run !== undefined);
  const over = terminationGrace(state) !== undefined || isFinished(state);
  if (state.sandbox === undefined && begun && !over) forgetInitialization(state, runtimeName);
  return { sandboxes, containers };
}
