// The three kinds of patch. Documents and patches are never changed, prototypes stay as they are.
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  applyJsonPatch,
  applyMergePatch,
  applyStrategicMergePatch,
  deepClone,
  type PatchSchema,
  StatusError,
  UNKNOWN_PATCH_SCHEMA,
} from "../src/index.ts";

const container: PatchSchema = {
  lookup: (field) =>
    field === "ports" ? { mergeKey: "port", strategies: ["merge"], schema: UNKNOWN_PATCH_SCHEMA } : undefined,
};
const schema: PatchSchema = {
  lookup(field) {
    if (field === "containers") return { mergeKey: "name", strategies: ["merge"], schema: container };
    if (field === "finalizers") return { strategies: ["merge"], schema: undefined };
    return undefined;
  },
};
const document = {
  containers: [
    { name: "a", image: "1" },
    { name: "b", image: "2", ports: [{ port: 80 }] },
  ],
  finalizers: ["x", "y"],
  strategy: { type: "R", rollingUpdate: {} },
};

test.each([
  [{ containers: [{ name: "b", image: "3" }, { name: "c" }] }, { names: ["a", "b", "c"], image: "3" }],
  [{ containers: [{ name: "a", $patch: "delete" }] }, { names: ["b"], image: "2" }],
  [{ containers: [{ $patch: "replace" }, { name: "z" }] }, { names: ["z"], image: undefined }],
  [
    { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }], containers: [{ name: "a", image: null }] },
    { names: ["b", "a"], image: "2" },
  ],
  [{ "$setElementOrder/containers": [{ name: "b" }] }, { names: ["a", "b"], image: "2" }],
])("strategic: lists of objects merge by key (%#)", (patch, expected) => {
  const before = deepClone(document);
  const result = applyStrategicMergePatch(document, patch, schema) as typeof document;
  expect(result.containers.map((each) => each.name)).toEqual(expected.names);
  expect(result.containers.find((each) => each.name === "b")?.image).toBe(expected.image);
  expect(document).toEqual(before);
});

test("strategic: other directives", () => {
  const apply = (patch: unknown): unknown => applyStrategicMergePatch(document, patch, schema);
  expect(apply({ strategy: { $retainKeys: ["type"], type: "Recreate" } })).toMatchObject({
    strategy: { type: "Recreate" },
  });
  expect(apply({ strategy: { $patch: "replace", a: 1 } })).toMatchObject({ strategy: { a: 1 } });
  expect(apply({ finalizers: ["y", "z"] })).toMatchObject({ finalizers: ["x", "y", "z"] });
  expect(apply({ "$deleteFromPrimitiveList/finalizers": ["x"] })).toMatchObject({ finalizers: ["y"] });
  expect(apply({ strategy: null })).not.toHaveProperty("strategy");
  expect(apply({ fresh: { a: null, b: 1 } })).toMatchObject({ fresh: { b: 1 } });
  expect(() => apply({ containers: [{ image: "x" }] })).toThrow("does not contain declared merge key: name");
  // Values that cannot become text by themselves are shown all the same.
  const odd = { image: "x", resources: { toString: null }, args: ["a", 1], tty: null };
  expect(() => apply({ containers: [odd] })).toThrow(
    "map: map[args:[a 1] image:x resources:map[toString:<nil>] tty:<nil>] does not contain declared merge key: name",
  );
  expect(() => apply({ $patch: "what" })).toThrow(StatusError);
});

test("strategic: what is cleared need not be among the keys that are retained", () => {
  const apply = (patch: unknown): unknown => applyStrategicMergePatch(document, { strategy: patch }, schema);
  const recreate = { $retainKeys: ["type"], type: "Recreate", rollingUpdate: null };
  expect(apply(recreate)).toHaveProperty("strategy", { type: "Recreate" });
  expect(() => apply({ ...recreate, rollingUpdate: {} })).toThrow("invalid patch format of retainKeys");
});

test("strategic: an order that its list does not follow is refused", () => {
  const order = { "$setElementOrder/containers": [{ name: "a" }, { name: "b" }] };
  const apply = (containers: unknown): unknown => applyStrategicMergePatch(document, { ...order, containers }, schema);
  expect(() => apply([{ name: "b" }, { name: "a" }])).toThrow("doesn't match");
  expect(() => apply([{ name: "c" }])).toThrow("doesn't match");
  expect(() =>
    apply([
      { name: "b", image: "3" },
      { name: "z", $patch: "delete" },
    ]),
  ).not.toThrow();
});

test("strategic: new elements take the places of deleted ones", () => {
  const live = { containers: [{ name: "gone" }, { name: "mine" }, { name: "other" }] };
  const patch = {
    "$setElementOrder/containers": [{ name: "mine" }, { name: "new" }],
    containers: [{ name: "new" }, { name: "gone", $patch: "delete" }],
  };
  expect(applyStrategicMergePatch(live, patch, schema)).toEqual({
    containers: [{ name: "mine" }, { name: "other" }, { name: "new" }],
  });
});

test("merge patch: the cases of RFC 7386", () => {
  expect(applyMergePatch({ a: "b", c: { d: "e", f: "g" } }, { a: "z", c: { f: null } })).toEqual({
    a: "z",
    c: { d: "e" },
  });
  expect(applyMergePatch({ a: [1] }, { a: { b: null, c: 1 } })).toEqual({ a: { c: 1 } });
  expect(applyMergePatch("x", { a: 1 })).toEqual({ a: 1 });
  expect(applyMergePatch({ a: 1 }, ["x"])).toEqual(["x"]);
});

