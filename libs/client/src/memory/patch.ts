// Patches for the in-memory double. Its strategic merge has no schema: a short table says which lists merge by which key,
// any other list is replaced.
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  deepClone,
  type PatchField,
  type PatchSchema,
} from "@coxswain/apimachinery";
import type { PatchType } from "../resource-client.ts";

const MERGE_KEYS: Readonly<Record<string, string>> = {
  addresses: "type",
  conditions: "type",
  containers: "name",
  env: "name",
  ephemeralContainers: "name",
  hostAliases: "ip",
  hostIPs: "ip",
  imagePullSecrets: "name",
  initContainers: "name",
  ownerReferences: "uid",
  podIPs: "ip",
  ports: "port",
  readinessGates: "conditionType",
  schedulingGates: "name",
  secrets: "name",
  topologySpreadConstraints: "topologyKey",
  volumeMounts: "mountPath",
  volumes: "name",
};

/** The rules below a field; containers name their ports by containerPort, Services theirs by port. */
function schemaBelow(parent: string): PatchSchema {
  return {
    lookup(field): PatchField {
      const schema = schemaBelow(field);
      if (field === "finalizers") return { strategies: ["merge"], schema: undefined };
      const inContainer = parent === "containers" || parent === "initContainers";
      const mergeKey = field === "ports" && inContainer ? "containerPort" : MERGE_KEYS[field];
      return mergeKey === undefined ? { strategies: [], schema } : { strategies: ["merge"], mergeKey, schema };
    },
  };
}

/** The patched object, a fresh copy; throws a StatusError where the patch does not apply. */
export function applyPatch<T>(target: T, type: PatchType, patch: unknown): T {
  if (type === "application/json-patch+json") return applyJsonPatch(target, patch) as T;
  if (type === "application/merge-patch+json") return deepClone(applyMergePatch(target, patch)) as T;
  return deepClone(applyStrategicMergePatch(target, patch, schemaBelow(""))) as T;
}
