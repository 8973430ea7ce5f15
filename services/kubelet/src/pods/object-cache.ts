// ConfigMaps, Secrets, RuntimeClasses and CSIDrivers that pods name, fetched on demand and believed for a while: a kubelet may
// read what its pods use and nothing else, so there is no informer over all of them. Claims and volumes are read anew each time.
import {
  CONFIG_MAPS,
  CSI_DRIVERS,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  RESOURCE_CLAIMS,
  SECRETS,
  VOLUME_ATTACHMENTS,
  type ConfigMap,
  type CSIDriver,
  type DeviceResourceClaim,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type RuntimeClass,
  type Secret,
  type VolumeAttachment,
} from "@coxswain/api";
import { isReason, RecentMap, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Clock } from "@coxswain/env";

const RUNTIME_CLASSES: ResourceRef = { group: "node.k8s.io", version: "v1", resource: "runtimeclasses" };
const FRESH_MS = 10_000;
const MAX_ENTRIES = 2_000;

interface Entry {
  readonly value: Promise<KubeObject | undefined>;
  readonly atMs: number;
}

export class ObjectCache {
  readonly #client: ResourceClient;
  readonly #clock: Clock;
  readonly #entries = new RecentMap<string, Entry>(MAX_ENTRIES);

  constructor(client: ResourceClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Undefined where there is none; rejects where the api-server cannot be asked. */
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.#get(CONFIG_MAPS, namespace, name);
  }

  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#get(SECRETS, namespace, name);
  }

  runtimeClass(name: string): Promise<RuntimeClass | undefined> {
    return this.#get<RuntimeClass>(RUNTIME_CLASSES, "", name);
  }

  csiDriver(name: string): Promise<CSIDriver | undefined> {
    return this.#get<CSIDriver>(CSI_DRIVERS, "", name);
  }

  /** As it is now. */
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined> {
    return this.#fetch(PERSISTENT_VOLUME_CLAIMS, namespace, name);
  }

  /** As it is now. */
  volume(name: string): Promise<PersistentVolume | undefined> {
    return this.#fetch(PERSISTENT_VOLUMES, "", name);
  }

  /** As it is now. */
  volumeAttachment(name: string): Promise<VolumeAttachment | undefined> {
    return this.#fetch(VOLUME_ATTACHMENTS, "", name);
  }

  /** As it is now. */
  deviceClaim(namespace: string, name: string): Promise<DeviceResourceClaim | undefined> {
    return this.#fetch(RESOURCE_CLAIMS, namespace, name);
  }

  /** As it is now. */
  node(name: string): Promise<Node | undefined> {
    return this.#fetch(NODES, "", name);
  }

  /** Reads anew what this pod names: a pod that begins has what its author wrote before it. */
  renew(pod: Pod): void {
    const namespace = pod.metadata?.namespace ?? "";
    for (const { ref, name } of namedBy(pod)) this.#entries.delete(entryKey(ref, namespace, name));
  }

  #get<T extends KubeObject>(ref: ResourceRef, namespace: string, name: string): Promise<T | undefined> {
    const key = entryKey(ref, namespace, name);
    const known = this.#entries.get(key);
    const nowMs = this.#clock.monotonic();
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.value as Promise<T | undefined>;
    const value = this.#fetch<T>(ref, namespace, name);
    this.#entries.set(key, { value, atMs: nowMs });
    // What is missing or could not be read may be there the next moment.
    value.then(
      (found) => found === undefined && this.#forget(key, value),
      () => this.#forget(key, value),
    );
    return value;
  }

  #forget(key: string, value: Promise<unknown>): void {
    if (this.#entries.get(key)?.value === value) this.#entries.delete(key);
  }

  async #fetch<T extends KubeObject>(ref: ResourceRef, namespace: string, name: string): Promise<T | undefined> {
    try {
      return await this.#client.get<T>(ref, namespace === "" ? { name } : { namespace, name });
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }
}

function entryKey(ref: ResourceRef, namespace: string, name: string): string {
  return `${ref.resource}/${namespace}/${name}`;
}

/** The ConfigMaps and Secrets that volumes and variables of the pod come from. */
function namedBy(pod: Pod): { ref: ResourceRef; name: string }[] {
  const { volumes = [], initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const found: { ref: ResourceRef; name: string }[] = [];
  const add = (ref: ResourceRef, name: string | undefined): void => {
    if (name !== undefined) found.push({ ref, name });
  };
  for (const { configMap, secret, projected } of volumes) {
    add(CONFIG_MAPS, configMap?.name);
    add(SECRETS, secret?.secretName);
    for (const source of projected?.sources ?? []) {
      add(CONFIG_MAPS, source.configMap?.name);
      add(SECRETS, source.secret?.name);
    }
  }
  for (const { env = [], envFrom = [] } of [...initContainers, ...containers, ...ephemeralContainers]) {
    for (const { valueFrom } of env) {
      add(CONFIG_MAPS, valueFrom?.configMapKeyRef?.name);
      add(SECRETS, valueFrom?.secretKeyRef?.name);
    }
    for (const source of envFrom) {
      add(CONFIG_MAPS, source.configMapRef?.name);
      add(SECRETS, source.secretRef?.name);
    }
  }
  return found;
}
