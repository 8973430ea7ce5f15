// Strings as small integers, so that columns hold numbers. An id is never given to another string.

export class Interner {
  readonly #ids = new Map<string, number>();
  readonly #texts: string[] = [];

  /** The id of `text`, from 0 up; made on first sight. */
  id(text: string): number {
    const known = this.#ids.get(text);
    if (known !== undefined) return known;
    const id = this.#texts.length;
    this.#ids.set(text, id);
    this.#texts.push(text);
    return id;
  }

  /** The id of `text` if it has one, else -1. */
  find(text: string): number {
    return this.#ids.get(text) ?? -1;
  }

  text(id: number): string {
    return this.#texts[id] ?? "";
  }

  get size(): number {
    return this.#texts.length;
  }
}
