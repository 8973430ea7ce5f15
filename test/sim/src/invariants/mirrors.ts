// Invariant of mirrored endpoints: a mirroring EndpointSlice says nothing that the Endpoints of its Service have never said.
import type { Endpoints, EndpointSlice } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

export const MIRRORING = "endpointslicemirroring-controller.k8s.io";

export const isMirror = ({ metadata }: KubeObject): boolean =>
  metadata?.labels?.["endpointslice.kubernetes.io/managed-by"] === MIRRORING;

/** Each as "IP ready" or "IP not ready". */
export function saidBy({ subsets = [] }: Endpoints): string[] {
  return subsets.flatMap(({ addresses = [], notReadyAddresses = [] }) => [
    ...addresses.map(({ ip }) => `${ip} ready`),
    ...notReadyAddresses.map(({ ip }) => `${ip} not ready`),
  ]);
}

export function mirroredIn({ endpoints }: EndpointSlice): string[] {
  return (endpoints ?? []).flatMap(({ addresses, conditions }) =>
    addresses.map((ip) => `${ip} ${conditions?.ready === false ? "not ready" : "ready"}`),
  );
}

export function mirrorsAddNothing(): Invariant {
  /** What Endpoints have said so far, by namespace and name. */
  const said = new Map<string, Set<string>>();
  return {
    name: "mirrors-add-nothing",
    check({ key, ref, object }) {
      if (object === undefined) return OK;
      const id = (name = ""): string => `${object.metadata?.namespace}/${name}`;
      if (ref.resource === "endpoints") {
        const mine = id(object.metadata?.name);
        said.set(mine, new Set([...(said.get(mine) ?? []), ...saidBy(object as Endpoints)]));
        return OK;
      }
      if (ref.resource !== "endpointslices" || !isMirror(object)) return OK;
      const of = said.get(id(object.metadata?.labels?.["kubernetes.io/service-name"]));
      return mirroredIn(object as EndpointSlice)
        .filter((one) => of?.has(one) !== true)
        .map((one) => `${key} says ${one}, which its Endpoints never said`);
    },
  };
}
