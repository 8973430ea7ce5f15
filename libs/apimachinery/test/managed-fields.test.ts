// Sets of fields, merging and ownership: tables of known behaviour, and laws that hold for all objects.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  applyConfiguration,
  checkTyped,
  compareObjects,
  decodeFields,
  decodeManagers,
  difference,
  EMPTY_SET,
  type FieldSet,
  inOrder,
  intersection,
  isEmptySet,
  managedFieldsAfterUpdate,
  managerName,
  mergeObjects,
  ownedFields,
  pathSet,
  removeFields,
  showPaths,
  stripIdentity,
  structuralType,
  textOfSet,
  type TypeSchema,
  union,
  UNTYPED,
  type Writer,
} from "../src/managed-fields/index.ts";
import type { ManagedFieldsEntry } from "../src/object.ts";
import { deepEqual } from "../src/deep.ts";

const TYPE: TypeSchema = structuralType({
  type: "object",
  properties: {
    replicas: { type: "integer" },
    name: { type: "string" },
    map: { type: "object", additionalProperties: { type: "string" } },
    whole: { type: "object", "x-kubernetes-map-type": "atomic", additionalProperties: { type: "string" } },
    struct: { type: "object", properties: { a: { type: "string" }, b: { type: "string" } } },
    items: { type: "array", items: { type: "string" } },
    set: { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } },
    list: {
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      items: {
        type: "object",
        properties: {
          name: { type: "string" },
          value: { type: "string" },
          tags: { type: "object", additionalProperties: { type: "string" } },
        },
      },
    },
    ports: {
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["port", "protocol"],
      items: {
        type: "object",
        properties: {
          port: { type: "integer" },
          protocol: { type: "string", default: "TCP" },
          note: { type: "string" },
        },
      },
    },
  },
});

/** A kind of which spec is always there. */
const FIELDS = new Map(
  Object.entries({
    spec: { type: TYPE, key: "f:spec", implied: true },
    other: { type: TYPE, key: "f:other", implied: false },
    status: { type: TYPE, key: "f:status", implied: true },
    metadata: { type: UNTYPED, key: "f:metadata", implied: true },
    kind: { type: { scalar: "string" } as const, key: "f:kind", implied: false },
  }),
);

type Any = Record<string, unknown>;
interface State {
  readonly object: Any | undefined;
  readonly managedFields: ManagedFieldsEntry[] | undefined;
}

const NOBODY: State = { object: undefined, managedFields: undefined };
const writer = (manager: string, time = "2026-01-01T00:00:00Z"): Writer => ({
  manager,
  apiVersion: "v1",
  subresource: "",
  time,
  reset: EMPTY_SET,
});
const LATER = "2026-01-01T00:00:01Z";
const liveOf = ({ object, managedFields }: State): Any | undefined =>
  object === undefined ? undefined : { ...object, metadata: { managedFields } };

function tryApply(state: State, manager: string, config: Any, force = false, time?: string): State | string[] {
  const outcome = applyConfiguration(liveOf(state), config, TYPE, writer(manager, time), force);
  if (outcome.conflicts !== undefined) {
    return outcome.conflicts.flatMap(({ owner, set }) => showPaths(set).map((path) => `${owner.manager} ${path}`));
  }
  const { metadata: _metadata, ...object } = outcome.object;
  return { object, managedFields: outcome.managedFields };
}

function apply(state: State, manager: string, config: Any, force = false, time?: string): State {
  const after = tryApply(state, manager, config, force, time);
  if (Array.isArray(after)) throw new Error(`conflicts: ${after.join(", ")}`);
  return after;
}

function update(state: State, manager: string, object: Any, time?: string): State {
  const managedFields = managedFieldsAfterUpdate(liveOf(state), { ...object }, TYPE, writer(manager, time));
  return { object, managedFields };
}

function pathsOf(state: State, manager: string, operation = "Apply"): string[] {
  const entry = state.managedFields?.find((each) => each.manager === manager && each.operation === operation);
  return entry === undefined ? [] : showPaths(entry.fieldsV1 as FieldSet);
}

