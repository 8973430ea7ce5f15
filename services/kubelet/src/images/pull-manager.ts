// Remembers what the kubelet of one node pulled, and for whom. Guarantees: an image that was, or may have been, pulled with a Secret
// is used without a pull only by pods that have a Secret that would do; an image that the kubelet did not pull is for everybody, and
// is never collected. A crash in the middle of a pull counts as a pull by nobody knows whom.
import { formatTime } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Clock } from "@coxswain/env";
import type { Cri } from "../cri/contract.ts";
import { parseImageName } from "../cri/image-name.ts";
import {
  accessOf,
  canBePulledAgain,
  emptyRecord,
  withPull,
  type PulledRecord,
  type PullSecret,
} from "./pull-records.ts";

/** Where records outlive the process. */
export interface PullRecordStore {
  load(): Promise<{ readonly intents: readonly string[]; readonly records: readonly PulledRecord[] }>;
  writeIntent(image: string): Promise<void>;
  removeIntent(image: string): Promise<void>;
  writeRecord(record: PulledRecord): Promise<void>;
  removeRecord(imageRef: string): Promise<void>;
}

export interface PullManagerDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cri: Pick<Cri, "listImages">;
  /** Absent: records end with the process, as the images of a simulated node do. */
  readonly store?: PullRecordStore;
}

export interface StoredImage {
  readonly id: string;
  readonly names: readonly string[];
}

export class PullManager {
  readonly #deps: PullManagerDeps;
  /** Pulls under way, by image; 0 where an earlier process began one and nobody knows how it ended. */
  readonly #intents = new Map<string, number>();
  readonly #records = new Map<string, PulledRecord>();
  #loaded: Promise<void> | undefined;

  constructor(deps: PullManagerDeps) {
    this.#deps = deps;
  }

  /** Before an image is pulled. Throws where that cannot be written down: then it must not be. */
  async intend(image: string): Promise<void> {
    await this.#load();
    await this.#deps.store?.writeIntent(image);
    this.#intents.set(image, (this.#intents.get(image) ?? 0) + 1);
  }

  /** Of an intent: the image is there, pulled with this secret, or as nobody. */
  async pulled(image: string, imageRef: string, by: PullSecret | "everybody"): Promise<void> {
    try {
      await this.#record(image, imageRef, by);
    } catch (error) {
      // The intent stays, so that the image still counts as pulled.
      this.#deps.logger.error({ err: error, image, imageRef }, "that an image was pulled could not be written down");
      return;
    }
    await this.failed(image);
  }

  /** Of an intent: nothing came of it. */
  async failed(image: string): Promise<void> {
    const count = this.#intents.get(image) ?? 0;
    if (count > 1) {
      this.#intents.set(image, count - 1);
      return;
    }
    try {
      await this.#deps.store?.removeIntent(image);
      this.#intents.delete(image);
    } catch (error) {
      this.#deps.logger.error({ err: error, image }, "the end of a pull could not be written down");
    }
  }

  /** Whether a pod must pull an image though it is there; `secretsOf` is asked only where secrets decide. */
  async mustPull(image: string, imageRef: string, secretsOf: () => Promise<readonly PullSecret[]>): Promise<boolean> {
    await this.#load();
    const record = this.#records.get(imageRef);
    if (record === undefined) return this.#intents.has(image);
    let access = accessOf(record, image, undefined);
    if (access === "ask") access = accessOf(record, image, await secretsOf());
    if (access === "ask" || !access.allowed) return true;
    if (access.learned !== undefined) await this.#learn(image, imageRef, access.learned);
    return false;
  }

  /** Whether the kubelet pulled the image, under all its names. */
  async canBePulledAgain({ id, names }: StoredImage): Promise<boolean> {
    await this.#load();
    return canBePulledAgain(this.#records.get(id), names);
  }

  /** Forgets images that are gone, of which nothing was learned since. */
  async prune(present: ReadonlySet<string>, untilMs: number): Promise<void> {
    await this.#load();
    for (const { imageRef, lastUpdatedTime } of this.#records.values()) {
      if (present.has(imageRef) || Date.parse(lastUpdatedTime) >= untilMs) continue;
      await this.#deps.store?.removeRecord(imageRef);
      this.#records.delete(imageRef);
    }
  }

  async #learn(image: string, imageRef: string, secret: PullSecret): Promise<void> {
    try {
      await this.#record(image, imageRef, secret);
    } catch (error) {
      this.#deps.logger.error({ err: error, image, imageRef }, "who may use an image could not be written down");
    }
  }

  async #record(image: string, imageRef: string, by: PullSecret | "everybody" | undefined): Promise<void> {
    const time = formatTime(this.#deps.clock.now());
    const before = this.#records.get(imageRef);
    const after = withPull(before ?? emptyRecord(imageRef, time), image, by, time);
    if (after === before) return;
    // At once, so that a pull that ends meanwhile builds on it.
    this.#records.set(imageRef, after);
    await this.#deps.store?.writeRecord(after);
  }

  #load(): Promise<void> {
    this.#loaded ??= this.#read().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  async #read(): Promise<void> {
    const { store, cri, logger } = this.#deps;
    if (store === undefined) return;
    const { intents, records } = await store.load();
    for (const record of records) this.#records.set(record.imageRef, { ...record, images: record.images ?? [] });
    if (intents.length === 0) return;
    for (const image of intents) this.#intents.set(image, 0);
    try {
      for (const { id, names } of await cri.listImages()) await this.#settle(id, names, intents);
    } catch (error) {
      logger.warn({ err: error }, "how pulls of an earlier process ended is not known yet");
    }
  }

  async #settle(id: string, names: readonly string[], intents: readonly string[]): Promise<void> {
    for (const image of intents) {
      if (!names.includes(parseImageName(image)?.full ?? image)) continue;
      await this.#record(image, id, undefined);
      await this.failed(image);
    }
  }
}
