// The disruption controller: keeps in each PodDisruptionBudget's status how many pods may be evicted now. Guarantees: the status
// is written with the version that it was computed from, so that no eviction that was counted meanwhile is forgotten; where the
// number of replicas cannot be known, nothing may be evicted, and the budget says why.
import { POD_DISRUPTION_BUDGETS, type Pod, type PodDisruptionBudget, type Scale } from "@coxswain/api";
import {
  deepEqual,
  isReason,
  labelSelectorAsSelector,
  objectKey,
  parseApiVersion,
  type OwnerReference,
} from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import { createKindLookup } from "../custom-resources/custom-resources.ts";
import { BY_NAMESPACE, type ControllerContext, type ManagedController } from "../controller-context.ts";
import { controllerOf } from "../ownership/controller-ref.ts";
import { isPodReady } from "../pods/pod-state.ts";
import { printSelector } from "../pods/print-selector.ts";
import { planBudget, type BudgetFacts } from "./plan.ts";

type Expected = BudgetFacts["expectedScale"];

/** What of a pod counts for a budget. */
const counts = (pod: Pod): unknown => [pod.metadata?.deletionTimestamp !== undefined, isPodReady(pod)];

/** True for a budget that is about the replicas that there should be, not about the pods that there are. */
function countsReplicas({ spec }: PodDisruptionBudget): boolean {
  return spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === "string";
}

function unmanagedMessage({ spec }: PodDisruptionBudget): string {
  const found = `Pods selected by this PodDisruptionBudget (selector: ${printSelector(spec?.selector)}) were found to be unmanaged.`;
  const result =
    "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior.";
  return `${found} ${result} To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.`;
}

