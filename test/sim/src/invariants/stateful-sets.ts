// Invariants of StatefulSets: an identity lives once. As a name is a key of the API, two pods of a name are never there together;
// but a pod that was taken out of the API while its containers ran would have its successor run beside it. So a pod that was bound
// goes for good only by the word of its own node's kubelet, or before that kubelet ever heard of it.
import type { Pod } from "@coxswain/api";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

const isStateful = (pod: Pod): boolean =>
  pod.metadata?.ownerReferences?.some(({ controller, kind }) => controller === true && kind === "StatefulSet") ?? false;

/** Nodes never leave the simulated cluster for good, so nobody has to speak for them. */
export function statefulIdentitiesLiveOnce(): Invariant {
  return {
    name: "stateful-identity-once",
    check({ key, ref, object, old, actor }) {
      if (ref.resource !== "pods" || old === undefined) return OK;
      const pod: Pod = old;
      const node = pod.spec?.nodeName ?? "";
      const gone = object === undefined || object.metadata?.uid !== pod.metadata?.uid;
      if (!gone || node === "" || !isStateful(pod) || actor?.process === `kubelet-${node}`) return OK;
      const ended = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
      // A kubelet that has said nothing of a pod has not begun with it.
      const untouched = (pod.status?.containerStatuses ?? []).length === 0 && pod.status?.startTime === undefined;
      if (ended || untouched) return OK;
      return [`${key} was taken away by ${actor?.process ?? "the api-server"} while ${node} ran it`];
    },
  };
}
