// What a DaemonSet needs: on which nodes a pod is lacking, which pods are too many, ended or out of date, and its status. Pure.
// https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
import type { DaemonSet, DaemonSetStatus, Node, Pod } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import { scaled } from "../deployment/limits.ts";
import { availableInMs, isPodReady } from "../pods/pod-state.ts";
import { REVISION_LABEL } from "../revisions/history.ts";
import { eligibility, nodeOf } from "./daemon-pod.ts";

const BURST = 250;

export interface DaemonFacts {
  readonly nodes: readonly Node[];
  /** That the DaemonSet controls. */
  readonly pods: readonly Pod[];
  /** Of the template as it is now. */
  readonly hash: string;
  readonly nowMs: number;
}

export interface DaemonPlan {
  /** Names of nodes. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Ended pods among those to be removed. */
  readonly ended: readonly Pod[];
}

interface OnNode {
  readonly name: string;
  readonly shouldRun: boolean;
  readonly mayStay: boolean;
  readonly pods: readonly Pod[];
}

const createdMs = (pod: Pod): number => parseTime(pod.metadata?.creationTimestamp) ?? 0;
const oldestFirst = (pods: readonly Pod[]): Pod[] => pods.toSorted((a, b) => createdMs(a) - createdMs(b));
const isLeaving = (pod: Pod): boolean => pod.metadata?.deletionTimestamp !== undefined;
const hasEnded = ({ status }: Pod): boolean => status?.phase === "Failed" || status?.phase === "Succeeded";
const isUpdated = (pod: Pod, hash: string): boolean => pod.metadata?.labels?.[REVISION_LABEL] === hash;

function onNodes(set: DaemonSet, { nodes, pods }: DaemonFacts): OnNode[] {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    const name = nodeOf(pod) ?? "";
    byNode.set(name, [...(byNode.get(name) ?? []), pod]);
  }
  return nodes.map((node) => {
    const name = node.metadata?.name ?? "";
    return { name, ...eligibility(set, node), pods: byNode.get(name) ?? [] };
  });
}

function limits(set: DaemonSet, desired: number): { maxSurge: number; maxUnavailable: number } {
  const rolling = set.spec?.updateStrategy?.rollingUpdate;
  const maxSurge = scaled(rolling?.maxSurge ?? 0, desired, Math.ceil);
  const maxUnavailable = scaled(rolling?.maxUnavailable ?? 1, desired, Math.ceil);
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

const isRolling = (set: DaemonSet): boolean => (set.spec?.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate";

/** Of several pods on a node the oldest stays; while an update overlaps, the oldest of either version. */
function surplus(pods: readonly Pod[], hash: string, maxSurge: number): Pod[] {
  if (maxSurge === 0) return oldestFirst(pods).slice(1);
  const [now, before] = [pods.filter((pod) => isUpdated(pod, hash)), pods.filter((pod) => !isUpdated(pod, hash))];
  return [...oldestFirst(now).slice(1), ...oldestFirst(before).slice(1)];
}

/** Keeps one pod on each node that should have one. */
function planPlaces(set: DaemonSet, facts: DaemonFacts, places: readonly OnNode[], maxSurge: number): DaemonPlan {
  const create: string[] = [];
  const remove: Pod[] = [];
  const ended: Pod[] = [];
  for (const { name, shouldRun, mayStay, pods } of places) {
    const staying = pods.filter((pod) => !isLeaving(pod));
    if (!mayStay) remove.push(...staying);
    else {
      const over = staying.filter(hasEnded);
      ended.push(...over);
      const running = staying.filter((pod) => !hasEnded(pod));
      remove.push(...over, ...surplus(running, facts.hash, maxSurge));
      // A pod that is on its way out still holds the place, unless two may be there.
      if (shouldRun && (maxSurge > 0 ? staying : pods).length === 0) create.push(name);
    }
  }
  remove.push(...placeless(facts));
  return { create, remove, ended };
}

/** Pods that wait for a node that is gone. Those that had reached it are the pod garbage collector's. */
function placeless({ nodes, pods }: DaemonFacts): Pod[] {
  const names = new Set(nodes.map((node) => node.metadata?.name));
  return pods.filter((pod) => !pod.spec?.nodeName && !isLeaving(pod) && !names.has(nodeOf(pod)));
}

function isAvailable(set: DaemonSet, pod: Pod, nowMs: number): boolean {
  return availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) === 0;
}

interface Versions {
  readonly name: string;
  readonly shouldRun: boolean;
  readonly now: Pod | undefined;
  readonly before: Pod | undefined;
}

function versions({ name, shouldRun, pods }: OnNode, hash: string): Versions {
  const staying = pods.filter((pod) => !isLeaving(pod) && !hasEnded(pod));
  return {
    name,
    shouldRun,
    now: staying.find((pod) => isUpdated(pod, hash)),
    before: staying.find((pod) => !isUpdated(pod, hash)),
  };
}

/** Takes old pods away, as many at a time as may be missing. */
function replaceInPlace(set: DaemonSet, facts: DaemonFacts, all: readonly Versions[], maxUnavailable: number): Pod[] {
  const broken: Pod[] = [];
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const { now, before } of all) {
    const pod = now ?? before;
    // Where there are two, one is taken away anyway.
    if (pod === undefined || (now !== undefined && before !== undefined)) unavailable++;
    else if (isAvailable(set, pod, facts.nowMs)) {
      if (now === undefined) candidates.push(pod);
    } else {
      unavailable++;
      if (now === undefined) broken.push(pod);
    }
  }
  return [...broken, ...candidates.slice(0, Math.max(0, maxUnavailable - unavailable))];
}

