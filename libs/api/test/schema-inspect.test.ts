// The quick look at an object says the same as the three walks that it saves.
import { expect, test } from "vitest";
import fc from "fast-check";
import { deepClone, deepEqual } from "@coxswain/apimachinery";
import { allKinds } from "../src/index.ts";
import { checkTypes, inspect, pruneUnknown, walkUnknownFields } from "../src/schema/index.ts";
import { type ModelField, modelType } from "../src/schema/model.ts";

const FITTING: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  string: fc.constantFrom("", "a"),
  bool: fc.boolean(),
  int32: fc.constantFrom(0, 7),
  int64: fc.constantFrom(0, 7),
  double: fc.constantFrom(0, 0.5),
  bytes: fc.constantFrom("", "YQ=="),
  quantity: fc.constantFrom("0", "100m", 5),
  "int-or-string": fc.constantFrom(0, "http"),
  time: fc.constant("2026-01-31T08:15:30Z"),
  "micro-time": fc.constant("2026-01-31T08:15:30.123000Z"),
};
const STRAY = fc.constantFrom<unknown>(null, "x", 1.5, true, [], {}, [null], { a: null });

function memberOf(field: ModelField, depth: number): fc.Arbitrary<unknown> {
  const reference = field.t.startsWith("#") ? field.t.slice(1) : undefined;
  const fitting = reference === undefined ? (FITTING[field.t] ?? STRAY) : objectOf(reference, depth - 1);
  const one = fc.oneof({ arbitrary: fitting, weight: 60 }, { arbitrary: fc.constant(null), weight: 1 });
  if (field.l === "list") return fc.array(one, { maxLength: 2 });
  return field.l === "map" ? fc.dictionary(fc.constantFrom("a", "b"), one, { maxKeys: 2, noNullPrototype: true }) : one;
}

/** An object of some of the type's fields; now and then with something that does not belong there. */
function objectOf(schemaName: string, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const fields = [...modelType(schemaName).fields].filter(([, field]) => depth > 0 || !field.t.startsWith("#"));
  const known = fc.subarray(fields, { maxLength: Math.min(4, fields.length) }).chain((some) =>
    fc.record(Object.fromEntries(some.map(([name, field]) => [name, memberOf(field, depth)])), {
      noNullPrototype: true,
    }),
  );
  const strange = fc.record({ known, name: fc.constantFrom("bogus", ...fields.map(([name]) => name)), value: STRAY });
  return fc.oneof(
    { arbitrary: known, weight: 12 },
    { arbitrary: strange.map(({ known: rest, name, value }) => ({ ...rest, [name]: value })), weight: 1 },
  );
}

const schemas = [...new Set(allKinds().map(({ schemaName }) => schemaName))];

test("what is clean has nothing wrong, unknown or to be taken out; what is prunable nothing wrong or unknown", () => {
  const seen = new Set<string>();
  const each = fc
    .constantFrom(...schemas)
    .chain((schemaName) => fc.tuple(fc.constant(schemaName), objectOf(schemaName, 4)));
  fc.assert(
    fc.property(each, ([schemaName, object]) => {
      const before = deepClone(object);
      const form = inspect(object, schemaName);
      seen.add(form);
      expect(object).toStrictEqual(before);
      const complaints = [...checkTypes(object, schemaName), ...walkUnknownFields(object, schemaName)];
      if (form !== "odd") expect(complaints).toEqual([]);
      if (complaints.length === 0) expect(form).not.toBe("odd");
      pruneUnknown(object, schemaName);
      if (form === "clean") expect(deepEqual(object, before)).toBe(true);
    }),
    { numRuns: 1_500 },
  );
  expect([...seen].toSorted()).toEqual(["clean", "odd", "prunable"]);
});

test.each([
  ["a string", "odd"],
  [
    { metadata: { name: "x" }, spec: { containers: [{ name: "a", image: "b", ports: [{ containerPort: 80 }] }] } },
    "clean",
  ],
  [{ metadata: { name: "x", creationTimestamp: null }, status: {} }, "prunable"],
  [{ spec: { containers: [{ name: "a", resources: { limits: { cpu: "lots" } } }] } }, "odd"],
  [{ spec: { containers: [{ name: "a", stdin: false }] } }, "prunable"],
  [{ spec: { container: [] } }, "odd"],
])("%j is %s as a pod", (object, form) => {
  expect(inspect(object, "io.k8s.api.core.v1.Pod")).toBe(form);
});
