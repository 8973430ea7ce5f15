// Gets the images of containers and of image volumes onto the node by their policy. What fails is told as an event, and thrown as
// the reason that a container waits for.
import { aggregateText } from "@coxswain/apimachinery";
import type { Secret } from "@coxswain/api";
import { CriError } from "../cri/contract.ts";
import { parseImageName } from "../cri/image-name.ts";
import { type Backoff, nextBackoff } from "./backoff.ts";
import type { NodeContext } from "./node-context.ts";
import type { ContainerRecord, PodState, PulledVolume } from "./pod-state.ts";
import { credentialsFor, type TrackedAuth } from "./pull-secrets.ts";

/** A pod whose configuration is wrong is looked at again after this time: what it lacks may have been made. */
export const CONFIG_RETRY_MS = 10_000;

/** Why a container does not run yet: upstream's waiting reason and message. */
export class WaitingError extends Error {
  override readonly name = "WaitingError";
  readonly reason: string;
  readonly retryAfterMs: number;
  /** The volume whose image it waits for, where it is not its own. */
  readonly volume: string | undefined;
  constructor(reason: string, message: string, retryAfterMs: number, volume?: string) {
    super(message);
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
    this.volume = volume;
  }
}

export interface StartInput {
  readonly context: NodeContext;
  readonly state: PodState;
  readonly record: ContainerRecord;
  /** Aborts when there is no need to start it any more. */
  readonly signal: AbortSignal;
}

/** One image that somebody of the pod wants. */
interface Wanted {
  readonly context: NodeContext;
  readonly state: PodState;
  readonly image: string;
  readonly policy: string;
  /** Where the pulls that failed are counted. */
  readonly counter: { pullBackoff: Backoff | undefined };
  readonly tell: (type: "Normal" | "Warning", reason: string, message: string) => void;
}

/** The image that the container runs. Throws WaitingError. */
export async function ensureImage({ context, state, record }: StartInput): Promise<void> {
  await ensure({
    context,
    state,
    image: record.spec.image ?? "",
    policy: record.spec.imagePullPolicy ?? "IfNotPresent",
    counter: record,
    tell: (type, reason, message) => context.events.container(state.pod, record, type, reason, message),
  });
}

/**
 * The images of all volumes of the pod, whoever mounts them; each is looked at once while the pod's containers are started together.
 * Returns, by the volumes' names, how the runtime calls them. Throws WaitingError where one that this container mounts is not there.
 */
export async function ensureVolumeImages(input: StartInput): Promise<ReadonlyMap<string, string>> {
  const { context, state, record } = input;
  const ids = new Map<string, string>();
  const mounted = new Set((record.spec.volumeMounts ?? []).map(({ name }) => name));
  let problem: WaitingError | undefined;
  for (const { name, image } of state.pod.spec?.volumes ?? []) {
    if (image === undefined) continue;
    const known = state.imageVolumes.get(name) ?? { id: undefined, problem: undefined, pullBackoff: undefined };
    state.imageVolumes.set(name, known);
    const nowMs = context.env.clock.now();
    if (known.id === undefined && (known.problem === undefined || known.problem.untilMs <= nowMs))
      await lookAt(input, name, image.reference ?? "", image.pullPolicy ?? "IfNotPresent", known);
    if (known.id !== undefined) ids.set(name, known.id);
    else if (mounted.has(name) && known.problem !== undefined) {
      const { reason, message, untilMs } = known.problem;
      problem = new WaitingError(reason, message, Math.max(1, untilMs - context.env.clock.now()), name);
    }
  }
  if (problem !== undefined) throw problem;
  return ids;
}

async function lookAt(
  { context, state }: StartInput,
  name: string,
  image: string,
  policy: string,
  known: PulledVolume,
): Promise<void> {
  const tell: Wanted["tell"] = (type, reason, message) => context.events.pod(state.pod, type, reason, message);
  try {
    known.id = await ensure({ context, state, image, policy, counter: known, tell });
    known.problem = undefined;
  } catch (error) {
    if (!(error instanceof WaitingError)) throw error;
    const { reason, message, retryAfterMs } = error;
    known.problem = { reason, message, untilMs: context.env.clock.now() + retryAfterMs };
    context.logger.info({ pod: state.pod.metadata?.name, volume: name, image, reason }, "no image for a volume yet");
  }
}