describe("apply", () => {
  test("an applier owns what it names, leaves and list items, not the way to them", () => {
    const state = apply(NOBODY, "a", {
      replicas: 1,
      struct: { a: "x" },
      map: { k: "v" },
      list: [{ name: "n", value: "v" }],
    });
    expect(pathsOf(state, "a")).toEqual([
      ".replicas",
      '.list[name="n"]',
      '.list[name="n"].name',
      '.list[name="n"].value',
      ".map.k",
      ".struct.a",
    ]);
  });

  test("another's value conflicts, the same value is shared", () => {
    const state = apply(NOBODY, "a", { replicas: 1, name: "x" });
    expect(tryApply(state, "b", { replicas: 2, name: "x" })).toEqual(["a .replicas"]);
    const shared = apply(state, "b", { name: "x" });
    expect(pathsOf(shared, "a")).toContain(".name");
    expect(pathsOf(shared, "b")).toEqual([".name"]);
  });

  test("force takes the field over", () => {
    const state = apply(apply(NOBODY, "a", { replicas: 1, name: "x" }), "b", { replicas: 2 }, true);
    expect(state.object).toEqual({ replicas: 2, name: "x" });
    expect(pathsOf(state, "a")).toEqual([".name"]);
    expect(pathsOf(state, "b")).toEqual([".replicas"]);
  });

  test("what the applier drops is removed, unless another owns it", () => {
    const config = { list: [{ name: "one", value: "1" }, { name: "two" }], map: { x: "1", y: "2" } };
    const state = apply(apply(NOBODY, "a", config), "b", { map: { x: "1" }, list: [{ name: "two" }] });
    const after = apply(state, "a", { replicas: 1 });
    expect(after.object).toEqual({ replicas: 1, list: [{ name: "two" }], map: { x: "1" } });
  });

  test("what an updater changed stays when the applier drops it", () => {
    const created = apply(NOBODY, "a", { replicas: 1, name: "x" });
    const scaled = update(created, "scaler", { replicas: 5, name: "x" });
    expect(pathsOf(scaled, "a")).toEqual([".name"]);
    expect(pathsOf(scaled, "scaler", "Update")).toEqual([".replicas"]);
    expect(apply(scaled, "a", { name: "x" }).object).toEqual({ replicas: 5, name: "x" });
    expect(tryApply(scaled, "a", { replicas: 1, name: "x" })).toEqual(["scaler .replicas"]);
  });

  test("an item that others extended loses only what was the applier's", () => {
    const state = apply(apply(NOBODY, "a", { list: [{ name: "n", value: "v" }] }), "b", {
      list: [{ name: "n", tags: { t: "1" } }],
    });
    expect(apply(state, "a", {}).object).toEqual({ list: [{ name: "n", tags: { t: "1" } }] });
  });

  test("atomic values are one", () => {
    const state = apply(NOBODY, "a", { whole: { x: "1" }, items: ["p"] });
    expect(pathsOf(state, "a")).toEqual([".items", ".whole"]);
    expect(tryApply(state, "b", { whole: { y: "2" } })).toEqual(["a .whole"]);
    expect(apply(state, "b", { whole: { y: "2" }, items: ["q"] }, true).object).toEqual({
      whole: { y: "2" },
      items: ["q"],
    });
  });

  test("keys that are left out take their default", () => {
    const state = apply(NOBODY, "a", { ports: [{ port: 80, note: "x" }] });
    expect(apply(state, "a", { ports: [{ port: 80, protocol: "TCP", note: "y" }] }).object).toEqual({
      ports: [{ port: 80, note: "y", protocol: "TCP" }],
    });
  });

  test("shared items take the applied order, others keep their place", () => {
    const items = (...names: string[]): Any => ({ list: names.map((name) => ({ name })) });
    const merged = (live: Any, config: Any): unknown[] =>
      ((mergeObjects(live, config, TYPE) as Any)["list"] as Any[]).map((each) => each["name"]);
    expect(merged(items("a", "b", "c"), items("c", "b"))).toEqual(["a", "c", "b"]);
    expect(merged(items("a", "b"), items("x", "b"))).toEqual(["a", "x", "b"]);
    expect(merged(items("a", "b", "c"), items("b", "y", "a"))).toEqual(["b", "c", "y", "a"]);
    expect(merged(items("a"), items("z"))).toEqual(["a", "z"]);
  });

  test("an object that nobody managed is before-first-apply's", () => {
    const state = apply({ object: { replicas: 1, name: "x" }, managedFields: undefined }, "a", { replicas: 1 });
    expect(pathsOf(state, "before-first-apply", "Update")).toEqual([".name", ".replicas"]);
    expect(tryApply({ object: { replicas: 1 }, managedFields: undefined }, "a", { replicas: 2 })).toEqual([
      "before-first-apply .replicas",
    ]);
  });

  test("the time moves with the set or the object, not without", () => {
    const first = apply(NOBODY, "a", { replicas: 1 }, false, "2026-01-01T00:00:00Z");
    const same = apply(first, "a", { replicas: 1 }, false, "2026-01-02T00:00:00Z");
    expect(same).toEqual(first);
    const other = apply(first, "a", { replicas: 2 }, false, "2026-01-03T00:00:00Z");
    expect(other.managedFields?.[0]?.time).toBe("2026-01-03T00:00:00Z");
  });
});

