// Tells kubelets, by an annotation of their Node, how long they may believe what they know of Secrets and ConfigMaps: the longer
// the larger the cluster.
import { NODES } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";

const ANNOTATION = "node.alpha.kubernetes.io/ttl";
const MERGE = "application/merge-patch+json";

/** Seconds by the number of nodes. Steps overlap, so that a cluster that breathes does not change its mind all the time. */
const STEPS = [
  { fewest: 0, most: 100, seconds: 0 },
  { fewest: 90, most: 500, seconds: 15 },
  { fewest: 450, most: 1_000, seconds: 30 },
  { fewest: 900, most: 2_000, seconds: 60 },
  { fewest: 1_800, most: Number.POSITIVE_INFINITY, seconds: 300 },
] as const;

/** The step for so many nodes, coming from `step`. */
export function nextStep(step: number, nodes: number): number {
  let next = step;
  while (nodes > (STEPS[next]?.most ?? 0) && next < STEPS.length - 1) next++;
  while (nodes < (STEPS[next]?.fewest ?? 0) && next > 0) next--;
  return next;
}

export function createNodeTtlController(context: ControllerContext): ManagedController {
  const { caches, client } = context;
  let step = 0;

  async function reconcile(name: string): Promise<void> {
    const node = caches.nodes.lister.get(name);
    const ttl = String(STEPS[step]?.seconds ?? 0);
    if (node === undefined || node.metadata?.annotations?.[ANNOTATION] === ttl) return;
    try {
      const { uid } = node.metadata ?? {};
      await client.patch(NODES, { name }, MERGE, { metadata: { uid, annotations: { [ANNOTATION]: ttl } } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController({ name: "ttl-controller", workers: 5, reconcile }, context);
  caches.nodes.addHandler({
    add(node) {
      step = nextStep(step, caches.nodes.lister.size);
      controller.enqueue(node.metadata?.name ?? "");
    },
    update: (node) => controller.enqueue(node.metadata?.name ?? ""),
    delete: () => void (step = nextStep(step, caches.nodes.lister.size)),
  });
  return { controller };
}
