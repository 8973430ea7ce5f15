// What this process is writing or has written and the watch has not told of yet, so that what comes from the watch need not be
// parsed. Guarantees: an object is found only by its key and the very bytes that were made of it; memory stays bounded.
import { PassingMap, type KubeObject } from "@coxswain/apimachinery";

/** More than are on their way at once while the watch keeps up. */
const MAX = 4096;

interface OwnWrite {
  readonly stored: Buffer;
  readonly object: KubeObject;
}

export class OwnWrites {
  readonly #waiting = new PassingMap<string, OwnWrite>();

  /** `object` stays as it is from now on. */
  add(key: string, stored: Buffer, object: KubeObject): void {
    this.#waiting.take(key);
    if (this.#waiting.size >= MAX) this.#waiting.takeFirst();
    this.#waiting.set(key, { stored, object });
  }

  /** What `stored` was made of. Others' writes of the same bytes are as good as one's own. */
  take(key: string, stored: Buffer): KubeObject | undefined {
    const found = this.#waiting.get(key);
    if (found === undefined || !found.stored.equals(stored)) return undefined;
    this.#waiting.take(key);
    return found.object;
  }
}
