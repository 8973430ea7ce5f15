// Starts one container: image, environment, create, start, postStart hook. What fails is on the record as upstream's waiting
// reason, with the time of the next attempt; nothing is thrown for what a pod's author got wrong.
import { CriError, type ContainerConfig, type ContainerStatus as CriContainerStatus } from "../cri/contract.ts";
import { nextBackoff } from "./backoff.ts";
import { endedRun } from "./container-end.ts";
import { ContainerConfigError } from "./container-environment.ts";
import { CONFIG_RETRY_MS, ensureImage, ensureVolumeImages, WaitingError, type StartInput } from "./image-pull.ts";
import { runHook } from "./lifecycle-hooks.ts";
import { runOf } from "./plan-adoption.ts";
import { terminatedState } from "./plan-status.ts";
import { lastEndMs } from "./plan-sync.ts";
import { containerConfigOf } from "./pod-runtime-config.ts";
import { isRunning } from "./pod-state.ts";
import { shouldRestart } from "./restart-policy.ts";
import type { ContainerStopper } from "./stop-container.ts";

/** What an event calls by its reason alone: another has told why. */
const IMAGE_REASONS = new Set(["ErrImagePull", "ErrImageNeverPull", "InvalidImageName"]);

/** Resolves true where the container runs now. */
export async function startContainer(input: StartInput, stopper: ContainerStopper): Promise<boolean> {
  const { context, state, record } = input;
  const { env, events } = context;
  try {
    const images = await ensureVolumeImages(input);
    await ensureImage(input);
    const config = await makeConfig(input, images);
    await runContainer(input, config);
    if (!isRunning(record)) return false;
    await postStart(input, stopper);
    return isRunning(record);
  } catch (error) {
    const waiting = asWaiting(error);
    const { reason, message, volume } = waiting;
    record.waiting = { reason, message, sinceMs: env.clock.now(), volume };
    record.retryAtMs = env.clock.now() + waiting.retryAfterMs;
    const shown = IMAGE_REASONS.has(reason) ? reason : message;
    events.container(state.pod, record, "Warning", "Failed", `Error: ${shown}`);
    return false;
  }
}

function asWaiting(error: unknown): WaitingError {
  if (error instanceof WaitingError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ContainerConfigError)
    return new WaitingError("CreateContainerConfigError", message, CONFIG_RETRY_MS);
  return new WaitingError("CreateContainerError", message, CONFIG_RETRY_MS);
}

function makeConfig(
  { context, state, record }: StartInput,
  images: ReadonlyMap<string, string>,
): Promise<ContainerConfig> {
  const { pod } = state;
  const { spec, kind } = record;
  const target = pod.spec?.ephemeralContainers?.find((one) => one.name === record.name)?.targetContainerName;
  const targetContainerId = state.containers.find((one) => one.name === target && isRunning(one))?.run?.id;
  return containerConfigOf({
    pod,
    container: spec,
    kind,
    attempt: nextAttempt({ record }),
    podIp: pod.spec?.hostNetwork ? context.hostIp : (state.sandbox?.ip ?? ""),
    node: context.runtime,
    objects: context.objects,
    images,
    imageUser: async () => (await context.cri.imageStatus(spec.image ?? ""))?.user,
    ...(context.services === undefined ? {} : { services: context.services }),
    ...(context.volumes === undefined ? {} : { volumes: context.volumes }),
    ...(targetContainerId === undefined ? {} : { targetContainerId }),
  });
}

/** The number of the life that is to begin. */
function nextAttempt({ record }: Pick<StartInput, "record">): number {
  return record.restartCount + (record.run === undefined ? 0 : 1);
}

async function runContainer(input: StartInput, config: ContainerConfig): Promise<void> {
  const { context, state, record } = input;
  const { cri, events } = context;
  const sandbox = state.sandbox;
  if (sandbox === undefined) throw new CriError("Internal", "the pod has no sandbox");
  const id = await createContainer(input, sandbox.id, config);
  events.container(state.pod, record, "Normal", "Created", "Container created");
  noteNewLife(input);
  record.applied = record.spec.resources;
  let failure: unknown;
  try {
    await cri.startContainer(id);
  } catch (error) {
    failure = error;
  }
  const status = await cri.containerStatus(id);
  if (failure !== undefined) return failedToStart(input, status, failure);
  events.container(state.pod, record, "Normal", "Started", "Container started");
  // One that is over already has its last words said, too.
  const phase = status.state === "CONTAINER_CREATED" ? "CONTAINER_RUNNING" : status.state;
  record.run = await endedRun({ context, state, record }, { ...status, state: phase });
  record.waiting = undefined;
  record.retryAtMs = 0;
}