describe("updates", () => {
  test("whoever creates owns all there is, with the way to it", () => {
    const state = update(NOBODY, "a", { map: { k: "v" }, set: ["x"], whole: { y: "1" } });
    expect(pathsOf(state, "a", "Update")).toEqual([".map", ".set", ".whole", ".map.k", '.set[="x"]']);
  });

  test("a removed field is nobody's", () => {
    const state = update(update(NOBODY, "a", { map: { k: "v" }, name: "x" }), "b", { name: "x" });
    expect(pathsOf(state, "a", "Update")).toEqual([".name"]);
    expect(pathsOf(state, "b", "Update")).toEqual([]);
  });

  test("what nobody managed from the start is not tracked", () => {
    expect(
      update({ object: { name: "x" }, managedFields: undefined }, "a", { name: "y" }).managedFields,
    ).toBeUndefined();
  });

  test("an empty list or one empty entry forgets all managers; nonsense is ignored", () => {
    const state = update(NOBODY, "a", { name: "x" });
    const after = (managedFields: ManagedFieldsEntry[]): unknown =>
      managedFieldsAfterUpdate(liveOf(state), { name: "x", metadata: { managedFields } } as Any, TYPE, writer("b"));
    expect(after([])).toBeUndefined();
    expect(after([{}])).toBeUndefined();
    expect(after([{ manager: "z", operation: "Sing" }])).toEqual(state.managedFields);
  });

  test("the oldest updaters beyond ten become one", () => {
    let state = update(NOBODY, "m0", { map: { k0: "v" } }, "2026-01-01T00:00:00Z");
    for (let at = 1; at <= 11; at++) {
      const map = { ...(state.object!["map"] as Any), [`k${at}`]: "v" };
      state = update(state, `m${at}`, { map }, `2026-01-01T00:00:${String(at).padStart(2, "0")}Z`);
    }
    expect(state.managedFields).toHaveLength(10);
    expect(pathsOf(state, "ancient-changes", "Update")).toEqual([".map", ".map.k0", ".map.k1", ".map.k2"]);
  });

  test("the manager is the one named, else the client's name", () => {
    expect(managerName("me", "kubectl/v1.35")).toBe("me");
    expect(managerName(undefined, "kubectl/v1.35 (linux/amd64)")).toBe("kubectl");
    expect(managerName("", undefined)).toBe("unknown");
    expect(managerName("", "é".repeat(100))).toBe("é".repeat(64));
  });
});

