// A Storage whose values lie encrypted in another. Guarantees: everybody above it sees plain values, everybody below it
// sealed ones, for exactly the resources that the configuration names; a value that cannot be opened fails the read that met
// it, with the name of its key, and is never passed on.
import type { Random } from "@coxswain/env";
import type { CommitResult, Mutation, Storage, StorageEvent, StorageEventBatch, StoredValue } from "@coxswain/storage";
import { parseStorageKey } from "../watch-cache/stored-form.ts";
import { splitResource, type EncryptionRule } from "./configuration.ts";
import { isSealed, Transformer } from "./transformer.ts";

/** Reads what was never configured, and refuses what somebody else has encrypted. */
const IDENTITY: EncryptionRule["providers"] = [{ cipher: "identity", keys: [] }];

export function encryptingStorage(inner: Storage, rules: readonly EncryptionRule[], random: Random): Storage {
  const transformerOf = createChoice(rules, random);
  const plain = rules.length === 0;
  const open = (item: StoredValue): StoredValue => {
    if (plain && !isSealed(item.value)) return item;
    const transformer = transformerOf(item.key);
    if (transformer === undefined) return item;
    const { value, stale } = transformer.open(item.key, item.value);
    if (value === item.value && !stale) return item;
    return stale ? { ...item, value, stale } : { ...item, value };
  };
  const seal = (mutation: Mutation): Mutation => {
    const transformer = mutation.op === "put" ? transformerOf(mutation.key) : undefined;
    if (transformer === undefined || mutation.op !== "put") return mutation;
    return { ...mutation, value: transformer.seal(mutation.key, mutation.value) };
  };
  const openEvent = (event: StorageEvent): StorageEvent => {
    if (event.value === undefined || (plain && !isSealed(event.value))) return event;
    const transformer = transformerOf(event.key);
    return transformer === undefined ? event : { ...event, value: transformer.open(event.key, event.value).value };
  };
  const openBatch = (batch: StorageEventBatch): StorageEventBatch => ({
    ...batch,
    events: batch.events.map(openEvent),
  });
  return {
    async get(key) {
      const found = await inner.get(key);
      return found === undefined ? undefined : open(found);
    },
    async list(options) {
      const page = await inner.list(options);
      return { ...page, items: page.items.map(open) };
    },
    async commit({ conditions, mutations }): Promise<CommitResult> {
      const result = await inner.commit({ conditions, mutations: plain ? mutations : mutations.map(seal) });
      if (result.committed) return result;
      return { ...result, current: result.current.map((item) => (item === undefined ? undefined : open(item))) };
    },
    async watch(sinceRv, handler, signal) {
      const failed = new AbortController();
      let failure: unknown;
      const onBatch = (batch: StorageEventBatch): void => {
        if (failed.signal.aborted) return;
        try {
          handler.onBatch(openBatch(batch));
        } catch (error) {
          failure = error;
          failed.abort();
        }
      };
      const onConnection = (connected: boolean): void => handler.onConnection?.(connected);
      await inner.watch(sinceRv, { onBatch, onConnection }, AbortSignal.any([signal, failed.signal]));
      if (failure !== undefined) throw failure;
    },
    currentRv: () => inner.currentRv(),
    compact: (rv) => inner.compact(rv),
    candidate: (name, id, ttlMs) => inner.candidate(name, id, ttlMs),
    ping: () => inner.ping(),
    close: () => inner.close(),
  };
}

/** The first rule that names a resource is its rule. Undefined for keys that are no object's. */
function createChoice(rules: readonly EncryptionRule[], random: Random): (key: string) => Transformer | undefined {
  const named = rules.map(({ resources, providers }) => ({
    names: resources.map(splitResource),
    transformer: new Transformer(providers, random),
  }));
  const plain = new Transformer(IDENTITY, random);
  const known = new Map<string, Transformer>();
  return (key) => {
    const parsed = parseStorageKey(key);
    if (parsed === undefined) return undefined;
    const id = `${parsed.resource}.${parsed.group}`;
    let found = known.get(id);
    if (found === undefined) {
      const matches = (name: { resource: string; group: string }): boolean =>
        (name.group === "*" || name.group === parsed.group) &&
        (name.resource === "*" || name.resource === parsed.resource);
      found = named.find(({ names }) => names.some(matches))?.transformer ?? plain;
      known.set(id, found);
    }
    return found;
  };
}
