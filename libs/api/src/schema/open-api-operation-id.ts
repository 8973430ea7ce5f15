// The names of operations in OpenAPI documents, by which generated clients call their functions: no two of a document are alike.
// As in https://github.com/kubernetes/kubernetes/blob/v1.35.0/api/openapi-spec/swagger.json
import type { KindDefinition } from "../kind.ts";

export interface OperationTarget {
  /** As in "exec"; "" for the object itself. */
  readonly subresource?: string;
  /** Between the version and the kind: "Collection", or the HTTP method of a connection. */
  readonly of?: string;
  /** Below a namespace; that of the kind where unset. */
  readonly namespaced?: boolean;
  /** As in "ForAllNamespaces". */
  readonly suffix?: string;
}

/** "readAppsV1NamespacedDeploymentScale"; `verb` is list, read, create, replace, patch, delete or connect. */
export function operationId(kind: KindDefinition, verb: string, target: OperationTarget = {}): string {
  const { subresource = "", of = "", namespaced = kind.namespaced, suffix = "" } = target;
  const group = kind.group === "" ? "core" : kind.group.replace(/\.k8s\.io$/, "");
  const words = [...group.split(/[^A-Za-z0-9]+/), kind.version, of];
  const name = [...words.map(capital), namespaced ? "Namespaced" : "", kind.kind, capital(subresource), suffix];
  return `${verb}${name.join("")}`;
}

const capital = (word: string): string => word.slice(0, 1).toUpperCase() + word.slice(1);
