// Invariants of endpoints: an endpoint that is called ready leads to a pod that has been ready, at the pod's own address. How long
// ago that was, nobody who acts on what he has heard can promise; that it comes right is part of convergence.
import type { EndpointSlice, Endpoints, Pod } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { isReady } from "../cluster-state.ts";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

interface Address {
  readonly ip: string;
  readonly uid: string;
}

/** The addresses that the object calls ready, of pods. */
function readyOf(resource: string, object: KubeObject): Address[] {
  if (resource === "endpointslices") {
    return ((object as EndpointSlice).endpoints ?? []).flatMap(({ addresses, conditions, targetRef }) =>
      conditions?.ready === true && targetRef?.kind === "Pod"
        ? [{ ip: addresses[0] ?? "", uid: targetRef.uid ?? "" }]
        : [],
    );
  }
  return ((object as Endpoints).subsets ?? [])
    .flatMap(({ addresses = [] }) => addresses)
    .flatMap(({ ip, targetRef }) => (targetRef?.kind === "Pod" ? [{ ip, uid: targetRef.uid ?? "" }] : []));
}

export function endpointsAreReadyPods(): Invariant {
  /** Addresses under which pods have been ready, by uid. */
  const seen = new Map<string, Set<string>>();
  return {
    name: "endpoints-are-ready-pods",
    check({ key, ref, object }) {
      if (object === undefined) return OK;
      if (ref.resource === "pods") {
        const pod: Pod = object;
        const uid = pod.metadata?.uid ?? "";
        if (isReady(pod) && pod.status?.podIP) seen.set(uid, (seen.get(uid) ?? new Set()).add(pod.status.podIP));
        return OK;
      }
      if (ref.resource !== "endpointslices" && ref.resource !== "endpoints") return OK;
      return readyOf(ref.resource, object)
        .filter(({ ip, uid }) => seen.get(uid)?.has(ip) !== true)
        .map(({ ip, uid }) => `${key} calls ${ip} ready, where the pod ${uid} never was`);
    },
  };
}