describe("typed values", () => {
  test("what does not fit is told by path", () => {
    expect(
      checkTyped({ replicas: "x", list: [{ value: "v" }, { name: "n" }, { name: "n" }], set: [null] }, TYPE),
    ).toEqual([
      ".replicas: expected numeric (int or float), got string",
      '.list: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn\'t have default values for any key fields)',
      '.list: duplicate entries for key [name="n"]',
      ".set: element 0: associative list without keys has an element that's an explicit null",
    ]);
  });

  test.each<[object, string]>([
    [{ replicas: [1] }, ".replicas: expected numeric (int or float), got []interface {}"],
    [{ replicas: true }, ".replicas: expected numeric (int or float), got bool"],
    [{ name: 1 }, ".name: expected string, got &value.valueUnstructured{Value:1}"],
    [
      { name: { b: ["x"], a: null } },
      '.name: expected string, got &value.valueUnstructured{Value:map[string]interface {}{"a":interface {}(nil), "b":[]interface {}{"x"}}}',
    ],
    [{ map: "x" }, ".map: expected map, got &{x}"],
    [{ list: { a: 1 } }, ".list: expected list, got &{map[a:1]}"],
    [{ nope: 1, other: 2 }, ".nope: field not declared in schema"],
  ])("%j is told as Go prints it", (value, text) => {
    expect(checkTyped(value, TYPE)).toEqual([text]);
  });

  test("objects that stand in others have a kind and metadata, too", () => {
    const text: TypeSchema = { scalar: "string" };
    const inside = { type: "object", "x-kubernetes-embedded-resource": true, properties: { spec: { type: "object" } } };
    const properties = { one: inside, many: { type: "array", items: inside }, plain: { type: "object" } };
    const metadata = structuralType({ type: "object", properties: { name: { type: "string" } } });
    const type = structuralType({ type: "object", properties }, { apiVersion: text, kind: text, metadata });
    const top = { apiVersion: "v1", kind: "K", metadata: { name: "n" } };
    const good = { ...top, spec: {} };
    expect(checkTyped({ ...top, one: good, many: [good] }, type)).toEqual([]);
    expect(checkTyped({ ...top, one: { ...good, metadata: { nope: 1 } } }, type)).toEqual([
      ".one.metadata.nope: field not declared in schema",
    ]);
    expect(checkTyped({ ...top, plain: { metadata: {} } }, type)).toEqual([
      ".plain.metadata: field not declared in schema",
    ]);
  });

  test("no member of an object's prototype is one of a set", () => {
    const config = JSON.parse('{"map":{"__proto__":"x","constructor":"y"}}') as Any;
    const state = apply(NOBODY, "a", config);
    expect(pathsOf(state, "a")).toEqual([".map.__proto__", ".map.constructor"]);
    expect(JSON.stringify(state.object)).toBe(JSON.stringify(config));
    expect(apply(state, "a", {}).object).toEqual({});
  });
});

