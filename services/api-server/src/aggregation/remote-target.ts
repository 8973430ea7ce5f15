// The address, the trust and the name by which a remote api-server is reached. Guarantee: nothing is sent to an address of a
// simulated pod, which no network has.
import { ENDPOINT_SLICES, NODES, PODS, SERVICES } from "@coxswain/api";
import type { APIService, EndpointSlice, Node, Pod, Service } from "@coxswain/api";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Env } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";
import { dialTcp } from "../rest/proxy/proxy-transport.ts";
import type { Dial, ProxyTarget } from "../rest/proxy/proxy-transport.ts";
import { failedDiscovery, planTarget } from "./plan-availability.ts";
import type { Availability, RemoteEndpoint } from "./plan-availability.ts";

const SERVICE_NAME = "kubernetes.io/service-name";
const SIMULATED = "simulated://";

export interface RemoteTargetDeps {
  readonly env: Env;
  readonly source: ObjectSource;
  /** The certificate by which remote api-servers know this one. */
  readonly clientTls: TlsMaterial;
  /** TCP unless given. */
  readonly dial?: Dial;
}

export interface RemoteSource {
  readonly service: Service | undefined;
  readonly slices: readonly EndpointSlice[];
  /** Changes when one of them does. */
  readonly version: string;
}

/** What the cluster says of the Service behind. */
export function remoteSource(source: ObjectSource, { spec }: APIService): RemoteSource {
  const { name = "", namespace = "" } = spec?.service ?? {};
  const service = source.get(SERVICES, namespace, name);
  const slices = source
    .list(ENDPOINT_SLICES, namespace)
    .filter(({ object }) => object.metadata?.labels?.[SERVICE_NAME] === name);
  return {
    service: service?.object,
    slices: slices.map(({ object }) => object as EndpointSlice),
    version: [service, ...slices].map((one) => String(one?.rv)).join(),
  };
}

function isSimulated(source: ObjectSource, namespace: string, { pod }: RemoteEndpoint): boolean {
  if (pod === undefined) return false;
  const found: Pod | undefined = source.get(PODS, namespace, pod)?.object;
  const node: Node | undefined = source.get(NODES, "", found?.spec?.nodeName ?? "")?.object;
  return node?.status?.nodeInfo?.containerRuntimeVersion?.startsWith(SIMULATED) !== false;
}

/** `verify`: whether the certificate behind must be one of the APIService's bundle. */
export function remoteTarget(
  deps: RemoteTargetDeps,
  apiService: APIService,
  verify: boolean,
): ProxyTarget | Availability {
  const { service, slices } = remoteSource(deps.source, apiService);
  const plan = planTarget(apiService, service, slices);
  if (!("endpoints" in plan)) return plan;
  const { name = "", namespace = "" } = apiService.spec?.service ?? {};
  const real = plan.endpoints.filter((endpoint) => !isSimulated(deps.source, namespace, endpoint));
  const chosen = real[deps.env.random.int(Math.max(1, real.length))];
  if (chosen === undefined) {
    return failedDiscovery(`simulated: no program serves service/${name} in ${JSON.stringify(namespace)}`);
  }
  const { caBundle, insecureSkipTLSVerify } = apiService.spec ?? {};
  const { cert, key } = deps.clientTls;
  return {
    scheme: "https",
    host: chosen.host,
    port: chosen.port,
    dial: deps.dial ?? dialTcp,
    timers: deps.env.timers,
    tls: {
      cert,
      key,
      servername: `${name}.${namespace}.svc`,
      rejectUnauthorized: verify && insecureSkipTLSVerify !== true,
      ...(caBundle === undefined ? {} : { ca: Buffer.from(caBundle, "base64") }),
    },
  };
}
