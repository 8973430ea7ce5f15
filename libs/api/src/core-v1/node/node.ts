// Node: a machine. The kubelet writes its status, also on creation; scheduling reads spec.taints and spec.unschedulable.
import { defineKind, plainStrategy, PROXY_VERBS, subresource } from "../../define-kind.ts";
import type { PrintContext } from "../../kind.ts";
import { age, AGE, column, NAME, nameOf, wide } from "../../printing.ts";
import type { Node } from "../../types.gen.ts";
import { roundUpToMilli } from "../../validation/resources.ts";
import { validateNode, validateNodeUpdate } from "./validation.ts";
import { cidrWarnings } from "../../validation/ip.ts";

const ROLE_PREFIX = "node-role.kubernetes.io/";

function roles(node: Node): string {
  const found = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata?.labels ?? {})) {
    if (key.startsWith(ROLE_PREFIX) && key.length > ROLE_PREFIX.length) found.add(key.slice(ROLE_PREFIX.length));
    if (key === "kubernetes.io/role" && value !== "") found.add(value);
  }
  return found.size === 0 ? "<none>" : [...found].toSorted().join(",");
}

function readiness(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  const words = [ready ? (ready.status === "True" ? "Ready" : "NotReady") : "Unknown"];
  if (node.spec?.unschedulable) words.push("SchedulingDisabled");
  return words.join(",");
}

function row(node: Node, context: PrintContext): unknown[] {
  const info = node.status?.nodeInfo;
  const address = (type: string) => node.status?.addresses?.find((a) => a.type === type)?.address ?? "<none>";
  return [
    nameOf(node),
    readiness(node),
    roles(node),
    age(node, context),
    info?.kubeletVersion ?? "",
    address("InternalIP"),
    address("ExternalIP"),
    info?.osImage || "<unknown>",
    info?.kernelVersion || "<unknown>",
    info?.containerRuntimeVersion || "<unknown>",
  ];
}

/** A field of a feature that is off in v1.35 (NodeDeclaredFeatures), which the declarations that types are made from do not have. */
function dropDeclaredFeatures({ status }: Node, old?: Node): void {
  const before: Readonly<Record<string, unknown>> = { ...old?.status };
  const now: Record<string, unknown> | undefined = status as Record<string, unknown> | undefined;
  if (before["declaredFeatures"] === undefined) delete now?.["declaredFeatures"];
}

export const nodeKind = defineKind<Node>({
  group: "",
  version: "v1",
  kind: "Node",
  resource: "nodes",
  shortNames: ["no"],
  namespaced: false,
  schemaName: "io.k8s.api.core.v1.Node",
  hasStatus: true,
  subresources: [subresource("proxy", PROXY_VERBS, ["", "v1", "NodeProxyOptions"])],
  defaults(node) {
    node.spec ??= {};
    node.status ??= {};
    // Upstream mirrors the singular field into the list and back.
    if (node.spec.podCIDR && !node.spec.podCIDRs?.length) node.spec.podCIDRs = [node.spec.podCIDR];
    if (!node.spec.podCIDR && node.spec.podCIDRs?.[0]) node.spec.podCIDR = node.spec.podCIDRs[0];
    roundUpToMilli(node.status.capacity);
    roundUpToMilli(node.status.allocatable);
    if (!node.status.allocatable && node.status.capacity) node.status.allocatable = { ...node.status.capacity };
  },
  validateCreate: validateNode,
  validateUpdate: validateNodeUpdate,
  validateStatusUpdate: validateNodeUpdate,
  strategy: plainStrategy({
    prepareForCreate: (node) => dropDeclaredFeatures(node),
    prepareForUpdate(node, old) {
      node.status = old.status;
    },
    prepareForStatusUpdate(node, old) {
      node.spec = old.spec;
      dropDeclaredFeatures(node, old);
    },
    warnings: ({ spec = {} }) => [
      ...(spec.externalID ? ["spec.externalID: this field is deprecated, and is unused by Kubernetes"] : []),
      ...(spec.podCIDRs ?? []).flatMap((cidr, index) => cidrWarnings(cidr, `spec.podCIDRs[${index}]`)),
    ],
  }),
  columns: [
    NAME,
    column("Status", "Whether the node is ready and takes pods."),
    column("Roles", "The roles of the node, from its labels."),
    AGE,
    column("Version", "The version of its kubelet."),
    wide("Internal-IP", "Its address inside the cluster."),
    wide("External-IP", "Its address outside the cluster."),
    wide("OS-Image", "Its operating system."),
    wide("Kernel-Version", "Its kernel."),
    wide("Container-Runtime", "Its container runtime and version."),
  ],
  row,
  selectableFields: (node) => ({ "spec.unschedulable": String(node.spec?.unschedulable ?? false) }),
});
