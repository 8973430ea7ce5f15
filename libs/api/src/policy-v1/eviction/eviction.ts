// Eviction: a deletion of a pod that asks first. It is acted on and never stored.
import { defineDocument } from "../../define-kind.ts";
import type { Eviction } from "../../types.gen.ts";

export const evictionKind = defineDocument<Eviction>({
  group: "policy",
  version: "v1",
  kind: "Eviction",
  resource: "evictions",
  namespaced: true,
  schemaName: "io.k8s.api.policy.v1.Eviction",
  alsoReads: ["v1beta1"],
});
