// What is known of a group of nodes at one moment, and what is to be mended there before anything else: pure.
import type { Node } from "@coxswain/api";
import type { Instance, NodeGroup, ProviderNode } from "./cloud-provider.ts";
import { hasTaint, idOf, isReady, nameOf, TO_BE_DELETED } from "./node-facts.ts";

export interface GroupFacts {
  readonly group: NodeGroup;
  readonly targetSize: number;
  readonly instances: readonly Instance[];
  /** The Nodes of the group. */
  readonly nodes: readonly Node[];
  /** What a fresh node would be; undefined where nobody knows. */
  readonly template: Node | undefined;
}

/** Since when something has been so, by its key; kept from scan to scan. */
export type Since = ReadonlyMap<string, number>;

export interface GroupState {
  readonly ready: readonly Node[];
  /** Registered, and not ready for as long as a start may take. */
  readonly unready: readonly Node[];
  /** Registered, and not ready yet. */
  readonly starting: readonly Node[];
  /** Marked as going. */
  readonly deleting: readonly Node[];
  /** Machines without a Node, and not being deleted. */
  readonly unregistered: readonly Instance[];
  readonly longUnregistered: readonly Instance[];
  /** Machines that cannot become nodes. */
  readonly failed: readonly Instance[];
  /** Nodes whose machine is gone. */
  readonly gone: readonly Node[];
  /** Nodes that are on their way: asked for, and not there to take pods. */
  readonly upcoming: number;
  /** Requests that nothing was made of for as long as a start may take. */
  readonly unfulfilled: number;
}

/** How long a registered node may take to be ready, as upstream has it. */
const MAX_STARTUP_MS = 15 * 60_000;

/** `since`: when each machine was first seen without a Node, and ("#" and the group) when the group was first short. */
export function groupState(facts: GroupFacts, since: Since, maxProvisionMs: number, nowMs: number): GroupState {
  const { group, instances, nodes, targetSize } = facts;
  const machines = new Set(instances.map(({ id }) => id));
  const known = new Set(nodes.map(idOf));
  const deleting = nodes.filter((node) => hasTaint(node, TO_BE_DELETED));
  const others = nodes.filter((node) => !deleting.includes(node));
  const ready = others.filter(isReady);
  const young = (node: Node): boolean => nowMs - Date.parse(node.metadata?.creationTimestamp ?? "") < MAX_STARTUP_MS;
  // A name is no ID: of a node without one nobody can say that its machine is gone.
  const gone = nodes.filter((node) => node.spec?.providerID && !machines.has(node.spec.providerID) && !isReady(node));
  const slow = others.filter((node) => !ready.includes(node) && !gone.includes(node));
  const alive = instances.filter(({ state }) => state !== "deleting");
  const failed = alive.filter(({ error }) => error !== undefined);
  const unregistered = alive.filter(({ id, error }) => error === undefined && !known.has(id));
  const overdue = (key: string): boolean => nowMs - (since.get(key) ?? nowMs) > maxProvisionMs;
  const longUnregistered = unregistered.filter(({ id }) => overdue(id));
  const unready = slow.filter((node) => !young(node));
  const settled = [...ready, ...unready, ...deleting].filter((node) => !gone.includes(node)).length;
  const short = Math.max(0, targetSize - alive.length);
  return {
    ready,
    unready,
    starting: slow.filter(young),
    deleting,
    unregistered,
    longUnregistered,
    failed,
    gone,
    upcoming: Math.max(0, targetSize - settled - longUnregistered.length - failed.length),
    unfulfilled: overdue(shortKey(group.id)) ? short : 0,
  };
}

const shortKey = (group: string): string => `#${group}`;

/** The times of the next scan: what is still so keeps its time. */
export function nextSince(all: readonly GroupFacts[], before: Since, nowMs: number): Map<string, number> {
  const keys = all.flatMap(({ group, instances, nodes, targetSize }) => {
    const known = new Set(nodes.map(idOf));
    const alive = instances.filter(({ state }) => state !== "deleting");
    const waiting = alive.filter(({ id }) => !known.has(id)).map(({ id }) => id);
    return targetSize > alive.length ? [...waiting, shortKey(group.id)] : waiting;
  });
  return new Map(keys.map((key) => [key, before.get(key) ?? nowMs]));
}

/** A machine as the provider is told of it, where there is no Node. */
export const providerInstance = ({ id }: Instance): ProviderNode => ({ providerId: id, name: id });

/** Whether so many nodes are unready that anything the autoscaler did would be a guess. */
export function isUnhealthy(
  states: readonly GroupState[],
  {
    okTotalUnreadyCount,
    maxTotalUnreadyPercentage,
  }: { okTotalUnreadyCount: number; maxTotalUnreadyPercentage: number },
): boolean {
  const unready = states.reduce((total, state) => total + state.unready.length, 0);
  const all = states.reduce((total, { ready, starting }) => total + ready.length + starting.length, unready);
  return unready > okTotalUnreadyCount && unready * 100 > maxTotalUnreadyPercentage * all;
}

export const namesOf = (nodes: readonly Node[]): string[] => nodes.map(nameOf);
