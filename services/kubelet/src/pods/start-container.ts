// Starts one container: image, environment, create, start. What fails is on the record as upstream's waiting reason, with
// the time of the next attempt; nothing is thrown for what a pod's author got wrong.
import { CONTAINER_TYPE_ANNOTATION } from "../cri/annotations.ts";
import { CriError, type ContainerConfig } from "../cri/contract.ts";
import { parseImageName } from "../cri/image-name.ts";
import { nextBackoff } from "./backoff.ts";
import { ContainerConfigError, resolveEnvironment } from "./container-environment.ts";
import type { NodeContext } from "./node-context.ts";
import { lastEndMs } from "./plan-sync.ts";
import { terminatedState } from "./plan-status.ts";
import type { ContainerRecord, PodState } from "./pod-state.ts";

/** A pod whose configuration is wrong is looked at again after this time: what it lacks may have been made. */
const CONFIG_RETRY_MS = 10_000;

class WaitingError extends Error {
  readonly reason: string;
  readonly retryAfterMs: number;
  constructor(reason: string, message: string, retryAfterMs: number) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface StartInput {
  readonly context: NodeContext;
  readonly state: PodState;
  readonly record: ContainerRecord;
}

/** Resolves true where the container runs now. */
export async function startContainer(input: StartInput): Promise<boolean> {
  const { context, state, record } = input;
  const { env, events } = context;
  try {
    await ensureImage(input);
    const config = await makeConfig(input);
    await runContainer(input, config);
    return true;
  } catch (error) {
    const waiting = asWaiting(error);
    record.waiting = { reason: waiting.reason, message: waiting.message, sinceMs: env.clock.now() };
    record.retryAtMs = env.clock.now() + waiting.retryAfterMs;
    const shown =
      waiting.reason === "ErrImagePull" || waiting.reason === "InvalidImageName" ? waiting.reason : waiting.message;
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

async function ensureImage({ context, state, record }: StartInput): Promise<void> {
  const { cri, events, env } = context;
  const image = record.spec.image ?? "";
  if (parseImageName(image) === undefined) {
    const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
    events.container(state.pod, record, "Warning", "InspectFailed", message);
    throw new WaitingError("InvalidImageName", message, CONFIG_RETRY_MS);
  }
  const policy = record.spec.imagePullPolicy ?? "IfNotPresent";
  const present = policy === "Always" ? undefined : await cri.imageStatus(image);
  if (present !== undefined) {
    const message = `Container image "${image}" already present on machine and can be accessed by the pod`;
    events.container(state.pod, record, "Normal", "Pulled", message);
    return;
  }
  if (policy === "Never") {
    const message = `Container image "${image}" is not present with pull policy of Never`;
    events.container(state.pod, record, "Warning", "ErrImageNeverPull", message);
    throw new WaitingError("ErrImageNeverPull", message, CONFIG_RETRY_MS);
  }
  events.container(state.pod, record, "Normal", "Pulling", `Pulling image "${image}"`);
  const startedMs = env.clock.monotonic();
  try {
    await cri.pullImage(image);
  } catch (error) {
    throw pullFailure({ context, state, record }, error);
  }
  record.pullBackoff = undefined;
  const took = `${Math.round(env.clock.monotonic() - startedMs)}ms`;
  const size = (await cri.imageStatus(image))?.sizeBytes ?? 0;
  const message = `Successfully pulled image "${image}" in ${took} (${took} including waiting). Image size: ${size} bytes.`;
  events.container(state.pod, record, "Normal", "Pulled", message);
}

function pullFailure({ context, state, record }: StartInput, error: unknown): WaitingError {
  const nowMs = context.env.clock.now();
  const message = error instanceof Error ? error.message : String(error);
  const text = `Failed to pull image "${record.spec.image}": ${message}`;
  context.events.container(state.pod, record, "Warning", "Failed", text);
  record.pullBackoff = nextBackoff(record.pullBackoff, nowMs, nowMs);
  return new WaitingError("ErrImagePull", text, record.pullBackoff.delayMs);
}

async function makeConfig({ context, state, record }: StartInput): Promise<ContainerConfig> {
  const { pod } = state;
  const { spec, kind, name } = record;
  const podIp = pod.spec?.hostNetwork ? context.hostIp : (state.sandbox?.ip ?? "");
  const env = await resolveEnvironment({
    pod,
    container: spec,
    podIp,
    hostIp: context.hostIp,
    objects: context.objects,
    allocatable: context.allocatable,
  });
  const values = new Map(env.map((one) => [one.name, one.value]));
  const expand = (text: string): string =>
    text.replaceAll(/\$\(([-._a-zA-Z0-9]+)\)/g, (whole, variable: string) => values.get(variable) ?? whole);
  const uid = pod.metadata?.uid ?? "";
  return {
    name,
    attempt: record.restartCount + (record.run === undefined ? 0 : 1),
    image: spec.image ?? "",
    command: (spec.command ?? []).map(expand),
    args: (spec.args ?? []).map(expand),
    workingDir: spec.workingDir ?? "",
    env,
    mounts: [],
    labels: {
      "io.kubernetes.container.name": name,
      "io.kubernetes.pod.name": pod.metadata?.name ?? "",
      "io.kubernetes.pod.namespace": pod.metadata?.namespace ?? "",
      "io.kubernetes.pod.uid": uid,
    },
    annotations: { [CONTAINER_TYPE_ANNOTATION]: kind },
    logPath: `${name}/${record.restartCount}.log`,
    tty: spec.tty ?? false,
    stdin: spec.stdin ?? false,
    resources: {},
  };
}

async function runContainer({ context, state, record }: StartInput, config: ContainerConfig): Promise<void> {
  const { cri, events, env } = context;
  const sandbox = state.sandbox;
  if (sandbox === undefined) throw new CriError("Internal", "the pod has no sandbox");
  const id = await cri.createContainer(sandbox.id, config);
  events.container(state.pod, record, "Normal", "Created", "Container created");
  noteNewLife({ context, state, record });
  await cri.startContainer(id);
  events.container(state.pod, record, "Normal", "Started", "Container started");
  const status = await cri.containerStatus(id);
  record.run = {
    id,
    imageRef: status.imageRef,
    state: "running",
    startedAtMs: status.startedAtMs === 0 ? env.clock.now() : status.startedAtMs,
    finishedAtMs: 0,
    exitCode: 0,
    reason: "",
    message: "",
  };
  if (status.state === "CONTAINER_EXITED") {
    const { finishedAtMs, exitCode, reason, message } = status;
    Object.assign(record.run, { state: "exited", finishedAtMs, exitCode, reason, message });
  }
  record.waiting = undefined;
  record.retryAtMs = 0;
}

/** The life that ended becomes the last state; the one before it is forgotten, in the runtime too. */
function noteNewLife({ context, state, record }: StartInput): void {
  const nowMs = context.env.clock.now();
  const endedAtMs = lastEndMs(record);
  if (record.run !== undefined) {
    record.last = terminatedState(record, context.runtimeName) ?? record.last;
    record.crashBackoff = nextBackoff(record.crashBackoff, endedAtMs ?? nowMs, nowMs);
    record.restartCount++;
    const forgotten = record.previousId;
    record.previousId = record.run.id;
    record.run = undefined;
    if (forgotten !== undefined) {
      context.cri.removeContainer(forgotten).catch((error: unknown) => {
        context.logger.warn({ pod: state.pod.metadata?.name, err: error }, "could not remove an old container");
      });
    }
  }
  record.stoppingUntilMs = undefined;
  record.mustRestart = undefined;
  record.started = record.spec.startupProbe === undefined;
  record.ready = record.spec.readinessProbe === undefined;
}
