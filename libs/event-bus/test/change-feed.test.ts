// Changes that share a message come out as they went in; what is no message of the feed is none.
import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Change, type ChangeHeader, decodeChanges, encodeChanges, mayShare } from "../src/index.ts";

const version = fc.bigInt({ min: 0n, max: 2n ** 60n }).map(String);
const type = fc.constantFrom("ADDED" as const, "MODIFIED" as const, "DELETED" as const);
const body = fc.array(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 3 },
);

/** A chain of changes of one subject. */
const chain = fc
  .record({
    epoch: fc.stringMatching(/^[a-z0-9.-]{1,12}$/),
    first: version,
    firstOfNode: fc.option(version, { nil: undefined }),
    steps: fc.array(fc.record({ type, step: fc.bigInt({ min: 1n, max: 5_000n }), body }), {
      minLength: 1,
      maxLength: 6,
    }),
  })
  .map(({ epoch, first, firstOfNode, steps }) => {
    let [prevRv, prevNodeRv] = [first, firstOfNode];
    return steps.map(({ type, step, body }): Change => {
      const rv = String(BigInt(prevRv) + step);
      const header: ChangeHeader = { type, epoch, rv, prevRv, prevNodeRv, ref: undefined };
      prevRv = rv;
      if (prevNodeRv !== undefined) prevNodeRv = rv;
      return { header, body };
    });
  });

test("changes that share a message come out as they went in", () => {
  fc.assert(
    fc.property(chain, (changes) => {
      for (const [at, { header }] of changes.entries()) {
        if (at > 0) expect(mayShare(changes[at - 1]!.header, header)).toBe(true);
      }
      const heard = decodeChanges(encodeChanges(changes));
      expect(heard).toEqual(changes.map(({ header, body }) => ({ header, data: Buffer.concat(body) })));
    }),
  );
});

const header: ChangeHeader = { type: "ADDED", epoch: "e", rv: "3", prevRv: "2", prevNodeRv: "1", ref: undefined };

test("only what follows at once in every chain may share a message", () => {
  const next: ChangeHeader = { ...header, rv: "4", prevRv: "3", prevNodeRv: "3" };
  expect(mayShare(header, next)).toBe(true);
  for (const other of [
    { type: "BOOKMARK" },
    { epoch: "f" },
    { prevRv: "2" },
    { prevNodeRv: "2" },
    { prevNodeRv: undefined },
    { ref: "ns/name" },
  ] as const) {
    expect(mayShare(header, { ...next, ...other })).toBe(false);
  }
  expect(mayShare({ ...header, prevNodeRv: undefined }, next)).toBe(false);
  expect(mayShare({ ...header, ref: "ns/name" }, next)).toBe(false);
});

test("a message of its own says what kind of change it is, and may leave the body out", () => {
  const bookmark: ChangeHeader = { ...header, type: "BOOKMARK" };
  const secret: ChangeHeader = { ...header, ref: "ns/name" };
  for (const each of [bookmark, secret]) {
    expect(decodeChanges(encodeChanges([{ header: each, body: [] }]))).toEqual([
      { header: each, data: Buffer.alloc(0) },
    ]);
  }
});

test("what is long goes compressed, unless that makes it longer", () => {
  const next: ChangeHeader = { ...header, rv: "4", prevRv: "3", prevNodeRv: "3" };
  const alike = Buffer.from(JSON.stringify({ metadata: { name: "n" }, spec: "x" }).repeat(3_000));
  const random = createHash("shake256", { outputLength: 20_000 }).update("seed").digest();
  for (const [body, most] of [
    [alike, alike.length / 10],
    [random, random.length],
  ] as const) {
    for (const changes of [
      [{ header, body: [body] }],
      [header, next].map((each) => ({ header: each, body: [body] })),
    ]) {
      const message = encodeChanges(changes);
      expect(message.data.length).toBeLessThanOrEqual(most * changes.length);
      const heard = decodeChanges(message);
      expect(heard.map((change) => change.header)).toEqual(changes.map((change) => change.header));
      expect(heard.every(({ data }) => data.equals(body))).toBe(true);
    }
  }
});

test("compressed data that is damaged, or not as long as it says, tells of nothing", () => {
  const body = [Buffer.alloc(20_000, "abc")];
  const { headers, data } = encodeChanges([{ header, body }]);
  expect(headers).toMatchObject({ z: "20000" });
  for (const z of ["", "x", "-1", "19999", "20001", "99999999", "3"]) {
    expect(decodeChanges({ headers: { ...headers, z }, data })).toEqual([]);
  }
  expect(decodeChanges({ headers, data: data.subarray(1) })).toEqual([]);
  expect(decodeChanges({ headers, data: Buffer.alloc(0) })).toEqual([]);
});

test("what is damaged tells of nothing", () => {
  const second = { header: { ...header, rv: "4", prevRv: "3", prevNodeRv: "3" }, body: [Buffer.from("{}")] };
  const { headers, data } = encodeChanges([{ header, body: [Buffer.from("{}")] }, second]);
  expect(decodeChanges({ headers, data })).toHaveLength(2);
  for (const c of ["", "A3:2", "A3:2,X4:2", "A3:2,M4:3"]) {
    expect(decodeChanges({ headers: { ...headers, c }, data })).toEqual([]);
  }
  expect(decodeChanges({ headers: { ...headers, t: "OTHER" }, data })).toEqual([]);
  const { e: _epoch, ...rest } = headers;
  expect(decodeChanges({ headers: rest, data })).toEqual([]);
});
