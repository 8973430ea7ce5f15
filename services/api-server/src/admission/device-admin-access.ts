// Access to devices that others use, for who looks after them: only in namespaces that are labelled for it. Upstream has this among
// the checks of the objects, so that the answer is that of a field that is forbidden.
// https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#admin-access
import type { DeviceRequest, DeviceResourceClaim, ResourceClaimTemplate } from "@coxswain/api";
import { fieldForbidden, newInvalid, type KubeObject } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";

const NAMESPACES = { group: "", resource: "namespaces" };
const LABEL = "resource.kubernetes.io/admin-access";

/** `read` asks storage, for a namespace that the cache may not have seen yet. */
export function createDeviceAdminAccess(
  source: ObjectSource,
  read: (name: string) => Promise<KubeObject | undefined>,
): AdmissionPlugin {
  return {
    name: "DeviceAdminAccess",
    validate(attributes): void | Promise<void> {
      const path = asksAt(attributes);
      if (path === undefined) return;
      const cached = source.get(NAMESPACES, "", attributes.namespace)?.object;
      if (cached === undefined)
        return read(attributes.namespace).then((found) => requireLabel(found, path, attributes));
      requireLabel(cached, path, attributes);
    },
  };
}

/** The field that asks for access that the object has not got already. */
function asksAt({ kind, operation, subresource, object, old }: AdmissionAttributes): string | undefined {
  if (kind.group !== "resource.k8s.io" || object === undefined) return undefined;
  if (operation === "CREATE" && kind.resource === "resourceclaims") {
    return requestAt((object as DeviceResourceClaim).spec?.devices?.requests);
  }
  if (operation === "CREATE" && kind.resource === "resourceclaimtemplates") {
    return requestAt((object as ResourceClaimTemplate).spec?.spec?.devices?.requests);
  }
  if (operation !== "UPDATE" || kind.resource !== "resourceclaims" || subresource !== "status") return undefined;
  return grantedAt(old as DeviceResourceClaim | undefined) === undefined
    ? grantedAt(object as DeviceResourceClaim)
    : undefined;
}

function requestAt(requests: readonly DeviceRequest[] | undefined): string | undefined {
  const at = requests?.findIndex(({ exactly }) => exactly?.adminAccess === true) ?? -1;
  return at < 0 ? undefined : `spec.devices.requests[${at}].adminAccess`;
}

function grantedAt(claim: DeviceResourceClaim | undefined): string | undefined {
  const at = claim?.status?.allocation?.devices?.results?.findIndex((one) => one.adminAccess === true) ?? -1;
  return at < 0 ? undefined : `status.allocation.devices.results[${at}].adminAccess`;
}

function requireLabel(namespace: KubeObject | undefined, path: string, { kind, name }: AdmissionAttributes): void {
  if (namespace?.metadata?.labels?.[LABEL] === "true") return;
  const message = `admin access to devices requires the \`${LABEL}: true\` label on the containing namespace`;
  throw newInvalid(kind, name, [fieldForbidden(path, message)]);
}
