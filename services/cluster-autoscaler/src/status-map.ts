// Keeps the ConfigMap kube-system/cluster-autoscaler-status, which is also what events about groups are about.
import { isReason, type KubeObject } from "@coxswain/apimachinery";
import { CONFIG_MAPS, type ConfigMap } from "@coxswain/api";
import type { ResourceClient } from "@coxswain/client";

const NAMESPACE = "kube-system";
const NAME = "cluster-autoscaler-status";
const UPDATED = "cluster-autoscaler.kubernetes.io/last-updated";

export class StatusMap {
  readonly #client: ResourceClient;
  #stored: ConfigMap = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: NAME, namespace: NAMESPACE } };

  constructor(client: ResourceClient) {
    this.#client = client;
  }

  get object(): KubeObject {
    return this.#stored;
  }

  async write(status: string, nowMs: number): Promise<void> {
    const time = new Date(nowMs).toISOString();
    const metadata = { name: NAME, namespace: NAMESPACE, annotations: { [UPDATED]: time } };
    const wanted: ConfigMap = { apiVersion: "v1", kind: "ConfigMap", metadata, data: { status } };
    try {
      const target = { name: NAME, namespace: NAMESPACE };
      const present = await this.#client.get<ConfigMap>(CONFIG_MAPS, target);
      const { resourceVersion, uid } = present.metadata ?? {};
      const annotations = { ...present.metadata?.annotations, ...metadata.annotations };
      const next = { ...wanted, metadata: { ...metadata, annotations, resourceVersion, uid } };
      this.#stored = await this.#client.update<ConfigMap>(CONFIG_MAPS, next);
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
      this.#stored = await this.#client.create<ConfigMap>(CONFIG_MAPS, wanted);
    }
  }
}
