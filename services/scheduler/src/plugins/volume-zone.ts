// VolumeZone: a volume that carries labels of a zone or region is reached from nodes of that zone or region only.
// https://kubernetes.io/docs/reference/labels-annotations-taints/#topologykubernetesiozone
import type { Node, PersistentVolume } from "@coxswain/api";
import type { Plugin, PreFilterOutcome, Rejection } from "../framework/contract.ts";
import { CLAIM_EVENTS, hasClaims, podClaims } from "./pod-claims.ts";

const NAME = "VolumeZone";
const REJECTION: Rejection = {
  code: "UnschedulableAndUnresolvable",
  reasons: ["node(s) had no available volume zone"],
};

/** Each label with the name that it had before. */
const TOPOLOGIES: readonly (readonly [string, string])[] = [
  ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"],
  ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"],
];

interface Demand {
  /** The label by any of its names. */
  readonly names: readonly string[];
  readonly values: ReadonlySet<string>;
}

function demandsOf({ metadata }: PersistentVolume): Demand[] {
  return TOPOLOGIES.flatMap((names) => {
    const value = names.map((name) => metadata?.labels?.[name]).find((one) => one !== undefined);
    // A volume of several zones names them all, with two underscores between.
    return value === undefined ? [] : [{ names, values: new Set(value.split("__")) }];
  });
}

function meets({ metadata }: Node, demands: readonly Demand[]): boolean {
  const labels = metadata?.labels ?? {};
  // A node that says nothing of zones is in none that could be wrong.
  if (!TOPOLOGIES.flat().some((name) => labels[name] !== undefined)) return true;
  return demands.every(({ names, values }) => names.some((name) => values.has(labels[name] ?? "")));
}

export const volumeZone: Plugin = {
  name: NAME,
  ignoresPods: true,
  preFilter({ info, snapshot, state }): PreFilterOutcome {
    if (!hasClaims(info.pod)) return { kind: "skip" };
    const claims = podClaims(info.pod, snapshot.volumes);
    if (typeof claims === "string") {
      return { kind: "reject", rejection: { code: "UnschedulableAndUnresolvable", reasons: [claims] } };
    }
    const demands = claims.bound.flatMap((claim) => {
      const volume = snapshot.volumes.volumes.get(claim.spec?.volumeName ?? "");
      return volume === undefined ? [] : demandsOf(volume);
    });
    if (demands.length === 0) return { kind: "skip" };
    state.set(NAME, demands);
    return { kind: "success" };
  },
  filter({ snapshot, state }, column, from, to) {
    const demands = state.get(NAME) as readonly Demand[];
    for (let row = from; row < to; row++) {
      if (column.open(row) && !meets(snapshot.nodes[row]!, demands)) column.reject(row, REJECTION);
    }
  },
  events: () => [
    ...CLAIM_EVENTS,
    { resource: "StorageClass", actions: ["Add"] },
    { resource: "Node", actions: ["Add", "UpdateNodeLabel"] },
  ],
};
