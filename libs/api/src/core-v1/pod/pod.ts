// Pod: containers that run together on one node.
import { defineKind, PROXY_VERBS, subresource } from "../../define-kind.ts";
import type { Pod } from "../../types.gen.ts";
import { setPodOnlyDefaults, setPodSpecDefaults } from "../pod-spec/defaults.ts";
import { POD_COLUMNS, podRow, podRowConditions } from "./printer.ts";
import { podStrategy } from "./strategy.ts";
import { validatePod, validatePodStatusUpdate, validatePodUpdate } from "./validation.ts";

const BINDING = ["", "v1", "Binding"] as const;
const EVICTION = ["policy", "v1", "Eviction"] as const;
const POD = ["", "v1", "Pod"] as const;
const stream = (kind: string) => ["", "v1", kind] as const;

export const podKind = defineKind<Pod>({
  group: "",
  version: "v1",
  kind: "Pod",
  resource: "pods",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Pod",
  returnDeletedObject: true,
  hasStatus: true,
  subresources: [
    subresource("attach", ["create", "get"], stream("PodAttachOptions")),
    subresource("binding", ["create"], BINDING),
    subresource("ephemeralcontainers", ["get", "patch", "update"], POD),
    subresource("eviction", ["create"], EVICTION),
    subresource("exec", ["create", "get"], stream("PodExecOptions")),
    subresource("log", ["get"], POD),
    subresource("portforward", ["create", "get"], stream("PodPortForwardOptions")),
    subresource("proxy", PROXY_VERBS, stream("PodProxyOptions")),
    subresource("resize", ["get", "patch", "update"], POD),
  ],
  defaults(pod) {
    if (!pod.spec) return;
    setPodSpecDefaults(pod.spec);
    setPodOnlyDefaults(pod.spec);
  },
  sharesState: true,
  specAlone: true,
  validateCreate: validatePod,
  validateUpdate: validatePodUpdate,
  validateStatusUpdate: validatePodStatusUpdate,
  strategy: podStrategy,
  columns: POD_COLUMNS,
  row: podRow,
  rowConditions: podRowConditions,
  selectableFields: (pod) => ({
    "spec.nodeName": pod.spec?.nodeName ?? "",
    // An older name of the same.
    "spec.host": pod.spec?.nodeName ?? "",
    "spec.restartPolicy": pod.spec?.restartPolicy ?? "",
    "spec.schedulerName": pod.spec?.schedulerName ?? "",
    "spec.serviceAccountName": pod.spec?.serviceAccountName ?? "",
    "spec.hostNetwork": String(pod.spec?.hostNetwork ?? false),
    "status.phase": pod.status?.phase ?? "",
    "status.podIP": pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "",
    // May be asked for, and never has a value.
    "status.podIPs": "",
    "status.nominatedNodeName": pod.status?.nominatedNodeName ?? "",
  }),
});
