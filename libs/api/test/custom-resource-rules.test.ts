// x-kubernetes-validations: which rules a definition may have, and what they say of objects.
import { fieldErrorText, type FieldError } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { compileRules } from "../src/apiextensions-v1/structural/cel-rules.ts";
import { structuralSchema } from "../src/apiextensions-v1/structural/schema.ts";
import { validateRules } from "../src/apiextensions-v1/structural/validate-rules.ts";
import type { JsonSchemaProps, ValidationRule } from "../src/apiextensions-v1/types.ts";

const texts = (errors: readonly FieldError[]): string[] => errors.map((error) => fieldErrorText(error));

function schema(rules: ValidationRule[], more: Record<string, JsonSchemaProps> = {}): JsonSchemaProps {
  return {
    type: "object",
    properties: {
      spec: {
        type: "object",
        "x-kubernetes-validations": rules,
        properties: {
          min: { type: "integer" },
          max: { type: "integer" },
          name: { type: "string", nullable: true },
          port: { "x-kubernetes-int-or-string": true },
          list: {
            type: "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["key"],
            items: {
              type: "object",
              properties: { key: { type: "string" }, n: { type: "integer" } },
              "x-kubernetes-validations": [{ rule: "self.n >= oldSelf.n", message: "n must not shrink" }],
            },
          },
          ...more,
        },
      },
    },
  };
}

function judge(
  rules: ValidationRule[],
  spec: object,
  old?: object,
  more: Record<string, JsonSchemaProps> = {},
): string[] {
  const compiled = compileRules(structuralSchema(schema(rules, more)));
  const errors = old === undefined ? compiled?.validate({ spec }) : compiled?.validate({ spec }, { spec: old });
  return texts(errors ?? []);
}

const issues = (rules: ValidationRule[], more: Record<string, JsonSchemaProps> = {}): string[] =>
  texts(validateRules(structuralSchema(schema(rules, more)), "schema"));

test("a rule that fails says so, in its own words or by itself", () => {
  const rule = "self.min <= self.max";
  expect(judge([{ rule }], { min: 1, max: 2 })).toEqual([]);
  expect(judge([{ rule }], { min: 3, max: 2 })).toEqual([`spec: Invalid value: failed rule: ${rule}`]);
  expect(judge([{ rule, message: "min over max" }], { min: 3, max: 2 })).toEqual(["spec: Invalid value: min over max"]);
  const messageExpression = '"min %d is over %d".format([self.min, self.max])';
  const more = { rule, messageExpression, fieldPath: ".min", reason: "FieldValueForbidden" };
  expect(judge([more], { min: 3, max: 2 })).toEqual(["spec.min: Forbidden: min 3 is over 2"]);
  expect(judge([{ rule }], { min: 3 })).toEqual([
    `spec: Invalid value: "object": no such key: max evaluating rule: ${rule}`,
  ]);
  expect(judge([{ rule: "!has(self.name) || self.name != 'x'" }], { name: null })).toEqual([]);
  expect(judge([{ rule: "type(self.port) == int ? self.port > 80 : self.port == 'http'" }], { port: "http" })).toEqual(
    [],
  );
});

test("transition rules see what was before, items by their key", () => {
  const immutable = [{ rule: "self.min == oldSelf.min", message: "min is immutable" }];
  expect(judge(immutable, { min: 2 })).toEqual([]);
  expect(judge(immutable, { min: 2 }, { min: 1 })).toEqual(["spec: Invalid value: min is immutable"]);
  const before = {
    list: [
      { key: "a", n: 5 },
      { key: "b", n: 1 },
    ],
  };
  const after = {
    list: [
      { key: "b", n: 0 },
      { key: "c", n: 0 },
      { key: "a", n: 6 },
    ],
  };
  expect(judge([], after, before)).toEqual(["spec.list[0]: Invalid value: n must not shrink"]);
  const optional = [{ rule: "oldSelf.hasValue() || self.min == 0", optionalOldSelf: true, message: "start at 0" }];
  expect(judge(optional, { min: 1 })).toEqual(["spec: Invalid value: start at 0"]);
  expect(judge(optional, { min: 1 }, { min: 0 })).toEqual([]);
});

