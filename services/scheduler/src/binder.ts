// Writes decisions to the api-server, in batches. Guarantees:
// - A pod is bound once: where an answer does not say whether the binding happened, the pod is looked up, and until that is
//   known nothing but the same binding is tried again. The api-server refuses a second binding.
// - Every write carries the proof of leadership; without one it is not sent.
import { isReason, mayHaveLanded } from "@coxswain/apimachinery";
import { PODS, type Binding, type Pod } from "@coxswain/api";
import type { BatchOperation, ResourceClient } from "@coxswain/client";
import { isAbort, type Env } from "@coxswain/env";
import type { PodInfo } from "./pod-info.ts";

export interface BindRequest {
  readonly info: PodInfo;
  readonly node: string;
}

export type BindOutcome =
  | { readonly kind: "bound" }
  /** Somebody bound it elsewhere, or it is gone: nothing to do but follow the informer. */
  | { readonly kind: "superseded"; readonly message: string }
  /** Definitely not bound. */
  | { readonly kind: "failed"; readonly message: string }
  /** Nobody answers: the pod may or may not be bound. */
  | { readonly kind: "unknown"; readonly message: string };

/** More than this and an outcome stays unknown; the informer settles it in the end. */
const MAX_RECHECKS = 6;
const FIRST_RECHECK_MS = 100;

function operation(request: BindRequest): BatchOperation {
  const { namespace, name, uid } = request.info;
  const object: Binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { namespace, name, uid },
    target: { kind: "Node", name: request.node },
  };
  return { op: "create", ref: PODS, namespace, name, object, subresource: "binding" };
}

export interface Binder {
  /** One outcome a request, in order. Rejects with AbortError only. */
  bind(requests: readonly BindRequest[], signal: AbortSignal): Promise<BindOutcome[]>;
}

export function createBinder(deps: { env: Env; client: ResourceClient }): Binder {
  const { env, client } = deps;

  async function send(requests: readonly BindRequest[]): Promise<(Error | undefined)[]> {
    try {
      await env.failpoints.hit("scheduler.bind");
      const outcomes = await client.batch(requests.map(operation));
      return outcomes.map((outcome) => (outcome.ok ? undefined : outcome.error));
    } catch (error) {
      return requests.map(() => (error instanceof Error ? error : new Error(String(error))));
    }
  }

  /** What the api-server has; undefined where it does not say. */
  async function look(request: BindRequest): Promise<BindOutcome | "unbound" | undefined> {
    try {
      const pod = await client.get<Pod>(PODS, { namespace: request.info.namespace, name: request.info.name });
      if (pod.metadata?.uid !== request.info.uid) return { kind: "superseded", message: "the pod was replaced" };
      const node = pod.spec?.nodeName ?? "";
      if (node === "") return "unbound";
      if (node === request.node) return { kind: "bound" };
      return { kind: "superseded", message: `the pod is bound to ${node}` };
    } catch (error) {
      if (isReason(error, "NotFound")) return { kind: "superseded", message: "the pod is gone" };
      return undefined;
    }
  }

  async function settle(request: BindRequest, first: Error, signal: AbortSignal): Promise<BindOutcome> {
    let error: Error | undefined = first;
    let delayMs = FIRST_RECHECK_MS;
    for (let check = 0; check <= MAX_RECHECKS; check++) {
      if (isReason(error, "NotFound")) return { kind: "superseded", message: "the pod is gone" };
      const busy = isReason(error, "TooManyRequests");
      const unsure = mayHaveLanded(error) || isReason(error, "Conflict", "AlreadyExists");
      if (!unsure && !busy) return { kind: "failed", message: error.message };
      // A server that has too much to do has not bound it, and needs no question more.
      const found = busy ? "unbound" : await look(request);
      if (found !== undefined && found !== "unbound") return found;
      // A refused binding of a pod that is still unbound: the fence or the pod's version is out of date.
      if (found === "unbound" && !busy && !mayHaveLanded(error)) return { kind: "failed", message: error.message };
      await env.timers.sleep(delayMs, signal);
      delayMs = Math.min(2000, delayMs * 2);
      if (found === "unbound") [error] = await send([request]);
      if (error === undefined) return { kind: "bound" };
    }
    return { kind: "unknown", message: error.message };
  }

  return {
    async bind(requests, signal) {
      const errors = await send(requests);
      return Promise.all(
        requests.map(async (request, at): Promise<BindOutcome> => {
          const error = errors[at];
          if (error === undefined) return { kind: "bound" };
          try {
            return await settle(request, error, signal);
          } catch (raised) {
            if (isAbort(raised)) return { kind: "unknown", message: "leadership was lost" };
            throw raised;
          }
        }),
      );
    },
  };
}
