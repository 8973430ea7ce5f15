// coxswain.scheduler.v1.Scheduler: what a person may ask a scheduler, leader or not. All from its own snapshot and queue.
import { newBadRequest, newNotFound, objectKey } from "@coxswain/apimachinery";
import type { Pod } from "@coxswain/api";
import type { Lister } from "@coxswain/client";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import { structToJson } from "@coxswain/protos";
import type { DecisionInput } from "@coxswain/protos/scheduler-v1.gen";
import type { SchedulerParts } from "./app.ts";
import { explainPod } from "./explain.ts";
import { Framework } from "./framework/plan-schedule.ts";
import { makePodInfo } from "./pod-info.ts";
import { placingFrameworks, whatIf } from "./what-if.ts";

/** The service over the live parts of a scheduler. */
export function schedulerService(parts: SchedulerParts, pods: Lister<Pod>): GrpcService {
  const { queue, snapshot, schedule, deps } = parts;
  // Frameworks of their own: an answer must not move the place where the next decision starts to look.
  const frameworks = new Map(
    [...parts.frameworks].map(([name, framework]) => [name, new Framework(framework.profile)]),
  );

  const placing = placingFrameworks(parts.frameworks);

  function decide(pod: Pod): DecisionInput {
    const info = makePodInfo(pod);
    const name = pod.spec?.schedulerName || "default-scheduler";
    const framework = frameworks.get(name);
    if (framework === undefined) {
      throw newBadRequest(`spec.schedulerName: ${name} is not a profile of this scheduler`);
    }
    return explainPod(framework, info, snapshot, schedule);
  }

  function explain(pod: Pod): DecisionInput {
    const node = pod.spec?.nodeName;
    const key = objectKey(pod);
    if (node) {
      return {
        namespace: pod.metadata?.namespace ?? "",
        pod: pod.metadata?.name ?? "",
        outcome: "Bound",
        node,
        message: `Successfully assigned ${key} to ${node}`,
        queue: "none",
      };
    }
    const queued = queue.get(key);
    return { ...decide(pod), queue: queued?.queue ?? "none", attempts: queued?.attempts ?? 0 };
  }

  return implementService("coxswain.scheduler.v1.Scheduler", {
    explain: async ({ namespace, name }) => {
      const pod = pods.get(`${namespace || "default"}/${name}`);
      if (pod === undefined) throw newNotFound({ group: "", resource: "pods" }, name);
      return { decision: explain(pod) };
    },
    simulate: async ({ pod }) => {
      const manifest = structToJson(pod) as unknown as Pod;
      if (!Array.isArray(manifest.spec?.containers)) throw newBadRequest("pod.spec.containers: Required value");
      manifest.metadata = { namespace: "default", name: "simulated", ...manifest.metadata };
      return { decision: decide(manifest) };
    },
    whatIf: async (request) =>
      whatIf({ snapshot, frameworks: placing, schedule, pod: (key) => pods.get(key) }, request),
    getQueue: async () => ({
      leading: deps.elector.isLeader(),
      pods: queue.list().map((pod) => ({
        namespace: pod.info.namespace,
        name: pod.info.name,
        queue: pod.queue,
        attempts: pod.attempts,
        priority: pod.info.priority,
        unschedulablePlugins: [...pod.unschedulablePlugins].toSorted(),
      })),
    }),
  });
}
