// The objects through which api-servers find this process: Service kube-system/metrics-server, an EndpointSlice where it has an
// address that one may name, and the APIService. Pure: what they must be, and whether what is stored is that.
import type { APIService, EndpointSlice, Service } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { GROUP, VERSION } from "./metrics-objects.ts";

export const NAMESPACE = "kube-system";
export const SERVICE = "metrics-server";
export const API_SERVICE = `${VERSION}.${GROUP}`;
const MANAGER = "metrics-server.coxswain.local";
const MANAGED_BY = "app.kubernetes.io/managed-by";
const LABELS = { "k8s-app": "metrics-server", [MANAGED_BY]: MANAGER };
const PORT = 443;

/** Where this process is reached. */
export interface Place {
  readonly address: string;
  readonly port: number;
  readonly instance: string;
  /** PEM of the CA that its certificate is of. */
  readonly ca: string;
}

/** Endpoints must not name loopback: there the Service is another name of this machine. */
function isLoopback({ address }: Place): boolean {
  return address.startsWith("127.") || address === "::1";
}

export function wantedService(place: Place): Service {
  const metadata = { name: SERVICE, namespace: NAMESPACE, labels: { ...LABELS } };
  if (isLoopback(place)) return { metadata, spec: { type: "ExternalName", externalName: "localhost" } };
  const ports = [{ name: "https", port: PORT, protocol: "TCP", targetPort: place.port }];
  return { metadata, spec: { type: "ClusterIP", ports } };
}

/** Undefined where the Service needs none. */
export function wantedSlice(place: Place): EndpointSlice | undefined {
  if (isLoopback(place)) return undefined;
  return {
    metadata: {
      name: `${SERVICE}-${place.instance}`,
      namespace: NAMESPACE,
      labels: {
        "kubernetes.io/service-name": SERVICE,
        "endpointslice.kubernetes.io/managed-by": MANAGER,
        "k8s-app": "metrics-server",
      },
    },
    addressType: place.address.includes(":") ? "IPv6" : "IPv4",
    endpoints: [{ addresses: [place.address], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [{ name: "https", port: place.port, protocol: "TCP" }],
  };
}

export function wantedApiService(place: Place): APIService {
  return {
    metadata: { name: API_SERVICE, labels: { ...LABELS } },
    spec: {
      group: GROUP,
      version: VERSION,
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: { namespace: NAMESPACE, name: SERVICE, port: isLoopback(place) ? place.port : PORT },
      caBundle: Buffer.from(place.ca).toString("base64"),
    },
  };
}

export type Planned<T> =
  | { readonly do: "keep" }
  | { readonly do: "leave" }
  | { readonly do: "create" | "update"; readonly object: T };

interface Specified extends KubeObject {
  readonly spec?: unknown;
}

/** True where everything that is wanted is stored, whatever is stored besides. */
function includes(stored: unknown, wanted: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return stored === wanted;
  if (typeof stored !== "object" || stored === null) return false;
  const [has, wants] = [stored as Record<string, unknown>, wanted as Record<string, unknown>];
  if (Array.isArray(wanted) && (!Array.isArray(stored) || stored.length !== wanted.length)) return false;
  return Object.entries(wants).every(([key, value]) => includes(has[key], value));
}

/** "leave" where somebody else registered another server under the name: two would undo each other for ever. */
export function planObject<T extends Specified>(stored: T | undefined, wanted: T): Planned<T> {
  if (stored === undefined) return { do: "create", object: wanted };
  if (stored.metadata?.labels?.[MANAGED_BY] !== MANAGER && wanted.metadata?.labels?.[MANAGED_BY] === MANAGER) {
    return { do: "leave" };
  }
  const { metadata: _metadata, ...content } = wanted;
  if (includes(stored, content)) return { do: "keep" };
  return { do: "update", object: { ...stored, ...content, metadata: stored.metadata } };
}

/** What is wrong with the registration; undefined where api-servers ask this process. */
export function registrationProblem(apiService: APIService | undefined): string | undefined {
  if (apiService === undefined) return `APIService ${API_SERVICE} is not registered`;
  const condition = apiService.status?.conditions?.find(({ type }) => type === "Available");
  if (condition?.status === "True") return undefined;
  return `APIService ${API_SERVICE} is not available: ${condition?.message ?? "not looked at yet"}`;
}
