// What a connection is asked for with, as the object that admission sees: PodExecOptions and the like, read from the query. Pure.
// https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
import type { KubeObject } from "@coxswain/apimachinery";
import { queryFlag, type ResourceInfo } from "./request-info.ts";

const PROXIED: Readonly<Record<string, string>> = {
  pods: "PodProxyOptions",
  services: "ServiceProxyOptions",
  nodes: "NodeProxyOptions",
};

function terminal(query: URLSearchParams): object {
  const container = query.get("container");
  const flags = ["stdin", "stdout", "stderr", "tty"].filter((name) => queryFlag(query, name));
  return {
    ...Object.fromEntries(flags.map((name) => [name, true])),
    ...(container === null ? {} : { container }),
  };
}

/** Undefined where the request is no connection, as in the reading of a log. */
export function connectOptions({ group, resource, subresource, query, rest }: ResourceInfo): KubeObject | undefined {
  if (group !== "") return undefined;
  const made = (kind: string, more: object): KubeObject => ({ kind, apiVersion: "v1", ...more });
  const proxied = subresource === "proxy" ? PROXIED[resource] : undefined;
  if (proxied !== undefined) return made(proxied, { path: rest });
  if (resource !== "pods") return undefined;
  switch (subresource) {
    case "exec":
      return made("PodExecOptions", { ...terminal(query), command: query.getAll("command") });
    case "attach":
      return made("PodAttachOptions", terminal(query));
    case "portforward":
      return made("PodPortForwardOptions", { ports: query.getAll("ports").map(Number) });
    default:
      return undefined;
  }
}
