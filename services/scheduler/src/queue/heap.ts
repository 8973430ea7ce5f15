// A binary heap whose items can be taken out by key. The smallest by `compare` is on top.

export class KeyedHeap<T> {
  readonly #items: T[] = [];
  readonly #positions = new Map<string, number>();
  readonly #key: (item: T) => string;
  readonly #compare: (a: T, b: T) => number;

  constructor(key: (item: T) => string, compare: (a: T, b: T) => number) {
    this.#key = key;
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }
  peek(): T | undefined {
    return this.#items[0];
  }
  has(key: string): boolean {
    return this.#positions.has(key);
  }
  values(): readonly T[] {
    return this.#items;
  }

  push(item: T): void {
    this.delete(this.#key(item));
    this.#items.push(item);
    this.#up(this.#items.length - 1);
  }

  pop(): T | undefined {
    const top = this.#items[0];
    if (top !== undefined) this.delete(this.#key(top));
    return top;
  }

  delete(key: string): void {
    const at = this.#positions.get(key);
    if (at === undefined) return;
    this.#positions.delete(key);
    const last = this.#items.pop()!;
    if (at === this.#items.length) return;
    this.#put(at, last);
    this.#up(at);
    this.#down(this.#positions.get(this.#key(last))!);
  }

  #put(at: number, item: T): void {
    this.#items[at] = item;
    this.#positions.set(this.#key(item), at);
  }

  #up(from: number): void {
    const item = this.#items[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#compare(this.#items[parent]!, item) <= 0) break;
      this.#put(at, this.#items[parent]!);
      at = parent;
    }
    this.#put(at, item);
  }

  #down(from: number): void {
    const item = this.#items[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#items.length) break;
      if (child + 1 < this.#items.length && this.#compare(this.#items[child + 1]!, this.#items[child]!) < 0) child++;
      if (this.#compare(item, this.#items[child]!) <= 0) break;
      this.#put(at, this.#items[child]!);
      at = child;
    }
    this.#put(at, item);
  }
}