test("what was wrong and did not change is let pass", () => {
  const more: Record<string, JsonSchemaProps> = {
    other: {
      type: "object",
      properties: { a: { type: "string", "x-kubernetes-validations": [{ rule: "self.startsWith('x')" }] } },
    },
  };
  const old = { min: 1, other: { a: "wrong" } };
  expect(judge([], { min: 2, other: { a: "wrong" } }, old, more)).toEqual([]);
  expect(judge([], { min: 2, other: { a: "worse" } }, old, more)).toEqual([
    `spec.other.a: Invalid value: "worse": failed rule: self.startsWith('x')`,
  ]);
});

test("rules that mean nothing are refused with the definition", () => {
  const at = "schema.properties[spec].x-kubernetes-validations[0]";
  expect(issues([{ rule: "self.mim > 0" }])).toEqual([
    `${at}.rule: Invalid value: {"Rule":"self.mim \\u003e 0","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: undefined field 'mim'\n | self.mim > 0\n | ....^`,
  ]);
  expect(issues([{ rule: "self.min" }])[0]).toContain("cel expression must evaluate to a bool");
  expect(issues([{ rule: "true", messageExpression: "1" }])[0]).toContain(
    "messageExpression must evaluate to a string",
  );
  expect(issues([{ rule: "true", optionalOldSelf: true }])).toEqual([
    `${at}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule`,
  ]);
  const atomic: JsonSchemaProps = {
    type: "array",
    items: { type: "integer", "x-kubernetes-validations": [{ rule: "self >= oldSelf" }] },
  };
  expect(issues([], { atomic })[0]).toContain(
    "oldSelf cannot be used on the uncorrelatable portion of the schema within schema.properties[spec].properties[atomic]",
  );
});

test("members of a map that is one value are known by their names", () => {
  const item = { type: "string", "x-kubernetes-validations": [{ rule: "self == oldSelf" }] };
  const map: JsonSchemaProps = { type: "object", "x-kubernetes-map-type": "atomic", properties: { a: item } };
  expect(issues([], { map })).toEqual([]);
  expect(judge([], { map: { a: "y" } }, { map: { a: "x" } }, { map })).toEqual([
    `spec.map.a: Invalid value: "y": failed rule: self == oldSelf`,
  ]);
});

test("sets are equal in any order, lists with keys too, and null is as good as absent", () => {
  const set: JsonSchemaProps = { type: "array", "x-kubernetes-list-type": "set", items: { type: "string" } };
  const rule = "self.set == oldSelf.set && self.list == oldSelf.list && !has(self.name)";
  const a = { key: "a", n: 1 };
  const b = { key: "b", n: 1 };
  const old = { set: ["x", "y"], list: [a, b], name: null };
  expect(judge([{ rule }], { set: ["y", "x"], list: [b, a], name: null }, old, { set })).toEqual([]);
  expect(judge([{ rule }], { set: ["y", "z"], list: [b, a] }, old, { set })).toHaveLength(1);
  expect(issues([{ rule: "self.name == null" }])[0]).toContain("'_==_' applied to '(string, null)'");
});

test("rules see of embedded resources what their schemas say of the metadata", () => {
  const text = { type: "string" };
  const names = { name: text, generateName: text, namespace: text };
  const metadata = { type: "object", properties: names };
  const embedded = {
    type: "object",
    "x-kubernetes-embedded-resource": true,
    properties: { kind: text, apiVersion: text, metadata },
  };
  const rule = "self.embedded.metadata.namespace == 'x' && has(self.embedded.metadata.namespace)";
  expect(issues([{ rule }], { embedded })).toEqual([]);
  const implied = { ...embedded, properties: {}, "x-kubernetes-preserve-unknown-fields": true };
  expect(issues([{ rule }], { embedded: implied })[0]).toContain("undefined field 'namespace'");
});

test("rules stop where they cost too much", () => {
  const list = Array.from({ length: 1_500 }, (_each, n) => ({ key: `k${n}`, n }));
  const rule = "self.list.all(a, self.list.all(b, self.list.all(c, a.n + b.n + c.n >= 0)))";
  const [error, ...rest] = judge([{ rule }, { rule }], { list });
  expect(error).toContain("no further validation rules will be run due to call cost exceeds limit for rule");
  expect(rest).toEqual([]);
});
