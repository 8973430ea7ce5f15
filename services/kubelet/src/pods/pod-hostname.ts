// What a pod calls itself: in its UTS namespace and in its /etc/hosts. Pure.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-hostname/
import type { Pod } from "@coxswain/api";
import { ContainerConfigError } from "./container-environment.ts";

const MAX_LABEL = 63;
/** What the kernel takes as a host name. */
const MAX_HOSTNAME = 64;

/** The pod's host name, in full where setHostnameAsFQDN asks so. Throws ContainerConfigError where that is too long. */
export function podHostname(pod: Pod, clusterDomain: string): string {
  const [first = ""] = podHostNames(pod, clusterDomain);
  if (pod.spec?.setHostnameAsFQDN !== true) return shortHostname(pod);
  if (first.length <= MAX_HOSTNAME) return first;
  const length = `${MAX_HOSTNAME} is the max characters allowed, ${first.length} characters requested`;
  throw new ContainerConfigError(
    `failed to construct FQDN from pod hostname and cluster domain, FQDN ${first} is too long (${length})`,
  );
}

/** All its names, the full one first where it has a subdomain. */
export function podHostNames(pod: Pod, clusterDomain: string): string[] {
  const short = shortHostname(pod);
  const { subdomain = "", hostnameOverride } = pod.spec ?? {};
  if (subdomain === "" || hostnameOverride !== undefined) return [short];
  return [`${short}.${subdomain}.${pod.metadata?.namespace ?? ""}.svc.${clusterDomain}`, short];
}

function shortHostname({ spec, metadata }: Pod): string {
  if (spec?.hostnameOverride !== undefined) return spec.hostnameOverride;
  if (spec?.hostname !== undefined && spec.hostname !== "") return spec.hostname;
  return (metadata?.name ?? "").slice(0, MAX_LABEL).replace(/[-.]+$/, "");
}
