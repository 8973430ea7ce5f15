// Takes away requests for certificates that have outlived their use.
import { CERTIFICATE_SIGNING_REQUESTS, type CertificateSigningRequest } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { disposableAtMs } from "./plan.ts";

/** Upstream looks once an hour; a timer of a day may be longer than this process lives, so neither is it set at once. */
const LONGEST_WAIT_MS = 3_600_000;

export function createCertificateCleaner(context: ControllerContext): ManagedController {
  const { client, env, informers } = context;
  const requests = informers.informer<CertificateSigningRequest>(CERTIFICATE_SIGNING_REQUESTS);

  async function reconcile(name: string): Promise<ReconcileResult | void> {
    const request = requests.lister.get(name);
    const atMs = request === undefined ? undefined : disposableAtMs(request);
    if (request === undefined || atMs === undefined) return undefined;
    const waitMs = atMs - env.clock.now();
    if (waitMs >= 0) return { requeueAfterMs: Math.min(LONGEST_WAIT_MS, waitMs + 1) };
    const { uid, resourceVersion } = request.metadata ?? {};
    const preconditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
    try {
      await client.delete(CERTIFICATE_SIGNING_REQUESTS, { name }, { preconditions });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  }

  const controller = createController({ name: "certificatesigningrequest-cleaner-controller", reconcile }, context);
  const enqueue = (request: CertificateSigningRequest): void => controller.enqueue(request.metadata?.name ?? "");
  requests.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}