/** A container that the runtime could not start is a life that ended at once, as upstream counts it. */
async function failedToStart(input: StartInput, status: CriContainerStatus, failure: unknown): Promise<void> {
  const { context, state, record } = input;
  const message = failure instanceof Error ? failure.message : String(failure);
  const run = runOf(status, context.env.clock.now());
  if (run === undefined) {
    await context.cri.removeContainer(status.id);
    throw new WaitingError("RunContainerError", message, CONFIG_RETRY_MS);
  }
  record.run = run;
  record.retryAtMs = 0;
  context.events.container(state.pod, record, "Warning", "Failed", `Error: ${message}`);
  const again = shouldRestart(state.pod, record, run.exitCode);
  record.waiting = again ? { reason: "RunContainerError", message, sinceMs: context.env.clock.now() } : undefined;
}

/** A name that is taken belongs to what a call left that got no answer: it is removed, never run beside the new one. */
async function createContainer(
  { context, state }: StartInput,
  sandboxId: string,
  config: ContainerConfig,
): Promise<string> {
  const { cri, logger } = context;
  try {
    return await cri.createContainer(sandboxId, config);
  } catch (error) {
    if (!(error instanceof CriError) || error.code !== "AlreadyExists") throw error;
    const uid = state.pod.metadata?.uid ?? "";
    const taken = (await cri.listContainers({ podUid: uid })).filter(
      ({ config: other }) => other.name === config.name && other.attempt === config.attempt,
    );
    if (taken.length === 0) throw error;
    for (const { id } of taken) {
      logger.info({ pod: state.pod.metadata?.name, container: id }, "a container that nobody waits for is removed");
      await cri.stopContainer(id, 0);
      await cri.removeContainer(id);
    }
    return cri.createContainer(sandboxId, config);
  }
}

/** Until it is done the container is not reported as running. One that fails ends the container. */
async function postStart(input: StartInput, stopper: ContainerStopper): Promise<void> {
  const { context, state, record, signal } = input;
  const handler = record.spec.lifecycle?.postStart;
  if (handler === undefined) return;
  try {
    await runHook(handler, input, signal);
  } catch (error) {
    // Over anyway: its end says why.
    if (!isRunning(record) || signal.aborted) return;
    const { pod } = state;
    context.events.container(pod, record, "Warning", "FailedPostStartHook", "PostStartHook failed");
    context.events.container(pod, record, "Normal", "Killing", "FailedPostStartHook");
    const status = await stopper.stop(record, pod.spec?.terminationGracePeriodSeconds ?? 30);
    const run = status === undefined ? undefined : runOf(status, context.env.clock.now());
    if (run !== undefined) record.run = run;
    Object.assign(record, { started: false, ready: false });
    const message = error instanceof Error ? error.message : String(error);
    if (shouldRestart(pod, record, record.run?.exitCode ?? 137)) {
      record.waiting = { reason: "PostStartHookError", message, sinceMs: context.env.clock.now() };
    }
  }
}

/** The life that ended becomes the last state; the one before it is forgotten, in the runtime too. */
function noteNewLife({ context, state, record }: StartInput): void {
  const nowMs = context.env.clock.now();
  const endedAtMs = lastEndMs(record);
  if (record.run !== undefined) {
    record.last = terminatedState(record, context.runtimeName) ?? record.last;
    record.crashBackoff = nextBackoff(record.crashBackoff, endedAtMs ?? nowMs, nowMs);
    const forgotten = record.previousId;
    const attempt = record.restartCount - 1;
    record.restartCount++;
    record.previousId = record.run.id;
    record.run = undefined;
    if (forgotten !== undefined) forget({ context, state, record }, forgotten, attempt);
  }
  record.stoppingUntilMs = undefined;
  record.preStopBegun = false;
  record.mustRestart = undefined;
  record.started = record.spec.startupProbe === undefined;
  record.ready = record.spec.readinessProbe === undefined;
}

function forget({ context, state, record }: Omit<StartInput, "signal">, id: string, attempt: number): void {
  const work = [
    context.cri.removeContainer(id),
    context.volumes?.forgetLife(state.pod, record.spec, attempt) ?? Promise.resolve(),
    context.logs?.removeLife(state.pod, record.name, attempt) ?? Promise.resolve(),
  ];
  for (const one of work) {
    one.catch((error: unknown) => {
      context.logger.warn({ pod: state.pod.metadata?.name, err: error }, "could not remove an old container");
    });
  }
}
