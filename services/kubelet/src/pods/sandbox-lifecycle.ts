// Makes, replaces and ends the sandbox of one pod. Guarantees:
// - Volumes are there before the sandbox, and go after it.
// - What a call that failed may have made all the same is found and removed before the next attempt.
// - Names are never used twice: each attempt has a number of its own.
import type { PodSandbox } from "../cri/contract.ts";
import { CriError } from "../cri/contract.ts";
import { VolumeError } from "../volumes/contract.ts";
import { ContainerConfigError } from "./container-environment.ts";
import { DeviceClaimError, usableClaims } from "../devices/usable-claims.ts";
import type { NodeContext } from "./node-context.ts";
import { forgetInitialization, runOf } from "./plan-adoption.ts";
import { classLimits, podCgroup, podLimits } from "./qos-resources.ts";
import { sandboxConfigOf, sandboxWarnings } from "./pod-runtime-config.ts";
import { isRunning, type PodState } from "./pod-state.ts";
import {
  attachableVolumes,
  attachProblems,
  notAttached,
  waitedInVain,
  type AttachableVolume,
} from "../volumes/attached-volumes.ts";
import { missingVolumeSources } from "./pod-volumes.ts";

const RETRY_MS = 5_000;
/** While the network comes up. */
const NETWORK_RETRY_MS = 1_000;
/** While the node's status is on its way, or what the attach/detach controller says in it. */
const REPORT_RETRY_MS = 500;
/** How long volumes may take to be attached before an event tells that they are waited for; upstream's podAttachAndMountTimeout. */
const ATTACH_TIMEOUT_MS = 123_000;
/** Stale sandboxes that are kept: the logs of the lives before are in them. */
const KEPT_SANDBOXES = 1;

export interface SandboxInput {
  readonly context: NodeContext;
  readonly state: PodState;
}

function retryLater({ context, state }: SandboxInput, ms = RETRY_MS): void {
  state.sandboxRetryAtMs = context.env.clock.now() + ms;
}

/** Has the node's status tell of what the pod is going to have attached, until it is released; returns those volumes. */
export async function takeVolumesIntoUse({ context, state }: SandboxInput): Promise<readonly AttachableVolume[]> {
  const volumes = await attachableVolumes(state.pod, context.objects);
  if (volumes.length === 0) return volumes;
  state.holdsResources = true;
  const names = volumes.map(({ uniqueName }) => uniqueName);
  context.volumesInUse.use(state.pod.metadata?.uid ?? "", names);
  return volumes;
}

/**
 * True once the pod's volumes are attached, and the node is known to use them: what is not reported to be in use may be detached at
 * any time, and must not be mounted. Where they are not, events say why, in time, and the state when to look again.
 */
async function areAttached(input: SandboxInput): Promise<boolean> {
  const { context, state } = input;
  const { env, events, nodeObject } = context;
  const volumes = await takeVolumesIntoUse(input);
  if (volumes.length === 0) return true;
  const reported = new Set(nodeObject?.known()?.status?.volumesInUse);
  const missing = volumes.every(({ uniqueName }) => reported.has(uniqueName))
    ? await unattached(context, volumes)
    : volumes;
  if (missing.length > 0) {
    const nowMs = env.clock.now();
    state.unattachedSinceMs ??= nowMs;
    if (nowMs - state.unattachedSinceMs >= ATTACH_TIMEOUT_MS) {
      events.pod(state.pod, "Warning", "FailedMount", waitedInVain(missing));
      state.unattachedSinceMs = nowMs;
    }
    retryLater(input, REPORT_RETRY_MS);
    return false;
  }
  state.unattachedSinceMs = undefined;
  const problems = await attachProblems(volumes, context.node, context.objects);
  for (const message of problems) events.pod(state.pod, "Warning", "FailedMount", message);
  if (problems.length > 0) retryLater(input);
  return problems.length === 0;
}

/** By what is known of the Node, and where that says that all is attached, by what the api-server has of it now. */
async function unattached(
  { nodeObject }: NodeContext,
  volumes: readonly AttachableVolume[],
): Promise<readonly AttachableVolume[]> {
  const missing = notAttached(volumes, nodeObject?.known());
  return missing.length > 0 ? missing : notAttached(volumes, await nodeObject?.fresh());
}

