// The pods and nodes behind connections, as the api-server itself reads them, and who may connect. Guarantee: the user was
// authorized before anything is read for them.
import type { Node, Pod } from "@coxswain/api";
import { newNotFound } from "@coxswain/apimachinery";
import { API_SERVER_USER } from "../auth/identity.ts";
import { demand } from "../auth/demand.ts";
import type { Authorizer, Pipeline } from "../pipeline/contract.ts";
import type { KubeletDialer } from "./kubelet-dialer.ts";
import type { UpgradeCall } from "./deps.ts";
import type { ResourceInfo } from "./request-info.ts";

export interface PodConnectDeps {
  readonly pipeline: Pipeline;
  readonly authorizer: Authorizer;
  readonly dialer: KubeletDialer;
}

interface ObjectName {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** Rejects with StatusError, NotFound among them. */
export async function fetchObject<T>(
  { pipeline }: Pick<PodConnectDeps, "pipeline">,
  target: ObjectName,
  signal: AbortSignal,
): Promise<T> {
  const fixed = { user: API_SERVER_USER, group: "", version: "v1", subresource: "", options: {}, signal };
  const result = await pipeline.handle({ ...fixed, ...target, verb: "get" });
  if (result.type !== "object") throw newNotFound({ group: "", resource: target.resource }, target.name);
  return result.object.object as T;
}

export function fetchPod(deps: PodConnectDeps, info: ResourceInfo, signal: AbortSignal): Promise<Pod> {
  return fetchObject<Pod>(deps, { resource: "pods", namespace: info.namespace, name: info.name }, signal);
}

export function fetchNode(deps: Pick<PodConnectDeps, "pipeline">, name: string, signal: AbortSignal): Promise<Node> {
  return fetchObject<Node>(deps, { resource: "nodes", namespace: "", name }, signal);
}

/** Throws, or rejects with, Forbidden. */
export function authorizeConnect(
  { authorizer }: Pick<PodConnectDeps, "authorizer">,
  info: ResourceInfo,
  call: Pick<UpgradeCall, "user" | "audit" | "signal">,
  verb: string,
): void | Promise<void> {
  const { user, audit } = call;
  const { group, version, resource, subresource, namespace, name } = info;
  const attributes = { user, verb, group, version, resource, subresource, namespace, name };
  return demand(authorizer, attributes, audit && ((key, value) => audit.annotate(key, value)), call);
}
