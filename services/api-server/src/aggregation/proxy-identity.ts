// Tells extension api-servers how to know this api-server and its users: the ConfigMap extension-apiserver-authentication in
// kube-system. Guarantee: it is there, and right, soon after the process can write.
// https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/
import { X509Certificate } from "node:crypto";
import { CONFIG_MAPS } from "@coxswain/api";
import type { ConfigMap } from "@coxswain/api";
import { isReason } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { BaseDeps } from "@coxswain/component-base";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import { isAbort } from "@coxswain/env";

const WHERE = { namespace: "kube-system", name: "extension-apiserver-authentication" };
const RETRY_MS = 1_000;

interface ProxyIdentityDeps extends Pick<BaseDeps, "env" | "logger"> {
  readonly client: ResourceClient;
  readonly clientTls: TlsMaterial;
}

/** Throws where the certificate cannot be read. */
export function proxyIdentity({ ca, cert }: TlsMaterial): Record<string, string> {
  const [, name = ""] = /^CN=(.*)$/m.exec(new X509Certificate(cert).subject) ?? [];
  return {
    "client-ca-file": String(ca),
    "requestheader-allowed-names": JSON.stringify([name]),
    "requestheader-client-ca-file": String(ca),
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-uid-headers": '["X-Remote-Uid"]',
    "requestheader-username-headers": '["X-Remote-User"]',
  };
}

async function publish(client: ResourceClient, data: Record<string, string>): Promise<void> {
  try {
    await client.create(CONFIG_MAPS, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { ...WHERE },
      data,
    });
    return;
  } catch (error) {
    if (!isReason(error, "AlreadyExists")) throw error;
  }
  const present = await client.get<ConfigMap>(CONFIG_MAPS, WHERE);
  const right = Object.entries(data).every(([key, value]) => present.data?.[key] === value);
  if (!right) await client.update(CONFIG_MAPS, { ...present, data: { ...present.data, ...data } });
}

/** Tries until it is done or `signal` aborts. */
export async function publishProxyIdentity(deps: ProxyIdentityDeps, signal: AbortSignal): Promise<void> {
  const { env, logger, client, clientTls } = deps;
  const data = proxyIdentity(clientTls);
  while (!signal.aborted) {
    try {
      await publish(client, data);
      return;
    } catch (error) {
      if (signal.aborted || isAbort(error)) return;
      logger.debug({ error: String(error) }, "could not publish the proxy's identity, will try again");
    }
    await env.timers.sleep(RETRY_MS, signal).catch((error: unknown) => {
      if (!isAbort(error)) throw error;
    });
  }
}
