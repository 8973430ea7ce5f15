// Invariant of quotas: a namespace has no more objects of a kind than a ResourceQuota lets it have, from when the quota has counted
// them first.
import type { ResourceQuota } from "@coxswain/api";
import { parseQuantity } from "@coxswain/apimachinery";
import type { Invariant } from "./invariant.ts";
import { OK } from "./invariant.ts";

const COUNT = "count/";

export function quotasHold(): Invariant {
  return {
    name: "quotas-hold",
    check({ ref, object, old }, state) {
      if (object === undefined || old !== undefined || ref.group !== "") return OK;
      const { namespace } = object.metadata ?? {};
      const name = COUNT + ref.resource;
      const bounds = state
        .list<ResourceQuota>("resourcequotas")
        .filter((quota) => quota.metadata?.namespace === namespace && quota.status?.used?.[name] !== undefined)
        .map((quota) => ({
          quota: quota.metadata?.name,
          most: Number(parseQuantity(quota.spec?.hard?.[name] ?? "0")),
        }));
      const there = state.list(ref.resource).filter((one) => one.metadata?.namespace === namespace).length;
      return bounds
        .filter(({ most }) => there > most)
        .map(({ quota, most }) => `${namespace} has ${there} ${ref.resource}; the quota ${quota} lets it have ${most}`);
    },
  };
}
