// What a trolley costs: pure. Prices are in cents, so that sums are exact.

export interface Item {
  readonly name: string;
  readonly count: number;
}

export type Prices = ReadonlyMap<string, number>;

/** What is wrong with an order, for the customer. */
export class OrderError extends Error {
  override readonly name = "OrderError";
}

/** `{"apple": "0.50"}` as cents. Throws where a price is no amount of money. */
export function parsePrices(text: string): Prices {
  const raw = JSON.parse(text) as Record<string, string>;
  return new Map(
    Object.entries(raw).map(([name, price]) => {
      if (!/^\d+\.\d\d$/.test(price)) throw new Error(`the price of ${name} is not an amount: ${price}`);
      return [name, Math.round(Number(price) * 100)];
    }),
  );
}

/** `{"items": [{"name": "apple", "count": 2}]}`; throws OrderError. */
export function parseItems(body: Buffer): Item[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString("utf8"));
  } catch (error) {
    throw new OrderError("the order is not JSON", { cause: error });
  }
  const items = (parsed as { items?: unknown } | null)?.items;
  if (!Array.isArray(items) || items.length === 0) throw new OrderError("items: Required value");
  return items.map((item: unknown, at) => {
    const { name, count } = (item ?? {}) as Partial<Item>;
    if (typeof name !== "string") throw new OrderError(`items[${at}].name: Required value`);
    if (!Number.isInteger(count) || (count ?? 0) < 1 || (count ?? 0) > 1_000)
      throw new OrderError(`items[${at}].count: Invalid value: must be a whole number in 1..1000`);
    return { name, count: count ?? 0 };
  });
}

/** The sum in cents; throws OrderError for what the shop does not sell. */
export function totalOf(items: readonly Item[], prices: Prices): number {
  return items.reduce((sum, { name, count }, at) => {
    const price = prices.get(name);
    if (price === undefined) throw new OrderError(`items[${at}].name: Not found: "${name}"`);
    return sum + price * count;
  }, 0);
}
