// ComponentStatus: read-only and long deprecated; the api-server makes each when somebody asks.
import { defineKind } from "../../define-kind.ts";
import { column, NAME, nameOf } from "../../printing.ts";
import type { ComponentStatus } from "../../types.gen.ts";

export const componentStatusKind = defineKind<ComponentStatus>({
  group: "",
  version: "v1",
  kind: "ComponentStatus",
  resource: "componentstatuses",
  shortNames: ["cs"],
  namespaced: false,
  verbs: ["get", "list"],
  deprecation: "v1 ComponentStatus is deprecated in v1.19+",
  schemaName: "io.k8s.api.core.v1.ComponentStatus",
  columns: [
    NAME,
    column("Status", "Whether the component is healthy."),
    column("Message", "What it says."),
    column("Error", "What is wrong."),
  ],
  row(status) {
    const healthy = status.conditions?.find((condition) => condition.type === "Healthy");
    const word = healthy === undefined ? "Unknown" : healthy.status === "True" ? "Healthy" : "Unhealthy";
    return [nameOf(status), word, healthy?.message ?? "", healthy?.error ?? ""];
  },
});