export function createDisruptionController(context: ControllerContext): ManagedController {
  const { caches, client, env, informers, recorder } = context;
  const budgets = informers.informer<PodDisruptionBudget>(POD_DISRUPTION_BUDGETS);
  const kindOf = createKindLookup(informers);
  budgets.addIndex(BY_NAMESPACE, (budget) => [budget.metadata?.namespace ?? ""]);

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const budget = budgets.lister.get(key);
    if (budget === undefined || budget.metadata?.deletionTimestamp !== undefined) return undefined;
    const pods = podsOf(budget);
    const facts = { nowMs: env.clock.now(), pods, expectedScale: await expectedScale(budget, pods) };
    const about = { ...budget, apiVersion: "policy/v1", kind: "PodDisruptionBudget" };
    if (pods.length === 0) recorder.event(about, "Normal", "NoPods", "No matching pods found");
    if (typeof facts.expectedScale !== "number") {
      const message = `Failed to calculate the number of expected pods: ${facts.expectedScale.failure}`;
      recorder.event(about, "Warning", "CalculateExpectedPodCountFailed", message);
    } else if (countsReplicas(budget) && pods.some((pod) => controllerOf(pod) === undefined)) {
      recorder.event(about, "Warning", "UnmanagedPods", unmanagedMessage(budget));
    }
    const { status, recheckInMs, notDeleted } = planBudget(budget, facts);
    for (const name of notDeleted) {
      const pod = pods.find(({ metadata }) => metadata?.name === name);
      const message = `Pod was expected by PDB ${objectKey(budget)} to be deleted but it wasn't`;
      if (pod !== undefined)
        recorder.event({ ...pod, apiVersion: "v1", kind: "Pod" }, "Warning", "NotDeleted", message);
    }
    if (!deepEqual(status, budget.status)) await store({ ...budget, status });
    return recheckInMs === undefined ? undefined : { requeueAfterMs: recheckInMs + 1 };
  }

  async function store(budget: PodDisruptionBudget): Promise<void> {
    try {
      await client.update(POD_DISRUPTION_BUDGETS, budget, { subresource: "status" });
    } catch (error) {
      // An eviction was counted meanwhile: the cache's next change leads back here.
      if (!isReason(error, "Conflict", "NotFound")) throw error;
    }
  }

  function podsOf(budget: PodDisruptionBudget): Pod[] {
    if (budget.spec?.selector === undefined) return [];
    const selector = labelSelectorAsSelector(budget.spec.selector);
    const all = caches.pods.lister.byIndex(BY_NAMESPACE, budget.metadata?.namespace ?? "");
    return all.filter((pod) => selector.matches(pod.metadata?.labels));
  }

  /** Asked only where the budget is about replicas and not about a number of pods. */
  async function expectedScale(budget: PodDisruptionBudget, pods: readonly Pod[]): Promise<Expected> {
    if (!countsReplicas(budget)) return pods.length;
    const owners = new Map<string, OwnerReference>();
    for (const pod of pods) {
      const owner = controllerOf(pod);
      if (owner === undefined) {
        // Nobody knows how many such pods there should be: they do not count.
        continue;
      }
      owners.set(owner.uid, owner);
    }
    const namespace = pods[0]?.metadata?.namespace ?? "";
    let total = 0;
    // Several ReplicaSets of one Deployment are one set of replicas.
    const seen = new Set<string>();
    for (const owner of owners.values()) {
      const found = await scaleOf(namespace, owner);
      if ("failure" in found) return found;
      if (seen.has(found.uid)) continue;
      seen.add(found.uid);
      total += found.replicas;
    }
    return total;
  }

  async function scaleOf(
    namespace: string,
    owner: OwnerReference,
  ): Promise<{ uid: string; replicas: number } | { failure: string }> {
    const rs = owner.kind === "ReplicaSet" ? caches.replicaSets.lister.get(`${namespace}/${owner.name}`) : undefined;
    const above = rs === undefined ? undefined : controllerOf(rs);
    if (above?.kind === "Deployment") {
      const deployment = caches.deployments.lister.get(`${namespace}/${above.name}`);
      if (deployment !== undefined) return { uid: above.uid, replicas: deployment.spec?.replicas ?? 1 };
    }
    if (rs !== undefined) return { uid: owner.uid, replicas: rs.spec?.replicas ?? 1 };
    return await scaleByName(namespace, owner);
  }

  /** Of a controller that the caches do not hold: by its scale subresource. */
  async function scaleByName(namespace: string, owner: OwnerReference) {
    const { group, version } = parseApiVersion(owner.apiVersion);
    const kind = kindOf({ group, version, kind: owner.kind });
    const named = `${owner.kind}.${group === "" ? "core" : group} ${JSON.stringify(owner.name)}`;
    if (kind === undefined) return { failure: `found no scale of ${named}` };
    try {
      const target = { namespace, name: owner.name };
      const scale = await client.get<Scale>(kind.ref, target, { subresource: "scale" });
      return { uid: owner.uid, replicas: scale.spec?.replicas ?? 0 };
    } catch (error) {
      if (isReason(error, "NotFound", "MethodNotAllowed")) {
        return { failure: `${named} does not implement the scale subresource` };
      }
      throw error;
    }
  }

  const controller = createController({ name: "disruption-controller", reconcile }, context);
  const enqueueFor = (pod: Pod): void => {
    for (const budget of budgets.lister.byIndex(BY_NAMESPACE, pod.metadata?.namespace ?? "")) {
      const selector = budget.spec?.selector;
      if (selector !== undefined && labelSelectorAsSelector(selector).matches(pod.metadata?.labels)) {
        controller.enqueue(objectKey(budget));
      }
    }
  };
  budgets.addHandler({
    add: (budget) => controller.enqueue(objectKey(budget)),
    update: (budget) => controller.enqueue(objectKey(budget)),
  });
  caches.pods.addHandler({
    add: enqueueFor,
    update(pod, old) {
      const relabelled = !deepEqual(pod.metadata?.labels, old.metadata?.labels);
      if (!relabelled && deepEqual(counts(pod), counts(old))) return;
      if (relabelled) enqueueFor(old);
      enqueueFor(pod);
    },
    delete: enqueueFor,
  });
  return { controller };
}
