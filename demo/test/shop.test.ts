// The shop's own rules, and that its server leaves without dropping a request.
import { Agent, request } from "node:http";
import type { AddressInfo } from "node:net";
import { array, assert, constantFrom, integer, property, record } from "fast-check";
import { expect, test } from "vitest";
import { allBegunSince, lastReport, Tally } from "../src/customer-tally.ts";
import { parseItems, parsePrices, totalOf } from "../src/pricing.ts";
import { shopServer } from "../src/shop-server.ts";

const prices = parsePrices('{"apple": "0.50", "pear": "0.70", "plum": "0.10"}');

test("a trolley costs the sum of its items, exactly", () => {
  const item = record({ name: constantFrom("apple", "pear", "plum"), count: integer({ min: 1, max: 1_000 }) });
  assert(
    property(array(item, { minLength: 1, maxLength: 20 }), (items) => {
      const parsed = parseItems(Buffer.from(JSON.stringify({ items })));
      const cents = { apple: 50, pear: 70, plum: 10 };
      expect(totalOf(parsed, prices)).toBe(items.reduce((sum, { name, count }) => sum + cents[name] * count, 0));
    }),
  );
});

test.each([
  ["{", "the order is not JSON"],
  ["{}", "items: Required value"],
  ['{"items":[{"count":1}]}', "items[0].name: Required value"],
  ['{"items":[{"name":"apple","count":0}]}', "items[0].count: Invalid value: must be a whole number in 1..1000"],
])("%s is refused with the field's path", (body, message) => {
  expect(() => parseItems(Buffer.from(body))).toThrow(message);
});

test("what the shop does not sell is named", () => {
  expect(() => totalOf([{ name: "brick", count: 1 }], prices)).toThrow('items[0].name: Not found: "brick"');
});

test("a customer's log gives the newest report", () => {
  const tally = new Tally(2);
  tally.served(0, "v1");
  const first = JSON.stringify(tally.report());
  tally.failed(1, "refused");
  tally.served(0, "v2");
  const log = `${first}\n{"failure":"refused"}\n${JSON.stringify(tally.report())}\n{"failure":"later"}\n`;
  expect(lastReport(log)).toEqual({
    number: 2,
    served: 2,
    failed: 1,
    versions: { v1: 1, v2: 1 },
    rounds: [2, 1],
    lastFailure: "refused",
  });
  expect(lastReport("")).toBeUndefined();
});

test("a shopper's old request has ended when it has ended two", () => {
  const tally = new Tally(2);
  const before = tally.report();
  for (let round = 0; round < 2; round++) tally.served(0, "v1");
  tally.failed(1, "the old one");
  expect(allBegunSince(before, tally.report())).toBe(false);
  tally.served(1, "v1");
  expect(allBegunSince(before, tally.report())).toBe(true);
});

test("a server that leaves tells a keep-alive client to close, with its answer", async () => {
  let leaving = false;
  const server = shopServer(
    () => ({ code: 200, json: { fine: true } }),
    () => leaving,
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const agent = new Agent({ keepAlive: true });
  const ask = (): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      request({ host: "127.0.0.1", port, agent }, (response) => {
        response.resume().on("end", () => resolve(response.headers.connection));
      })
        .on("error", reject)
        .end();
    });
  expect(await ask()).toBe("keep-alive");
  leaving = true;
  expect(await ask()).toBe("close");
  agent.destroy();
  await new Promise((resolve) => server.close(resolve));
});
