// TaintNodesByCondition: a new node takes no pods until it is known to be ready; the controller of nodes removes the taint then.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#taintnodesbycondition
import type { Node } from "@coxswain/api";
import type { AdmissionPlugin } from "../pipeline/extension.ts";

const NOT_READY = "node.kubernetes.io/not-ready";

export const taintNodesByCondition: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  admit({ kind, operation, subresource, object }) {
    if (operation !== "CREATE" || kind.group !== "" || kind.resource !== "nodes" || subresource !== "") return;
    const node = object as Node;
    const spec = (node.spec ??= {});
    const taints = spec.taints ?? [];
    if (taints.some(({ key, effect }) => key === NOT_READY && effect === "NoSchedule")) return;
    spec.taints = [...taints, { key: NOT_READY, effect: "NoSchedule" }];
  },
};
