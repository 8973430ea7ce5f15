// The model that judges random transactions accepts what a storage may answer, and nothing else.
import { expect, test } from "vitest";
import type { Mutation } from "@coxswain/storage";
import { applyRound, type Attempt, type State } from "../src/testing/storage-model.ts";

const before: State = new Map([["e", { value: Buffer.from("x"), rv: 1024n }]]);
const remove = (key: string): Mutation => ({ op: "delete", key });
const onlyWhereEIsAbsent: Attempt = { conditions: [{ key: "e", is: "absent" }], mutations: [remove("a")] };
const removeE: Attempt = { conditions: [], mutations: [remove("e")] };
const putB: Attempt = { conditions: [], mutations: [{ op: "put", key: "b", value: Buffer.from("y") }] };
const at = (rv: bigint) => ({ committed: true as const, rvs: [rv] });

test("a deletion that found nothing may share the version of the change before it, in either order of asking", () => {
  const story = ["delete e 2048"];
  expect(applyRound(before, [onlyWhereEIsAbsent, removeE], [at(2048n), at(2048n)])).toMatchObject([{ story }]);
  expect(applyRound(before, [removeE, onlyWhereEIsAbsent], [at(2048n), at(2048n)])).toMatchObject([{ story }]);
});

test("and comes after all that this revision changed", () => {
  const told = applyRound(before, [onlyWhereEIsAbsent, putB, removeE], [at(2048n), at(2048n), at(2049n)]);
  expect(told).toMatchObject([{ story: ["put b 2048", "delete e 2049"] }]);
});

test("and leaves the changes in the order of their versions", () => {
  const putE: Attempt = { conditions: [], mutations: [{ op: "put", key: "e", value: Buffer.from("z") }] };
  const told = applyRound(before, [putB, removeE, onlyWhereEIsAbsent], [at(2049n), at(2048n), at(2048n)]);
  expect(told).toMatchObject([{ story: ["delete e 2048", "put b 2049"] }]);
  const shared = applyRound(before, [putB, onlyWhereEIsAbsent, removeE], [at(2048n), at(2049n), at(2049n)]);
  expect(shared).toMatchObject([{ story: ["put b 2048", "delete e 2049"] }]);
  expect(applyRound(before, [putE, putB], [at(2049n), at(2049n)])).toEqual([]);
});

test("a condition that held at no point of the order is found", () => {
  expect(applyRound(before, [onlyWhereEIsAbsent, removeE], [at(2048n), at(3072n)])).toEqual([]);
});
