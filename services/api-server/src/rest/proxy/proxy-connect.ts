// pods, services and nodes NAME/proxy: the api-server passes a request on to a pod, to a pod behind a Service, or to a node,
// and its answer back. Guarantees: the user was authorized for the method before anything is looked up; connections are made
// to pods of real nodes only, as simulated ones have no network: for them their kubelet answers.
import type { EndpointSlice, Node, Pod, Service } from "@coxswain/api";
import { isReason, newServiceUnavailable } from "@coxswain/apimachinery";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Env } from "@coxswain/env";
import { API_SERVER_USER } from "../../auth/identity.ts";
import type { ConnectHandler, RestCall } from "../deps.ts";
import { authorizeConnect, fetchNode, fetchObject } from "../pod-targets.ts";
import type { PodConnectDeps } from "../pod-targets.ts";
import type { ResourceInfo } from "../request-info.ts";
import { kubeletFailure } from "../streams/remote-command.ts";
import { splitProxyPath } from "./proxy-headers.ts";
import type { ProxyPath } from "./proxy-headers.ts";
import * as location from "./proxy-location.ts";
import type { ProxyLocation, ProxyName, ServiceAddress } from "./proxy-location.ts";
import { dialTcp, forwardRequest, forwardUpgrade } from "./proxy-transport.ts";
import type { Dial, ProxyTarget } from "./proxy-transport.ts";

const RESOURCES: ReadonlySet<string> = new Set(["pods", "services", "nodes"]);
const SIMULATED = "simulated://";

export interface ProxyConnectDeps extends PodConnectDeps {
  readonly env: Env;
  /** The api-server as a client of kubelets. */
  readonly clientTls: TlsMaterial;
  /** TCP unless given. */
  readonly dial?: Dial;
}

const unreachable = (why: string): Error => newServiceUnavailable(`error trying to reach service: ${why}`);

const isSimulated = (node: Node): boolean =>
  node.status?.nodeInfo?.containerRuntimeVersion?.startsWith(SIMULATED) === true;

/** Undefined where it is gone. */
async function found<T>(fetching: Promise<T>): Promise<T | undefined> {
  try {
    return await fetching;
  } catch (error) {
    if (isReason(error, "NotFound")) return undefined;
    throw error;
  }
}

/** Rejects with ServiceUnavailable, in the words of the kubelet. */
async function askSimulatedPod(deps: PodConnectDeps, node: Node, pod: Pod, port: number): Promise<never> {
  const { name = "", namespace = "" } = pod.metadata ?? {};
  const call = deps.dialer.portForward(node);
  void call.write({ start: { node: node.metadata?.name ?? "", namespace, pod: name, port } });
  call.end();
  let said = "";
  try {
    for await (const { data } of call.responses()) said += data.toString("utf8");
  } catch (error) {
    said = kubeletFailure(error);
  }
  throw unreachable(said.trim());
}

async function listSlices(deps: PodConnectDeps, info: ResourceInfo, service: string, signal: AbortSignal) {
  const result = await deps.pipeline.handle({
    user: API_SERVER_USER,
    verb: "list",
    group: "discovery.k8s.io",
    version: "v1",
    resource: "endpointslices",
    subresource: "",
    namespace: info.namespace,
    name: "",
    options: { labelSelector: `kubernetes.io/service-name=${service}` },
    signal,
  });
  if (result.type !== "list") throw new Error("a list was answered with something else");
  return result.items.map(({ object }) => object as EndpointSlice);
}

