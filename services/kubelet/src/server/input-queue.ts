// Input on its way to a container: filled by one side, read by the other as an async iterable. Guarantees: order; who fills
// it can wait until it was read, so that a slow reader holds little; after the end nothing more is taken in.

/** How much may wait before the writer does. */
const LIMIT = 16;

export class InputQueue<T> {
  #items: T[] = [];
  #over = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  /** Resolves when there is room for more, or nobody reads any longer. */
  async push(item: T): Promise<void> {
    if (this.#over) return;
    this.#items.push(item);
    this.#wakeReader?.();
    if (this.#items.length < LIMIT) return;
    await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
  }

  /** What was pushed is still read. */
  end(): void {
    this.#over = true;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      this.#wakeWriter?.();
      yield* items;
      if (this.#items.length > 0) continue;
      if (this.#over) return;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }
}
