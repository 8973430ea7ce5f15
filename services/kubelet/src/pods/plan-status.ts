// From what a pod worker knows to the pod's status: pure. Phase, conditions and container statuses as upstream reports them.
import type {
  Container,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  PodCondition,
  PodStatus,
  ResourceRequirements,
} from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import { goDuration } from "./backoff.ts";
import { UNKNOWN_STATUS } from "./plan-adoption.ts";
import { RESIZE_IN_PROGRESS, RESIZE_PENDING } from "./plan-resize.ts";
import { crashBackoffUntil, initFailed, isFinished, isInitialized } from "./plan-sync.ts";
import { exitCodeOf, isRunning, type ContainerRecord, type PodState } from "./pod-state.ts";
import { shouldRestart } from "./restart-policy.ts";

export interface StatusInput {
  readonly state: PodState;
  readonly nowMs: number;
  readonly hostIp: string;
  /** "simulated" in simulated://…. */
  readonly runtimeName: string;
}

/** namespace_uid as upstream names pods in messages: name_namespace(uid). */
export function podLogName(pod: Pod): string {
  const { name = "", namespace = "", uid = "" } = pod.metadata ?? {};
  return `${name}_${namespace}(${uid})`;
}

/** The status that the kubelet reports; conditions of others are not in it. */
export function planStatus(input: StatusInput): PodStatus {
  const { state, hostIp } = input;
  const { pod } = state;
  const told = state.containers.map((record) => containerStatus(record, input));
  const statuses = state.finishing ? terminalStatuses(state, told) : told;
  const kinds = state.containers.map((record) => record.kind);
  const status: PodStatus = {
    phase: planPhase(state),
    conditions: planConditions(input, statuses),
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    startTime: formatTime(state.startTimeMs),
    containerStatuses: statuses.filter((_, at) => kinds[at] === "main"),
  };
  const init = statuses.filter((_, at) => kinds[at] === "init" || kinds[at] === "sidecar");
  if (init.length > 0) status.initContainerStatuses = init;
  const ephemeral = statuses.filter((_, at) => kinds[at] === "ephemeral");
  if (ephemeral.length > 0) status.ephemeralContainerStatuses = ephemeral;
  const ip = podIp(input);
  if (ip !== undefined) {
    status.podIP = ip;
    status.podIPs = [{ ip }];
  }
  if (state.failure !== undefined && state.failure.reason !== "") {
    status.reason = state.failure.reason;
    status.message = state.failure.message;
    if (state.containers.every((record) => record.run === undefined && record.settled === undefined)) {
      // Refused or failed before anything ran: upstream reports no containers.
      delete status.containerStatuses;
      delete status.initContainerStatuses;
      delete status.ephemeralContainerStatuses;
    }
  }
  if (pod.metadata?.generation !== undefined) status.observedGeneration = pod.metadata.generation;
  return status;
}

/** A pod that is over keeps the address that it had. */
function podIp({ state, hostIp }: StatusInput): string | undefined {
  if (state.sandbox !== undefined) return state.pod.spec?.hostNetwork ? hostIp : state.sandbox.ip;
  return isFinished(state) || state.failure !== undefined || state.attempts > 0 ? state.lastIp : undefined;
}

/** Nobody knows how a container ended that shows no end when its pod goes; one that nothing began stays as it is. */
function terminalStatuses(state: PodState, told: readonly ContainerStatus[]): ContainerStatus[] {
  const begun = ({ state: now, lastState }: ContainerStatus): boolean =>
    now?.waiting === undefined || lastState?.terminated !== undefined;
  const before = state.containers.map(({ kind }) => kind === "init" || kind === "sidecar");
  const lastBegun = told.findLastIndex((status, at) => before[at] && begun(status));
  const initialized = !before.includes(true) || told.some((status, at) => !before[at] && begun(status));
  return told.map((status, at) => {
    const counts = before[at] ? at <= lastBegun : initialized && state.containers[at]!.kind === "main";
    if (!counts || status.state?.terminated !== undefined) return status;
    return { ...status, state: { terminated: { ...UNKNOWN_STATUS } } };
  });
}

