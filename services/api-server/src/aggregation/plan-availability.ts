// Whether the Service behind an APIService can be asked, from what the cluster says of it, and where its endpoints are. Pure.
// Reasons and messages are upstream's.
import type { APIService, EndpointSlice, Service } from "@coxswain/api";

export interface Availability {
  readonly available: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface RemoteEndpoint {
  readonly host: string;
  readonly port: number;
  /** The pod behind it, where it says so. */
  readonly pod: string | undefined;
}

export const PASSED: Availability = { available: true, reason: "Passed", message: "all checks passed" };

const refused = (reason: string, message: string): Availability => ({ available: false, reason, message });

export function failedDiscovery(message: string): Availability {
  return refused("FailedDiscoveryCheck", message);
}

/** Ready addresses of a Service's port. */
export function endpointsOf(slices: readonly EndpointSlice[], portName: string): RemoteEndpoint[] {
  return slices.flatMap(({ endpoints, ports }) => {
    const port = ports?.find((one) => (one.name ?? "") === portName)?.port;
    if (port === undefined) return [];
    const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
    return ready.flatMap(({ addresses, targetRef }) => {
      const pod = targetRef?.kind === "Pod" ? (targetRef.name ?? "") : undefined;
      return (addresses ?? []).slice(0, 1).map((host) => ({ host, port, pod }));
    });
  });
}

/** Where to ask, or why nobody can be asked. */
export function planTarget(
  apiService: APIService,
  service: Service | undefined,
  slices: readonly EndpointSlice[],
): { readonly endpoints: readonly RemoteEndpoint[] } | Availability {
  const { name = "", namespace = "", port = 443 } = apiService.spec?.service ?? {};
  const where = `service/${name} in ${JSON.stringify(namespace)}`;
  if (service === undefined) return refused("ServiceNotFound", `${where} is not present`);
  if (service.spec?.type === "ExternalName") {
    return { endpoints: [{ host: service.spec.externalName ?? "", port, pod: undefined }] };
  }
  const found = service.spec?.ports?.find((one) => one.port === port);
  if (found === undefined) return refused("ServicePortError", `${where} is not listening on port ${port}`);
  if (slices.length === 0) return refused("EndpointsNotFound", `cannot find endpointslices for ${where}`);
  const endpoints = endpointsOf(slices, found.name ?? "");
  if (endpoints.length > 0) return { endpoints };
  const portName = JSON.stringify(found.name ?? "");
  return refused("MissingEndpoints", `endpointslices for ${where} have no addresses with port name ${portName}`);
}

/** The APIService with the new condition; undefined where it says so already. */
export function planStatus(apiService: APIService, next: Availability, nowMs: number): APIService | undefined {
  const conditions = apiService.status?.conditions ?? [];
  const before = conditions.find(({ type }) => type === "Available");
  const status = next.available ? "True" : "False";
  if (before?.status === status && before.reason === next.reason && before.message === next.message) return undefined;
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
  const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
  const { reason, message } = next;
  const condition = { type: "Available", status, lastTransitionTime, reason, message };
  const others = conditions.filter(({ type }) => type !== "Available");
  return { ...apiService, status: { ...apiService.status, conditions: [...others, condition] } };
}

export function isAvailable({ status }: APIService): boolean {
  return status?.conditions?.find(({ type }) => type === "Available")?.status === "True";
}
