// Keeps the objects of flow control: makes those that every cluster has, and tells in each FlowSchema's status whether its level
// is there. Guarantees: mandatory objects are as they must be; suggested ones are made where they are missing, brought up to date
// while they say so, and otherwise their administrator's; several api-servers may do it one after the other.
import { MANDATORY_LEVELS, MANDATORY_SCHEMAS } from "@coxswain/api";
import type { FlowSchema, PriorityLevelConfiguration } from "@coxswain/api";
import { deepEqual, formatTime, isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";
import { AUTO_UPDATE, SUGGESTED_PRIORITY_LEVELS, SUGGESTED_SCHEMAS } from "./bootstrap-objects.ts";
import { FLOW_SCHEMAS, PRIORITY_LEVELS } from "./resources.ts";

const AGAIN_MS = 60_000;

export interface FlowObjectsDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly source: ObjectSource;
  readonly client: ResourceClient;
}

type Configured = FlowSchema | PriorityLevelConfiguration;

/** What has to be written for `wanted`; undefined where nothing has. Pure. */
export function planObject<T extends Configured>(
  stored: T | undefined,
  wanted: T,
  mandatory: boolean,
): { readonly create: T } | { readonly update: T } | undefined {
  const annotations = { [AUTO_UPDATE]: "true" };
  if (stored === undefined) return { create: { ...wanted, metadata: { ...wanted.metadata, annotations } } };
  const follows = mandatory || stored.metadata?.annotations?.[AUTO_UPDATE] === "true";
  // The defaults that storing adds are part of what these pages say, so equal specs are equal texts.
  if (!follows || deepEqual(stored.spec, wanted.spec)) return undefined;
  const metadata = { ...stored.metadata, annotations: { ...stored.metadata?.annotations, ...annotations } };
  return { update: { ...stored, metadata, spec: wanted.spec } };
}

/** The status that a schema should have; undefined where it has it. Pure. */
export function planDangling(schema: FlowSchema, exists: boolean, nowMs: number): FlowSchema["status"] | undefined {
  const name = schema.spec?.priorityLevelConfiguration.name ?? "";
  const quoted = JSON.stringify(name);
  const wanted = {
    type: "Dangling",
    status: exists ? "False" : "True",
    reason: exists ? "Found" : "NotFound",
    message: `This FlowSchema references the PriorityLevelConfiguration object named ${quoted} ${exists ? "and it exists" : "but there is no such object"}`,
  };
  const conditions = schema.status?.conditions ?? [];
  const before = conditions.find(({ type }) => type === "Dangling");
  if (before?.status === wanted.status && before.message === wanted.message) return undefined;
  const lastTransitionTime = before?.status === wanted.status ? before.lastTransitionTime : formatTime(nowMs);
  const others = conditions.filter(({ type }) => type !== "Dangling");
  return { conditions: [...others, { ...wanted, ...(lastTransitionTime ? { lastTransitionTime } : {}) }] };
}

/** Runs on the api-server that leads, until `signal` aborts. */
export async function runFlowObjects(deps: FlowObjectsDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, source } = deps;
  let wake = Promise.withResolvers<void>();
  const stops = [FLOW_SCHEMAS, PRIORITY_LEVELS].map((ref) => source.onChange(ref, () => wake.resolve()));
  while (!signal.aborted) {
    wake = Promise.withResolvers();
    try {
      await maintain(deps);
    } catch (error) {
      if (!signal.aborted) logger.warn({ error: String(error) }, "could not maintain the objects of flow control");
    }
    const pause = new AbortController();
    const sleep = env.timers.sleep(AGAIN_MS, AbortSignal.any([signal, pause.signal])).catch((error: unknown) => {
      if (!isAbort(error)) throw error;
    });
    await Promise.race([wake.promise, sleep]);
    pause.abort();
    await sleep;
  }
  for (const stop of stops) stop();
}

async function maintain(deps: FlowObjectsDeps): Promise<void> {
  for (const level of MANDATORY_LEVELS) await ensure(deps, PRIORITY_LEVELS, level, true);
  for (const level of SUGGESTED_PRIORITY_LEVELS) await ensure(deps, PRIORITY_LEVELS, level, false);
  for (const schema of SUGGESTED_SCHEMAS) await ensure(deps, FLOW_SCHEMAS, schema, false);
  // "catch-all" comes last: with it everything is there.
  for (const schema of MANDATORY_SCHEMAS) await ensure(deps, FLOW_SCHEMAS, schema, true);
  const { source, client, env } = deps;
  for (const { object } of source.list(FLOW_SCHEMAS)) {
    const schema: FlowSchema = object;
    const exists = source.get(PRIORITY_LEVELS, "", schema.spec?.priorityLevelConfiguration.name ?? "") !== undefined;
    const status = planDangling(schema, exists, env.clock.now());
    if (status === undefined) continue;
    await unlessRaced(() => client.update(FLOW_SCHEMAS, { ...schema, status }, { subresource: "status" }));
  }
}

async function ensure(
  { source, client }: FlowObjectsDeps,
  ref: ResourceRef,
  wanted: Configured,
  mandatory: boolean,
): Promise<void> {
  const stored: Configured | undefined = source.get(ref, "", wanted.metadata?.name ?? "")?.object;
  const plan = planObject(stored, wanted, mandatory);
  if (plan === undefined) return;
  await unlessRaced(() =>
    "create" in plan ? client.create<KubeObject>(ref, plan.create) : client.update<KubeObject>(ref, plan.update),
  );
}

/** Who was faster wrote; its change wakes us. */
async function unlessRaced(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!isReason(error, "AlreadyExists") && !isReason(error, "Conflict") && !isReason(error, "NotFound")) throw error;
  }
}