/** One message a volume that is not there; empty where all are. */
async function mountProblems({ context, state }: SandboxInput): Promise<readonly string[]> {
  if (context.volumes === undefined) return missingVolumeSources(state.pod, context.objects);
  state.holdsResources = true;
  try {
    await context.volumes.setUp(state.pod);
    return [];
  } catch (error) {
    if (error instanceof VolumeError) return error.messages;
    throw error;
  }
}

/** Why the pod may not use its claims of devices; undefined where it may use them all. */
async function claimProblem({ context: { objects }, state: { pod } }: SandboxInput): Promise<string | undefined> {
  try {
    await usableClaims(pod, (namespace, name) => objects.deviceClaim(namespace, name));
    return undefined;
  } catch (error) {
    if (error instanceof DeviceClaimError) return error.message;
    throw error;
  }
}

/** Where it cannot be made, an event says why, and the state when to try again. */
export async function createSandbox(input: SandboxInput): Promise<void> {
  const { context, state } = input;
  const { events } = context;
  const { pod } = state;
  const problem = pod.spec?.hostNetwork ? undefined : context.networkProblem?.();
  if (problem !== undefined) {
    events.pod(pod, "Warning", "NetworkNotReady", `network is not ready: ${problem}`);
    return retryLater(input, NETWORK_RETRY_MS);
  }
  if (!(await areAttached(input))) return;
  const missing = await mountProblems(input);
  for (const message of missing) events.pod(pod, "Warning", "FailedMount", message);
  if (missing.length > 0) return retryLater(input);
  const unusable = await claimProblem(input);
  if (unusable !== undefined) {
    const message = `Failed to prepare dynamic resources: prepare dynamic resources: ${unusable}`;
    events.pod(pod, "Warning", "FailedPrepareDynamicResources", message);
    return retryLater(input);
  }
  try {
    if (state.sandboxInDoubt) await removeStrangers(input);
    await runSandbox(input);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    events.pod(pod, "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${message}`);
    state.sandboxInDoubt = !(error instanceof ContainerConfigError);
    retryLater(input);
  }
  state.attempts++;
}

/** Which of the runtime's handlers runs the pod; undefined: any. Rejects with ContainerConfigError where the class is gone. */
async function runtimeHandlerOf({ context, state }: SandboxInput): Promise<string | undefined> {
  const name = state.pod.spec?.runtimeClassName ?? "";
  if (name === "") return undefined;
  const found = await context.objects.runtimeClass(name);
  if (found === undefined) throw new ContainerConfigError(`runtimeclass.node.k8s.io "${name}" not found`);
  return found.handler;
}

/** A node whose kernel does not give what pods ask for runs them all the same. */
export async function makeCgroups({ context, state: { pod } }: SandboxInput): Promise<void> {
  const { cgroups, runtime, logger } = context;
  if (cgroups === undefined || runtime.linux === undefined) return;
  const { cgroupRoot } = runtime.linux;
  try {
    const above = classLimits(cgroupRoot, pod, context.activePods(pod));
    if (above !== undefined) await cgroups.apply(...above);
    await cgroups.apply(podCgroup(cgroupRoot, pod), podLimits(pod));
  } catch (error) {
    logger.warn({ pod: pod.metadata?.name, err: error }, "a pod's cgroup could not be given its limits");
  }
}

async function runSandbox(input: SandboxInput): Promise<void> {
  const { context, state } = input;
  const { cri, runtime, events, hostIp } = context;
  const { pod } = state;
  const runtimeHandler = await runtimeHandlerOf(input);
  const base = { pod, attempt: state.attempts, node: runtime };
  const config = runtimeHandler === undefined ? base : { ...base, runtimeHandler };
  state.holdsResources ||= context.cgroups !== undefined;
  await makeCgroups(input);
  for (const { reason, message } of sandboxWarnings(config)) events.pod(pod, "Warning", reason, message);
  const id = await cri.runPodSandbox(sandboxConfigOf(config));
  const { ip } = await cri.podSandboxStatus(id);
  state.sandbox = { id, ip, lost: false };
  state.sandboxInDoubt = false;
  state.lastIp = pod.spec?.hostNetwork ? hostIp : ip;
}

/** Sandboxes of this pod that its worker does not know. */
export async function removeStrangers({ context, state }: SandboxInput): Promise<void> {
  const { cri, logger } = context;
  const { uid = "", name } = state.pod.metadata ?? {};
  const known = new Set([state.sandbox?.id, ...state.stoppedSandboxes]);
  const strangers = (await cri.listPodSandbox({ uid })).filter((one: PodSandbox) => !known.has(one.id));
  for (const { id } of strangers) {
    logger.info({ pod: name, sandbox: id }, "a sandbox that nobody waits for is removed");
    await cri.stopPodSandbox(id);
    await cri.removePodSandbox(id);
  }
  state.attempts = Math.max(state.attempts, ...strangers.map((one) => one.config.attempt + 1));
}

/** Ends a sandbox that was lost and what still runs in it; a new one can be made then. */
export async function replaceSandbox(input: SandboxInput): Promise<void> {
  const { context, state } = input;
  const { cri, events, env, runtimeName } = context;
  const lost = state.sandbox;
  if (lost === undefined) return;
  events.pod(state.pod, "Normal", "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
  const grace = state.pod.spec?.terminationGracePeriodSeconds ?? 30;
  const running = state.containers.filter(isRunning);
  await Promise.all(running.map((record) => cri.stopContainer(record.run?.id ?? "", grace)));
  await cri.stopPodSandbox(lost.id);
  for (const record of running) {
    const status = await cri.containerStatus(record.run?.id ?? "").catch(ignoreNotFound);
    const ended = status === undefined ? undefined : runOf(status, env.clock.now());
    if (record.run !== undefined)
      Object.assign(record.run, ended ?? { finishedAtMs: env.clock.now() }, { state: "exited" });
    Object.assign(record, { started: false, ready: false, stoppingUntilMs: undefined });
  }
  state.sandbox = undefined;
  state.stoppedSandboxes.push(lost.id);
  forgetInitialization(state, runtimeName);
  await removeSandboxes(input, KEPT_SANDBOXES);
}

function ignoreNotFound(error: unknown): undefined {
  if (error instanceof CriError && error.code === "NotFound") return undefined;
  throw error;
}

/** Stops it; a finished pod keeps its containers, whose logs can be read, until it is deleted. */
export async function stopSandbox(input: SandboxInput): Promise<void> {
  const { context, state } = input;
  const id = state.sandbox?.id ?? "";
  await context.cri.stopPodSandbox(id);
  state.sandbox = undefined;
  state.stoppedSandboxes.push(id);
  if (state.pod.metadata?.deletionTimestamp !== undefined || state.orphaned) await removeSandboxes(input);
}

/** Removes stopped sandboxes with their containers, all but the newest few. */
export async function removeSandboxes({ context, state }: SandboxInput, keep = 0): Promise<void> {
  while (state.stoppedSandboxes.length > keep) {
    await context.cri.removePodSandbox(state.stoppedSandboxes[0] ?? "");
    state.stoppedSandboxes.shift();
  }
  if (keep === 0) await context.logs?.remove(state.pod.metadata?.uid ?? "");
}

/** Gives back volumes and cgroups; where that fails, the state says when to try again. */
export async function releaseResources(input: SandboxInput): Promise<void> {
  const { context, state } = input;
  const uid = state.pod.metadata?.uid ?? "";
  try {
    if (state.sandboxInDoubt) await removeStrangers(input);
    state.sandboxInDoubt = false;
    await context.volumes?.tearDown(uid);
    context.volumesInUse.release(uid);
    await context.cgroups?.remove(uid);
    state.holdsResources = false;
  } catch (error) {
    context.logger.warn({ pod: state.pod.metadata?.name, err: error }, "a pod's resources could not be given back yet");
    retryLater(input, NETWORK_RETRY_MS);
  }
}
