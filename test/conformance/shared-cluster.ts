// What a test sees of a running cluster: REST as the administrator or anybody else, the real kubectl, namespaces of its own.
import { readFileSync } from "node:fs";
import path from "node:path";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage } from "@coxswain/storage";
import { eventually, kubectlOf, type ClusterPlace, type Kubectl } from "../integration/cluster-fixture.ts";
import { ApiError, createRest, type Rest, type Thing } from "./rest-client.ts";

export interface SharedCluster {
  readonly place: ClusterPlace;
  /** As the administrator. */
  readonly api: Rest;
  /** The real kubectl, as the administrator. */
  readonly kubectl: Kubectl["kubectl"];
  readonly ok: Kubectl["ok"];
  readonly apply: Kubectl["apply"];
  readonly start: Kubectl["start"];
  /** As the holder of a token, or as nobody. The caller closes it. */
  readonly as: (token: string | undefined) => Rest;
  /** A new namespace that has its default ServiceAccount; its name begins with `word`. */
  readonly namespace: (word: string, labels?: Record<string, string>) => Promise<string>;
  /** Makes etcd forget all history, as it does by itself after some minutes. */
  readonly compact: () => Promise<void>;
}

export function connectCluster(place: ClusterPlace): SharedCluster {
  const file = (name: string): string => readFileSync(path.join(place.pki, name), "utf8");
  const ca = file("ca.crt");
  const api = createRest(place.apiServer, { ca, cert: file("admin.crt"), key: file("admin.key") });
  const cache = path.join(place.pki, "../kubectl-cache");
  return {
    place,
    api,
    ...kubectlOf(place.kubectl, { KUBECONFIG: place.kubeconfig, KUBECACHEDIR: cache }),
    as: (token) => createRest(place.apiServer, token === undefined ? { ca } : { ca, token }),
    namespace: async (word, labels = {}) => {
      const wish = { apiVersion: "v1", kind: "Namespace", metadata: { generateName: `${word}-`, labels } };
      const name = (await api.resource("v1", "namespaces").create(wish)).metadata.name ?? "";
      await eventually(
        () => found(api.resource("v1", "serviceaccounts", name).get("default")),
        (account) => account !== undefined,
      );
      return name;
    },
    compact: async () => {
      const pem = (name: string): Buffer => Buffer.from(file(name));
      const tls = { ca: pem("ca.crt"), cert: pem("api-server-client.crt"), key: pem("api-server-client.key") };
      const storage = createEtcdStorage({ env: createRealEnv(), logger: silentLogger, endpoints: [place.etcd], tls });
      await storage.compact(await storage.currentRv());
      await storage.close();
    },
  };
}

/** What was asked for, or undefined where the server says that it is not there. */
export async function found<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError && error.code === 404) return undefined;
    throw error;
  }
}

/** Waits until the object is gone. */
export async function gone(ask: () => Promise<Thing>, withinMs?: number): Promise<void> {
  await eventually(
    () => found(ask()),
    (object) => object === undefined,
    withinMs,
  );
}
