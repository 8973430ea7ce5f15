// The binding cycle: the wait for Permit, PreBind, Bind and their undoing. Pods for which no plugin has anything to do here go
// to the api-server together, in one batch.
import { isAbort } from "@coxswain/env";
import type { Binder, BindOutcome } from "./binder.ts";
import { ExtenderError } from "./extenders/extender.ts";
import type { Extenders } from "./extenders/extenders.ts";
import type { CycleState, Rejection } from "./framework/contract.ts";
import type { Framework } from "./framework/plan-schedule.ts";
import type { QueuedPod } from "./queue/scheduling-queue.ts";
import type { WaitingPods } from "./framework/waiting-pods.ts";

/** A pod that has a node, and the cycle in which it got it. */
export interface Decided {
  readonly queued: QueuedPod;
  readonly cycle: CycleState;
  readonly node: string;
  readonly framework: Framework;
  /** How long Permit plugins keep it at most, in ms by name. */
  readonly waits: ReadonlyMap<string, number>;
  /** Of a pod that an extender binds. */
  readonly extenders?: Extenders;
}

/** As of the binder; or a plugin turned the pod down after all. */
export type CycleOutcome =
  | BindOutcome
  | { readonly kind: "rejected"; readonly plugin: string; readonly rejection: Rejection };

/** Tells every Reserve plugin, last first. */
export function unreserveAll(framework: Framework, cycle: CycleState, node: string): void {
  for (const plugin of framework.at("reserve").toReversed()) plugin.unreserve?.(cycle, node);
}

/** Asks Reserve and Permit plugins; what the first says that turns the pod down. */
export function reserve(
  framework: Framework,
  cycle: CycleState,
  node: string,
): { readonly waits: ReadonlyMap<string, number> } | { readonly plugin: string; readonly rejection: Rejection } {
  const waits = new Map<string, number>();
  for (const plugin of framework.at("reserve")) {
    const rejection = plugin.reserve?.(cycle, node);
    if (rejection !== undefined) return { plugin: plugin.name, rejection };
  }
  for (const plugin of framework.at("permit")) {
    const said = plugin.permit?.(cycle, node);
    if (said === undefined) continue;
    if (said.code === "Wait") waits.set(plugin.name, said.timeoutMs);
    else return { plugin: plugin.name, rejection: said };
  }
  return { waits };
}

function turnedDown(point: "Permit" | "PreBind" | "Bind", plugin: string, rejection: Rejection): CycleOutcome {
  if (rejection.code !== "Error") return { kind: "rejected", plugin, rejection };
  return { kind: "failed", message: `running ${point} plugin "${plugin}": ${rejection.reasons.join(", ")}` };
}

/** Says that it was the api-server that did not want the binding. */
function told(outcome: BindOutcome): BindOutcome {
  return outcome.kind === "failed" ? { ...outcome, message: `binding rejected: ${outcome.message}` } : outcome;
}

/** An extender that did not answer may have bound the pod. */
function extenderFailed(error: Error): CycleOutcome {
  const message = `binding rejected: ${error.message}`;
  return error instanceof ExtenderError ? { kind: "failed", message } : { kind: "unknown", message };
}

/** Undefined where all plugins agree and none has bound the pod itself. */
async function runPlugins(
  one: Decided,
  { waiting, nominated }: BindParts,
  signal: AbortSignal,
): Promise<CycleOutcome | undefined> {
  const { framework, cycle, node, waits } = one;
  if (waits.size > 0) {
    const verdict = await waiting.wait(cycle.info, node, waits, signal);
    if (verdict !== undefined) return turnedDown("Permit", verdict.plugin, verdict.rejection);
  }
  for (const plugin of framework.at("preBind")) {
    if (plugin.preBindPreFlight?.(cycle, node) === "skip") continue;
    const rejection = await plugin.preBind?.(cycle, node, signal);
    if (rejection !== undefined) return turnedDown("PreBind", plugin.name, rejection);
  }
  // A binding takes the nomination back: what sets it must not come after that.
  await nominated;
  const extended = await one.extenders?.bind(cycle.info, node);
  if (extended !== undefined) return extended.bound ? { kind: "bound" } : extenderFailed(extended.error);
  for (const plugin of framework.at("bind")) {
    const result = await plugin.bind?.(cycle, node, signal);
    if (result === undefined || result === "skip") continue;
    return result === "bound" ? { kind: "bound" } : turnedDown("Bind", plugin.name, result);
  }
  return framework.bindsItself ? undefined : { kind: "failed", message: "no Bind plugin of the profile took the pod" };
}

/** Whether a pod needs a binding cycle of its own. */
export function bindsAlone(one: Decided): boolean {
  return one.extenders !== undefined || one.framework.at("bind").length > 0 || isBoundLater(one);
}

/** Whether plugins have something to do before the pod is bound, which may take a while. */
export function isBoundLater({ framework, cycle, node, waits }: Decided): boolean {
  if (waits.size > 0) return true;
  return framework
    .at("preBind")
    .some((plugin) => plugin.preBind !== undefined && plugin.preBindPreFlight?.(cycle, node) !== "skip");
}

export interface BindParts {
  readonly binder: Binder;
  readonly waiting: WaitingPods;
  /** Resolves when others know of the pod's node, or cannot be told. */
  readonly nominated: Promise<void> | undefined;
}

/** Never rejects. */
export async function bindAlone(one: Decided, parts: BindParts, signal: AbortSignal): Promise<CycleOutcome> {
  try {
    const early = await runPlugins(one, parts, signal);
    if (early !== undefined) return early;
    return told((await parts.binder.bind([{ info: one.cycle.info, node: one.node }], signal))[0]!);
  } catch (error) {
    if (isAbort(error)) return { kind: "failed", message: "leadership was lost" };
    return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}

/** One outcome a decision, in order. */
export async function bindTogether(
  batch: readonly Decided[],
  binder: Binder,
  signal: AbortSignal,
): Promise<BindOutcome[]> {
  const requests = batch.map((one) => ({ info: one.cycle.info, node: one.node }));
  return (await binder.bind(requests, signal)).map(told);
}
