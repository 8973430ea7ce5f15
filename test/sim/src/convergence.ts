// What has to be true once all faults are healed and time has passed. Pure reading: says what is not true yet, in words.
import type { Deployment, EndpointSlice, Pod, ReplicaSet } from "@coxswain/api";
import { selectionTest } from "@coxswain/client";
import type { KubeObject } from "@coxswain/apimachinery";
import { resourcePrefix } from "@coxswain/api-server/watch-cache/stored-form";
import { isReady, type StoredObject } from "./cluster-state.ts";
import { NAMESPACE } from "./driver.ts";
import type { KnownCache } from "./programs.ts";
import type { World } from "./world.ts";

export interface Wanted {
  readonly name: string;
  readonly replicas: number;
  readonly image: string;
}

/** What is younger than this may still be on its way to caches, ms. */
const ON_ITS_WAY_MS = 2_000;

/** What is not as it should be; empty where all is. */
export async function unconverged(world: World, wanted: Wanted): Promise<string[]> {
  return [
    ...processes(world),
    ...leaders(world),
    ...nodes(world),
    ...rollout(world, wanted),
    ...endpoints(world, wanted),
    ...(await rules(world, wanted)),
    ...world.caches.flatMap((cache) => staleness(world, cache)),
  ];
}

function processes(world: World): string[] {
  const { supervisor } = world;
  const down = supervisor.names().filter((name) => supervisor.process(name) === undefined);
  const unready = [...world.servers].filter(([, server]) => server.ready() !== undefined);
  return [...down.map((name) => `${name} is down`), ...unready.map(([name, server]) => `${name}: ${server.ready()}`)];
}

function leaders(world: World): string[] {
  return ["scheduler", "controller-manager"].flatMap((program) => {
    const leading = [...world.electors].filter(([name, elector]) => name.startsWith(program) && elector.isLeader());
    return leading.length === 1 ? [] : [`${leading.length} processes lead as ${program}`];
  });
}

function nodes(world: World): string[] {
  const ready = world.state.nodes.filter((node) =>
    node.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True"),
  );
  return ready.length === world.nodeNames.length
    ? []
    : [`${ready.length} of ${world.nodeNames.length} nodes are Ready`];
}

function podsOf(world: World, name: string): Pod[] {
  return world.state.pods.filter((pod) => pod.metadata?.labels?.["app"] === name);
}

function describePod({ metadata, spec, status }: Pod): string {
  const conditions = (status?.conditions ?? []).map((one) => `${one.type}=${one.status}`).join(",");
  const deleted = metadata?.deletionTimestamp === undefined ? "" : ` deleted at ${metadata.deletionTimestamp}`;
  return `pod ${metadata?.name} on ${spec?.nodeName ?? "no node"} is ${status?.phase}, ${conditions}${deleted}`;
}

function rollout(world: World, wanted: Wanted): string[] {
  const deployment = world.state.deployments.find((one) => one.metadata?.name === wanted.name);
  if (deployment === undefined) return [`deployment ${wanted.name} is missing`];
  const wrong: string[] = [];
  const pods = podsOf(world, wanted.name);
  const good = pods.filter((pod) => isReady(pod) && pod.spec?.containers?.[0]?.image === wanted.image);
  if (good.length !== wanted.replicas || pods.length !== wanted.replicas) {
    wrong.push(`${good.length} of ${pods.length} pods are ready with ${wanted.image}; ${wanted.replicas} are wanted`);
    wrong.push(...pods.filter((pod) => !good.includes(pod)).map(describePod));
  }
  const sets = world.state.owned<ReplicaSet>("replicasets", deployment.metadata?.uid);
  const left = sets.filter((set) => set.spec?.template?.spec?.containers?.[0]?.image !== wanted.image);
  if (left.some((set) => (set.spec?.replicas ?? 0) > 0)) wrong.push("an old ReplicaSet is not scaled down");
  return [...wrong, ...statusOf(deployment, wanted)];
}

