// Packed objects: whatever is put, replaced, deleted and moved, each object reads as it was stored, be it long replaced.
import fc from "fast-check";
import { expect, test } from "vitest";
import { CONFIG_MAPS } from "@coxswain/api";
import type { KindDefinition } from "@coxswain/api";
import { kindFor } from "@coxswain/api/scheme";
import type { KubeObject } from "@coxswain/apimachinery";
import { CachedObject } from "../src/watch-cache/cached-object.ts";
import { Slab, type Segment } from "../src/watch-cache/slab.ts";
import { encodeStored, spliceVersion } from "../src/watch-cache/stored-form.ts";

const kind = kindFor(CONFIG_MAPS) as KindDefinition;
const manager = fc.constantFrom("kubectl", '},{"manager":', ',"fieldsV1":', '],"uid":"', "ä");
const fieldNames = fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 6 });
const entries = fc.array(fc.record({ manager, fieldNames }), { maxLength: 3 });
const steps = fc.array(
  fc.record({
    name: fc.integer({ min: 0, max: 25 }),
    kind: fc.constantFrom("prime", "put", "settle", "delete"),
    bytes: fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 20_000 }) }, fc.constant(70_000)),
    entries,
  }),
  { minLength: 50, maxLength: 200 },
);

function objectOf(name: number, filler: number, managers: { manager: string; fieldNames: number[] }[]): KubeObject {
  const managedFields = managers.map((each) => ({
    manager: each.manager,
    operation: "Update" as const,
    apiVersion: "v1",
    time: "2026-01-01T00:00:00Z",
    fieldsType: "FieldsV1" as const,
    fieldsV1: { "f:data": Object.fromEntries(each.fieldNames.map((field) => [`f:a-rather-long-name-${field}`, {}])) },
  }));
  const metadata = { name: `n${name}`, namespace: "default", uid: "u", managedFields };
  return { metadata, data: { filler: "x".repeat(filler) } } as KubeObject;
}

test("objects in a slab read as they were stored", () => {
  fc.assert(
    fc.property(steps, (all) => {
      const slab = new Slab();
      const present = new Map<number, CachedObject>();
      const seen: { object: CachedObject; json: string }[] = [];
      for (const [at, step] of all.entries()) {
        if (step.kind === "settle") {
          present.get(step.name)?.pack(slab);
          continue;
        }
        present.get(step.name)?.retire(slab);
        present.delete(step.name);
        if (step.kind === "delete") continue;
        const rv = BigInt(at + 1);
        const stored = encodeStored(kind, objectOf(step.name, step.bytes, step.entries));
        const place = [kind, "default", `n${step.name}`, rv] as const;
        const object =
          step.kind === "prime"
            ? CachedObject.packed(slab, ...place, stored)
            : CachedObject.fromStored(...place, stored);
        present.set(step.name, object);
        seen.push({ object, json: spliceVersion(kind, stored, rv).toString() });
      }
      for (const { object, json } of seen) {
        expect(object.json.toString() === json).toBe(true);
        expect(object.jsonLength).toBe(Buffer.byteLength(json));
        const target = Buffer.alloc(object.jsonLength + 2, "|");
        object.copyJson(target, 1);
        expect(target.toString() === `|${json}|`).toBe(true);
        object.copyJson(target, 1, 5);
        expect(target.toString("latin1", 0, object.jsonLength - 4)).toBe(`|${Buffer.from(json).toString("latin1", 5)}`);
      }
    }),
    { numRuns: 12 },
  );
});

test("what is replaced gives its memory back", () => {
  const slab = new Slab();
  const segments = new Set<Segment | undefined>();
  const stay: CachedObject[] = [];
  for (let n = 0; n < 2_000; n++) {
    const stored = encodeStored(kind, objectOf(n, 2_000, []));
    const object = CachedObject.packed(slab, kind, "default", `n${n}`, 1n, stored);
    // One of twenty stays: fewer than there are segments' worth of objects.
    if (n % 20 === 0) stay.push(object);
    else object.retire(slab);
  }
  for (const object of stay) segments.add(object.place?.segment);
  const inUse = stay.reduce((bytes, { jsonLength }) => bytes + jsonLength, 0);
  expect([...segments].reduce((bytes, segment) => bytes + segment!.bytes.length, 0)).toBeLessThan(
    4 * inUse + 512 * 1024,
  );
  expect(stay.map(({ object }) => object.metadata?.name)).toEqual(stay.map(({ name }) => name));
});
