// Creates per second, 64 at once, 2.5 KB values: our etcd storage with group commits on and off, beside plain etcd3
// compare-and-put, all in one run against one etcd. Only ratios carry over to other machines.
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage } from "@coxswain/storage";
import { startEtcd } from "@coxswain/storage/testing/etcd-server";
import { createPlainEtcd3 } from "@coxswain/storage/testing/plain-etcd3";

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

if (import.meta.main) {
  const figures = await run();
  const line = (name: string, rate: number): string =>
    `${name.padEnd(34)} ${String(rate).padStart(7)}/s  ${(rate / figures.etcd3).toFixed(1)}x`;
  console.log(`creates of 2.5 KB, ${AT_ONCE} at once`);
  console.log(line("etcd3, compare and put", figures.etcd3));
  console.log(line("storage, one by one", figures.single));
  console.log(line("storage, group commits", figures.grouped));
}
