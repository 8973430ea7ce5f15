// Keeps the signatures of kube-public/cluster-info true to the bootstrap tokens, and takes away tokens that have ended.
import { CONFIG_MAPS, SECRETS, type ConfigMap, type Secret } from "@coxswain/api";
import { isReason, objectKey } from "@coxswain/apimachinery";
import { createController, type ReconcileResult } from "@coxswain/controller-runtime";
import type { ControllerContext, ManagedController } from "../controller-context.ts";
import { expiresAtMs, INFO_NAME, INFO_NAMESPACE, isTokenSecret, planSignatures, TOKEN_NAMESPACE } from "./plan.ts";

const INFO_KEY = `${INFO_NAMESPACE}/${INFO_NAME}`;
/** A token may be made for longer than this process lives: its end is looked at again by then. */
const LONGEST_WAIT_MS = 3_600_000;

export function createBootstrapSigner(context: ControllerContext): ManagedController {
  const { caches, client, env, informers } = context;
  const secrets = informers.informer<Secret>(SECRETS);

  async function reconcile(): Promise<void> {
    const map = caches.configMaps.lister.get(INFO_KEY);
    const tokens = secrets.lister.list(TOKEN_NAMESPACE).filter(isTokenSecret);
    const signed = map === undefined ? undefined : planSignatures(map, tokens, env.clock.now());
    if (signed === undefined) return;
    try {
      await client.update(CONFIG_MAPS, signed);
    } catch (error) {
      // The cache's next change leads back here.
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }

  const controller = createController({ name: "bootstrap-signer-controller", reconcile }, context);
  const onMap = (map: ConfigMap): void => {
    if (objectKey(map) === INFO_KEY) controller.enqueue(INFO_KEY);
  };
  caches.configMaps.addHandler({ add: onMap, update: onMap });
  const onSecret = (secret: Secret): void => {
    if (isTokenSecret(secret)) controller.enqueue(INFO_KEY);
  };
  secrets.addHandler({ add: onSecret, update: onSecret, delete: onSecret });
  return { controller };
}

export function createTokenCleaner(context: ControllerContext): ManagedController {
  const { client, env, informers } = context;
  const secrets = informers.informer<Secret>(SECRETS);

  async function reconcile(key: string): Promise<ReconcileResult | void> {
    const secret = secrets.lister.get(key);
    const endMs = secret === undefined ? undefined : expiresAtMs(secret);
    if (secret === undefined || endMs === undefined) return undefined;
    const leftMs = endMs - env.clock.now();
    if (leftMs > 0) return { requeueAfterMs: Math.min(LONGEST_WAIT_MS, leftMs) };
    const { namespace, name = "", uid } = secret.metadata ?? {};
    try {
      await client.delete(SECRETS, { namespace, name }, { preconditions: { uid } });
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
    return undefined;
  }

  const controller = createController({ name: "token-cleaner-controller", reconcile }, context);
  const enqueue = (secret: Secret): void => {
    if (isTokenSecret(secret)) controller.enqueue(objectKey(secret));
  };
  secrets.addHandler({ add: enqueue, update: enqueue });
  return { controller };
}