function statusOf({ metadata, spec, status }: Deployment, { replicas, image, name }: Wanted): string[] {
  if (spec?.replicas !== replicas) return [`deployment ${name} asks for ${spec?.replicas} replicas`];
  if (spec.template?.spec?.containers?.[0]?.image !== image) return [`deployment ${name} has another image`];
  const counts = [status?.replicas, status?.updatedReplicas, status?.readyReplicas, status?.availableReplicas];
  const told = status?.observedGeneration === metadata?.generation && counts.every((one) => one === replicas);
  return told ? [] : [`deployment ${name} has the status ${JSON.stringify(counts)} for ${replicas} replicas`];
}

const addresses = (list: readonly (string | undefined)[]): string =>
  list.toSorted((a = "", b = "") => (a < b ? -1 : 1)).join(" ");

function readyAddresses(world: World, name: string): string {
  return addresses(
    podsOf(world, name)
      .filter(isReady)
      .map((pod) => pod.status?.podIP),
  );
}

function endpoints(world: World, { name }: Wanted): string[] {
  const slices = world.state
    .list<EndpointSlice>("endpointslices")
    .filter((slice) => slice.metadata?.labels?.["kubernetes.io/service-name"] === name);
  const listed = slices
    .flatMap((slice) => slice.endpoints ?? [])
    .filter((endpoint) => endpoint.conditions?.ready === true)
    .flatMap((endpoint) => endpoint.addresses);
  const ready = readyAddresses(world, name);
  return addresses(listed) === ready ? [] : [`the endpoints are ${addresses(listed)}; the ready pods are ${ready}`];
}

async function rules(world: World, { name }: Wanted): Promise<string[]> {
  const wrong: string[] = [];
  for (const backends of world.proxyBackends.values()) {
    for (const [node, backend] of backends) {
      const own = (await backend.rules()).filter((rule) => rule.service === name && rule.namespace === NAMESPACE);
      const listed = addresses(own.flatMap((rule) => rule.endpoints.map((endpoint) => endpoint.ip)));
      if (listed !== readyAddresses(world, name)) wrong.push(`the rules on ${node} lead to ${listed}`);
    }
  }
  return wrong;
}

/** Where a process's cache is not what the store holds. */
function staleness(world: World, { process, ref, options, informer }: KnownCache): string[] {
  const now = world.env.elapsedMs;
  const fields = [options.fieldSelector ?? "", options.node === undefined ? "" : `spec.nodeName=${options.node}`];
  const fieldSelector = fields.filter((field) => field !== "").join(",");
  const matches = selectionTest({ labelSelector: options.labelSelector, fieldSelector });
  const name = `${process.name}'s cache of ${ref.resource}`;
  const prefix = resourcePrefix(ref);
  const idOf = (key: string): string => key.slice(prefix.length).replace(/^_\//, "");
  const stored = new Map<string, StoredObject>();
  for (const [key, one] of world.state.stored(ref.resource)) {
    if (key.startsWith(prefix) && matches(one.object)) stored.set(idOf(key), one);
  }
  const wrong: string[] = [];
  const cached = new Map<string, KubeObject>();
  for (const object of informer.lister.list()) {
    const { namespace, name: own } = object.metadata ?? {};
    cached.set(namespace === undefined ? `${own}` : `${namespace}/${own}`, object);
  }
  for (const [id, { rv, atMs }] of stored) {
    const held = cached.get(id)?.metadata?.resourceVersion;
    if (held !== rv.toString() && now - atMs > ON_ITS_WAY_MS) wrong.push(`${name} has ${id} at ${held}, not ${rv}`);
  }
  for (const id of cached.keys()) {
    if (stored.has(id)) continue;
    const goneAtMs = world.state.deletedAtMs.get(`${prefix}${id.includes("/") ? id : `_/${id}`}`) ?? 0;
    if (now - goneAtMs > ON_ITS_WAY_MS) wrong.push(`${name} still has ${id}`);
  }
  return wrong;
}
