// pods/eviction: deletes a pod where its disruption budget allows it. Guarantees: no more pods go than the budget allows, however
// many ask at once, because the budget is counted down by a write that fails where somebody else was quicker; a pod that goes
// says why in its status first.
import type { Pod, PodDisruptionBudget } from "@coxswain/api";
import { formatTime, isReason } from "@coxswain/apimachinery";
import { API_SERVER_USER } from "../auth/identity.ts";
import type { ApiRequest, ApiResult } from "../pipeline/contract.ts";
import { budgetOf, countEviction, ignoresBudgets, isFreeToGo, mayBegin } from "./plan-eviction.ts";

const BUDGETS = { group: "policy", version: "v1", resource: "poddisruptionbudgets" };
const PODS = { group: "", version: "v1", resource: "pods" };
const MAX_ATTEMPTS = 20;

export interface EvictionDeps {
  /** The pipeline itself, for what the api-server does on its own account. */
  handle(request: ApiRequest): Promise<ApiResult>;
  now(): number;
}

export interface EvictionRequest {
  readonly request: ApiRequest;
  readonly dryRun: boolean;
  /** Whether the caller ties the deletion to a version of the pod: then nothing may be written to it before. */
  readonly versioned: boolean;
}

type Target = Pick<ApiRequest, "group" | "version" | "resource" | "namespace" | "name">;

async function read<T>(deps: EvictionDeps, target: Target, signal: AbortSignal): Promise<T> {
  const base = { user: API_SERVER_USER, subresource: "", options: {}, signal };
  const result = await deps.handle({ ...base, ...target, verb: "get" });
  if (result.type !== "object") throw new Error(`a get of ${target.resource} was answered with ${result.type}`);
  return result.object.object as T;
}

async function budgetsOf(deps: EvictionDeps, namespace: string, signal: AbortSignal): Promise<PodDisruptionBudget[]> {
  const base = { user: API_SERVER_USER, subresource: "", options: {}, signal };
  const result = await deps.handle({ ...base, ...BUDGETS, namespace, name: "", verb: "list" });
  if (result.type !== "list") throw new Error(`a list of budgets was answered with ${result.type}`);
  return result.items.map(({ object }) => object as PodDisruptionBudget);
}

async function write(
  deps: EvictionDeps,
  target: Target,
  verb: "update" | "patch",
  body: unknown,
  signal: AbortSignal,
): Promise<void> {
  await deps.handle({
    ...target,
    user: API_SERVER_USER,
    verb,
    subresource: "status",
    body: Buffer.from(JSON.stringify(body)),
    contentType: verb === "patch" ? "application/strategic-merge-patch+json" : "application/json",
    options: {},
    signal,
  });
}

/** Tells in the pod's status why it goes. With a version: only if the pod is still as it was seen. */
async function markDisrupted(deps: EvictionDeps, target: Target, version: string | undefined, signal: AbortSignal) {
  const condition = {
    type: "DisruptionTarget",
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
    lastTransitionTime: formatTime(deps.now()),
  };
  const metadata = version === undefined ? {} : { metadata: { resourceVersion: version } };
  await write(deps, target, "patch", { ...metadata, status: { conditions: [condition] } }, signal);
}

/** Resolves when the pod may be deleted. Rejects with StatusError TooManyRequests where its budget is used up. */
export async function allowEviction(deps: EvictionDeps, asked: EvictionRequest): Promise<void> {
  const { request, dryRun, versioned } = asked;
  const target = { ...PODS, namespace: request.namespace, name: request.name };
  const verdict = await retryingConflicts(() => decide(deps, asked, target));
  if (verdict === "counted" && !dryRun && !versioned) await markDisrupted(deps, target, undefined, request.signal);
}

/** "counted": a budget allowed it. "free": nothing has to be counted, and the pod knows already. */
async function decide(deps: EvictionDeps, asked: EvictionRequest, target: Target): Promise<"free" | "counted"> {
  const { request, dryRun, versioned } = asked;
  const { namespace, name, signal } = request;
  const pod = await read<Pod>(deps, target, signal);
  const ignored = ignoresBudgets(pod);
  const budget = ignored ? undefined : budgetOf(pod, await budgetsOf(deps, namespace, signal));
  if (budget === undefined || isFreeToGo(pod, budget)) {
    // A pod that has begun or become ready in the meantime is not free any more.
    const mayTurn = budget !== undefined || (ignored && mayBegin(pod));
    const seen = mayTurn ? pod.metadata?.resourceVersion : undefined;
    if (!dryRun && !versioned) await markDisrupted(deps, target, seen, signal);
    return "free";
  }
  const counted = countEviction(budget, name, deps.now());
  const where = { ...BUDGETS, namespace, name: budget.metadata?.name ?? "" };
  if (!dryRun) await write(deps, where, "update", counted, signal);
  return "counted";
}

async function retryingConflicts<T>(attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (!isReason(error, "Conflict") || attempts >= MAX_ATTEMPTS) throw error;
    }
  }
}
