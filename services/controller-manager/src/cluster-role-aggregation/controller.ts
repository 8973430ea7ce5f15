// Keeps the rules of aggregated ClusterRoles true to the roles that they are made of.
import { CLUSTER_ROLES, type ClusterRole } from "@coxswain/api";
import { deepEqual, isReason } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { planAggregation } from "./plan.ts";

export function createAggregationController(context: ControllerContext): ManagedController {
  const { client, informers } = context;
  const roles = informers.informer<ClusterRole>(CLUSTER_ROLES);

  async function reconcile(name: string): Promise<void> {
    const role = roles.lister.get(name);
    if (role?.aggregationRule === undefined || role.metadata?.deletionTimestamp !== undefined) return;
    const rules = planAggregation(role, roles.lister.list());
    if (rules === undefined) return;
    try {
      await client.update(CLUSTER_ROLES, { ...role, rules });
    } catch (error) {
      // The cache's next change leads back here.
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController({ name: "clusterrole-aggregation-controller", reconcile }, context);
  /** A role may be a part of any of them. */
  const enqueueAll = (): void => {
    for (const role of roles.lister.list()) {
      if (role.aggregationRule !== undefined) controller.enqueue(role.metadata?.name ?? "");
    }
  };
  roles.addHandler({
    add: enqueueAll,
    update(role, old) {
      const what = ({ rules, aggregationRule, metadata }: ClusterRole) => [rules, aggregationRule, metadata?.labels];
      if (!deepEqual(what(role), what(old))) enqueueAll();
    },
    delete: enqueueAll,
  });
  return { controller };
}