/** Returns how the runtime calls the image. Throws WaitingError. */
async function ensure(wanted: Wanted): Promise<string> {
  const { context, image, policy, tell } = wanted;
  const { cri } = context;
  const name = parseImageName(image);
  if (name === undefined) {
    const message = `Failed to apply default image tag "${image}": couldn't parse image name "${image}": invalid reference format`;
    tell("Warning", "InspectFailed", message);
    throw new WaitingError("InvalidImageName", message, CONFIG_RETRY_MS);
  }
  const present = policy === "Always" ? undefined : await cri.imageStatus(image);
  // Looked up once, and only where they decide.
  let found: Promise<TrackedAuth[]> | undefined;
  const credentials = (): Promise<TrackedAuth[]> => (found ??= credentialsOf(wanted));
  const secrets = async () => (await credentials()).map(({ secret }) => secret);
  if (present !== undefined && !(await context.pulls.mustPull(image, present.id, secrets))) {
    tell("Normal", "Pulled", `Container image "${image}" already present on machine and can be accessed by the pod`);
    return present.id;
  }
  if (policy === "Never") {
    const message = `Container image "${image}" is not present with pull policy of Never`;
    tell("Warning", "ErrImageNeverPull", message);
    throw new WaitingError("ErrImageNeverPull", message, CONFIG_RETRY_MS);
  }
  return pull(wanted, await credentials());
}

async function credentialsOf(wanted: Wanted): Promise<TrackedAuth[]> {
  return credentialsFor(wanted.image, await pullSecrets(wanted));
}

async function pull(wanted: Wanted, credentials: readonly TrackedAuth[]): Promise<string> {
  const { context, image, counter, tell } = wanted;
  const { cri, env, pulls } = context;
  try {
    await pulls.intend(image);
  } catch (error) {
    throw pullFailure(wanted, new Error("failed to record image pull intent", { cause: error }));
  }
  tell("Normal", "Pulling", `Pulling image "${image}"`);
  const startedMs = env.clock.monotonic();
  let used: TrackedAuth | undefined;
  try {
    used = await pullAs(context, image, credentials);
  } catch (error) {
    await pulls.failed(image);
    throw pullFailure(wanted, error);
  }
  counter.pullBackoff = undefined;
  const took = `${Math.round(env.clock.monotonic() - startedMs)}ms`;
  const found = await cri.imageStatus(image);
  tell(
    "Normal",
    "Pulled",
    `Successfully pulled image "${image}" in ${took} (${took} including waiting). Image size: ${found?.sizeBytes ?? 0} bytes.`,
  );
  const id = found?.id ?? image;
  await pulls.pulled(image, id, used?.secret ?? "everybody");
  return id;
}

/** As nobody where there are no credentials; else with one after the other, until one will do, which it returns. */
async function pullAs(
  context: NodeContext,
  image: string,
  credentials: readonly TrackedAuth[],
): Promise<TrackedAuth | undefined> {
  const once = async (tracked?: TrackedAuth): Promise<TrackedAuth | undefined> => {
    const auth = tracked?.auth;
    await (context.pullImage === undefined ? context.cri.pullImage(image, auth) : context.pullImage(image, auth));
    return tracked;
  };
  if (credentials.length === 0) return once();
  const failures: unknown[] = [];
  for (const tracked of credentials) {
    try {
      return await once(tracked);
    } catch (error) {
      failures.push(error);
    }
  }
  const messages = [...new Set(failures.map(pullErrorText))];
  throw new Error(aggregateText(messages));
}

/** Those that there are; an event tells of the others, without which the pull may fail. */
async function pullSecrets({ context, state }: Wanted): Promise<Secret[]> {
  const { namespace = "" } = state.pod.metadata ?? {};
  const names = (state.pod.spec?.imagePullSecrets ?? []).flatMap(({ name = "" }) => (name === "" ? [] : name));
  const found: Secret[] = [];
  const missing: string[] = [];
  for (const name of names) {
    const secret = await secretOf(context, namespace, name);
    if (secret === undefined) missing.push(name);
    else found.push(secret);
  }
  if (missing.length > 0) {
    const message = `Unable to retrieve some image pull secrets (${missing.join(", ")}); attempting to pull the image may not succeed.`;
    context.events.pod(state.pod, "Warning", "FailedToRetrieveImagePullSecret", message);
  }
  return found;
}

/** Pods that ask at once share one read, and its failure, of which one line tells. */
const toldFailures = new WeakSet<object>();

async function secretOf(
  { objects, logger }: NodeContext,
  namespace: string,
  name: string,
): Promise<Secret | undefined> {
  try {
    return await objects.secret(namespace, name);
  } catch (error) {
    const known = error instanceof Object && toldFailures.has(error);
    if (!known) logger.warn({ err: error, namespace, secret: name }, "an image pull secret could not be read");
    if (error instanceof Object) toldFailures.add(error);
    return undefined;
  }
}

/** A runtime's error with its code, where it has one that says something. */
function pullErrorText(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return error instanceof CriError && error.code !== "Internal"
    ? `rpc error: code = ${error.code} desc = ${message}`
    : message;
}

function pullFailure({ context, image, counter, tell }: Wanted, error: unknown): WaitingError {
  const nowMs = context.env.clock.now();
  const text = pullErrorText(error);
  tell("Warning", "Failed", `Failed to pull image "${image}": ${text}`);
  counter.pullBackoff = nextBackoff(counter.pullBackoff, nowMs, nowMs);
  return new WaitingError("ErrImagePull", text, counter.pullBackoff.delayMs);
}
