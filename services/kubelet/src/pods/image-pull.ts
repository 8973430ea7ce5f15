// Gets a container's image onto the node by its policy. What fails is told as an event, and thrown as the reason that the
// container waits for.
import { parseImageName } from "../cri/image-name.ts";
import { nextBackoff } from "./backoff.ts";
import type { NodeContext } from "./node-context.ts";
import type { ContainerRecord, PodState } from "./pod-state.ts";

/** A pod whose configuration is wrong is looked at again after this time: what it lacks may have been made. */
export const CONFIG_RETRY_MS = 10_000;

/** Why a container does not run yet: upstream's waiting reason and message. */
export class WaitingError extends Error {
  override readonly name = "WaitingError";
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
  /** Aborts when there is no need to start it any more. */
  readonly signal: AbortSignal;
}

/** Throws WaitingError. */
export async function ensureImage(input: StartInput): Promise<void> {
  const { context, state, record } = input;
  const { cri, events } = context;
  const image = record.spec.image ?? "";
  const name = parseImageName(image);
  if (name === undefined) {
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
  await pull(input, image);
}

async function pull(input: StartInput, image: string): Promise<void> {
  const { context, state, record } = input;
  const { cri, events, env } = context;
  events.container(state.pod, record, "Normal", "Pulling", `Pulling image "${image}"`);
  const startedMs = env.clock.monotonic();
  try {
    await (context.pullImage === undefined ? cri.pullImage(image) : context.pullImage(image));
  } catch (error) {
    throw pullFailure(input, error);
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
