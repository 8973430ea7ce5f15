// postStart and preStop: one run of a hook. Sleeping works on every runtime; commands and requests where the kubelet has a
// network, that is, where containers are real.
import type { LifecycleHandler } from "@coxswain/api";
import { httpTargetOf } from "../probes/probe-handler.ts";
import type { NodeContext } from "./node-context.ts";
import { podLogName } from "./plan-status.ts";
import type { ContainerRecord, PodState } from "./pod-state.ts";

export const HOOK_USER_AGENT = "kube-lifecycle/1.35";
/** A hook without a limit of its own ends after this time. */
const LONGEST_HOOK_SECONDS = 3_600;

/** A hook that did not succeed; the message is upstream's. */
export class HookError extends Error {
  override readonly name = "HookError";
}

export interface HookInput {
  readonly context: NodeContext;
  readonly state: PodState;
  readonly record: ContainerRecord;
}

/** Resolves when the hook is done or `signal` aborts. Rejects with HookError. */
export async function runHook(
  handler: LifecycleHandler,
  input: HookInput,
  signal: AbortSignal,
  limitSeconds = LONGEST_HOOK_SECONDS,
): Promise<void> {
  const { context } = input;
  if (handler.sleep !== undefined) {
    const sleep = context.env.timers.sleep(handler.sleep.seconds * 1000, signal);
    return sleep.catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
  if (context.network === undefined) return undefined;
  if (handler.exec !== undefined)
    return unlessAborted(execHook(handler.exec.command ?? [], input, limitSeconds), signal);
  if (handler.httpGet !== undefined) return httpHook(handler, input, signal, limitSeconds);
  throw new HookError(`Invalid handler: ${Object.keys(handler).join(", ")}`);
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  signal.addEventListener("abort", () => resolve(), { once: true });
  await Promise.race([work, aborted]);
}

function failure(kind: string, { state, record }: HookInput, why: string, detail: string): HookError {
  const pod = podLogName(state.pod);
  return new HookError(
    `${kind} for Container "${record.name}" in Pod "${pod}" failed - error: ${why}, message: "${detail}"`,
  );
}

async function execHook(command: readonly string[], input: HookInput, limitSeconds: number): Promise<void> {
  const kind = `Exec lifecycle hook ([${command.join(" ")}])`;
  const id = input.record.run?.id ?? "";
  let result: { stdout: Buffer; stderr: Buffer; exitCode: number };
  try {
    result = await input.context.cri.execSync(id, command, limitSeconds);
  } catch (error) {
    throw failure(kind, input, (error as Error).message, "");
  }
  const output = Buffer.concat([result.stdout, result.stderr])
    .subarray(0, 10 * 1024)
    .toString("utf8");
  if (result.exitCode === 0) return;
  throw failure(kind, input, `command '${command.join(" ")}' exited with ${result.exitCode}: ${output}`, output);
}

async function httpHook(
  { httpGet }: LifecycleHandler,
  input: HookInput,
  signal: AbortSignal,
  limitSeconds: number,
): Promise<void> {
  const { context, state, record } = input;
  if (httpGet === undefined || context.network === undefined) return;
  const podIp = state.pod.spec?.hostNetwork ? context.hostIp : (state.sandbox?.ip ?? "");
  const target = httpTargetOf(
    httpGet,
    { pod: state.pod, container: record.spec, containerId: record.run?.id ?? "", podIp },
    HOOK_USER_AGENT,
  );
  const kind = `HTTP lifecycle hook (${httpGet.path ?? "/"})`;
  if (target === undefined) throw failure(kind, input, `couldn't find port: ${httpGet.port}`, "");
  try {
    await context.network.get(target, limitSeconds * 1000, signal);
  } catch (error) {
    if (!signal.aborted) throw failure(kind, input, (error as Error).message, "");
  }
}
