// The plugins that come with the scheduler, and the profiles made of them.
import { defaultPreemption } from "../plugins/default-preemption.ts";
import { dynamicResources } from "../plugins/dynamic-resources.ts";
import { imageLocality } from "../plugins/image-locality.ts";
import { interPodAffinity } from "../plugins/inter-pod-affinity.ts";
import { nodeAffinity } from "../plugins/node-affinity.ts";
import { nodeName } from "../plugins/node-name.ts";
import { nodePorts } from "../plugins/node-ports.ts";
import { nodeResourcesBalancedAllocation } from "../plugins/node-resources-balanced-allocation.ts";
import { nodeResourcesFit } from "../plugins/node-resources-fit.ts";
import { nodeUnschedulable } from "../plugins/node-unschedulable.ts";
import { podTopologySpread } from "../plugins/pod-topology-spread.ts";
import { prioritySort } from "../plugins/priority-sort.ts";
import { schedulingGates } from "../plugins/scheduling-gates.ts";
import { taintToleration } from "../plugins/taint-toleration.ts";
import { nodeVolumeLimits } from "../plugins/node-volume-limits.ts";
import { volumeBinding } from "../plugins/volume-binding.ts";
import { volumeRestrictions } from "../plugins/volume-restrictions.ts";
import { volumeZone } from "../plugins/volume-zone.ts";
import type { Plugin, Profile, WeightedPlugin } from "./contract.ts";

const weighted = (plugin: Plugin, weight = 0): WeightedPlugin => ({ plugin, weight });

/** The order and the weights of upstream's default profile. */
export const DEFAULT_PLUGINS: readonly WeightedPlugin[] = [
  weighted(schedulingGates),
  weighted(prioritySort),
  weighted(nodeUnschedulable),
  weighted(nodeName),
  weighted(taintToleration, 3),
  weighted(nodeAffinity, 2),
  weighted(nodePorts),
  weighted(nodeResourcesFit, 1),
  weighted(volumeRestrictions),
  weighted(nodeVolumeLimits),
  weighted(volumeBinding),
  weighted(volumeZone),
  weighted(podTopologySpread, 2),
  weighted(interPodAffinity, 2),
  weighted(dynamicResources, 2),
  weighted(defaultPreemption),
  weighted(nodeResourcesBalancedAllocation, 1),
  weighted(imageLocality, 1),
];

export const DEFAULT_SCHEDULER_NAME = "default-scheduler";

export const DEFAULT_PROFILES: readonly Profile[] = [
  { schedulerName: DEFAULT_SCHEDULER_NAME, plugins: DEFAULT_PLUGINS },
];

/** Throws RangeError where two profiles have one name, or a profile names a plugin twice or has no QueueSort. */
export function checkProfiles(profiles: readonly Profile[]): void {
  const names = profiles.map((profile) => profile.schedulerName);
  if (profiles.length === 0 || new Set(names).size !== names.length) {
    throw new RangeError(`profiles: need distinct scheduler names, got [${names.join(", ")}]`);
  }
  for (const profile of profiles) {
    const plugins = profile.plugins.map((one) => one.plugin.name);
    const twice = plugins.find((name, at) => plugins.indexOf(name) !== at);
    if (twice !== undefined) throw new RangeError(`profile ${profile.schedulerName}: plugin ${twice} is named twice`);
    const sorts = profile.plugins.filter((one) => one.plugin.less !== undefined).length;
    if (sorts !== 1) throw new RangeError(`profile ${profile.schedulerName}: needs one QueueSort plugin, has ${sorts}`);
  }
}
