// What a StatefulSet does next: pods to make, to take away and to put right, in order or all at once, and its status. Pure. In order
// means: a pod is made when all before it are ready, and taken away when all after it are gone.
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
import type { Pod, StatefulSet, StatefulSetStatus } from "@coxswain/api";
import { scaled } from "../deployment/limits.ts";
import { availableInMs, isPodReady } from "../pods/pod-state.ts";
import { missingIdentity, ordinalOf, revisionOf } from "./stateful-pod.ts";

export interface StatefulFacts {
  /** That the StatefulSet controls. */
  readonly pods: readonly Pod[];
  /** Names of the revisions: that pods had before the update, and of the template as it is now. */
  readonly currentRevision: string;
  readonly updateRevision: string;
  readonly nowMs: number;
}

export interface Creation {
  readonly ordinal: number;
  readonly revision: string;
}

export interface Removal {
  readonly pod: Pod;
  /** Why, where it is told: an ended pod is made anew. */
  readonly ended: "Failed" | "Succeeded" | undefined;
}

export interface StatefulPlan {
  readonly create: readonly Creation[];
  readonly remove: readonly Removal[];
  /** Pods that lack labels of their identity. */
  readonly relabel: readonly { readonly pod: Pod; readonly labels: Readonly<Record<string, string>> }[];
  /** Ordinals whose claims have to be there. */
  readonly claims: readonly number[];
  /** Pods beyond the wanted replicas. */
  readonly condemned: readonly Pod[];
  /** How many of the wanted replicas are not available, and how many may not be while they are updated. */
  readonly unavailable: number;
  readonly maxUnavailable: number;
}

const isLeaving = (pod: Pod): boolean => pod.metadata?.deletionTimestamp !== undefined;
const isHealthy = (pod: Pod): boolean => pod.status?.phase === "Running" && isPodReady(pod) && !isLeaving(pod);
const isParallel = (set: StatefulSet): boolean => set.spec?.podManagementPolicy === "Parallel";
const isRolling = (set: StatefulSet): boolean =>
  (set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";

function isAvailable(set: StatefulSet, pod: Pod, nowMs: number): boolean {
  return isHealthy(pod) && availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) === 0;
}

interface Places {
  readonly start: number;
  /** By place from the start; undefined where there is no pod. */
  readonly replicas: readonly (Pod | undefined)[];
  /** Last ordinal first. */
  readonly condemned: readonly Pod[];
}

function placesOf(set: StatefulSet, pods: readonly Pod[]): Places {
  const start = set.spec?.ordinals?.start ?? 0;
  const replicas: (Pod | undefined)[] = Array.from({ length: set.spec?.replicas ?? 1 });
  const condemned: { readonly pod: Pod; readonly ordinal: number }[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= start && ordinal < start + replicas.length) replicas[ordinal - start] = pod;
    else condemned.push({ pod, ordinal });
  }
  const last = condemned.toSorted((a, b) => b.ordinal - a.ordinal);
  return { start, replicas, condemned: last.map(({ pod }) => pod) };
}

/** Below the partition pods are made as they were before the update. */
function revisionFor(set: StatefulSet, place: number, { currentRevision, updateRevision }: StatefulFacts): string {
  if (!isRolling(set)) return updateRevision;
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  const boundary = rolling === undefined ? (set.status?.currentReplicas ?? 0) : (rolling.partition ?? 0);
  return place < boundary ? currentRevision : updateRevision;
}

class Planner {
  readonly create: Creation[] = [];
  readonly remove: Removal[] = [];
  readonly relabel: { pod: Pod; labels: Record<string, string> }[] = [];
  readonly claims: number[] = [];
  readonly #set: StatefulSet;
  readonly #facts: StatefulFacts;
  readonly #places: Places;

  constructor(set: StatefulSet, facts: StatefulFacts, places: Places) {
    this.#set = set;
    this.#facts = facts;
    this.#places = places;
  }