/** Once Succeeded or Failed, a phase never changes. */
export function planPhase(state: PodState): string {
  const before = state.pod.status?.phase;
  if (before === "Succeeded" || before === "Failed") return before;
  if (state.failure !== undefined || initFailed(state)) return "Failed";
  const main = state.containers.filter((record) => record.kind === "main");
  const codes = main.map(exitCodeOf);
  const over = main.every((record, at) => {
    const code = codes[at];
    const deleted = state.pod.metadata?.deletionTimestamp !== undefined;
    return code !== undefined && (deleted || !shouldRestart(state.pod, record, code));
  });
  if (main.length > 0 && over) return codes.every((code) => code === 0) ? "Succeeded" : "Failed";
  // Whoever counts a pod's end, as a Job does, waits for a phase that says so, also where nothing ever ran.
  if (state.finishing) return "Failed";
  // A kubelet that has just restarted finds no container, yet the pod had begun.
  if (before === "Running") return before;
  const begun = main.every((record) => record.run !== undefined || record.settled !== undefined || hadLife(record));
  return isInitialized(state) && begun ? "Running" : "Pending";
}

function hadLife(record: ContainerRecord): boolean {
  return record.last !== undefined;
}

function terminated(record: ContainerRecord, runtimeName: string): ContainerStateTerminated | undefined {
  const { run } = record;
  if (run === undefined || run.state !== "exited") return undefined;
  return {
    exitCode: run.exitCode,
    reason: run.reason,
    ...(run.message === "" ? {} : { message: run.message }),
    startedAt: formatTime(run.startedAtMs),
    finishedAt: formatTime(run.finishedAtMs),
    containerID: `${runtimeName}://${run.id}`,
  };
}

/** What `run` looks like once the next life has begun, or is waited for. */
export function terminatedState(record: ContainerRecord, runtimeName: string): ContainerStateTerminated | undefined {
  return terminated(record, runtimeName) ?? record.settled?.state?.terminated;
}

function containerStatus(record: ContainerRecord, input: StatusInput): ContainerStatus {
  const { state, nowMs, runtimeName } = input;
  const { run, name, spec, restartCount } = record;
  if (run === undefined && record.settled !== undefined) return record.settled;
  const base = {
    name,
    image: spec.image ?? "",
    imageID: run?.imageRef ?? "",
    restartCount,
    ...(run === undefined ? {} : { containerID: `${runtimeName}://${run.id}` }),
    ...(record.kind === "ephemeral" ? {} : resourceStatus(record)),
    ...mountStatus(spec),
  };
  const lastState = record.last === undefined ? {} : { terminated: record.last };
  if (run?.state === "running") {
    const ready = isRunning(record) && record.started && record.ready;
    return {
      ...base,
      ready,
      started: record.started,
      lastState,
      state: { running: { startedAt: formatTime(run.startedAtMs) } },
    };
  }
  const ended = terminated(record, runtimeName);
  if (ended === undefined) {
    return { ...base, ready: false, started: false, lastState, state: { waiting: waitingState(record, state) } };
  }
  const until = crashBackoffUntil(state.pod, record, nowMs);
  const dying = state.pod.metadata?.deletionTimestamp !== undefined || state.failure !== undefined;
  const waiting = dying
    ? undefined
    : (record.waiting ?? (until === undefined ? undefined : crashLoop(record, state.pod)));
  const done = record.kind === "init" && ended.exitCode === 0;
  if (waiting === undefined) return { ...base, ready: done, started: false, lastState, state: { terminated: ended } };
  const { reason, message } = waiting;
  const shown = message === "" ? { reason } : { reason, message };
  return { ...base, ready: false, started: false, lastState: { terminated: ended }, state: { waiting: shown } };
}

/** What is mounted, by its name in the pod; read-only mounts say that those below them are not read-only for that. */
function mountStatus({ volumeMounts = [] }: Container): Pick<ContainerStatus, "volumeMounts"> {
  if (volumeMounts.length === 0) return {};
  const shown = volumeMounts.map(({ name, mountPath, readOnly }) =>
    readOnly === true ? { name, mountPath, readOnly, recursiveReadOnly: "Disabled" } : { name, mountPath },
  );
  return { volumeMounts: shown };
}

/** What the container is granted, and what it has: until a resize is done these differ. */
function resourceStatus(record: ContainerRecord): Pick<ContainerStatus, "allocatedResources" | "resources"> {
  const { requests = {}, limits } = record.spec.resources ?? {};
  const applied = isRunning(record) ? record.applied : { requests, limits };
  const shown: ResourceRequirements = {};
  for (const kind of ["limits", "requests"] as const) {
    const list = applied?.[kind];
    if (list !== undefined && Object.keys(list).length > 0) shown[kind] = list;
  }
  const allocated = Object.keys(requests).length === 0 ? {} : { allocatedResources: requests };
  return { ...allocated, resources: shown };
}

