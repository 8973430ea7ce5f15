// Keeps a ServiceAccount `default` in every active namespace.
import { SERVICE_ACCOUNTS, type ServiceAccount } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";

const NAME = "default";

export function createServiceAccountController(context: ControllerContext): ManagedController {
  const { caches, client } = context;
  async function reconcile(namespace: string): Promise<void> {
    const phase = caches.namespaces.lister.get(namespace)?.status?.phase;
    if (phase !== "Active" || caches.serviceAccounts.lister.get(`${namespace}/${NAME}`) !== undefined) return;
    const account: ServiceAccount = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: NAME, namespace } };
    try {
      await client.create(SERVICE_ACCOUNTS, account, { namespace });
    } catch (error) {
      if (!isReason(error, "AlreadyExists") && !isNamespaceTerminating(error)) throw error;
    }
  }
  const controller = createController({ name: "serviceaccount-controller", reconcile }, context);
  caches.namespaces.addHandler({
    add: (namespace) => controller.enqueue(namespace.metadata?.name ?? ""),
    update: (namespace) => controller.enqueue(namespace.metadata?.name ?? ""),
  });
  caches.serviceAccounts.addHandler({
    delete: (account) => {
      if (account.metadata?.name === NAME) controller.enqueue(account.metadata.namespace ?? "");
    },
  });
  return { controller };
}
