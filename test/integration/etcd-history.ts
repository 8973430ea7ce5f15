// What etcd says happened to a kind of object: the reference that watches and informers are compared with, read in one piece with
// no api-server in between.
import type { KubeObject } from "@coxswain/apimachinery";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { createEtcdStorage, type StorageEvent } from "@coxswain/storage";

export interface EtcdPlace {
  /** host:port */
  readonly endpoint: string;
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** An event as its line of the history. */
export const historyLine = (type: string, uid: string, rv: string | bigint): string => `${uid} ${type} ${rv}`;

/** The lines of all events under `prefix` after version `from`, up to `until`. */
export async function etcdHistory(
  { endpoint, tls: { ca, cert, key } }: EtcdPlace,
  prefix: string,
  from: string,
  until: string,
): Promise<string[]> {
  const storage = createEtcdStorage({
    env: createRealEnv(),
    logger: silentLogger,
    endpoints: [endpoint],
    tls: { ca: Buffer.from(ca), cert: Buffer.from(cert), key: Buffer.from(key) },
  });
  const uids = new Map<string, string>();
  const history: string[] = [];
  const stop = new AbortController();
  const take = ({ type, key: at, value, rv }: StorageEvent): void => {
    const known = uids.get(at);
    if (type === "delete") {
      uids.delete(at);
      history.push(historyLine("DELETED", known ?? "unknown", rv));
      return;
    }
    const { uid } = (JSON.parse(value!.toString()) as KubeObject).metadata!;
    uids.set(at, uid!);
    history.push(historyLine(known === undefined ? "ADDED" : "MODIFIED", uid!, rv));
  };
  const onBatch = (batch: { events: readonly StorageEvent[]; throughRv: bigint }): void => {
    for (const event of batch.events) if (event.key.startsWith(prefix)) take(event);
    if (batch.throughRv >= BigInt(until)) stop.abort();
  };
  await storage.watch(BigInt(from), { onBatch }, stop.signal);
  await storage.close();
  return history;
}
