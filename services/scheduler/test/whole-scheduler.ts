// A whole scheduler over a cluster in memory, under virtual time.
import { createEventRecorder, createInformerFactory, createLeaderElector } from "@coxswain/client";
import type { MemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import type { VirtualEnv } from "@coxswain/env";
import { createScheduler } from "../src/app.ts";

type Deps = Parameters<typeof createScheduler>[0];

/** Not running yet; it contends for the lease that every scheduler does. */
export function schedulerOn(
  env: VirtualEnv,
  cluster: MemoryCluster,
  { identity = "s1", ...more }: Partial<Deps> = {},
): ReturnType<typeof createScheduler> {
  const client = cluster.client(identity);
  const recorder = createEventRecorder({ env, client, component: "default-scheduler" });
  const lease = { namespace: "kube-system", name: "kube-scheduler", identity };
  const elector = createLeaderElector(lease, { env, client, logger: silentLogger });
  const informers = createInformerFactory({ env, client, logger: silentLogger });
  const base = { env, logger: silentLogger, metrics: noMetrics };
  return createScheduler({ ...base, client, recorder, elector, informers, identity, ...more });
}

/** Lets virtual time pass until the call has its answer. */
export async function answerOf<T>(env: VirtualEnv, call: Promise<T>): Promise<T> {
  let settled = false;
  const note = (): void => void (settled = true);
  call.then(note, note);
  await env.runUntil(() => settled, env.elapsedMs + 60_000);
  return call;
}
