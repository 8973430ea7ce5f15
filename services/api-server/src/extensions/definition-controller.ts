// Gives CustomResourceDefinitions their conditions and sees to it that their objects go before them. Level-triggered; runs
// in the elected process. A write that somebody else overtook is no failure: the next look sees what they wrote.
import { CUSTOM_RESOURCE_DEFINITIONS } from "@coxswain/api";
import type { CustomResourceDefinition } from "@coxswain/api/apiextensions-v1/types";
import { crdConditionTrue } from "@coxswain/api/apiextensions-v1/types";
import { isReason, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";
import { planDeleting, planGone, planStatus, waitsForObjects } from "./plan-definition.ts";

const LOOK_AGAIN_MS = 1_000;

interface ControllerDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly source: ObjectSource;
  readonly client: ResourceClient;
}

/** Works until `signal` aborts. */
export async function runDefinitionController(deps: ControllerDeps, signal: AbortSignal): Promise<void> {
  const { env, source } = deps;
  let changed = Promise.withResolvers<void>();
  const stop = source.onChange(CUSTOM_RESOURCE_DEFINITIONS, () => changed.resolve());
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers<void>();
      const again = await reconcileAll(deps, signal);
      const waits = [changed.promise, aborted];
      if (again) waits.push(pause(env, signal));
      await Promise.race(waits);
    }
  } finally {
    stop();
  }
}

async function pause(env: Env, signal: AbortSignal): Promise<void> {
  try {
    await env.timers.sleep(LOOK_AGAIN_MS, signal);
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}

/** Says whether something is left to do although nothing may change by itself. */
async function reconcileAll(deps: ControllerDeps, signal: AbortSignal): Promise<boolean> {
  let again = false;
  // One after the other, each with what the ones before were given: two that want a name must not both get it.
  const known = new Map<string, CustomResourceDefinition>();
  for (const { name, object } of deps.source.list(CUSTOM_RESOURCE_DEFINITIONS)) {
    known.set(name, object as CustomResourceDefinition);
  }
  for (const [name, crd] of known) {
    if (signal.aborted) return false;
    try {
      const left = waitsForObjects(crd) ? await reconcileDeletion(deps, crd) : await reconcileStatus(deps, crd, known);
      again ||= left;
    } catch (error) {
      again = true;
      if (isReason(error, "Conflict", "NotFound")) continue;
      deps.logger.warn({ name, error: String(error) }, "could not reconcile a definition");
    }
  }
  return again;
}

async function reconcileStatus(
  { env, client }: ControllerDeps,
  crd: CustomResourceDefinition,
  known: Map<string, CustomResourceDefinition>,
): Promise<boolean> {
  const next = planStatus(crd, [...known.values()], env.clock.now());
  if (next === undefined) return false;
  const stored = await client.update(CUSTOM_RESOURCE_DEFINITIONS, next, { subresource: "status" });
  known.set(crd.metadata?.name ?? "", stored);
  return false;
}

/** True while objects are left. */
async function reconcileDeletion(deps: ControllerDeps, crd: CustomResourceDefinition): Promise<boolean> {
  const { env, client } = deps;
  const next = planDeleting(crd, env.clock.now());
  const marked =
    next === undefined ? crd : await client.update(CUSTOM_RESOURCE_DEFINITIONS, next, { subresource: "status" });
  // In the storage version nobody has to be asked for a conversion.
  const served = crd.spec.versions.filter((version) => version.served);
  const version = (served.find(({ storage }) => storage) ?? served[0])?.name;
  if (crdConditionTrue(crd, "Established") && version !== undefined) {
    const ref: ResourceRef = { group: crd.spec.group, version, resource: crd.spec.names.plural };
    for (const namespace of await namespacesOf(client, ref)) await client.deleteCollection(ref, { namespace });
    const left = await client.list(ref, { limit: 1 });
    if (left.items.length > 0) return true;
  }
  await client.update(CUSTOM_RESOURCE_DEFINITIONS, planGone(marked, env.clock.now()), { subresource: "status" });
  return false;
}

/** Where the resource has objects; "" for one that lives in none. */
async function namespacesOf(client: ControllerDeps["client"], ref: ResourceRef): Promise<ReadonlySet<string>> {
  const { items } = await client.list(ref);
  return new Set(items.map(({ metadata }) => metadata?.namespace ?? ""));
}
