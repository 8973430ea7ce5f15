// What is known of texts that came of late. Guarantees: memory stays bounded, by the characters of the texts; what is asked for
// again and again stays; a text that is part of a longer one does not keep that in memory.

/** Two generations: what was not asked for while the young one filled goes with the old one. */
export class RecentTexts<V> {
  readonly #most: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #size = 0;

  /** `most`: the characters that each generation may hold. */
  constructor(most: number) {
    this.#most = most;
  }

  get(text: string): V | undefined {
    const known = this.#young.get(text);
    if (known !== undefined) return known;
    const before = this.#old.get(text);
    if (before !== undefined) this.set(text, before);
    return before;
  }

  set(text: string, value: V): void {
    if (this.#size + text.length > this.#most) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#size = 0;
    }
    this.#young.set(Buffer.from(text).toString(), value);
    this.#size += text.length;
  }
}