export function createProxyConnect(deps: ProxyConnectDeps): ConnectHandler {
  const dial = deps.dial ?? dialTcp;
  const { timers, random } = deps.env;
  const { ca, cert, key } = deps.clientTls;
  // Upstream believes a pod's certificate unseen, too.
  const anybody = { rejectUnauthorized: false };
  // Every certificate of a cluster carries localhost.
  const kubelets = { ca, cert, key, servername: "localhost" };

  /** For a location of a pod: rejects with ServiceUnavailable where no real process can be there. */
  const podTarget = async (pod: Pod, where: ProxyLocation, signal: AbortSignal): Promise<ProxyTarget> => {
    const nodeName = pod.spec?.nodeName ?? "";
    const node = await found(fetchNode(deps, nodeName, signal));
    if (node === undefined) throw unreachable(`nodes ${JSON.stringify(nodeName)} not found`);
    if (isSimulated(node)) return await askSimulatedPod(deps, node, pod, where.port);
    return { ...where, dial, timers, tls: anybody };
  };

  const fetchPodOf = ({ namespace }: ResourceInfo, name: string, signal: AbortSignal): Promise<Pod> =>
    fetchObject<Pod>(deps, { resource: "pods", namespace, name }, signal);

  const serviceTarget = async (info: ResourceInfo, asked: ProxyName, signal: AbortSignal): Promise<ProxyTarget> => {
    const { namespace } = info;
    const service = await fetchObject<Service>(deps, { resource: "services", namespace, name: asked.name }, signal);
    const port = location.servicePortName(service, asked);
    const slices = await listSlices(deps, info, asked.name, signal);
    const left: ServiceAddress[] = location.serviceAddresses(slices, port);
    while (left.length > 0) {
      const [one] = left.splice(random.int(left.length), 1);
      const pod = one && (await found(fetchPodOf(info, one.pod, signal)));
      if (!one || !pod || !location.hasAddress(pod, one.host)) continue;
      return await podTarget(pod, { scheme: asked.scheme, host: one.host, port: one.port }, signal);
    }
    const name = slices.length === 0 ? asked.name : info.name;
    throw newServiceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  };

  const nodeTarget = async (asked: ProxyName, signal: AbortSignal): Promise<ProxyTarget> => {
    const node = await fetchNode(deps, asked.name, signal);
    const { kubelet, ...where } = location.nodeLocation(node, asked);
    if (kubelet) return { ...where, dial, timers, tls: kubelets };
    if (isSimulated(node)) throw unreachable(`simulated: nothing listens on port ${where.port} of node ${asked.name}`);
    return { ...where, dial, timers, tls: anybody };
  };

  const targetOf = async (info: ResourceInfo, signal: AbortSignal): Promise<ProxyTarget> => {
    if (info.resource === "nodes") return await nodeTarget(location.parseProxyName(info.name, "node"), signal);
    if (info.resource === "services") {
      return await serviceTarget(info, location.parseProxyName(info.name, "service"), signal);
    }
    const asked = location.parseProxyName(info.name, "pod");
    const pod = await fetchPodOf(info, asked.name, signal);
    return await podTarget(pod, location.podLocation(pod, asked), signal);
  };

  return {
    handles: ({ group, resource, name, subresource }) =>
      group === "" && subresource === "proxy" && name !== "" && RESOURCES.has(resource),
    async serve(info, call) {
      await authorizeConnect(deps, info, call, info.verb);
      const path = splitProxyPath(call.request.url ?? "/");
      const target = await targetOf(info, call.signal);
      if (!(await redirectToSlash(call, path))) await forwardRequest(target, call, path);
    },
    async upgrade(info, call) {
      await authorizeConnect(deps, info, call, info.verb);
      const path = splitProxyPath(call.request.url ?? "/");
      await forwardUpgrade(await targetOf(info, call.signal), call, path);
    },
  };
}

/** Without a slash at its end, the relative links of a page would lead elsewhere. */
async function redirectToSlash(call: RestCall, { prefix, rest, query }: ProxyPath): Promise<boolean> {
  const { request, response } = call;
  if (rest !== "" || (request.method !== "GET" && request.method !== "HEAD")) return false;
  await call.starting(301);
  await call.ending(301);
  response.writeHead(301, { Location: `${prefix}/${query}` }).end();
  return true;
}

/** The handler of the first that handles. */
export function firstConnect(...handlers: readonly ConnectHandler[]): ConnectHandler {
  const handlerOf = (info: ResourceInfo): ConnectHandler => {
    const found = handlers.find((handler) => handler.handles(info));
    if (found === undefined) throw new Error(`nobody serves ${info.resource}/${info.subresource}`);
    return found;
  };
  return {
    handles: (info) => handlers.some((handler) => handler.handles(info)),
    serve: (info, call) => handlerOf(info).serve(info, call),
    upgrade: (info, call) => handlerOf(info).upgrade(info, call),
  };
}
