// Creates per second, 64 at once, 2.5 KB: through an api-server's gRPC and at the storage alone, each with group commits on
// and off, beside plain etcd3 compare-and-put, all in one run. Only ratios carry over to other machines.
import { CONFIG_MAPS } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage } from "@coxswain/storage";
import { startEtcd } from "@coxswain/storage/testing/etcd-server";
import { createPlainEtcd3 } from "@coxswain/storage/testing/plain-etcd3";
import { startControlPlane } from "../integration/control-plane-fixture.ts";
import { report, type Figure } from "./figures.ts";

const AT_ONCE = 64;
const VALUE = Buffer.alloc(2_500, "x");

export interface GroupCommitFigures {
  /** Creates per second. */
  readonly grouped: number;
  readonly single: number;
  readonly etcd3: number;
}

const env = createRealEnv();

/** Runs `create` for `durationMs`, 64 at once, and returns how many a second were done. */
async function measure(durationMs: number, create: (n: number) => Promise<void>): Promise<number> {
  let done = 0;
  const start = env.clock.monotonic();
  const work = async (): Promise<void> => {
    while (env.clock.monotonic() - start < durationMs) await create(done++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return Math.round((done * 1000) / (env.clock.monotonic() - start));
}

/** Measures each way twice for `durationMs`, in turns, and returns the better run of each. */
export async function run(durationMs = 3_000): Promise<GroupCommitFigures> {
  const server = await startEtcd();
  const endpoints = [server.endpoint];
  const grouped = createEtcdStorage({ env, logger: silentLogger, endpoints });
  const single = createEtcdStorage({ env, logger: silentLogger, endpoints, groupCommit: false });
  const plain = createPlainEtcd3(endpoints);
  const through =
    (storage: typeof grouped, area: string) =>
    async (n: number): Promise<void> => {
      const key = `/bench/${area}/${n}`;
      const { committed } = await storage.commit({
        conditions: [{ key, is: "absent" }],
        mutations: [{ op: "put", key, value: VALUE }],
      });
      if (!committed) throw new Error(`${key} was there already`);
    };
  const throughEtcd3 =
    (area: string) =>
    async (n: number): Promise<void> => {
      const key = `/bench/${area}/${n}`;
      if (!(await plain.create(key, VALUE))) throw new Error(`${key} was there already`);
    };
  const best = { grouped: 0, single: 0, etcd3: 0 };
  try {
    for (const turn of ["1", "2"]) {
      best.etcd3 = Math.max(best.etcd3, await measure(durationMs, throughEtcd3(`etcd3-${turn}`)));
      best.single = Math.max(best.single, await measure(durationMs, through(single, `single-${turn}`)));
      best.grouped = Math.max(best.grouped, await measure(durationMs, through(grouped, `grouped-${turn}`)));
    }
    return best;
  } finally {
    plain.close();
    await Promise.all([grouped.close(), single.close()]);
    await server.stop();
  }
}

/** Creates per second through gRPC: one api-server process on an etcd of its own. */
export async function runThroughGrpc(apiServerArgs: readonly string[], durationMs = 3_000): Promise<number> {
  await using plane = await startControlPlane({ apiServerArgs });
  const client = plane.client();
  const data = { value: VALUE.toString() };
  const create = async (n: number): Promise<void> => {
    await client.create(CONFIG_MAPS, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `bench-${n}`, namespace: "default" },
      data,
    } as KubeObject);
  };
  try {
    let made = 0;
    // The first turn warms the process up.
    await measure(durationMs / 2, () => create(made++));
    return await measure(durationMs, () => create(made++));
  } finally {
    await client.close();
  }
}

if (import.meta.main) {
  const { etcd3, single, grouped } = await run();
  const grpcGrouped = await runThroughGrpc([]);
  const grpcSingle = await runThroughGrpc(["--no-group-commit"]);
  const figure = (name: string, value: number): Figure => ({
    name,
    value,
    unit: "creates/s",
    aim: null,
    against: etcd3,
    met: true,
  });
  report("group-commit", [
    { ...figure("plain etcd3, compare and put", etcd3), against: null },
    figure("storage, one by one", single),
    figure("storage, group commits", grouped),
    figure("gRPC create, one by one", grpcSingle),
    figure("gRPC create, group commits", grpcGrouped),
  ]);
}
