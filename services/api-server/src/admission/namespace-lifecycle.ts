// NamespaceLifecycle: nothing is created in a namespace that is absent or going away, and the namespaces that the system
// lives in are not deleted.
import { newForbidden, newNotFound, StatusError, type KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";

const NAMESPACES = { group: "", resource: "namespaces" };
const IMMORTAL = new Set(["default", "kube-system", "kube-public"]);

interface Namespace extends KubeObject {
  status?: { phase?: string };
}

/** `read` asks storage, for a namespace that the cache may not have seen yet. */
export function createNamespaceLifecycle(
  source: ObjectSource,
  read: (name: string) => Promise<KubeObject | undefined>,
): AdmissionPlugin {
  return {
    name: "NamespaceLifecycle",
    validate({ operation, kind, name }) {
      if (operation === "DELETE" && kind.group === "" && kind.resource === "namespaces" && IMMORTAL.has(name)) {
        throw newForbidden(NAMESPACES, name, "this namespace may not be deleted");
      }
    },
    admit(attributes): void | Promise<void> {
      const { operation, kind, namespace } = attributes;
      if (operation !== "CREATE" || !kind.namespaced) return;
      const cached = source.get(NAMESPACES, "", namespace)?.object;
      if (cached === undefined) return read(namespace).then((found) => requireAlive(found, attributes));
      requireAlive(cached, attributes);
    },
  };
}

function requireAlive(found: Namespace | undefined, { kind, namespace, name }: AdmissionAttributes): void {
  if (found === undefined) throw newNotFound(NAMESPACES, namespace);
  if (found.status?.phase !== "Terminating" && !found.metadata?.deletionTimestamp) return;
  const message = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const error = newForbidden(kind, name, message);
  const cause = {
    reason: "NamespaceTerminating",
    message: `namespace ${namespace} is being terminated`,
    field: "metadata.namespace",
  };
  throw new StatusError("Forbidden", 403, error.message, { ...error.details, causes: [cause] });
}
