// What a pod asks for that this node's runtime cannot give. Pure. Upstream turns such pods away for good, with a reason of
// its own for each; what is not supported is refused by name, never ignored.
import type { Pod } from "@coxswain/api";
import type { Refusal } from "./admission.ts";

/** Sysctls that are a pod's own, and do no harm to others. */
const SAFE_SYSCTLS = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
]);

/** Undefined where a real runtime of this node can run the pod. */
export function planRuntimeAdmission(pod: Pod): Refusal | undefined {
  return sysctlRefusal(pod) ?? profileRefusal(pod) ?? featureRefusal(pod);
}

function sysctlRefusal({ spec }: Pod): Refusal | undefined {
  for (const { name } of spec?.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    const shared = dotted.startsWith("net.") ? spec?.hostNetwork : spec?.hostIPC;
    if (shared) {
      const what = dotted.startsWith("net.") ? "net" : "ipc";
      return sysctlForbidden(name, `not allowed with host ${what} enabled`);
    }
    if (!SAFE_SYSCTLS.has(dotted)) return sysctlForbidden(name, "not allowlisted");
  }
  return undefined;
}

function sysctlForbidden(name: string, why: string): Refusal {
  return { reason: "SysctlForbidden", message: `forbidden sysctl: "${name}" ${why}` };
}

function profileRefusal({ spec }: Pod): Refusal | undefined {
  const { initContainers = [], containers = [], securityContext } = spec ?? {};
  const contexts = [securityContext, ...[...initContainers, ...containers].map((one) => one.securityContext)];
  const enforced = contexts.some(
    (context) => context?.appArmorProfile !== undefined && context.appArmorProfile.type !== "Unconfined",
  );
  if (!enforced) return undefined;
  return { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" };
}

function featureRefusal({ spec }: Pod): Refusal | undefined {
  const unsupported = (what: string): Refusal => ({
    reason: "UnsupportedByRuntime",
    message: `${what} is not supported by this node's runtime`,
  });
  if (spec?.securityContext?.supplementalGroupsPolicy === "Strict") {
    const message = "SupplementalGroupsPolicy=Strict is not supported in this node";
    return { reason: "SupplementalGroupsPolicyNotSupported", message };
  }
  if (spec?.hostUsers === false) return unsupported("hostUsers: false");
  if ((spec?.resourceClaims ?? []).length > 0) return unsupported("resourceClaims");
  const all = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  if (all.some((one) => one.lifecycle?.stopSignal !== undefined)) return unsupported("lifecycle.stopSignal");
  return undefined;
}