  /** False where something has to become ready or to go before the plan can go on. */
  fill(): boolean {
    const ordered = !isParallel(this.#set);
    for (const place of this.#places.replicas.keys()) if (!this.#fillOne(place) && ordered) return false;
    return true;
  }

  #fillOne(place: number): boolean {
    const { nowMs } = this.#facts;
    const ordinal = this.#places.start + place;
    const pod = this.#places.replicas[place];
    if (pod === undefined) {
      this.claims.push(ordinal);
      this.create.push({ ordinal, revision: revisionFor(this.#set, place, this.#facts) });
      return false;
    }
    if (isLeaving(pod)) return false;
    const { phase } = pod.status ?? {};
    if (phase === "Failed" || phase === "Succeeded") {
      this.remove.push({ pod, ended: phase });
      return false;
    }
    if (phase === undefined || phase === "Pending") this.claims.push(ordinal);
    const labels = missingIdentity(this.#set, pod, ordinal);
    if (labels !== undefined) this.relabel.push({ pod, labels });
    return isAvailable(this.#set, pod, nowMs);
  }

  /** Pods beyond the replicas, the last first. */
  shrink(): boolean {
    const { condemned, replicas } = this.#places;
    const isWell = (pod: Pod): boolean => isAvailable(this.#set, pod, this.#facts.nowMs);
    const unwell = [...replicas, ...condemned.toReversed()].find((pod) => pod !== undefined && !isWell(pod));
    for (const pod of condemned) {
      if (isLeaving(pod)) {
        if (!isParallel(this.#set)) return false;
        continue;
      }
      // Another one that is not well has to be seen to first; this one may be the trouble itself.
      if (!isParallel(this.#set) && !isWell(pod) && pod !== unwell) return false;
      this.remove.push({ pod, ended: undefined });
      if (!isParallel(this.#set)) return false;
    }
    return condemned.length === 0;
  }

  /**
   * Replaces pods of older revisions, the last first, down to the partition. Those that serve go only while fewer than may be missing
   * do not; that one does not serve itself keeps nobody from replacing it.
   */
  update(): void {
    const rolling = this.#set.spec?.updateStrategy?.rollingUpdate;
    const { replicas } = this.#places;
    const most = maxUnavailableOf(this.#set, replicas.length);
    const isWell = (pod: Pod | undefined): boolean =>
      pod !== undefined && isAvailable(this.#set, pod, this.#facts.nowMs);
    const isOld = (pod: Pod | undefined): pod is Pod =>
      pod !== undefined && revisionOf(pod) !== this.#facts.updateRevision && !isLeaving(pod);
    const old = replicas
      .slice(rolling?.partition ?? 0)
      .filter(isOld)
      .toReversed();
    let missing = replicas.filter((pod) => !isWell(pod)).length;
    let budget = most - (missing - old.filter((pod) => !isWell(pod)).length);
    for (const pod of old) {
      if (budget <= 0) return;
      if (isWell(pod) && missing >= most) continue;
      if (isWell(pod)) missing++;
      budget--;
      this.remove.push({ pod, ended: undefined });
    }
  }
}

function maxUnavailableOf({ spec }: StatefulSet, replicas: number): number {
  return Math.max(1, scaled(spec?.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, replicas, Math.floor));
}

export function planStatefulSet(set: StatefulSet, facts: StatefulFacts): StatefulPlan {
  const places = placesOf(set, facts.pods);
  const planner = new Planner(set, facts, places);
  const { create, remove, relabel, claims } = planner;
  const settled = planner.fill() && planner.shrink();
  if (isRolling(set) && (settled || isParallel(set))) planner.update();
  const unique = remove.filter(({ pod }, at) => remove.findIndex((one) => one.pod === pod) === at);
  const { replicas, condemned } = places;
  const unavailable = replicas.filter((pod) => pod === undefined || !isAvailable(set, pod, facts.nowMs)).length;
  const maxUnavailable = maxUnavailableOf(set, replicas.length);
  return { create, remove: unique, relabel, claims, condemned, unavailable, maxUnavailable };
}

export function planStatefulSetStatus(set: StatefulSet, facts: StatefulFacts): StatefulSetStatus {
  const { pods, currentRevision, updateRevision, nowMs } = facts;
  const members = pods.filter((pod) => ordinalOf(set, pod) !== undefined);
  const staying = members.filter((pod) => !isLeaving(pod));
  const count = (list: readonly Pod[], test: (pod: Pod) => boolean): number => list.filter(test).length;
  const ready = count(members, (pod) => pod.status?.phase === "Running" && isPodReady(pod));
  const available = count(members, (pod) => isAvailable(set, pod, nowMs));
  const current = count(staying, (pod) => revisionOf(pod) === currentRevision);
  const updated = count(staying, (pod) => revisionOf(pod) === updateRevision);
  const wanted = set.spec?.replicas ?? 1;
  const done = isRolling(set) && updated === wanted && ready === wanted && members.length === wanted;
  const positive = (name: string, value: number): object => (value === 0 ? {} : { [name]: value });
  const { collisionCount, conditions } = set.status ?? {};
  return {
    observedGeneration: set.metadata?.generation ?? 0,
    replicas: members.length,
    ...positive("readyReplicas", ready),
    ...positive("currentReplicas", done ? updated : current),
    ...positive("updatedReplicas", updated),
    availableReplicas: available,
    currentRevision: done ? updateRevision : currentRevision,
    updateRevision,
    collisionCount: collisionCount ?? 0,
    ...(conditions === undefined ? {} : { conditions }),
  };
}

/** Ms until the next ready pod becomes available; undefined where none is waiting. */
export function nextAvailableMs(set: StatefulSet, { pods, nowMs }: StatefulFacts): number | undefined {
  const waits = pods
    .map((pod) => availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) ?? 0)
    .filter((ms) => ms > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
