// A Lease in kube-system for each api-server, by which one can see which there are, and those of api-servers that are gone taken away.
// Guarantee: one that another has written meanwhile, or taken away, is written anew.
// https://kubernetes.io/docs/concepts/architecture/leases/#api-server-identity
import { createHash } from "node:crypto";
import { LEASES, type Lease } from "@coxswain/api";
import { formatMicroTime, isReason } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { BaseDeps } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { ObjectSource } from "../pipeline/extension.ts";

const NAMESPACE = "kube-system";
const IDENTITY_LABEL = "apiserver.kubernetes.io/identity";
const HOST_LABEL = "kubernetes.io/hostname";
const COMPONENT = "kube-apiserver";
const RENEW_MS = 10_000;
const COLLECT_MS = 3_600_000;
const DURATION_SECONDS = 3_600;

export interface IdentityLeaseDeps extends Pick<BaseDeps, "env" | "logger"> {
  readonly client: ResourceClient;
  readonly source: ObjectSource;
  /** Of this api-server among others; the same after a restart. */
  readonly id: string;
  readonly hostname: string;
}

/** As upstream names them: of the same length and alphabet. */
export function identityLeaseName(id: string): string {
  return `apiserver-${BigInt(`0x${createHash("sha256").update(id).digest("hex")}`)
    .toString(36)
    .slice(0, 26)}`;
}

/** Whether nobody has renewed it for as long as it lasts. */
export function hasExpired({ spec }: Lease, nowMs: number): boolean {
  const renewedMs = Date.parse(spec?.renewTime ?? "");
  if (Number.isNaN(renewedMs)) return true;
  return renewedMs + (spec?.leaseDurationSeconds ?? 0) * 1000 < nowMs;
}

/** Runs until `signal` aborts. */
export async function runIdentityLease(deps: IdentityLeaseDeps, signal: AbortSignal): Promise<void> {
  const { env, logger } = deps;
  const holder = `${identityLeaseName(deps.id)}_${env.random.uuid()}`;
  let collectedMs = env.clock.monotonic();
  while (!signal.aborted) {
    try {
      await renew(deps, holder);
      if (env.clock.monotonic() - collectedMs >= COLLECT_MS) {
        collectedMs = env.clock.monotonic();
        await collect(deps);
      }
    } catch (error) {
      if (signal.aborted || isAbort(error)) break;
      logger.debug({ err: error }, "the lease of this api-server was not renewed, will try again");
    }
    await env.timers.sleep(RENEW_MS, signal).catch((error: unknown) => {
      if (!isAbort(error)) throw error;
    });
  }
}

async function renew({ env, client, source, id, hostname }: IdentityLeaseDeps, holder: string): Promise<void> {
  const name = identityLeaseName(id);
  const present: Lease | undefined = source.get(LEASES, NAMESPACE, name)?.object;
  const renewTime = formatMicroTime(env.clock.now());
  const metadata = {
    ...present?.metadata,
    name,
    namespace: NAMESPACE,
    labels: { ...present?.metadata?.labels, [IDENTITY_LABEL]: COMPONENT, [HOST_LABEL]: hostname },
  };
  const spec = { ...present?.spec, holderIdentity: holder, leaseDurationSeconds: DURATION_SECONDS, renewTime };
  const lease: Lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
  if (present === undefined) await client.create(LEASES, lease);
  else await client.update(LEASES, lease);
}

/** Of api-servers that have not renewed theirs. */
async function collect({ env, client, source }: IdentityLeaseDeps): Promise<void> {
  for (const { object } of source.list(LEASES, NAMESPACE)) {
    const { metadata = {} } = object;
    if (metadata.labels?.[IDENTITY_LABEL] !== COMPONENT || !hasExpired(object, env.clock.now())) continue;
    const { uid = "", resourceVersion = "" } = metadata;
    try {
      await client.delete(
        LEASES,
        { namespace: NAMESPACE, name: metadata.name ?? "" },
        { preconditions: { uid, resourceVersion } },
      );
    } catch (error) {
      if (!isReason(error, "NotFound", "Conflict")) throw error;
    }
  }
}
