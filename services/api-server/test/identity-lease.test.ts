// The lease by which one sees an api-server, and the end of those of others.
import { LEASES, type Lease } from "@coxswain/api";
import { formatMicroTime } from "@coxswain/apimachinery";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import { hasExpired, identityLeaseName, runIdentityLease } from "../src/identity/identity-lease.ts";
import type { ObjectSource } from "../src/pipeline/extension.ts";

const HOUR_MS = 3_600_000;

function setup() {
  const env = new VirtualEnv({ seed: 1 });
  const cluster = createMemoryCluster({ env });
  const leases = (): Lease[] => cluster.objects<Lease>(LEASES);
  const source = {
    get: (_ref: unknown, _namespace: string, name: string) => {
      const object = leases().find(({ metadata }) => metadata?.name === name);
      return object === undefined ? undefined : { object };
    },
    list: () => leases().map((object) => ({ object })),
  } as unknown as ObjectSource;
  const stop = new AbortController();
  const start = (id: string) =>
    runIdentityLease(
      { env, logger: silentLogger, client: cluster.client(), source, id, hostname: "machine" },
      stop.signal,
    );
  return { env, cluster, leases, start, stop };
}

test("an api-server has a lease of its own and renews it, whoever takes it away", async () => {
  const { env, cluster, leases, start, stop } = setup();
  const running = start("machine_0");
  const name = identityLeaseName("machine_0");
  expect(name).toMatch(/^apiserver-[a-z0-9]{26}$/);
  expect(await env.runUntil(() => leases().length === 1, 5_000)).toBe(true);
  const [first] = leases();
  expect(first).toMatchObject({
    metadata: {
      name,
      namespace: "kube-system",
      labels: { "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": "machine" },
    },
    spec: { leaseDurationSeconds: 3600, holderIdentity: expect.stringMatching(`^${name}_`) as string },
  });
  expect(await env.runUntil(() => leases()[0]?.spec?.renewTime !== first?.spec?.renewTime, 20_000)).toBe(true);
  const removed = cluster.client().delete(LEASES, { namespace: "kube-system", name });
  await env.advance(1_000);
  await removed;
  expect(leases()).toEqual([]);
  expect(await env.runUntil(() => leases().length === 1, env.elapsedMs + 20_000)).toBe(true);
  stop.abort();
  await env.advance(1);
  await running;
});

test("leases of api-servers that are gone end, and no others", async () => {
  const { env, cluster, leases, start, stop } = setup();
  const seed = (name: string, labels: Record<string, string>): Lease =>
    cluster.seed<Lease>(LEASES, {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name, namespace: "kube-system", labels },
      spec: { leaseDurationSeconds: 3600, renewTime: formatMicroTime(env.clock.now()) },
    });
  seed("apiserver-gone", { "apiserver.kubernetes.io/identity": "kube-apiserver" });
  seed("kube-scheduler", {});
  const running = start("machine_0");
  const names = (): string[] => leases().map(({ metadata }) => String(metadata?.name));
  await env.advance(HOUR_MS / 2);
  expect(names()).toContain("apiserver-gone");
  expect(await env.runUntil(() => !names().includes("apiserver-gone"), 3 * HOUR_MS)).toBe(true);
  expect(new Set(names())).toEqual(new Set([identityLeaseName("machine_0"), "kube-scheduler"]));
  stop.abort();
  await env.advance(1);
  await running;
});

test("a lease that says nothing of when it was renewed is over", () => {
  expect(hasExpired({}, 0)).toBe(true);
  expect(hasExpired({ spec: { renewTime: "1970-01-01T00:00:10.000000Z", leaseDurationSeconds: 5 } }, 14_000)).toBe(
    false,
  );
  expect(hasExpired({ spec: { renewTime: "1970-01-01T00:00:10.000000Z", leaseDurationSeconds: 5 } }, 16_000)).toBe(
    true,
  );
});