function crashLoop(record: ContainerRecord, pod: Pod): { reason: string; message: string } {
  const delay = goDuration(record.crashBackoff?.delayMs ?? 0);
  const message = `back-off ${delay} restarting failed container=${record.name} pod=${podLogName(pod)}`;
  return { reason: "CrashLoopBackOff", message };
}

function waitingState(record: ContainerRecord, state: PodState): { reason: string; message?: string } {
  if (record.waiting !== undefined) {
    const { reason, message } = record.waiting;
    return message === "" ? { reason } : { reason, message };
  }
  const hasInit = state.containers.some((one) => one.kind === "init" || one.kind === "sidecar");
  const initializing = hasInit && record.kind !== "ephemeral" && (record.kind !== "main" || !isInitialized(state));
  return { reason: initializing ? "PodInitializing" : "ContainerCreating" };
}

interface Verdict {
  readonly status: boolean;
  readonly reason?: string;
  readonly message?: string;
}

const names = (list: readonly string[]): string => `[${list.join(" ")}]`;

function initializedVerdict(state: PodState, phase: string): Verdict {
  if (phase === "Succeeded") return { status: true, reason: "PodCompleted" };
  if (isInitialized(state)) return { status: true };
  const open = state.containers.filter((record) => {
    if (record.kind === "main" || record.kind === "ephemeral") return false;
    return record.kind === "sidecar" ? !(isRunning(record) && record.started) : exitCodeOf(record) !== 0;
  });
  const message = `containers with incomplete status: ${names(open.map((record) => record.name))}`;
  return { status: false, reason: "ContainersNotInitialized", message };
}

function containersReadyVerdict(state: PodState, statuses: readonly ContainerStatus[], phase: string): Verdict {
  if (phase === "Succeeded") return { status: false, reason: "PodCompleted" };
  if (phase === "Failed") return { status: false, reason: "PodFailed" };
  const counted = statuses.filter((_, at) => ["main", "sidecar"].includes(state.containers[at]?.kind ?? ""));
  const unready = counted.filter((one) => !one.ready).map((one) => one.name);
  if (unready.length === 0) return { status: true };
  return { status: false, reason: "ContainersNotReady", message: `containers with unready status: ${names(unready)}` };
}

function readyVerdict(state: PodState, containers: Verdict): Verdict {
  if (!containers.status) return containers;
  const open = (state.pod.spec?.readinessGates ?? []).flatMap(({ conditionType }) => {
    const found = state.pod.status?.conditions?.find((condition) => condition.type === conditionType);
    if (found === undefined)
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    const told = `the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`;
    return found.status === "True" ? [] : [told];
  });
  return open.length === 0
    ? { status: true }
    : { status: false, reason: "ReadinessGatesNotReady", message: open.join(", ") };
}

/** Times of conditions that did not change are kept. */
function planConditions(input: StatusInput, statuses: readonly ContainerStatus[]): PodCondition[] {
  const { state, nowMs } = input;
  const phase = planPhase(state);
  const containers = containersReadyVerdict(state, statuses, phase);
  const verdicts: [string, Verdict][] = [
    ["PodReadyToStartContainers", { status: state.sandbox !== undefined && !state.sandbox.lost }],
    ["Initialized", initializedVerdict(state, phase)],
    ["Ready", readyVerdict(state, containers)],
    ["ContainersReady", containers],
    ["PodScheduled", { status: true }],
  ];
  if (state.failure?.disrupted === true) {
    const { message } = state.failure;
    verdicts.push(["DisruptionTarget", { status: true, reason: "TerminationByKubelet", message }]);
  }
  const { pending, inProgress } = state.resize;
  if (pending !== undefined) verdicts.push([RESIZE_PENDING, { status: true, ...pending }]);
  if (inProgress !== undefined) {
    const { message } = inProgress;
    verdicts.push([
      RESIZE_IN_PROGRESS,
      { status: true, ...(message === undefined ? {} : { reason: "Error", message }) },
    ]);
  }
  const generation = state.pod.metadata?.generation;
  return verdicts.map(([type, { status, reason, message }]) => {
    const text = status ? "True" : "False";
    const before = state.conditions.get(type) ?? state.pod.status?.conditions?.find((one) => one.type === type);
    const since = before?.status === text ? before.lastTransitionTime : undefined;
    const condition: PodCondition = { type, status: text, lastTransitionTime: since ?? formatTime(nowMs) };
    if (reason !== undefined) condition.reason = reason;
    if (message !== undefined) condition.message = message;
    if (generation !== undefined) condition.observedGeneration = generation;
    return condition;
  });
}
