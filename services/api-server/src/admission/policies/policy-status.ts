// Gives ValidatingAdmissionPolicies their status. Level-triggered; runs in the elected process. A write that somebody else
// overtook is no failure: the next look sees what they wrote. What could not be written is tried again.
import type { ValidatingAdmissionPolicy } from "@coxswain/api";
import { isReason, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { KindSource } from "../../extensions/kind-source.ts";
import type { ObjectSource } from "../../pipeline/extension.ts";
import { planPolicyStatus } from "./type-checking.ts";

const POLICIES: ResourceRef = {
  group: "admissionregistration.k8s.io",
  version: "v1",
  resource: "validatingadmissionpolicies",
};

const RETRY_MS = 1_000;

interface StatusDeps {
  readonly env: Pick<Env, "timers">;
  readonly logger: Logger;
  readonly source: ObjectSource;
  readonly client: ResourceClient;
  readonly kinds: KindSource;
}

/** Works until `signal` aborts. */
export async function runPolicyStatus(deps: StatusDeps, signal: AbortSignal): Promise<void> {
  let changed = Promise.withResolvers<void>();
  const stop = deps.source.onChange(POLICIES, () => changed.resolve());
  const wake = (): void => changed.resolve();
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers<void>();
      let done = true;
      for (const { name, object } of deps.source.list(POLICIES)) done = (await reconcile(deps, name, object)) && done;
      const { timers } = deps.env;
      const again = done ? undefined : timers.setTimeout(wake, RETRY_MS);
      if (!signal.aborted) await changed.promise;
      if (again !== undefined) timers.clear(again);
    }
  } finally {
    stop();
    signal.removeEventListener("abort", wake);
  }
}

/** False where it has to be tried again. */
async function reconcile(
  { logger, client, kinds }: StatusDeps,
  name: string,
  policy: ValidatingAdmissionPolicy,
): Promise<boolean> {
  const next = planPolicyStatus(policy, kinds);
  if (next === undefined) return true;
  try {
    await client.update(POLICIES, next, { subresource: "status" });
  } catch (error) {
    if (isReason(error, "Conflict", "NotFound")) return true;
    logger.warn({ name, error: String(error) }, "could not write the status of a policy, will try again");
    return false;
  }
  return true;
}
