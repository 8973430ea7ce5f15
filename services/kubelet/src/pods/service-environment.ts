// The environment variables that tell a container of Services: NAME_SERVICE_HOST, NAME_SERVICE_PORT and the older
// link variables. Pure, but for the informer that knows the Services.
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
import { SERVICES, type Pod, type Service } from "@coxswain/api";
import type { InformerFactory } from "@coxswain/client";

/** Where the Services of the API server itself are: every pod hears of it, though it wants no links. */
const MASTER = { namespace: "default", name: "kubernetes" };

export interface ServiceSource {
  /** False until all Services are known: no container may be made before. */
  hasSynced(): boolean;
  list(namespace: string): readonly Service[];
}

/** The Services of the cluster, by one informer; the factory is started by the caller. */
export function followServices(informers: InformerFactory): ServiceSource {
  const informer = informers.informer<Service>(SERVICES);
  return { hasSynced: () => informer.hasSynced(), list: (namespace) => informer.lister.list(namespace) };
}

/** The variables that the Services around a pod make, by name. */
export function serviceVariables(pod: Pod, services: ServiceSource): Map<string, string> {
  const namespace = pod.metadata?.namespace ?? "";
  const chosen = new Map<string, Service>();
  const add = (service: Service): void => {
    if (hasAddress(service)) chosen.set(service.metadata?.name ?? "", service);
  };
  for (const service of services.list(MASTER.namespace)) if (service.metadata?.name === MASTER.name) add(service);
  // A Service of the pod's own namespace goes before one of the same name elsewhere.
  if (pod.spec?.enableServiceLinks ?? true) for (const service of services.list(namespace)) add(service);
  const variables = new Map<string, string>();
  for (const name of [...chosen.keys()].toSorted()) describe(name, chosen.get(name)?.spec ?? {}, variables);
  return variables;
}

function hasAddress({ spec }: Service): boolean {
  const { clusterIP = "", type } = spec ?? {};
  return type !== "ExternalName" && clusterIP !== "" && clusterIP !== "None" && (spec?.ports ?? []).length > 0;
}

function variableName(text: string): string {
  const name = text.replaceAll(/[-.]/g, "_").toUpperCase();
  return /^\d/.test(name) ? `_${name}` : name;
}

function describe(service: string, spec: NonNullable<Service["spec"]>, variables: Map<string, string>): void {
  const prefix = variableName(service);
  const { clusterIP = "", ports = [] } = spec;
  variables.set(`${prefix}_SERVICE_HOST`, clusterIP);
  variables.set(`${prefix}_SERVICE_PORT`, String(ports[0]?.port));
  for (const { name = "", port } of ports) {
    if (name !== "") variables.set(`${prefix}_SERVICE_PORT_${variableName(name)}`, String(port));
  }
  const host = clusterIP.includes(":") ? `[${clusterIP}]` : clusterIP;
  for (const [index, { port, protocol = "TCP" }] of ports.entries()) {
    const url = `${protocol.toLowerCase()}://${host}:${port}`;
    if (index === 0) variables.set(`${prefix}_PORT`, url);
    const link = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
    variables.set(link, url);
    variables.set(`${link}_PROTO`, protocol.toLowerCase());
    variables.set(`${link}_PORT`, String(port));
    variables.set(`${link}_ADDR`, clusterIP);
  }
}
