// The two resources that configure flow control.
import type { ResourceRef } from "@coxswain/apimachinery";

const GROUP = "flowcontrol.apiserver.k8s.io";

export const FLOW_SCHEMAS: ResourceRef = { group: GROUP, version: "v1", resource: "flowschemas" };
export const PRIORITY_LEVELS: ResourceRef = { group: GROUP, version: "v1", resource: "prioritylevelconfigurations" };