const word = fc.constantFrom("a", "b", "c");
const objects = fc.record(
  {
    replicas: fc.integer({ min: 0, max: 2 }),
    name: word,
    map: fc.dictionary(word, word, { maxKeys: 3 }),
    whole: fc.dictionary(word, word, { maxKeys: 2 }),
    struct: fc.record({ a: word, b: word }, { requiredKeys: [] }),
    items: fc.array(word, { maxLength: 2 }),
    set: fc.uniqueArray(word, { maxLength: 3 }),
    list: fc.uniqueArray(
      fc.record(
        { name: word, value: word, tags: fc.dictionary(word, word, { maxKeys: 2 }) },
        { requiredKeys: ["name"] },
      ),
      {
        maxLength: 3,
        selector: (item) => item.name,
      },
    ),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Any>;

const elements = fc.constantFrom("f:a", "f:b", "v:1", 'k:{"n":"x"}');
const sets = fc.letrec<{ node: FieldSet }>((tie) => ({
  node: fc.oneof({ maxDepth: 3 }, fc.constant(EMPTY_SET), fc.dictionary(elements, tie("node"), { maxKeys: 3 })),
})).node;

const members = (set: FieldSet): Set<string> => new Set(showPaths(set));
/** The parts that hold something, whatever the order of items: nobody owns an order or that something is empty. */
const solid = (value: unknown): unknown => {
  if (Array.isArray(value))
    return value.length === 0 ? undefined : value.map((each) => JSON.stringify(solid(each))).toSorted();
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value)
    .map(([key, each]) => [key, solid(each)] as const)
    .filter(([, each]) => each !== undefined);
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
};

describe("laws", () => {
  test("sets behave as sets of paths, and survive their encoding", () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        const [left, right] = [members(a), members(b)];
        expect(members(union(a, b))).toEqual(new Set([...left, ...right]));
        expect(members(difference(a, b))).toEqual(new Set([...left].filter((path) => !right.has(path))));
        expect(members(intersection(a, b))).toEqual(new Set([...left].filter((path) => right.has(path))));
        expect(decodeFields(JSON.parse(JSON.stringify(a)))).toEqual(a);
      }),
    );
  });

  test("a comparison is empty between equals, and says where others differ", () => {
    fc.assert(
      fc.property(objects, objects, (a, b) => {
        const { added, modified, removed } = compareObjects(a, b, TYPE);
        expect([added, modified, removed].every(isEmptySet)).toBe(deepEqual(a, b));
        const back = compareObjects(b, a, TYPE);
        expect(members(back.removed)).toEqual(members(added));
        expect(members(back.modified)).toEqual(members(modified));
        expect(isEmptySet(intersection(added, removed))).toBe(true);
      }),
    );
  });

  test("applying the same again changes nothing", () => {
    fc.assert(
      fc.property(objects, objects, (live, config) => {
        const first = apply(update(NOBODY, "u", live), "a", config, true);
        expect(apply(first, "a", config, false, "2027-01-01T00:00:00Z")).toEqual(first);
      }),
    );
  });

  test("what was applied is there, and applying nothing afterwards gives back what was before", () => {
    fc.assert(
      fc.property(objects, objects, (other, config) => {
        const before = apply(NOBODY, "b", other);
        const after = tryApply(before, "a", config);
        if (Array.isArray(after)) return;
        expect(mergeObjects(after.object, config, TYPE)).toEqual(after.object);
        const undone = apply(after, "a", {});
        expect(solid(undone.object)).toEqual(solid(before.object));
        expect(pathsOf(undone, "a")).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test("appliers of different fields may come in any order", () => {
    fc.assert(
      fc.property(objects, (all) => {
        const [left, right]: [Any, Any] = [{}, {}];
        for (const [at, key] of Object.keys(all).entries()) (at % 2 === 0 ? left : right)[key] = all[key];
        // Nobody owns an empty list of a set's kind. What has fields and no owner was there before the first apply.
        const isOwned = (part: Any): boolean =>
          Object.keys(part).length === 0 || apply(NOBODY, "a", part).managedFields !== undefined;
        fc.pre(isOwned(left) && isOwned(right));
        const one = apply(apply(NOBODY, "a", left), "b", right);
        const two = apply(apply(NOBODY, "b", right), "a", left);
        expect(one.object).toEqual(two.object);
        expect(one.managedFields).toEqual(two.managedFields);
      }),
    );
  });

  test("the fields of a created object are those that a comparison with nothing gives", () => {
    fc.assert(
      fc.property(objects, objects, (object, status) => {
        const type: TypeSchema = {
          map: { atomic: false, field: (name) => FIELDS.get(name), element: () => undefined },
        };
        const metadata = { name: "n", uid: "u", labels: object["map"] };
        const whole = { kind: "K", spec: object, other: object, status, metadata };
        const reset = pathSet(["f:status"]);
        const entries = managedFieldsAfterUpdate(undefined, whole as Any, type, { ...writer("u"), reset });
        const { added, modified } = compareObjects({}, { spec: object, other: object, metadata }, type);
        const expected = stripIdentity(union(added, modified));
        expect(entries?.[0]?.fieldsV1 ?? EMPTY_SET).toEqual(expected);
        expect(textOfSet(expected)).toBe(JSON.stringify(expected));
      }),
    );
  });

  test("FieldsV1 is written in the order of its paths, whoever wrote the object", () => {
    fc.assert(
      fc.property(objects, objects, objects, (created, updated, applied) => {
        const before = update(NOBODY, "creator", created);
        const after = apply(update(before, "updater", updated), "applier", applied, true);
        for (const { fieldsV1 } of [...(before.managedFields ?? []), ...(after.managedFields ?? [])]) {
          expect(JSON.stringify(fieldsV1)).toBe(JSON.stringify(inOrder(fieldsV1 as FieldSet)));
        }
      }),
    );
  });

  test("an update takes what it changes from all and gives it to its writer, to the byte", () => {
    fc.assert(
      fc.property(objects, objects, objects, fc.boolean(), (created, first, second, same) => {
        const before = update(update(NOBODY, "creator", created), "updater", first);
        const manager = same ? "updater" : "creator";
        const after = update(before, manager, second, LATER);
        const { added, modified, removed } = compareObjects(before.object, second, TYPE);
        const changed = union(modified, added);
        const expected = new Map<string | undefined, FieldSet>();
        for (const entry of before.managedFields ?? []) {
          expected.set(entry.manager, difference(entry.fieldsV1 as FieldSet, union(changed, removed)));
        }
        if (before.managedFields !== undefined && !isEmptySet(changed)) {
          expected.set(manager, union(changed, expected.get(manager) ?? EMPTY_SET));
        }
        const textOf = (set: FieldSet): string => JSON.stringify(inOrder(set));
        const wanted = [...expected].filter(([, set]) => !isEmptySet(set)).map(([name, set]) => [name, textOf(set)]);
        const got = (after.managedFields ?? []).map(({ manager: name, fieldsV1 }) => [name, JSON.stringify(fieldsV1)]);
        expect(Object.fromEntries(got)).toEqual(Object.fromEntries(wanted));
      }),
      { numRuns: 500 },
    );
  });

  test("who changes again what it manages keeps its set as it is", () => {
    const objectOf = (value: string): Any => ({ metadata: {}, struct: { a: value }, list: [{ name: "a", value }] });
    const before = update(NOBODY, "u", objectOf("1"));
    const set = before.managedFields?.[0]?.fieldsV1 as FieldSet;
    // As it is once it was stored.
    textOfSet(set);
    const after = update(before, "u", objectOf("2"), LATER);
    expect(after.managedFields?.[0]?.fieldsV1).toBe(set);
    expect(after.managedFields?.[0]?.time).toBe(LATER);
  });

  test("paths are ordered by what they hold", () => {
    const elements = [
      ".",
      "f:a",
      "f:b",
      'k:{"port":80}',
      'k:{"port":443}',
      'k:{"port":443,"x":"a"}',
      "v:2",
      'v:"1"',
      "i:9",
      "i:10",
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(elements), (some) => {
        const set = Object.fromEntries(some.map((element) => [element, EMPTY_SET]));
        expect(Object.keys(inOrder(set))).toEqual(elements.filter((element) => some.includes(element)));
      }),
    );
  });

  test("every field of a created object has an owner, and taking all of them leaves nothing", () => {
    fc.assert(
      fc.property(objects, (object) => {
        const { managedFields } = update(NOBODY, "u", object);
        const decoded = decodeManagers(managedFields);
        const set = [...(decoded?.values() ?? [])].reduce((sum, entry) => union(sum, entry.set), EMPTY_SET);
        expect(members(difference(ownedFields(object, TYPE), set))).toEqual(new Set());
        expect(solid(removeFields(object, set, TYPE))).toBeUndefined();
      }),
    );
  });
});

test("what has nothing left below it is written short", () => {
  const a: FieldSet = { "f:list": { ".": {}, 'k:{"name":"a"}': { ".": {}, "f:name": {} } } };
  expect(difference(a, { "f:list": { 'k:{"name":"a"}': { ".": {}, "f:name": {} } } })).toEqual({ "f:list": {} });
  expect(difference(a, { "f:list": { 'k:{"name":"a"}': { "f:name": {} } } })).toEqual({
    "f:list": { ".": {}, 'k:{"name":"a"}': {} },
  });
});
