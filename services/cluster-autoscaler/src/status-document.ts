// What the ConfigMap cluster-autoscaler-status tells, in the form of upstream's: pure.
import { formatTime } from "@coxswain/apimachinery";
import { stringify } from "yaml";
import type { GroupFacts, GroupState } from "./group-state.ts";

export interface StatusInput {
  readonly nowMs: number;
  readonly healthy: boolean;
  readonly groups: readonly {
    readonly facts: GroupFacts;
    readonly state: GroupState;
    readonly resting: boolean;
    readonly candidates: number;
  }[];
}

function counts(states: readonly GroupState[]): object {
  const total = (of: (state: GroupState) => number): number => states.reduce((all, state) => all + of(state), 0);
  const registered = (state: GroupState): number =>
    state.ready.length + state.starting.length + state.unready.length + state.deleting.length;
  return {
    registered: {
      total: total(registered),
      ready: total((state) => state.ready.length),
      notStarted: total((state) => state.starting.length),
      beingDeleted: total((state) => state.deleting.length),
      unready: { total: total((state) => state.unready.length), resourceUnready: 0 },
    },
    longUnregistered: total((state) => state.longUnregistered.length),
    unregistered: total((state) => state.unregistered.length - state.longUnregistered.length),
  };
}

/** YAML. */
export function statusDocument({ nowMs, healthy, groups }: StatusInput): string {
  const states = groups.map(({ state }) => state);
  const probe = { lastProbeTime: formatTime(nowMs) };
  const health = (ok: boolean): object => ({ status: ok ? "Healthy" : "Unhealthy" });
  const up = (some: readonly GroupState[], resting: boolean): object => ({
    status: resting ? "Backoff" : some.some(({ upcoming }) => upcoming > 0) ? "InProgress" : "NoActivity",
    ...probe,
  });
  const down = (candidates: number): object => ({
    status: candidates > 0 ? "CandidatesPresent" : "NoCandidates",
    ...(candidates > 0 ? { candidates } : {}),
    ...probe,
  });
  return stringify({
    time: new Date(nowMs).toISOString(),
    autoscalerStatus: "Running",
    clusterWide: {
      health: { ...health(healthy), nodeCounts: counts(states), ...probe },
      scaleUp: up(states, false),
      scaleDown: down(groups.reduce((all, { candidates }) => all + candidates, 0)),
    },
    nodeGroups: groups.map(({ facts: { group, targetSize }, state, resting, candidates }) => ({
      name: group.id,
      health: {
        ...health(true),
        nodeCounts: counts([state]),
        cloudProviderTarget: targetSize,
        minSize: group.minSize,
        maxSize: group.maxSize,
        ...probe,
      },
      scaleUp: up([state], resting),
      scaleDown: down(candidates),
    })),
  });
}
