// What a pod worker knows of its pod: the input of planSync and planStatus. Plain data, changed by the worker alone.
import type {
  Container,
  ContainerStateTerminated,
  ContainerStatus,
  Pod,
  PodCondition,
  ResourceRequirements,
} from "@coxswain/api";
import { largestAmounts } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import type { Backoff } from "./backoff.ts";
import { type Allocation, reportedAllocation, RESIZE_IN_PROGRESS, withAllocation } from "./plan-resize.ts";
import { shouldRestart } from "./restart-policy.ts";

export type ContainerKind = "init" | "sidecar" | "main" | "ephemeral";

/** One life of a container. */
export interface ContainerRun {
  readonly id: string;
  readonly sandboxId: string;
  readonly imageRef: string;
  state: "running" | "exited";
  startedAtMs: number;
  finishedAtMs: number;
  exitCode: number;
  reason: string;
  message: string;
}

export interface Waiting {
  readonly reason: string;
  readonly message: string;
  readonly sinceMs: number;
  /** The volume whose image it waits for, where it is not the container's own. */
  readonly volume?: string | undefined;
}

/** The image of a volume, as far as it is known. */
export interface PulledVolume {
  /** As the runtime calls it; asked for again whenever containers are started. */
  id: string | undefined;
  /** Why it is not there, and until when it is not tried again. */
  problem: { readonly reason: string; readonly message: string; readonly untilMs: number } | undefined;
  pullBackoff: Backoff | undefined;
}

export interface MustRestart {
  readonly message: string;
  /** The pod's where unset. */
  readonly graceSeconds?: number;
  /** Also where its policy would let it rest. */
  readonly always?: boolean;
}

export interface ContainerRecord {
  readonly name: string;
  readonly kind: ContainerKind;
  spec: Container;
  restartCount: number;
  /** The present or latest life in this process. */
  run: ContainerRun | undefined;
  /** Ended before this process began, and not to be run again: as the API has it. */
  settled: ContainerStatus | undefined;
  last: ContainerStateTerminated | undefined;
  /** The life before `run`, whose logs are `--previous`. */
  previousId: string | undefined;
  /** Why it does not run, where it could not be started. */
  waiting: Waiting | undefined;
  /** Not to be started before this time, because of `waiting`. */
  retryAtMs: number;
  crashBackoff: Backoff | undefined;
  pullBackoff: Backoff | undefined;
  /** Being ended; at the latest by this time. */
  stoppingUntilMs: number | undefined;
  /** Its preStop hook runs already, while it waits for its turn to end. */
  preStopBegun: boolean;
  /** Why it must be restarted although it runs. */
  mustRestart: MustRestart | undefined;
  /** Startup probe passed, or none. */
  started: boolean;
  /** Readiness probe passes, or none. */
  ready: boolean;
  /** What the life that runs was given; it may be behind what its pod has by now. */
  applied: ResourceRequirements | undefined;
}

/** Why the pod is over for good: its reason and message in the status. */
export interface PodFailure {
  readonly reason: string;
  readonly message: string;
  /** What its containers get to end; the pod's own grace where unset. */
  readonly graceSeconds?: number;
  /** The node ended it for its own sake: owners may want to know. */
  readonly disrupted?: boolean;
}

export interface Sandbox {
  readonly id: string;
  /** Empty for host network. */
  readonly ip: string;
  /** It died, or its network did: it has to be replaced, with all that runs in it. */
  lost: boolean;
}

/** How far a change of what containers ask for has come. */
export interface ResizeState {
  /** The node cannot give it now (Deferred) or ever (Infeasible). */
  pending: { readonly reason: "Deferred" | "Infeasible"; readonly message: string } | undefined;
  /** It is granted, and not all containers have it yet; with a message where that failed. */
  inProgress: { readonly message?: string } | undefined;
}

export interface PodState {
  /** With the resources that this node has granted; `wanted` may ask for others. */
  pod: Pod;
  /** As the API has it. */
  wanted: Pod;
  /** What is granted to each container that can be resized. */
  allocation: Allocation;
  readonly resize: ResizeState;
  /** Ephemeral ones come while the pod lives. */
  readonly containers: ContainerRecord[];
  sandbox: Sandbox | undefined;
  /** Sandboxes made so far. */
  attempts: number;
  /** The sandbox is not to be tried before this time. */
  sandboxRetryAtMs: number;
  /** Since when the pod waits for volumes that are not attached to the node. */
  unattachedSinceMs: number | undefined;
  startTimeMs: number;
  failure: PodFailure | undefined;
  /** The address of the latest sandbox. */
  lastIp: string | undefined;
  /** The conditions reported last. */
  conditions: ReadonlyMap<string, PodCondition>;
  /** Sandboxes that were stopped and are kept for their logs. */
  readonly stoppedSandboxes: string[];
  /** The images of the pod's volumes, by the volumes' names. */
  readonly imageVolumes: Map<string, PulledVolume>;
  /** Volumes and cgroups may be there, and go once nothing runs any more. */
  holdsResources: boolean;
  /** A call that makes a sandbox has failed: it may have made one all the same. */
  sandboxInDoubt: boolean;
  /** Since when its containers are being ended. */
  terminatingSinceMs: number | undefined;
  /** The deletion of the object is on its way. */
  finishing: boolean;
  /** The API object is gone, or another pod has its name: nothing is to be reported. */
  orphaned: boolean;
}

function kindOf(container: Container, init: boolean): ContainerKind {
  if (!init) return "main";
  return container.restartPolicy === "Always" ? "sidecar" : "init";
}

