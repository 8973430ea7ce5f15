// Invariants of workloads. A controller acts on what it has seen, and says in status.observedGeneration how far that goes:
// so a limit is what any generation from the observed one on allows. This is what upstream promises, and what its own
// end-to-end tests check: the ReplicaSets' wishes add up to no more than replicas + maxSurge, and a ReplicaSet never makes
// more pods than it wishes for.
import type { Deployment, Pod, ReplicaSet } from "@coxswain/api";
import { controllerUid, isLive, isReady, type ClusterState } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

type Amount = string | number | undefined;

function amount(value: Amount, of: number, round: (value: number) => number): number {
  const given = value ?? "25%";
  return typeof given === "number" ? given : round((of * Number.parseInt(given, 10)) / 100);
}

/** The most replicas that a Deployment may wish for, and the fewest that must be available. */
export function limitsOf(deployment: Deployment): { readonly most: number; readonly fewest: number } {
  const replicas = deployment.spec?.replicas ?? 1;
  // It takes all away before it makes the next.
  if (deployment.spec?.strategy?.type === "Recreate") return { most: replicas, fewest: 0 };
  const rolling = deployment.spec?.strategy?.rollingUpdate;
  const surge = amount(rolling?.maxSurge, replicas, Math.ceil);
  const unavailable = amount(rolling?.maxUnavailable, replicas, Math.floor);
  // Both zero would never move: then one may be missing.
  return { most: replicas + surge, fewest: replicas - (surge === 0 && unavailable === 0 ? 1 : unavailable) };
}

/** What each generation that a controller may still act on says. */
class Generations<V> {
  readonly #byUid = new Map<string, { generation: number; value: V }[]>();

