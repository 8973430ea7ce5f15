// The APIServices of the groups and versions that this api-server serves itself. Guarantees: each served version has one; those
// of built-in versions are put right when an api-server starts, those of custom resources at all times; what a user has
// registered under such a name is left alone.
import { API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS } from "@coxswain/api";
import type { APIService, KindDefinition } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { BaseDeps } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { KindSource } from "../extensions/kind-source.ts";
import type { ObjectSource } from "../pipeline/extension.ts";
import { servedKinds } from "../discovery/discovery-documents.ts";
import { builtInPriority, CUSTOM_PRIORITY } from "./group-priorities.ts";

/** On APIServices that the api-server keeps: "onstart" for built-in versions, "true" for those of custom resources. */
export const AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged";
const AGGREGATOR_GROUP = "apiregistration.k8s.io";
const LOOK_AGAIN_MS = 1_000;

export interface LocalServiceAction {
  readonly type: "create" | "update" | "delete";
  readonly service: APIService;
}

function localService(group: string, version: string): APIService {
  const builtIn = builtInPriority(group, version);
  const priority = builtIn ?? CUSTOM_PRIORITY;
  return {
    apiVersion: "apiregistration.k8s.io/v1",
    kind: "APIService",
    metadata: {
      name: `${version}.${group}`,
      labels: { [AUTOMANAGED]: builtIn === undefined ? "true" : "onstart" },
    },
    spec: { group, version, groupPriorityMinimum: priority.group, versionPriority: priority.version },
  };
}

/** The group that registers the others is not registered itself. */
export function wantedLocalServices(kinds: readonly KindDefinition[]): APIService[] {
  const wanted = new Map<string, APIService>();
  for (const { group, version } of servedKinds(kinds)) {
    const key = `${version}.${group}`;
    if (group !== AGGREGATOR_GROUP && !wanted.has(key)) wanted.set(key, localService(group, version));
  }
  return [...wanted.values()];
}

function differs(one: APIService, wanted: APIService): boolean {
  const says = ({ spec }: APIService): unknown[] => [
    spec?.service ?? null,
    spec?.groupPriorityMinimum,
    spec?.versionPriority,
  ];
  return JSON.stringify(says(one)) !== JSON.stringify(says(wanted));
}

/** `starting`: whether also those that are kept only at the start are put right. */
export function planLocalServices(
  wanted: readonly APIService[],
  present: readonly APIService[],
  starting: boolean,
): LocalServiceAction[] {
  const known = new Map(present.map((service) => [service.metadata?.name ?? "", service]));
  const kept = (service: APIService): boolean => {
    const mark = service.metadata?.labels?.[AUTOMANAGED];
    return mark === "true" || (mark === "onstart" && starting);
  };
  const actions: LocalServiceAction[] = [];
  for (const service of wanted) {
    const found = known.get(service.metadata?.name ?? "");
    known.delete(service.metadata?.name ?? "");
    if (found === undefined) actions.push({ type: "create", service });
    else if (kept(found) && differs(found, service)) {
      actions.push({ type: "update", service: { ...found, ...(service.spec && { spec: service.spec }) } });
    }
  }
  for (const service of known.values()) if (kept(service)) actions.push({ type: "delete", service });
  return actions;
}

interface LocalServicesDeps extends BaseDeps {
  readonly source: ObjectSource;
  readonly kinds: KindSource;
  readonly client: ResourceClient;
}

async function carryOut(client: ResourceClient, action: LocalServiceAction): Promise<void> {
  try {
    if (action.type === "create") await client.create(API_SERVICES, action.service);
    else if (action.type === "update") await client.update(API_SERVICES, action.service);
    else await client.delete(API_SERVICES, { name: action.service.metadata?.name ?? "" });
  } catch (error) {
    // Somebody else was quicker; the change of theirs leads to another look.
    if (!isReason(error, "AlreadyExists", "Conflict", "NotFound")) throw error;
  }
}

async function reconcile({ source, kinds, client }: LocalServicesDeps, starting: boolean): Promise<void> {
  const present = source.list(API_SERVICES).map(({ object }) => object as APIService);
  const actions = planLocalServices(wantedLocalServices(kinds.all()), present, starting);
  await Promise.all(actions.map((action) => carryOut(client, action)));
}

/** Before a process is ready: puts all in place. Rejects where that cannot be written. */
export async function registerLocalServices(deps: LocalServicesDeps): Promise<void> {
  await reconcile(deps, true);
}

/** Works until `signal` aborts; runs in the elected process. */
export async function runLocalServices(deps: LocalServicesDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, source } = deps;
  let changed = Promise.withResolvers<void>();
  const wake = (): void => changed.resolve();
  const stops = [API_SERVICES, CUSTOM_RESOURCE_DEFINITIONS].map((resource) => source.onChange(resource, wake));
  signal.addEventListener("abort", wake, { once: true });
  try {
    while (!signal.aborted) {
      changed = Promise.withResolvers<void>();
      try {
        await reconcile(deps, false);
        await changed.promise;
      } catch (error) {
        if (signal.aborted || isAbort(error)) return;
        logger.warn({ error: String(error) }, "could not register the API's own versions, will try again");
        await env.timers.sleep(LOOK_AGAIN_MS, signal).catch((cause: unknown) => {
          if (!isAbort(cause)) throw cause;
        });
      }
    }
  } finally {
    for (const stop of stops) stop();
    signal.removeEventListener("abort", wake);
  }
}
