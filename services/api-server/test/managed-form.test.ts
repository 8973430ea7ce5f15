// managedFields in stored bytes: whatever managers and fields are called, what comes out is what went in.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { KindDefinition } from "@coxswain/api";
import type { KubeObject, ManagedFieldsEntry } from "@coxswain/apimachinery";
import { CachedObject } from "../src/watch-cache/cached-object.ts";
import { parseStored, slimJson } from "../src/watch-cache/managed-form.ts";
import { encodeStored, spliceVersion } from "../src/watch-cache/stored-form.ts";

const KIND = { group: "", version: "v1", kind: "ConfigMap" };
const nasty = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    '],"uid":"',
    '},{"manager":',
    ',"fieldsV1":',
    '"managedFields":[',
    '"metadata":{',
    '\\"',
    "__proto__",
  ),
);
const fields = fc.dictionary(
  nasty.map((name) => `f:${name}`),
  fc.dictionary(
    nasty.map((value) => `k:${JSON.stringify({ [value]: value })}`),
    fc.constant({}),
    { maxKeys: 2 },
  ),
  { maxKeys: 3 },
);
const entries: fc.Arbitrary<ManagedFieldsEntry[]> = fc.array(
  fc.record(
    {
      manager: nasty,
      operation: fc.constantFrom("Apply", "Update"),
      apiVersion: nasty,
      time: nasty,
      fieldsType: fc.constant("FieldsV1"),
      fieldsV1: fields,
      subresource: nasty,
    },
    { requiredKeys: ["manager", "operation", "apiVersion", "fieldsType", "fieldsV1"] },
  ),
  { minLength: 1, maxLength: 4 },
);

test("stored objects come back with their managers, or without", () => {
  fc.assert(
    fc.property(entries, nasty, nasty, (managedFields, uid, name) => {
      const object: KubeObject = {
        kind: "ConfigMap",
        apiVersion: "v1",
        metadata: { name, uid, managedFields, labels: { [uid]: name } },
      };
      const stored = encodeStored(KIND, structuredClone(object));
      expect(JSON.parse(stored.toString())).toEqual(object);
      expect(parseStored(stored)).toEqual(object);
      const served = spliceVersion(KIND, stored, 12345n);
      const meta = { ...object.metadata, resourceVersion: "12345" };
      expect(parseStored(served)).toEqual({ ...object, metadata: meta });
      const { managedFields: _managed, ...bare } = meta;
      const cached = new CachedObject(KIND as KindDefinition, "", "x", 12345n, served);
      expect(cached.unmanaged()).toEqual({ ...object, metadata: bare });
      expect(cached.draft()).toEqual({ ...object, metadata: bare });
      expect(JSON.parse(slimJson(served).toString())).toEqual({ ...object, metadata: bare });
      expect(JSON.parse(JSON.stringify(parseStored(served)))).toEqual(JSON.parse(served.toString()));
    }),
    { numRuns: 300 },
  );
});