  see(uid: string, generation: number, observed: number, value: V): void {
    const known = (this.#byUid.get(uid) ?? []).filter((one) => one.generation >= observed);
    if (known.at(-1)?.generation !== generation) known.push({ generation, value });
    this.#byUid.set(uid, known);
  }

  inForce(uid: string): V[] {
    return (this.#byUid.get(uid) ?? []).map((one) => one.value);
  }
}

const uidOf = (object: { metadata?: { uid?: string } } | undefined): string => object?.metadata?.uid ?? "";

/**
 * The ReplicaSets' wishes never rise above replicas + maxSurge. What a server carried out whose client had given up counts only
 * once somebody has written that ReplicaSet since: no controller can know of it before.
 */
export function noOverSurge(): Invariant {
  const limits = new Generations<number>();
  const unknown = new Set<string>();
  return {
    name: "no-over-surge",
    check({ ref, object, old, actor }, state) {
      if (object === undefined) return OK;
      if (ref.resource === "deployments") {
        const deployment = object as Deployment;
        const { generation = 0 } = deployment.metadata ?? {};
        const observed = deployment.status?.observedGeneration ?? 0;
        limits.see(uidOf(deployment), generation, observed, limitsOf(deployment).most);
      }
      if (ref.resource !== "replicasets") return OK;
      if (actor?.abandoned === true && old === undefined) unknown.add(uidOf(object));
      else unknown.delete(uidOf(object));
      const wish = (one: ReplicaSet | undefined): number => one?.spec?.replicas ?? 0;
      if (wish(object) <= wish(old)) return OK;
      const owner = controllerUid(object);
      const inForce = limits.inForce(owner ?? "");
      if (inForce.length === 0) return OK;
      const most = Math.max(...inForce);
      const known = state.owned<ReplicaSet>("replicasets", owner).filter((one) => !unknown.has(uidOf(one)));
      const sum = known.reduce((all, one) => all + wish(one), 0);
      return sum <= most ? OK : [`${ref.name} was raised: ${sum} replicas are wished for where ${most} are allowed`];
    },
  };
}

/**
 * A ReplicaSet never has more live pods than it wishes for when it makes one. One thing is beyond any controller: a server
 * that was frozen may carry out a create whose client gave up, asked elsewhere, and has seen that pod come and go.
 */
export function noOverCreation(): Invariant {
  const names = new Set<string>();
  const wishes = new Generations<number>();
  return {
    name: "no-over-creation",
    check({ key, ref, object, old, actor }, state) {
      if (object === undefined) return OK;
      if (ref.resource === "replicasets") {
        const set = object as ReplicaSet;
        const observed = set.status?.observedGeneration ?? 0;
        wishes.see(uidOf(set), set.metadata?.generation ?? 0, observed, set.spec?.replicas ?? 1);
      }
      if (ref.resource !== "pods" || old !== undefined) return OK;
      const cameBack = names.has(key) && actor?.abandoned === true;
      names.add(key);
      const owner = controllerUid(object);
      const inForce = wishes.inForce(owner ?? "");
      if (cameBack || inForce.length === 0) return OK;
      const most = Math.max(...inForce);
      const live = state.owned<Pod>("pods", owner).filter(isLive).length;
      return live <= most ? OK : [`${ref.name} is pod ${live} of a ReplicaSet that wants ${most}`];
    },
  };
}

export function availablePods(state: ClusterState, deployment: Deployment): number {
  return state
    .owned<ReplicaSet>("replicasets", uidOf(deployment))
    .flatMap((set) => state.owned<Pod>("pods", uidOf(set)))
    .filter(isReady).length;
}

function isComplete({ metadata, spec, status }: Deployment): boolean {
  const replicas = spec?.replicas ?? 1;
  return (
    status?.observedGeneration === metadata?.generation &&
    [status?.replicas, status?.updatedReplicas, status?.availableReplicas].every((count) => (count ?? 0) === replicas)
  );
}

export interface AvailabilityInvariant extends Invariant {
  /** Nodes are not what they should be: until `calmAtMs` nothing is promised. */
  disturb(calmAtMs: number): void;
}

/** Once complete, a Deployment keeps replicas − maxUnavailable available, whatever befalls the control plane. */
export function staysAvailable(): AvailabilityInvariant {
  /** By uid: what each generation since the last complete one promises. */
  const floors = new Map<string, { generation: number; replicas: number; fewest: number }[]>();
  let calmAtMs = 0;

  function promise(deployment: Deployment, wasComplete: boolean, atMs: number): void {
    const uid = uidOf(deployment);
    const generation = deployment.metadata?.generation ?? 0;
    const replicas = deployment.spec?.replicas ?? 1;
    const own = { generation, replicas, fewest: limitsOf(deployment).fewest };
    const known = floors.get(uid);
    if (isComplete(deployment) && atMs >= calmAtMs) floors.set(uid, [own]);
    // Scaling in the middle of a rollout is shared out by size, whoever is ready: upstream promises nothing then.
    else if (known !== undefined && replicas !== known.at(-1)?.replicas && !wasComplete) floors.delete(uid);
    else if (known !== undefined && known.at(-1)?.generation !== generation) known.push(own);
  }

  return {
    name: "stays-available",
    disturb(until) {
      calmAtMs = Math.max(calmAtMs, until);
      floors.clear();
    },
    check({ atMs, ref, object, old }, state) {
      if (ref.resource === "deployments" && object !== undefined) {
        promise(object, old !== undefined && isComplete(old), atMs);
      }
      if (ref.resource !== "pods" || old === undefined) return OK;
      if (!isReady(old) || (object !== undefined && isReady(object))) return OK;
      const set = state.replicaSets.find((one) => uidOf(one) === controllerUid(old));
      const deployment = state.deployments.find((one) => set !== undefined && uidOf(one) === controllerUid(set));
      const promised = deployment === undefined ? undefined : floors.get(uidOf(deployment));
      if (deployment === undefined || promised === undefined) return OK;
      const fewest = Math.min(...promised.map((one) => one.fewest));
      const available = availablePods(state, deployment);
      return available >= fewest ? OK : [`${ref.name} went: ${available} pods are available where ${fewest} must be`];
    },
  };
}
