// Plays the user: makes objects, changes them while things break, tries again until it has an answer. It remembers what was
// acknowledged, so that the end of the run can be held against it.
import type { ConfigMap, Deployment, Service } from "@coxswain/api";
import { CONFIG_MAPS, DEPLOYMENTS, SERVICES } from "@coxswain/api";
import { isReason, mayHaveLanded, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Env } from "@coxswain/env";
import { SIMULATE_ANNOTATION } from "@coxswain/kubelet/cri/simulated/behaviour";

const RETRY_MS = 250;
export const NAMESPACE = "default";

/** What a writer that works alone knows of an object of its own. */
interface Ledger {
  /** The newest write that was answered. */
  acknowledged: number;
  /** The newest write that was sent. */
  sent: number;
}

export class Driver {
  readonly #env: Env;
  readonly #client: ResourceClient;
  readonly #ledgers = new Map<string, Ledger>();

  constructor(env: Env, client: ResourceClient) {
    this.#env = env;
    this.#client = client;
  }

  /** Until it is there; `namespace` is "" for what is in none. */
  async create(ref: ResourceRef, object: KubeObject, namespace = NAMESPACE): Promise<void> {
    await this.#insist(async () => {
      try {
        await this.#client.create(ref, object, namespace === "" ? {} : { namespace });
      } catch (error) {
        // From an attempt before this one: nobody else makes these. A quota that it has filled is asked first.
        if (isReason(error, "Forbidden") && (await this.#exists(ref, namespace, object.metadata?.name ?? ""))) return;
        if (!isReason(error, "AlreadyExists")) throw error;
      }
    });
  }

  async #exists(ref: ResourceRef, namespace: string, name: string): Promise<boolean> {
    try {
      await this.#client.get(ref, { namespace, name });
      return true;
    } catch (error) {
      if (isReason(error, "NotFound", "Forbidden")) return false;
      throw error;
    }
  }

  /** Until the change has been made, once, on the version that was read: an attempt that got stuck cannot undo a later one. */
  async change(name: string, spec: Record<string, unknown>, ref: ResourceRef = DEPLOYMENTS): Promise<void> {
    await this.edit(ref, name, { spec });
  }

  /** The same of other parts than the spec. */
  async edit(ref: ResourceRef, name: string, change: Record<string, unknown>, namespace = NAMESPACE): Promise<void> {
    const target = namespace === "" ? { name } : { namespace, name };
    await this.#insist(async () => {
      const seen = await this.#client.get(ref, target);
      const patch = { metadata: { resourceVersion: seen.metadata?.resourceVersion }, ...change };
      await this.#client.patch(ref, target, "application/strategic-merge-patch+json", patch);
    });
  }

  /** Until the subresource is as `change` makes it of what was read; undefined: it needs no change. */
  async decide<T extends KubeObject>(
    ref: ResourceRef,
    name: string,
    subresource: string,
    change: (seen: T) => T | undefined,
  ): Promise<void> {
    await this.#insist(async () => {
      const next = change(await this.#client.get<T>(ref, { name }));
      if (next !== undefined) await this.#client.update<T>(ref, next, { subresource });
    });
  }

  /** The object as it is stored, once there is an answer. */
  async read<T extends KubeObject>(ref: ResourceRef, name: string, namespace = NAMESPACE): Promise<T> {
    let found: T | undefined;
    await this.#insist(async () => {
      found = await this.#client.get<T>(ref, namespace === "" ? { name } : { namespace, name });
    });
    return found!;
  }

  /** Until it is gone, or on its way. */
  async remove(
    ref: ResourceRef,
    name: string,
    propagationPolicy: "Background" | "Orphan",
    namespace = NAMESPACE,
  ): Promise<void> {
    await this.#insist(async () => {
      try {
        await this.#client.delete(ref, namespace === "" ? { name } : { namespace, name }, { propagationPolicy });
      } catch (error) {
        if (!isReason(error, "NotFound")) throw error;
      }
    });
  }

  /** One write of the ConfigMap `name`, once; a failure leaves it open whether it landed. */
  async writeOnce(name: string): Promise<void> {
    let ledger = this.#ledgers.get(name);
    if (ledger === undefined) this.#ledgers.set(name, (ledger = { acknowledged: 0, sent: 0 }));
    const value = ++ledger.sent;
    try {
      await this.#put(name, value);
      ledger.acknowledged = value;
    } catch (error) {
      if (!mayHaveLanded(error) && !isReason(error, "Conflict", "AlreadyExists", "NotFound")) throw error;
    }
  }

  async #put(name: string, value: number): Promise<void> {
    const data = { value: String(value) };
    let seen: ConfigMap | undefined;
    try {
      seen = await this.#client.get<ConfigMap>(CONFIG_MAPS, { namespace: NAMESPACE, name });
    } catch (error) {
      if (!isReason(error, "NotFound")) throw error;
    }
    if (seen === undefined) await this.#client.create(CONFIG_MAPS, { metadata: { name, namespace: NAMESPACE }, data });
    else await this.#client.update<ConfigMap>(CONFIG_MAPS, { ...seen, data });
  }

  /** What the store must hold of an acknowledged write, and does not. */
  lost(stored: (name: string) => ConfigMap | undefined): string[] {
    const lost: string[] = [];
    for (const [name, { acknowledged, sent }] of this.#ledgers) {
      const value = Number(stored(name)?.data?.["value"] ?? 0);
      if (value < acknowledged || value > sent) {
        lost.push(`configmap ${name} holds write ${value}; write ${acknowledged} was acknowledged, ${sent} were sent`);
      }
    }
    return lost;
  }

  async #insist(attempt: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await attempt();
        return;
      } catch (error) {
        // Forbidden and NotFound pass, too: default roles, namespaces and service accounts appear a moment after the start.
        const passing = mayHaveLanded(error) || isReason(error, "Conflict", "Forbidden", "NotFound");
        if (!passing) throw error;
      }
      await this.#env.timers.sleep(RETRY_MS);
    }
  }
}

