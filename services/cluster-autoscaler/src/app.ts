// The cluster autoscaler: as many nodes as the pods need. One of several processes leads; its writes carry the proof.
import {
  DAEMON_SETS,
  NODES,
  POD_DISRUPTION_BUDGETS,
  PODS,
  type DaemonSet,
  type Node,
  type Pod,
  type PodDisruptionBudget,
} from "@coxswain/api";
import type { EventRecorder, InformerFactory, LeaderElector, ResourceClient } from "@coxswain/client";
import type { BaseDeps, ComponentApp } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import { Autoscaler } from "./autoscaler.ts";
import { autoscalerMetrics } from "./autoscaler-metrics.ts";
import type { CloudProvider } from "./cloud-provider.ts";
import { BY_NODE } from "./observe.ts";
import { DEFAULT_OPTIONS, type AutoscalerOptions } from "./options.ts";
import type { Placement } from "./placement.ts";

export interface ClusterAutoscalerDeps extends BaseDeps {
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
  readonly recorder: EventRecorder;
  readonly elector: LeaderElector;
  readonly identity: string;
  readonly provider: CloudProvider;
  readonly placement: Placement;
  readonly options?: Partial<AutoscalerOptions>;
}

/** A leader whose scans have failed for this long is not well, as upstream's --max-failing-time. */
const MAX_FAILING_MS = 15 * 60_000;

export function createClusterAutoscaler(deps: ClusterAutoscalerDeps): ComponentApp {
  const { env, client, elector, informers, recorder } = deps;
  const nodes = informers.informer<Node>(NODES);
  const pods = informers.informer<Pod>(PODS);
  const budgets = informers.informer<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS);
  const daemonSets = informers.informer<DaemonSet>(DAEMON_SETS);
  pods.addIndex(BY_NODE, (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []));
  const autoscaler = new Autoscaler({
    ...deps,
    metrics: autoscalerMetrics(deps.metrics),
    client: client.fenced(() => elector.fence()),
    listers: { nodes: nodes.lister, pods: pods.lister, budgets: budgets.lister, daemonSets: daemonSets.lister },
    options: { ...DEFAULT_OPTIONS, ...deps.options },
  });
  let ledSinceMs = 0;
  const synced = (): boolean => [nodes, pods, budgets, daemonSets].every((informer) => informer.hasSynced());
  const failing = (): boolean => {
    const last = Math.max(ledSinceMs, autoscaler.lastSuccessMs ?? 0);
    return elector.isLeader() && env.clock.monotonic() - last > MAX_FAILING_MS;
  };
  return {
    grpcServices: [],
    checks: {
      "informer-sync": () => (synced() ? undefined : "informers have not synced"),
      "live-scan": () => (failing() ? "no scan has succeeded for 15 minutes" : undefined),
    },
    leader: () => elector.isLeader(),
    facts: () => ({ identity: deps.identity, groups: String(autoscaler.groups) }),
    async run(signal) {
      informers.start(signal);
      try {
        await informers.waitForSync(signal);
        await elector.run((leading) => {
          ledSinceMs = env.clock.monotonic();
          return autoscaler.run(leading);
        }, signal);
      } catch (error) {
        if (!isAbort(error) || !signal.aborted) throw error;
      }
      await recorder.flush();
      try {
        await deps.provider.cleanup();
      } catch (error) {
        deps.logger.debug({ err: error }, "the provider did not hear that this is the end");
      }
    },
  };
}
