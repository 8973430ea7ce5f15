// Pruning, defaulting and values of structural schemas: laws that hold for whatever object and schema, and no schema or
// object that makes them fail.
import { deepClone, deepEqual, type KubeObject } from "@coxswain/apimachinery";
import fc from "fast-check";
import { expect, test } from "vitest";
import { validateVersionSchema } from "../src/apiextensions-v1/custom-resource-definition/version-schema.ts";
import { customKinds } from "../src/apiextensions-v1/custom-kind.ts";
import { compileJsonPath } from "../src/apiextensions-v1/json-path.ts";
import { applyDefaults, dropUnwantedNulls } from "../src/apiextensions-v1/structural/default.ts";
import { pruneResource } from "../src/apiextensions-v1/structural/prune.ts";
import { compileValueValidator } from "../src/apiextensions-v1/structural/validate-values.ts";
import { structuralSchema } from "../src/apiextensions-v1/structural/schema.ts";
import type { CrdVersion, JsonSchemaProps } from "../src/apiextensions-v1/types.ts";
import { checkTypes, pruneUnknown } from "../src/schema/index.ts";
import { JSON_SCHEMA_PROPS } from "../src/apiextensions-v1/model.ts";

const NAMES = ["spec", "a", "b", "metadata", "kind"];
const KEYS = [
  "type,format,pattern,default,enum,items,properties,additionalProperties,required,nullable,maxLength,minItems,maximum",
  "allOf,anyOf,oneOf,not,x-kubernetes-int-or-string,x-kubernetes-preserve-unknown-fields,x-kubernetes-list-type",
  "x-kubernetes-list-map-keys,x-kubernetes-embedded-resource,x-kubernetes-map-type,x-kubernetes-validations",
].flatMap((line) => line.split(","));

const { schema } = fc.letrec<{ schema: JsonSchemaProps; loose: unknown }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.record(
      { type: fc.constantFrom("string", "integer", "boolean", "number"), default: fc.jsonValue() },
      { requiredKeys: ["type"] },
    ),
    fc.record(
      {
        type: fc.constant("object"),
        properties: fc.dictionary(fc.constantFrom(...NAMES), tie("schema"), { maxKeys: 3 }),
        "x-kubernetes-preserve-unknown-fields": fc.constant(true),
      },
      { requiredKeys: ["type"] },
    ),
    fc.record({ type: fc.constant("array"), items: tie("schema"), nullable: fc.boolean() }),
    fc.record({ type: fc.constant("object"), additionalProperties: tie("schema") }),
    tie("loose") as fc.Arbitrary<JsonSchemaProps>,
  ) as fc.Arbitrary<JsonSchemaProps>,
  // Anything that a writer may send.
  loose: fc.dictionary(
    fc.constantFrom(...KEYS),
    fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      tie("schema"),
      fc.constantFrom("object", "array", "set", "map", "atomic", "("),
    ),
    { maxKeys: 4 },
  ),
}));

const object = fc.dictionary(fc.constantFrom(...NAMES), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });

/** As the decoder hands a schema over: of the right types, or not at all. */
function decoded(given: JsonSchemaProps): JsonSchemaProps | undefined {
  const copy = JSON.parse(JSON.stringify(given)) as JsonSchemaProps;
  if (checkTypes(copy, JSON_SCHEMA_PROPS).length > 0) return undefined;
  pruneUnknown(copy, JSON_SCHEMA_PROPS);
  return copy;
}

function versionOf(openAPIV3Schema: JsonSchemaProps): CrdVersion {
  return { name: "v1", served: true, storage: true, schema: { openAPIV3Schema } };
}

