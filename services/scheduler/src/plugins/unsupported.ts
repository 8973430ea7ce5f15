// What a pod may ask for and this scheduler cannot honour yet. Such a pod is refused by name and stays Pending: to ignore
// a constraint would place the pod where its author forbade it. The plugins carry the names of upstream's that do the work.
import type { Pod } from "@coxswain/api";
import type { Plugin, PreFilterOutcome } from "../framework/contract.ts";

function refusal(name: string, asks: (pod: Pod) => string | undefined): Plugin {
  return {
    name,
    preFilter(cycle): PreFilterOutcome {
      const what = asks(cycle.info.pod);
      if (what === undefined) return { kind: "skip" };
      const reasons = [`pod uses ${what}, which this scheduler does not support yet`];
      return { kind: "reject", rejection: { code: "UnschedulableAndUnresolvable", reasons } };
    },
  };
}

/** Also says what upstream's plugin says of every pod without claims that fits nowhere. */
export const dynamicResources: Plugin = {
  ...refusal("DynamicResources", (pod) =>
    (pod.spec?.resourceClaims ?? []).length > 0 ? "spec.resourceClaims" : undefined,
  ),
  postFilter: () => ({ code: "Unschedulable", message: "no new claims to deallocate" }),
};
