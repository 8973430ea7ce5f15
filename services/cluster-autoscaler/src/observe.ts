// Looks at the cluster and at the provider, once a scan.
import type { DaemonSet, Node, Pod, PodDisruptionBudget } from "@coxswain/api";
import type { Lister } from "@coxswain/client";
import type { CloudProvider } from "./cloud-provider.ts";
import type { GroupFacts } from "./group-state.ts";
import { hasTaint, isReady, nameOf, providerNode, templateOf, TO_BE_DELETED } from "./node-facts.ts";

export interface Listers {
  readonly nodes: Lister<Node>;
  readonly pods: Lister<Pod>;
  readonly budgets: Lister<PodDisruptionBudget>;
  readonly daemonSets: Lister<DaemonSet>;
}

/** The index of pods by the node that they are on. */
export const BY_NODE = "node";

/** All groups as they are now. Rejects where the provider does not answer. */
export async function observeGroups(provider: CloudProvider, nodes: readonly Node[]): Promise<GroupFacts[]> {
  await provider.refresh();
  const groups = await provider.nodeGroups();
  const ofNode = await Promise.all(nodes.map((node) => provider.groupForNode(providerNode(node))));
  return Promise.all(
    groups.map(async (group) => {
      const mine = nodes
        .filter((_, at) => ofNode[at] === group.id)
        .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
      const [targetSize, instances] = await Promise.all([provider.targetSize(group.id), provider.instances(group.id)]);
      // A real node knows best what its like are; without one the provider has to say.
      const model = mine.find((node) => isReady(node) && !hasTaint(node, TO_BE_DELETED));
      const template = model === undefined ? await provider.template(group.id) : templateOf(model, group.id);
      return { group, targetSize, instances, nodes: mine, template };
    }),
  );
}

/** The pods that a fresh node gets by itself: one of each DaemonSet, as its controller would make it. */
export function daemonPods(sets: readonly DaemonSet[]): Pod[] {
  return sets
    .filter(({ metadata }) => metadata?.deletionTimestamp === undefined)
    .flatMap(({ metadata, spec }) => {
      const template = spec?.template;
      if (template?.spec === undefined || template.spec === null) return [];
      const { name = "", namespace = "" } = metadata ?? {};
      const schedulerName = template.spec.schedulerName ?? "default-scheduler";
      return [
        {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { name, namespace, labels: template.metadata?.labels },
          spec: { ...template.spec, schedulerName },
        },
      ];
    });
}
