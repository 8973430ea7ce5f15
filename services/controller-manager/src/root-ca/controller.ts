// Publishes the cluster's CA in every namespace, as ConfigMap kube-root-ca.crt, and puts back what others change there.
import { CONFIG_MAPS, type ConfigMap } from "@coxswain/api";
import { deepEqual, isReason, StatusError } from "@coxswain/apimachinery";
import { doublingBuckets } from "@coxswain/component-base";
import { createController } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { isNamespaceTerminating } from "../writes/namespace-terminating.ts";

const BUCKETS = doublingBuckets(0.001, 15);
const NAME = "kube-root-ca.crt";
const DESCRIPTION = "kubernetes.io/description";
const DESCRIPTION_TEXT =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/** What the ConfigMap should be; undefined where it is right already. */
export function planRootCa(namespace: string, rootCa: string, present: ConfigMap | undefined): ConfigMap | undefined {
  const data = { "ca.crt": rootCa };
  const annotations = { ...present?.metadata?.annotations, [DESCRIPTION]: DESCRIPTION_TEXT };
  const metadata = { ...present?.metadata, name: NAME, namespace, annotations };
  const wanted: ConfigMap = { ...present, apiVersion: "v1", kind: "ConfigMap", metadata, data };
  if (present === undefined) return wanted;
  return deepEqual(present.data, data) && deepEqual(present.metadata?.annotations, annotations) ? undefined : wanted;
}

export function createRootCaController(context: ControllerContext, rootCa: string): ManagedController {
  const { caches, client, env, metrics } = context;
  const syncs = metrics.counter("root_ca_cert_publisher_sync_total", "Looks at namespaces.", ["code"]);
  const seconds = metrics.histogram(
    "root_ca_cert_publisher_sync_duration_seconds",
    "Time of a look at a namespace.",
    BUCKETS,
    ["code"],
  );

  async function reconcile(namespace: string): Promise<void> {
    const began = env.clock.monotonic();
    let code = "200";
    try {
      await sync(namespace);
    } catch (error) {
      code = String(error instanceof StatusError ? error.code : 500);
      throw error;
    } finally {
      syncs.inc({ code });
      seconds.observe((env.clock.monotonic() - began) / 1000, { code });
    }
  }

  async function sync(namespace: string): Promise<void> {
    if (caches.namespaces.lister.get(namespace)?.status?.phase !== "Active") return;
    const present = caches.configMaps.lister.get(`${namespace}/${NAME}`);
    const wanted = planRootCa(namespace, rootCa, present);
    if (wanted === undefined) return;
    try {
      if (present === undefined) await client.create(CONFIG_MAPS, wanted, { namespace });
      else await client.update(CONFIG_MAPS, wanted);
    } catch (error) {
      if (!isReason(error, "AlreadyExists") && !isNamespaceTerminating(error)) throw error;
    }
  }
  const controller = createController({ name: "root-ca-certificate-publisher-controller", reconcile }, context);
  caches.namespaces.addHandler({
    add: (namespace) => controller.enqueue(namespace.metadata?.name ?? ""),
    update: (namespace) => controller.enqueue(namespace.metadata?.name ?? ""),
  });
  const changed = (map: ConfigMap): void => {
    if (map.metadata?.name === NAME) controller.enqueue(map.metadata.namespace ?? "");
  };
  caches.configMaps.addHandler({ update: changed, delete: changed });
  return { controller };
}