/**
 * Puts new pods beside old ones, and takes an old one away when its successor is available, or when it is of no use itself. An old
 * one that serves where none would be made now goes when enough others serve.
 */
function replaceBeside(
  set: DaemonSet,
  facts: DaemonFacts,
  all: readonly Versions[],
  maxSurge: number,
): Pick<DaemonPlan, "create" | "remove"> {
  const [remove, spare]: [Pod[], Pod[]] = [[], []];
  const [urgent, waiting]: [string[], string[]] = [[], []];
  let [surge, available] = [0, 0];
  const serves = (pod: Pod | undefined): boolean => pod !== undefined && isAvailable(set, pod, facts.nowMs);
  for (const { name, shouldRun, now, before } of all) {
    if (serves(before ?? now)) available++;
    if (before === undefined) continue;
    if (now !== undefined) {
      if (serves(now) || !isPodReady(before)) remove.push(before);
      else surge++;
    } else if (shouldRun) (serves(before) ? waiting : urgent).push(name);
    else (serves(before) ? spare : remove).push(before);
  }
  const desired = all.filter(({ shouldRun }) => shouldRun).length;
  remove.push(...spare.slice(0, Math.max(0, available - desired)));
  return { create: [...urgent, ...waiting.slice(0, Math.max(0, maxSurge - surge))], remove };
}

export function planDaemonSet(set: DaemonSet, facts: DaemonFacts): DaemonPlan {
  const places = onNodes(set, facts);
  const desired = places.filter(({ shouldRun }) => shouldRun);
  const { maxSurge, maxUnavailable } = limits(set, desired.length);
  const surge = isRolling(set) ? maxSurge : 0;
  const kept = planPlaces(set, facts, places, surge);
  let update: Pick<DaemonPlan, "create" | "remove"> = { create: [], remove: [] };
  if (isRolling(set)) {
    // Also pods that may only stay are replaced, though none comes after them.
    const rolled = places.filter(({ shouldRun, mayStay, pods }) => shouldRun || (mayStay && pods.length > 0));
    const all = rolled.map((place) => versions(place, facts.hash));
    update =
      surge === 0
        ? { create: [], remove: replaceInPlace(set, facts, all, maxUnavailable) }
        : replaceBeside(set, facts, all, surge);
  }
  const remove = [...new Set([...kept.remove, ...update.remove])];
  const create = [...new Set([...kept.create, ...update.create])];
  return { create: create.slice(0, BURST), remove: remove.slice(0, BURST), ended: kept.ended };
}

export function planDaemonSetStatus(set: DaemonSet, facts: DaemonFacts): DaemonSetStatus {
  const counts = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const { shouldRun, pods } of onNodes(set, facts)) {
    if (!shouldRun) {
      if (pods.length > 0) counts.misscheduled++;
      continue;
    }
    counts.desired++;
    const [oldest] = oldestFirst(pods);
    if (oldest === undefined) continue;
    counts.current++;
    // With an old and a new one the oldest counts, as its successor is not needed yet.
    if (isPodReady(oldest)) counts.ready++;
    if (isAvailable(set, oldest, facts.nowMs)) counts.available++;
    if (isUpdated(oldest, facts.hash)) counts.updated++;
  }
  const positive = (name: string, value: number): object => (value === 0 ? {} : { [name]: value });
  const { collisionCount, conditions } = set.status ?? {};
  return {
    currentNumberScheduled: counts.current,
    desiredNumberScheduled: counts.desired,
    numberMisscheduled: counts.misscheduled,
    numberReady: counts.ready,
    ...positive("numberAvailable", counts.available),
    ...positive("numberUnavailable", counts.desired - counts.available),
    ...positive("updatedNumberScheduled", counts.updated),
    observedGeneration: set.metadata?.generation ?? 0,
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(conditions === undefined ? {} : { conditions }),
  };
}

/** Ms until the next ready pod becomes available; undefined where none is waiting. */
export function nextAvailableMs(set: DaemonSet, { pods, nowMs }: DaemonFacts): number | undefined {
  const waits = pods
    .map((pod) => availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) ?? 0)
    .filter((ms) => ms > 0);
  return waits.length === 0 ? undefined : Math.min(...waits);
}