test("pruning and defaulting are idempotent, and leave nothing unknown", () => {
  fc.assert(
    fc.property(schema, object, (given, value) => {
      const props = decoded({ ...given, type: "object" });
      if (props === undefined) return;
      const compiled = structuralSchema(props);
      const once = deepClone(value);
      pruneResource(once, compiled);
      for (const name of ["metadata", "kind"]) if (name in value) expect(once[name]).toEqual(value[name]);
      expect(pruneResource(once, compiled)).toEqual([]);
      dropUnwantedNulls(once, compiled);
      applyDefaults(once, compiled);
      const twice = deepClone(once);
      expect(applyDefaults(twice, compiled)).toBe(false);
      expect(deepEqual(twice, once)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

test("no schema makes validation fail, and no object one that was accepted", () => {
  let accepted = 0;
  fc.assert(
    fc.property(schema, object, object, (given, value, old) => {
      const props = decoded(given);
      if (props === undefined || validateVersionSchema(versionOf(props), false, "schema").length > 0) return;
      accepted++;
      const [kind] = customKinds({
        metadata: { name: "xs.example.com" },
        spec: {
          group: "example.com",
          scope: "Cluster",
          names: { plural: "xs", kind: "X" },
          versions: [versionOf(props)],
        },
        status: { conditions: [{ type: "Established", status: "True" }] },
      });
      if (kind === undefined) throw new Error("no kind");
      const objects = [value, old].map((each) => ({ ...deepClone(each), kind: "X", metadata: { name: "x" } }));
      for (const each of objects) {
        kind.custom?.accept(each);
        kind.defaults(each);
      }
      const [now, before] = objects as [(typeof objects)[0], (typeof objects)[0]];
      kind.validateCreate(now);
      kind.validateUpdate(now, before);
      kind.validateUpdate(now, now);
      kind.row(now, { nowMs: 0 });
    }),
    { numRuns: 2_000 },
  );
  expect(accepted).toBeGreaterThan(20);
});

test("a list of type map that is only in another order counts as unchanged, any other list does not", () => {
  const field = (type: string): JsonSchemaProps => ({
    type: "array",
    maxItems: 1,
    "x-kubernetes-list-type": type,
    ...(type === "map" ? { "x-kubernetes-list-map-keys": ["name"] } : {}),
    items: { type: "object", properties: { name: { type: "string" }, on: { type: "boolean" } } },
  });
  const items = [
    { name: "a", on: true },
    { name: "b", on: false },
  ];
  const complaints = (type: string, value: object[]): number =>
    compileValueValidator({ type: "object", properties: { list: field(type) } }).validate(
      { list: value },
      { list: items },
    ).length;
  const reordered = items.toReversed();
  expect(complaints("map", reordered)).toBe(0);
  expect(complaints("atomic", items)).toBe(0);
  expect(complaints("atomic", reordered)).toBe(1);
  expect(
    complaints("map", [
      { name: "a", on: true },
      { name: "b", on: true },
    ]),
  ).toBe(1);
  expect(
    complaints("map", [
      { name: "a", on: true },
      { name: "c", on: false },
    ]),
  ).toBe(1);
});

test("paths of columns find what is there", () => {
  const value = {
    spec: {
      list: [
        { name: "a", n: 1 },
        { name: "b", n: 2 },
      ],
      "a.b": "dotted",
    },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  };
  const at = (path: string): unknown => compileJsonPath(path)?.(value);
  expect(at(".spec.list[0].name")).toEqual(["a"]);
  expect(at(".spec.list[-1].n")).toEqual([2]);
  expect(at(".spec.list[*].name")).toEqual(["a", "b"]);
  expect(at(".spec.list[0:1].n")).toEqual([1]);
  expect(at(".spec['a.b']")).toEqual(["dotted"]);
  expect(at(".spec.a\\.b")).toEqual(["dotted"]);
  expect(at('.status.conditions[?(@.type=="Ready")].status')).toEqual(["True"]);
  expect(at(".spec.list[?(@.n>1)].name")).toEqual(["b"]);
  expect(at("..type")).toEqual(["Ready"]);
  expect(at(".none.at.all")).toEqual([]);
  expect(compileJsonPath(".spec[")).toBeUndefined();
});

test("custom resources warn of finalizers that others may use, too", () => {
  const [kind] = customKinds({
    metadata: { name: "things.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "things", kind: "Thing" },
      versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
    },
    status: { conditions: [{ type: "Established", status: "True" }] },
  });
  const thing = (...finalizers: string[]): KubeObject => ({ metadata: { name: "t", finalizers } });
  const advice = "to avoid accidental conflicts with other finalizer writers";
  const warnings = kind?.strategy.warnings?.(thing("mine", "orphan", "a.example.com", "a.example.com/x"), undefined);
  expect(warnings).toEqual([
    `metadata.finalizers: "a.example.com": prefer a domain-qualified finalizer name including a path (/) ${advice}`,
    `metadata.finalizers: "mine": prefer a domain-qualified finalizer name ${advice}`,
  ]);
  expect(kind?.strategy.warnings?.(thing("mine"), thing("mine"))).toEqual([]);
});
