// The Node that a fresh node of a cluster will be, as its kubelet is going to report it: pure.
import type { Node } from "@coxswain/api";
import type { NodeShare } from "./platform/node-share.ts";

/** What a simulated node has where nobody says. */
const SIMULATED: NodeShare = { cpu: "4", memory: "8Gi" };

/** `share`: what a real node has of the machine; undefined where nodes are simulated. */
export function nodeTemplate(share: NodeShare | undefined, machine: string = process.arch): Node {
  const { cpu, memory } = share ?? SIMULATED;
  const arch = machine === "arm64" ? "arm64" : "amd64";
  const name = "node-template";
  const capacity = {
    cpu,
    "ephemeral-storage": "100Gi",
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
    memory,
    pods: "110",
  };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
      },
    },
    spec: {},
    status: { capacity, allocatable: { ...capacity }, conditions: [{ type: "Ready", status: "True" }] },
  };
}
