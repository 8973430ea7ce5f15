// What a caller of the kubelet's HTTPS API must be allowed: a subresource of the kubelet's Node, as upstream's kubelet asks.
// Guarantee: a path that is not known needs nodes/proxy, the right to everything.
// https://kubernetes.io/docs/reference/access-authn-authz/kubelet-authn-authz/#kubelet-authorization
import type { IncomingMessage } from "node:http";
import { StatusError } from "@coxswain/apimachinery";
import type { AuthHook } from "@coxswain/component-base/delegated-auth";
import { requestCredentials } from "@coxswain/component-base/http-endpoints";

const VERBS: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** The subresources of which any one is enough. Pure. */
export function subresourcesOf(path: string): readonly string[] {
  const below = (root: string): boolean => path === root || path.startsWith(`${root}/`);
  if (below("/stats")) return ["stats"];
  if (below("/metrics")) return ["metrics"];
  if (below("/logs")) return ["log"];
  if (below("/checkpoint")) return ["checkpoint"];
  if (below("/statusz")) return ["statusz"];
  if (below("/flagz")) return ["flagz"];
  if (below("/pods") || below("/runningpods")) return ["pods", "proxy"];
  if (below("/healthz")) return ["healthz", "proxy"];
  if (below("/configz")) return ["configz", "proxy"];
  return ["proxy"];
}

/** Throws StatusError Unauthorized or Forbidden. `node` is "" where several nodes share the process. */
export async function requireNodeRight(
  auth: AuthHook,
  request: IncomingMessage,
  path: string,
  node: string,
): Promise<void> {
  const user = await auth.authenticate(requestCredentials(request));
  if (user === undefined) throw new StatusError("Unauthorized", 401, "Unauthorized");
  const verb = VERBS[request.method ?? "GET"] ?? (request.method ?? "").toLowerCase();
  const subresources = subresourcesOf(path);
  for (const subresource of subresources) {
    const resource = { group: "", version: "v1", resource: "nodes", subresource, name: node, namespace: "" };
    if ((await auth.authorize(user, { verb, path, resource })).allowed) return;
  }
  const told = `user=${user.username}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(" ")}]`;
  throw new StatusError("Forbidden", 403, `Forbidden (${told})\n`);
}