/** In the order of the spec: init containers and sidecars, then main ones, then ephemeral ones. */
export function specContainers(pod: Pod): { spec: Container; kind: ContainerKind }[] {
  const init = (pod.spec?.initContainers ?? []).map((spec) => ({ spec, kind: kindOf(spec, true) }));
  const main = (pod.spec?.containers ?? []).map((spec) => ({ spec, kind: kindOf(spec, false) }));
  const ephemeral = (pod.spec?.ephemeralContainers ?? []).map((spec) => ({ spec, kind: "ephemeral" as const }));
  return [...init, ...main, ...ephemeral];
}

/** Takes in what a newer version of the pod may say anew: ephemeral containers that join it, and images that change. */
export function takeSpec(state: PodState): void {
  for (const { spec, kind } of specContainers(state.pod)) {
    const record = state.containers.find((one) => one.name === spec.name);
    if (record === undefined) {
      if (kind === "ephemeral") state.containers.push(newRecord(spec, kind));
      continue;
    }
    const changed = record.spec.image !== spec.image;
    record.spec = spec;
    if (changed) imageChanged(record);
  }
}

/** What was tried with another image says nothing of this one. */
function imageChanged(record: ContainerRecord): void {
  Object.assign(record, { waiting: undefined, retryAtMs: 0, pullBackoff: undefined, crashBackoff: undefined });
  if (record.run?.state === "running") restartForImage(record);
}

/** A container that lives on with its pod is made anew with its new image, whatever its policy. */
export function restartForImage(record: ContainerRecord): void {
  if (record.kind !== "main" && record.kind !== "sidecar") return;
  record.mustRestart = { message: `Container ${record.name} definition changed, will be restarted`, always: true };
}

const LOST = {
  exitCode: 137,
  reason: "ContainerStatusUnknown",
  message: "The container could not be located when the pod was deleted.  The container used to be Running",
};

/** What an earlier process reported of a container decides what becomes of it: its life itself is lost. */
function recover(record: ContainerRecord, pod: Pod, old: ContainerStatus): void {
  record.restartCount = old.restartCount ?? 0;
  record.last = old.lastState?.terminated;
  const { running, terminated, waiting } = old.state ?? {};
  if (running === undefined && terminated === undefined) {
    // It had a life before where it waits between two.
    if (waiting !== undefined && record.last !== undefined) record.restartCount++;
    return;
  }
  const ended: ContainerStateTerminated = terminated ?? { ...LOST, startedAt: running?.startedAt };
  if (!shouldRestart(pod, record, ended.exitCode)) {
    record.settled = { ...old, ready: false, started: false, state: { terminated: ended } };
    return;
  }
  record.last = ended;
  record.restartCount++;
}

export function newRecord(spec: Container, kind: ContainerKind): ContainerRecord {
  return {
    name: spec.name,
    kind,
    spec,
    restartCount: 0,
    run: undefined,
    settled: undefined,
    last: undefined,
    previousId: undefined,
    waiting: undefined,
    retryAtMs: 0,
    crashBackoff: undefined,
    pullBackoff: undefined,
    stoppingUntilMs: undefined,
    preStopBegun: false,
    mustRestart: undefined,
    started: false,
    ready: false,
    applied: undefined,
  };
}

/** What the API has of a pod's containers. */
export function reportedStatuses(pod: Pod): ContainerStatus[] {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = pod.status ?? {};
  return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses];
}

/** The state of a pod that this process has just heard of. */
export function newPodState(wanted: Pod, nowMs: number): PodState {
  const allocation = reportedAllocation(wanted);
  const pod = withAllocation(wanted, allocation);
  const old = reportedStatuses(pod);
  const containers = specContainers(pod).map(({ spec, kind }) => {
    const record = newRecord(spec, kind);
    const status = old.find((one) => one.name === spec.name);
    if (status !== undefined) recover(record, pod, status);
    return record;
  });
  const { phase, reason = "", message = "" } = pod.status ?? {};
  const inProgress = pod.status?.conditions?.some(({ type }) => type === RESIZE_IN_PROGRESS) === true ? {} : undefined;
  return {
    pod,
    wanted,
    allocation,
    resize: { pending: undefined, inProgress },
    containers,
    sandbox: undefined,
    attempts: 0,
    sandboxRetryAtMs: 0,
    unattachedSinceMs: undefined,
    startTimeMs: parseTime(pod.status?.startTime) ?? nowMs,
    failure: phase === "Failed" ? { reason, message } : undefined,
    lastIp: pod.status?.podIP,
    conditions: new Map(),
    stoppedSandboxes: [],
    imageVolumes: new Map(),
    holdsResources: false,
    sandboxInDoubt: false,
    terminatingSinceMs: undefined,
    finishing: false,
    orphaned: false,
  };
}

/** The exit code of a container that is over for now; undefined while it runs or before it ran. */
export function exitCodeOf(record: ContainerRecord): number | undefined {
  if (record.run?.state === "exited") return record.run.exitCode;
  return record.run === undefined ? record.settled?.state?.terminated?.exitCode : undefined;
}

export function isRunning(record: ContainerRecord): boolean {
  return record.run?.state === "running";
}

/** The pod as if its spec asked for the more of what is granted to each container and what the one that runs still has. */
export function occupyingState({ pod, containers, allocation }: PodState): Pod {
  const held = new Map(allocation);
  for (const record of containers) {
    const granted = held.get(record.name);
    if (granted === undefined || !isRunning(record)) continue;
    const requests = largestAmounts(granted.requests ?? {}, record.applied?.requests ?? {});
    if (requests !== granted.requests) held.set(record.name, { ...granted, requests });
  }
  return withAllocation(pod, held);
}
