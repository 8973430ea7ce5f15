// No kind falls over an object that lacks what it expects: whatever passes the schema is defaulted, judged and shown.
import { expect, test } from "vitest";
import { allKinds, type KindDefinition } from "../src/index.ts";
import { modelType, referenceOf } from "../src/schema/model.ts";

/** An object with every field of its schema as empty as can be, down to `depth`. */
function hollow(schemaName: string, depth: number): Record<string, unknown> {
  const object: Record<string, unknown> = {};
  for (const [name, field] of modelType(schemaName).fields) {
    const reference = referenceOf(field);
    if (reference === undefined || depth === 0) continue;
    const value = hollow(reference, depth - 1);
    object[name] = field.l === "list" ? [value] : field.l === "map" ? { x: value } : value;
  }
  return object;
}

function exercise(kind: KindDefinition, make: () => Record<string, unknown>): void {
  const object = { ...make(), metadata: { name: "x" } };
  const old = { ...make(), metadata: { name: "x" } };
  for (const each of [object, old]) {
    kind.defaults(each);
    kind.strategy.prepareForCreate(each, { nowMs: 0 });
  }
  kind.validateCreate(object);
  kind.strategy.warnings?.(object, undefined);
  kind.row(object, { nowMs: 0 });
  kind.selectableFields(object);
  kind.strategy.prepareForUpdate(object, old, { nowMs: 0 });
  kind.validateUpdate(object, old);
  kind.strategy.prepareForStatusUpdate?.(object, old, { nowMs: 0 });
  kind.validateStatusUpdate?.(object, old);
}

test.each(allKinds().map((kind) => [`${kind.kind} of ${kind.group}/${kind.version}`, kind] as const))(
  "%s",
  (_, kind) => {
    for (const depth of [0, 1, 2, 3, 5]) {
      expect(() => exercise(kind, () => hollow(kind.schemaName, depth))).not.toThrow();
    }
  },
);

test("defaults are idempotent for every kind", () => {
  for (const kind of allKinds()) {
    const once = { ...hollow(kind.schemaName, 4), metadata: { name: "x" } };
    kind.defaults(once);
    const text = JSON.stringify(once);
    kind.defaults(once);
    expect(JSON.stringify(once), kind.kind).toBe(text);
  }
});
