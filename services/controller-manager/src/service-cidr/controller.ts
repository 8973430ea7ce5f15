// The ServiceCIDR controller: says when a range may be used, and keeps it while addresses of it are in use.
import { IP_ADDRESSES, SERVICE_CIDRS, type IPAddress, type ServiceCIDR } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { FINALIZER, planServiceCidr } from "./plan.ts";

const MERGE = "application/merge-patch+json";

export function createServiceCidrController(context: ControllerContext): ManagedController {
  const { client, env, informers, recorder } = context;
  const cidrs = informers.informer<ServiceCIDR>(SERVICE_CIDRS);
  const addresses = informers.informer<IPAddress>(IP_ADDRESSES);

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const cidr = cidrs.lister.get(name);
    if (cidr === undefined) return undefined;
    const plan = planServiceCidr(cidr, cidrs.lister.list(), addresses.lister.list(), env.clock.now());
    if (plan.do === "wait") return { requeueAfterMs: plan.ms };
    try {
      if (plan.do === "store") await store(plan.object);
      else if (plan.do === "add finalizer") await patchFinalizers(cidr, (present) => [...present, FINALIZER]);
      else if (plan.do === "remove finalizer") {
        await patchFinalizers(cidr, (present) => present.filter((one) => one !== FINALIZER));
      }
    } catch (error) {
      // The cache's next change leads back here.
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  }

  async function store(cidr: ServiceCIDR): Promise<void> {
    try {
      await client.update(SERVICE_CIDRS, cidr, { subresource: "status" });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) {
        const about = { ...cidr, apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR" };
        const message = "The ServiceCIDR Status can not be set to Ready=True";
        recorder.event(about, "Warning", "KubernetesServiceCIDRError", message);
      }
      throw error;
    }
  }

  async function patchFinalizers(
    { metadata = {} }: ServiceCIDR,
    change: (present: string[]) => string[],
  ): Promise<void> {
    const { name = "", uid, resourceVersion, finalizers = [] } = metadata;
    const patch = { metadata: { uid, resourceVersion, finalizers: change(finalizers) } };
    await client.patch(SERVICE_CIDRS, { name }, MERGE, patch);
  }

  const controller = createController({ name: "service-cidr-controller", workers: 5, reconcile }, context);
  const enqueueAll = (): void => {
    for (const cidr of cidrs.lister.list()) controller.enqueue(cidr.metadata?.name ?? "");
  };
  // What one range holds may keep, or free, another.
  cidrs.addHandler({ add: enqueueAll, update: enqueueAll, delete: enqueueAll });
  const enqueueLeaving = (): void => {
    for (const { metadata } of cidrs.lister.list()) {
      if (metadata?.deletionTimestamp !== undefined) controller.enqueue(metadata.name ?? "");
    }
  };
  addresses.addHandler({ add: enqueueLeaving, delete: enqueueLeaving });
  return { controller };
}