export interface AppShape {
  readonly name: string;
  readonly replicas: number;
  readonly maxSurge: number | string;
  readonly maxUnavailable: number | string;
  readonly cpu: string;
  /** How long a container takes to pass its readiness probe, ms; undefined: it has none. */
  readonly readyAfterMs: number | undefined;
}

export const imageOf = (revision: number): string => `registry.example/app:${revision}`;

export function appDeployment(shape: AppShape): Deployment {
  const labels = { app: shape.name };
  const { readyAfterMs } = shape;
  const simulate = JSON.stringify({ app: { readyAfterMs } });
  const probe = { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 };
  return {
    metadata: { name: shape.name, namespace: NAMESPACE, labels },
    spec: {
      replicas: shape.replicas,
      selector: { matchLabels: labels },
      strategy: {
        type: "RollingUpdate",
        rollingUpdate: { maxSurge: shape.maxSurge, maxUnavailable: shape.maxUnavailable },
      },
      template: {
        metadata: {
          labels,
          ...(readyAfterMs === undefined ? {} : { annotations: { [SIMULATE_ANNOTATION]: simulate } }),
        },
        spec: {
          containers: [
            {
              name: "app",
              image: imageOf(1),
              ports: [{ containerPort: 8080 }],
              resources: { requests: { cpu: shape.cpu, memory: "64Mi" } },
              ...(readyAfterMs === undefined ? {} : { readinessProbe: probe }),
            },
          ],
        },
      },
    },
  };
}

export function appService(name: string): Service {
  return {
    metadata: { name, namespace: NAMESPACE },
    spec: { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  };
}

export const APP_REFS = { deployments: DEPLOYMENTS, services: SERVICES } as const;