test("JSON patch applies all or nothing", () => {
  const apply = (...patch: unknown[]): unknown => applyJsonPatch(document, patch);
  expect(
    apply({ op: "test", path: "/finalizers/0", value: "x" }, { op: "remove", path: "/finalizers/0" }),
  ).toMatchObject({
    finalizers: ["y"],
  });
  expect(apply({ op: "add", path: "/a~1b", value: 1 })).toMatchObject({ "a/b": 1 });
  const bad: [unknown, string][] = [
    [
      { op: "replace", path: "/nope", value: 1 },
      "replace operation does not apply: doc is missing key: /nope: missing value",
    ],
    [{ op: "add", path: "/a/b", value: 1 }, 'add operation does not apply: doc is missing path: "/a/b": missing value'],
    [{ op: "test", path: "/strategy/type", value: 1 }, "testing value /strategy/type failed: test failed"],
    [{ op: "move", from: "", path: "/a" }, "move operation does not apply: doc is missing path: : missing value"],
    [{ op: "copy", from: "", path: "/a" }, "copy operation does not apply: doc is missing path: : missing value"],
    [
      { op: "move", from: "/strategy", path: "/strategy/type" },
      "move operation does not apply: doc is missing path: /strategy: missing value",
    ],
    [{ op: "add", path: "/constructor/x", value: 1 }, "doc is missing path"],
    [{ op: "add", path: "/__proto__/x", value: 1 }, "doc is missing path"],
    [{ op: "add", path: "/finalizers/9", value: 1 }, "OUT_OF_BOUNDS"],
  ];
  for (const [operation, cause] of bad) {
    const error = (() => {
      try {
        return apply(operation);
      } catch (thrown) {
        return thrown as StatusError;
      }
    })() as StatusError;
    expect(error).toMatchObject({ reason: "Invalid", code: 422 });
    expect((error.cause as Error).message).toContain(cause);
  }
});

const value = fc.letrec((tie) => ({
  any: fc.oneof({ depthSize: "small" }, fc.constant(null), fc.nat(3), tie("list"), tie("map")),
  list: fc.array(tie("any"), { maxLength: 3 }),
  map: fc.dictionary(
    fc.constantFrom(
      "a",
      "containers",
      "finalizers",
      "name",
      "$patch",
      "$retainKeys",
      "__proto__",
      "constructor",
      "$setElementOrder/containers",
      "$deleteFromPrimitiveList/finalizers",
    ),
    tie("any"),
    { maxKeys: 3 },
  ),
})).any;

test("any patch gives a result or a StatusError and touches nothing else", () => {
  fc.assert(
    fc.property(value, value, (target, patch) => {
      const before = JSON.stringify([target, patch]);
      try {
        applyMergePatch(target, patch);
        applyStrategicMergePatch(target, patch, schema);
      } catch (error) {
        expect(error).toBeInstanceOf(StatusError);
      }
      expect(JSON.stringify([target, patch])).toBe(before);
      expect(Object.keys(Object.prototype)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test("any JSON patch gives a result or a StatusError", () => {
  const pointer = fc.array(
    fc.constantFrom("a", "0", "-", "__proto__", "constructor", "prototype", "toString", "~1", ""),
    {
      maxLength: 3,
    },
  );
  const operation = fc.record({
    op: fc.constantFrom("add", "remove", "replace", "move", "copy", "test"),
    path: pointer.map((tokens) => tokens.map((token) => `/${token}`).join("")),
    from: pointer.map((tokens) => tokens.map((token) => `/${token}`).join("")),
    value,
  });
  fc.assert(
    fc.property(value, fc.array(operation, { maxLength: 3 }), (target, patch) => {
      try {
        applyJsonPatch(target, patch);
      } catch (error) {
        expect(error).toBeInstanceOf(StatusError);
      }
      expect(Object.keys(Object.prototype)).toEqual([]);
      expect(Object.keys(Object)).toEqual([]);
    }),
    { numRuns: 500 },
  );
});

test("merge patch: applying twice is applying once", () => {
  fc.assert(
    fc.property(value, value, (target, patch) => {
      const once = applyMergePatch(target, patch);
      expect(applyMergePatch(once, patch)).toEqual(once);
    }),
  );
});

test("strategic: what directs itself is nothing where there is nothing to merge it with", () => {
  const apply = (patch: object): unknown => applyStrategicMergePatch(document, patch, schema);
  expect(apply({ fresh: { $patch: "replace", a: 1 }, other: { b: { $patch: "delete" }, c: 1 } })).toEqual({
    ...document,
    other: { c: 1 },
  });
  expect(apply({ strategy: { $patch: "replace", type: "X" } })).toEqual({ ...document, strategy: { type: "X" } });
});

test.each([
  [{ strategy: { $patch: "merge", a: 1 } }, 400, "unknown patch type: merge in map: map[$patch:merge a:1]"],
  [{ containers: [{ name: "a", $patch: "x" }] }, 400, "unknown patch type: x in map: map[$patch:x name:a]"],
  [{ containers: [{ name: "a", $patch: "merge" }] }, 400, "merging lists cannot yet be specified in the patch"],
  [{ containers: [{ image: "x" }] }, 400, "map: map[image:x] does not contain declared merge key: name"],
  [{ strategy: { $retainKeys: "type" } }, 400, "invalid patch format of retainKeys"],
  [{ "$deleteFromPrimitiveList/finalizers": "x" }, 400, "invalid patch format of primitive list"],
  [{ "$setElementOrder/finalizers": "x" }, 400, "invalid patch format of setElementOrder list"],
  [
    { "$setElementOrder/containers": [{ name: "b" }], containers: [{ name: "a" }] },
    400,
    "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
  ],
])("strategic: %j is refused with %i", (patch, code, message) => {
  expect(() => applyStrategicMergePatch(document, patch, schema)).toThrow(expect.objectContaining({ code, message }));
});
