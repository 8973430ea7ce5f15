// The binding cycle: Permit, PreBind, Bind and their undoing. Pods of profiles without plugins at these points go to the
// api-server together, in one batch.
import { isAbort } from "@coxswain/env";
import type { Binder, BindOutcome } from "./binder.ts";
import type { CycleState, Rejection } from "./framework/contract.ts";
import type { Framework } from "./framework/plan-schedule.ts";

/** A pod that has a node, and the cycle in which it got it. */
export interface Decided {
  readonly cycle: CycleState;
  readonly node: string;
}

/** Tells every Reserve plugin, last first. */
export function unreserveAll(framework: Framework, cycle: CycleState, node: string): void {
  for (const plugin of framework.plugins.toReversed()) plugin.unreserve?.(cycle, node);
}

function failed(plugin: string, rejection: Rejection): BindOutcome {
  return { kind: "failed", message: `${plugin}: ${rejection.reasons.join(", ")}` };
}

/** Undefined where all plugins agree and none has bound the pod itself. */
async function runPlugins(framework: Framework, one: Decided, signal: AbortSignal): Promise<BindOutcome | undefined> {
  for (const point of ["permit", "preBind"] as const) {
    for (const plugin of framework.plugins) {
      const rejection = await plugin[point]?.(one.cycle, one.node, signal);
      if (rejection !== undefined) return failed(plugin.name, rejection);
    }
  }
  for (const plugin of framework.plugins) {
    const result = await plugin.bind?.(one.cycle, one.node, signal);
    if (result === undefined || result === "skip") continue;
    return result === "bound" ? { kind: "bound" } : failed(plugin.name, result);
  }
  return undefined;
}

function hasBindingPlugins(framework: Framework): boolean {
  return framework.plugins.some(
    (plugin) => plugin.permit !== undefined || plugin.preBind !== undefined || plugin.bind !== undefined,
  );
}

async function bindSlowly(
  framework: Framework,
  one: Decided,
  binder: Binder,
  signal: AbortSignal,
): Promise<BindOutcome> {
  try {
    const early = await runPlugins(framework, one, signal);
    if (early !== undefined) return early;
  } catch (error) {
    if (isAbort(error)) return { kind: "failed", message: "leadership was lost" };
    return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
  }
  return (await binder.bind([{ info: one.cycle.info, node: one.node }], signal))[0]!;
}

/** One outcome a decision, in order; never rejects for a single pod. */
export async function bindAll(
  batch: readonly Decided[],
  frameworks: ReadonlyMap<string, Framework>,
  binder: Binder,
  signal: AbortSignal,
): Promise<BindOutcome[]> {
  const outcomes = new Map<Decided, BindOutcome>();
  const together: Decided[] = [];
  const alone: Promise<void>[] = [];
  for (const one of batch) {
    const framework = frameworks.get(one.cycle.info.pod.spec?.schedulerName ?? "")!;
    if (!hasBindingPlugins(framework)) together.push(one);
    else alone.push(bindSlowly(framework, one, binder, signal).then((outcome) => void outcomes.set(one, outcome)));
  }
  if (together.length > 0) {
    const requests = together.map((one) => ({ info: one.cycle.info, node: one.node }));
    for (const [at, outcome] of (await binder.bind(requests, signal)).entries()) outcomes.set(together[at]!, outcome);
  }
  await Promise.all(alone);
  return batch.map((one) => outcomes.get(one)!);
}
