// PodTopologyLabels: a pod on a node carries the node's zone and region, for its containers to read. Guarantee: they are the
// node's, whatever the pod says of itself.
// https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podtopologylabels
import { NODES, type Pod } from "@coxswain/api";
import type { AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";

const LABELS = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

export function createPodTopologyLabels(source: ObjectSource): AdmissionPlugin {
  return {
    name: "PodTopologyLabels",
    admit({ kind, operation, subresource, object, objectKind }) {
      if (kind.group !== "" || kind.resource !== "pods" || objectKind !== undefined || object === undefined) return;
      // A binding reaches the pod as a change of it.
      const created = operation === "CREATE" && subresource === "";
      if (!created && subresource !== "binding") return;
      const pod = object as Pod;
      const given = source.get(NODES, "", pod.spec?.nodeName ?? "")?.object.metadata?.labels ?? {};
      const told = LABELS.filter((label) => given[label] !== undefined);
      if (told.every((label) => given[label] === pod.metadata?.labels?.[label])) return;
      const meta = (pod.metadata ??= {});
      meta.labels = { ...meta.labels, ...Object.fromEntries(told.map((label) => [label, given[label]!])) };
    },
  };
}
