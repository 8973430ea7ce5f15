// What the api-server can do on 2.5 KB pods, each figure beside its limit measured in the same run: plain etcd3 for writes,
// a bare node:http server (no TLS, no authorization, ready bytes) for reads and watches. Only ratios carry over to other
// machines. COXSWAIN_BENCH_SCALE=0.1 makes everything smaller for a trial.
import { createRestClient } from "./api/rest-client.ts";
import { startLoad } from "./api/load-process.ts";
import * as measures from "./api/measures.ts";
import { NAMESPACE } from "./api/bench-pod.ts";
import { startControlPlane } from "../integration/control-plane-fixture.ts";
import { report, type Figure } from "./figures.ts";

const SCALE = Number(process.env["COXSWAIN_BENCH_SCALE"] ?? 1);
const scaled = (count: number): number => Math.max(1, Math.round(count * SCALE));
const CONNECTIONS = 64;

interface Aim {
  /** Of the limit, at least (or at most, where less is better). */
  readonly ratio: number;
  readonly less?: boolean;
}

function beside(name: string, unit: string, value: number, against: number, aim: Aim): Figure {
  const ratio = value / against;
  const round = (number: number): number => (number >= 100 ? Math.round(number) : Number(number.toFixed(2)));
  return {
    name,
    value: round(value),
    unit,
    aim: round(aim.ratio * against),
    against: round(against),
    met: aim.less === true ? ratio <= aim.ratio : ratio >= aim.ratio,
  };
}

function below(name: string, unit: string, value: number, aim: number): Figure {
  return { name, value: Number(value.toFixed(1)), unit, aim, against: null, met: value <= aim };
}

/** Says on standard error what has been measured: all of it takes minutes. */
async function step<T>(name: string, measured: Promise<T>): Promise<T> {
  const value = await measured;
  console.error(`${name}: ${JSON.stringify(value)}`);
  return value;
}

async function served(): Promise<Figure[]> {
  await using plane = await startControlPlane();
  const client = plane.client();
  const origin = `https://127.0.0.1:${plane.process("api-server/0").spec.ports.main}`;
  const rest = createRestClient({ origin, tls: plane.tls("admin"), connections: CONNECTIONS });
  await using bare = await startLoad({ role: "bare-server" });
  const bareOrigin = `http://127.0.0.1:${await bare.ask<number>("port")}`;
  const bareRest = createRestClient({ origin: bareOrigin, connections: CONNECTIONS });
  const bench = { plane, client, rest, bare, bareRest, durationMs: scaled(4_000) };
  try {
    await measures.makeNamespace(client, NAMESPACE);
    const creates = await step("creates", measures.creates(bench));
    const gets = await step("gets", measures.gets(bench));
    const lists = await step("lists", measures.lists(bench, scaled(10_000)));
    const listeners = scaled(1_000);
    const watches = await step("watches", measures.watches(bench, listeners, scaled(300)));
    const feed = await step("feed", measures.feedCost(bench, listeners, scaled(300)));
    return [
      beside("creates through gRPC, 64 at once", "creates/s", creates.grpc, creates.etcd3, { ratio: 1 }),
      beside("creates through REST and TLS, 64 at once", "creates/s", creates.rest, creates.etcd3, { ratio: 1 }),
      beside("GET of one pod, 64 at once", "GETs/s", gets.ours, gets.bare, { ratio: 0.5 }),
      beside(`LIST of ${scaled(10_000)} pods`, "ms", lists.ours, lists.bare, { ratio: 2, less: true }),
      below("longest block of the event loop by LISTs", "ms", lists.block, 20),
      beside(`deliveries to ${listeners} REST watchers`, "events/s", watches.ours, watches.bare, { ratio: 0.7 }),
      beside(`CPU a change, ${listeners} listeners: NATS, beside gRPC`, "ms", feed.nats, feed.grpc, {
        ratio: 0.3,
        less: true,
      }),
    ];
  } finally {
    await Promise.all([client.close(), rest.close(), bareRest.close()]);
  }
}

async function started(): Promise<Figure[]> {
  await using plane = await startControlPlane();
  const client = plane.client();
  try {
    const count = scaled(50_000);
    const { readyMs, podBytes } = await step("starts", measures.starts({ plane, client }, count));
    return [
      below("resident memory of a stored pod", "bytes", podBytes, 6 * 1024),
      below(`api-server start to /readyz with ${count} pods`, "ms", readyMs, 3_000),
    ];
  } finally {
    await client.close();
  }
}

report("api", [...(await served()), ...(await started())]);
