// Which faults make no sense in which cluster: pure. A test that injects one of those is told so, in place of a result that
// says nothing about the parts that it is about.
import type { ClusterSpec } from "./cluster-spec.ts";
import type { ChaosAction } from "./supervisor.ts";

/** Why `action` on `component` is refused; undefined where it is not. */
export function chaosRefusal(
  { storage }: Pick<ClusterSpec, "storage">,
  action: ChaosAction,
  component: string,
): string | undefined {
  if (storage !== "memory") return undefined;
  if (component === "etcd") return `${action} etcd: Forbidden: with --storage memory the cluster has no etcd`;
  if (component === "api-server" && action === "kill")
    return "kill api-server: Forbidden: with --storage memory the cluster's objects would be lost with it; freeze it, or use --storage etcd";
  return undefined;
}
