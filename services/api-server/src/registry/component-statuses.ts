// ComponentStatus objects: nothing of them is stored, each is made when somebody asks, of what a part of the control plane
// says of its health at that moment. Guarantees: parts are asked side by side, and one that does not answer is told of, not
// waited for beyond its time limit.
import type { ComponentStatus, KindDefinition } from "@coxswain/api";
import { newNotFound } from "@coxswain/apimachinery";
import type { ApiRequest, ApiResult, VersionedObject } from "../pipeline/contract.ts";
import { selectionOf } from "../pipeline/selection.ts";
import { CachedObject } from "../watch-cache/cached-object.ts";

export interface ComponentHealth {
  readonly healthy: boolean;
  /** What it answered, or why there is no answer. */
  readonly message: string;
}

/** Asks one part; never rejects. */
export type ComponentProbe = (signal: AbortSignal) => Promise<ComponentHealth>;

/** By name: "scheduler", "controller-manager", "etcd-0". */
export type ComponentProbes = ReadonlyMap<string, ComponentProbe>;

/** Pure. */
export function componentStatus(name: string, { healthy, message }: ComponentHealth): ComponentStatus {
  return {
    kind: "ComponentStatus",
    apiVersion: "v1",
    metadata: { name },
    conditions: [{ type: "Healthy", status: healthy ? "True" : "False", message }],
  };
}

async function made(
  kind: KindDefinition,
  name: string,
  probe: ComponentProbe,
  signal: AbortSignal,
): Promise<CachedObject> {
  const json = Buffer.from(JSON.stringify(componentStatus(name, await probe(signal))));
  return new CachedObject(kind, "", name, 0n, json);
}

/** Rejects with StatusError NotFound for a part that is not there. */
export async function readComponent(
  probes: ComponentProbes,
  kind: KindDefinition,
  { name, signal }: ApiRequest,
): Promise<VersionedObject> {
  const probe = probes.get(name);
  if (probe === undefined) throw newNotFound(kind, name);
  return await made(kind, name, probe, signal);
}

/** In the order of their names. Rejects with StatusError BadRequest for a selector that cannot be read. */
export async function listComponents(
  probes: ComponentProbes,
  kind: KindDefinition,
  request: ApiRequest,
): Promise<ApiResult> {
  const { name, matches } = selectionOf(request, kind);
  const asked = [...probes].filter(([each]) => name === undefined || each === name);
  const all = await Promise.all(asked.map(([each, probe]) => made(kind, each, probe, request.signal)));
  const items = all
    .filter((item) => matches === undefined || matches(item))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return { type: "list", kind, items, resourceVersion: "", continue: "", remainingItemCount: undefined };
}
