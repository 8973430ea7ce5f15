// The model against a second source: upstream's protobuf messages, field by field, both ways.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { model, type ModelField, type ModelType } from "../src/schema/model.ts";

type Messages = Record<string, Record<string, string>>;
const messages = JSON.parse(readFileSync(new URL("protobuf-fields.gen.json", import.meta.url), "utf8")) as Messages;

const TYPES: Readonly<Record<string, readonly string[]>> = {
  string: ["string"],
  bool: ["bool"],
  int32: ["int32"],
  int64: ["int64", "int32", "uint32"],
  double: ["double"],
  bytes: ["bytes"],
  quantity: ["Quantity"],
  "int-or-string": ["IntOrString"],
  raw: ["RawExtension"],
  time: ["Time"],
  "micro-time": ["MicroTime"],
  duration: ["Duration"],
  fields: ["FieldsV1"],
  "string-list": ["ExtraValue", "Verbs"],
};
/** Messages that are written differently from their JSON form, and that the codec treats by name. */
const BY_HAND = new Set(["Time", "MicroTime", "FieldsV1", "Duration", "Timestamp"]);

const full = (name: string): string => name.replace(/^\.k8s\.io\./, "io.k8s.");

function problem(field: ModelField | undefined, text: string, owner: string): string | undefined {
  if (field === undefined) return "is missing";
  const [label, type = "", number] = text.split(" ");
  if (field.n !== Number(number)) return `has number ${field.n}, not ${number}`;
  const expected = label === "repeated" ? "list" : label === "map" ? "map" : undefined;
  if (field.l !== expected) return `is ${field.l}, not ${label}`;
  const reference = type.startsWith(".") ? full(type) : `${owner.slice(0, owner.lastIndexOf("."))}.${type}`;
  const scalar = type.slice(type.lastIndexOf(".") + 1);
  const fits = field.t.startsWith("#") ? field.t.slice(1) === reference : TYPES[field.t]?.includes(scalar);
  return fits ? undefined : `is ${field.t}, not ${type}`;
}

function inlinedProblem(type: ModelType, text: string): string | undefined {
  const [, message = "", number] = text.split(" ");
  const found = type.inlined.find(([each]) => each === Number(number));
  return found?.[1].endsWith(`.${message.split(".").at(-1)}`) ? undefined : "is missing";
}

test("every message of upstream's is in the model with the same fields, numbers and types", () => {
  const problems: string[] = [];
  for (const [name, fields] of Object.entries(messages)) {
    const type = model().get(name);
    if (type === undefined) throw new Error(`no schema ${name}`);
    if (BY_HAND.has(name.slice(name.lastIndexOf(".") + 1))) continue;
    // A few protobuf names begin with another case than the JSON names.
    const own = new Map([...type.own].map(([field, rules]) => [field.toLowerCase(), rules]));
    for (const [field, text] of Object.entries(fields)) {
      const rules = own.get(field.toLowerCase());
      const found = rules === undefined ? inlinedProblem(type, text) : problem(rules, text, name);
      if (found !== undefined) problems.push(`${name}.${field} ${found}`);
    }
  }
  expect(problems).toEqual([]);
});

test("the model has no field that goes over the wire under a number upstream lacks", () => {
  const extra: string[] = [];
  for (const type of model().values()) {
    const fields = messages[type.name];
    if (fields === undefined) {
      if (type.name.startsWith("io.k8s.api.")) extra.push(type.name);
      continue;
    }
    const names = new Set(Object.keys(fields).map((name) => name.toLowerCase()));
    for (const [name, field] of type.own) {
      if (field.n !== undefined && !names.has(name.toLowerCase())) extra.push(`${type.name}.${name}`);
    }
  }
  expect(extra).toEqual([]);
});
