// What a pod worker does next: pure. Guarantees:
// - A container is started only while no life of it runs and the sandbox is ready.
// - Init containers run one after another, main containers once all of them are done and all sidecars have started.
// - A pod that is over, or on its way out, only loses containers: main ones first, then sidecars, last one first.
// - Following the plan until it is empty and has no wake-up time leads to a pod at rest.
import type { Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { backoffUntil } from "./backoff.ts";
import { exitCodeOf, isRunning, type ContainerRecord, type PodState } from "./pod-state.ts";
import { shouldRestart } from "./restart-policy.ts";

export type PodAction =
  | { readonly do: "createSandbox" }
  | { readonly do: "startContainer"; readonly name: string }
  /** Tells of an image that is waited for. */
  | { readonly do: "reportPullBackoff"; readonly name: string }
  | { readonly do: "stopContainer"; readonly name: string; readonly graceSeconds: number; readonly message: string }
  /** Runs the hook of a container that is to end later. */
  | { readonly do: "beginPreStop"; readonly name: string; readonly graceSeconds: number }
  | { readonly do: "stopSandbox" }
  /** Ends a sandbox that was lost, with all that runs in it, so that a new one takes its place. */
  | { readonly do: "replaceSandbox" }
  /** Removes what was kept of it for its logs. */
  | { readonly do: "removeSandboxes" }
  /** Gives back volumes and cgroups. */
  | { readonly do: "release" }
  | { readonly do: "fail"; readonly reason: string; readonly message: string }
  /** The last write: the API object goes. */
  | { readonly do: "finishDeletion" };

export interface SyncPlan {
  readonly actions: readonly PodAction[];
  /** Plan again at this time, whatever happens until then. */
  readonly wakeAtMs: number | undefined;
}

/** How long ErrImagePull shows before it turns into ImagePullBackOff. */
const PULL_ERROR_SHOWN_MS = 1_000;
const REST: SyncPlan = { actions: [], wakeAtMs: undefined };

/** Seconds that containers have to end; undefined while the pod is to live. */
export function terminationGrace(state: PodState): number | undefined {
  const { metadata, spec } = state.pod;
  if (state.orphaned) return metadata?.deletionGracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30;
  if (metadata?.deletionTimestamp !== undefined) return metadata.deletionGracePeriodSeconds ?? 0;
  if (state.failure?.graceSeconds !== undefined) return state.failure.graceSeconds;
  if (state.failure !== undefined || isFinished(state)) return spec?.terminationGracePeriodSeconds ?? 30;
  return undefined;
}

/** An init container has failed for good. */
export function initFailed(state: PodState): boolean {
  return state.containers.some((record) => {
    const code = record.kind === "init" ? exitCodeOf(record) : undefined;
    return code !== undefined && code !== 0 && !shouldRestart(state.pod, record, code);
  });
}

/** All main containers have ended and none is to run again, or initialization has failed for good. */
export function isFinished(state: PodState): boolean {
  const main = state.containers.filter((record) => record.kind === "main");
  const done = main.every((record) => {
    const code = exitCodeOf(record);
    return code !== undefined && !shouldRestart(state.pod, record, code);
  });
  return (main.length > 0 && done) || initFailed(state);
}

function ranHere(state: PodState, record: ContainerRecord): boolean {
  return record.run !== undefined && (state.sandbox === undefined || record.run.sandboxId === state.sandbox.id);
}

/** True once init containers are done and sidecars have started. */
export function isInitialized(state: PodState): boolean {
  return state.containers.every((record) => {
    if (record.kind === "main") return true;
    if (record.kind === "ephemeral") return true;
    // What ran once in this sandbox was initialized then: a restarted sidecar does not take that back.
    if (state.containers.some((one) => one.kind === "main" && ranHere(state, one))) {
      return record.kind === "sidecar" || exitCodeOf(record) === 0;
    }
    return record.kind === "sidecar" ? isRunning(record) && record.started : exitCodeOf(record) === 0;
  });
}

export function planSync(state: PodState, nowMs: number): SyncPlan {
  const grace = terminationGrace(state);
  if (grace !== undefined) return planTermination(state, grace, nowMs);
  const deadline = deadlineMs(state);
  if (deadline !== undefined && deadline <= nowMs) {
    const message = "Pod was active on the node longer than the specified deadline";
    return { actions: [{ do: "fail", reason: "DeadlineExceeded", message }], wakeAtMs: undefined };
  }
  if (state.sandbox?.lost === true) return { actions: [{ do: "replaceSandbox" }], wakeAtMs: deadline };
  const plan = state.sandbox === undefined ? planSandbox(state, nowMs) : planContainers(state, nowMs);
  return { actions: plan.actions, wakeAtMs: earliest(plan.wakeAtMs, deadline) };
}

function deadlineMs(state: PodState): number | undefined {
  const seconds = state.pod.spec?.activeDeadlineSeconds;
  return seconds === undefined ? undefined : state.startTimeMs + seconds * 1000;
}

export function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

function planSandbox(state: PodState, nowMs: number): SyncPlan {
  if (state.sandboxRetryAtMs > nowMs) return { actions: [], wakeAtMs: state.sandboxRetryAtMs };
  return { actions: [{ do: "createSandbox" }], wakeAtMs: undefined };
}

/** What a container gets at least that had to wait for others. */
export const MIN_GRACE_SECONDS = 2;

/** Sidecars share the pod's grace: those that wait for others get what is left. */
function graceLeft(state: PodState, graceSeconds: number, nowMs: number): number {
  const gone = nowMs - (state.terminatingSinceMs ?? nowMs);
  return gone < 1_000 ? graceSeconds : Math.max(MIN_GRACE_SECONDS, graceSeconds - Math.floor(gone / 1_000));
}

/** Ends what runs, then the sandbox, gives back what it used, then, for a deleted pod, the object. */
function planTermination(state: PodState, graceSeconds: number, nowMs: number): SyncPlan {
  const running = state.containers.filter(isRunning);
  const main = running.filter((record) => record.kind !== "sidecar");
  if (main.length > 0) {
    const stops = main.flatMap((record) => stop(record, graceSeconds, nowMs));
    return { actions: [...beginHooks(running, graceSeconds), ...stops], wakeAtMs: undefined };
  }
  const last = running.at(-1);
  if (last !== undefined) {
    const stops = stop(last, graceLeft(state, graceSeconds, nowMs), nowMs);
    return { actions: [...beginHooks(running.slice(0, -1), graceSeconds), ...stops], wakeAtMs: undefined };
  }
  if (state.sandbox !== undefined) return { actions: [{ do: "stopSandbox" }], wakeAtMs: undefined };
  if (state.sandboxRetryAtMs > nowMs) return { actions: [], wakeAtMs: state.sandboxRetryAtMs };
  if (state.holdsResources) return { actions: [{ do: "release" }], wakeAtMs: undefined };
  if (state.orphaned && state.stoppedSandboxes.length > 0)
    return { actions: [{ do: "removeSandboxes" }], wakeAtMs: undefined };
  const deleted = state.pod.metadata?.deletionTimestamp !== undefined && !state.orphaned && !state.finishing;
  return deleted ? { actions: [{ do: "finishDeletion" }], wakeAtMs: undefined } : REST;
}

/** Sidecars wait for their turn to end, not with their hooks. */
function beginHooks(running: readonly ContainerRecord[], graceSeconds: number): PodAction[] {
  const wait = running.filter((record) => record.kind === "sidecar" && !record.preStopBegun);
  const hooks = wait.filter(({ spec, stoppingUntilMs }) => spec.lifecycle?.preStop && stoppingUntilMs === undefined);
  return graceSeconds > 0 ? hooks.map(({ name }) => ({ do: "beginPreStop", name, graceSeconds })) : [];
}

/** Nothing where the container is being ended already, and not later. */
function stop(record: ContainerRecord, graceSeconds: number, nowMs: number): PodAction[] {
  const until = nowMs + graceSeconds * 1000;
  if (record.stoppingUntilMs !== undefined && record.stoppingUntilMs <= until) return [];
  return [{ do: "stopContainer", name: record.name, graceSeconds, message: `Stopping container ${record.name}` }];
}

interface Draft {
  readonly actions: PodAction[];
  wakeAtMs: number | undefined;
}

function planContainers(state: PodState, nowMs: number): SyncPlan {
  const draft: Draft = { actions: [], wakeAtMs: undefined };
  const initialized = isInitialized(state);
  for (const record of state.containers) {
    if (record.kind === "main") {
      if (initialized) planContainer(state.pod, record, nowMs, draft);
      continue;
    }
    // Planned below: they wait for nobody.
    if (record.kind === "ephemeral") continue;
    if (record.kind === "init" && exitCodeOf(record) === 0) continue;
    planContainer(state.pod, record, nowMs, draft);
    if (record.kind === "init" || (!initialized && !(isRunning(record) && record.started))) break;
  }
  for (const record of state.containers) {
    if (record.kind === "ephemeral" && !isRunning(record)) planContainer(state.pod, record, nowMs, draft);
  }
  return draft;
}

/** Runs a container that is to run, as soon as its backoff allows. */
function planContainer(pod: Pod, record: ContainerRecord, nowMs: number, draft: Draft): void {
  if (isRunning(record)) {
    if (record.mustRestart === undefined || record.stoppingUntilMs !== undefined) return;
    const { message, graceSeconds = pod.spec?.terminationGracePeriodSeconds ?? 30 } = record.mustRestart;
    draft.actions.push({ do: "stopContainer", name: record.name, graceSeconds, message });
    return;
  }
  const code = exitCodeOf(record);
  if (code !== undefined && !shouldRestart(pod, record, code)) return;
  if (record.retryAtMs > nowMs) {
    planPullBackoff(record, nowMs, draft);
    draft.wakeAtMs = earliest(draft.wakeAtMs, record.retryAtMs);
    return;
  }
  const endedAtMs = lastEndMs(record);
  const until = endedAtMs === undefined ? undefined : backoffUntil(record.crashBackoff, endedAtMs);
  if (until !== undefined && until > nowMs) draft.wakeAtMs = earliest(draft.wakeAtMs, until);
  else draft.actions.push({ do: "startContainer", name: record.name });
}

function planPullBackoff(record: ContainerRecord, nowMs: number, draft: Draft): void {
  if (record.waiting?.reason !== "ErrImagePull") return;
  const dueMs = record.waiting.sinceMs + PULL_ERROR_SHOWN_MS;
  if (dueMs <= nowMs) draft.actions.push({ do: "reportPullBackoff", name: record.name });
  else draft.wakeAtMs = earliest(draft.wakeAtMs, dueMs);
}

/** When the latest life ended that this process knows of. */
export function lastEndMs(record: ContainerRecord): number | undefined {
  if (record.run?.state === "exited") return record.run.finishedAtMs;
  return record.crashBackoff === undefined ? undefined : parseTime(record.last?.finishedAt);
}

/** In CrashLoopBackOff: when it may run again. */
export function crashBackoffUntil(pod: Pod, record: ContainerRecord, nowMs: number): number | undefined {
  const code = exitCodeOf(record);
  const endedAtMs = lastEndMs(record);
  if (code === undefined || endedAtMs === undefined || !shouldRestart(pod, record, code)) return undefined;
  const until = backoffUntil(record.crashBackoff, endedAtMs);
  return until !== undefined && until > nowMs ? until : undefined;
}
