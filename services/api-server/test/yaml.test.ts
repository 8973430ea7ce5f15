// YAML in and out as kubectl and Go programs have it, whose library keeps to the older edition.
import { LineCounter, parse } from "yaml";
import { expect, test } from "vitest";
import { parseYaml, writeYaml } from "../src/registry/yaml.ts";

const read = (text: string): unknown => parseYaml(text, new LineCounter()).toJS();

test.each([
  ["yes", true],
  ["On", true],
  ["y", true],
  ["no", false],
  ["OFF", false],
  ["true", true],
  ["0644", 420],
  ["-010", -8],
  ["1_000", 1000],
  ["0", 0],
  ["08", 8],
  ["0x1F", 31],
  ["1.50", 1.5],
  ["1:30", "1:30"],
  ["2026-11-30", "2026-11-30"],
  ["2026-11-30T01:02:03Z", "2026-11-30T01:02:03Z"],
  ["'yes'", "yes"],
  ['"0644"', "0644"],
  ["~", null],
  ["yesterday", "yesterday"],
])("%s is %j", (text, value) => {
  expect(read(`a: ${text}\n`)).toEqual({ a: value });
});

test("a merged map", () => {
  expect(read("base: &b {x: 1, y2: 2}\nmore: {<<: *b, x: 3}\n")).toEqual({
    base: { x: 1, y2: 2 },
    more: { x: 3, y2: 2 },
  });
});

test("what either edition would take for something else is quoted", () => {
  const texts = ["yes", "On", "y", "n", "0644", "1_000", "1:30", "2026-11-30T01:02:03Z", "~", "<<", "1e3", "", "null"];
  const written = writeYaml({ texts });
  expect(parse(written, { version: "1.1" })).toEqual({ texts });
  expect(parse(written, { version: "1.2" })).toEqual({ texts });
  expect(read(written)).toEqual({ texts });
});

test("keys are in order, lists as deep as their key, and nothing is an alias or broken", () => {
  const shared = { q: 1 };
  const long = "word ".repeat(60).trim();
  expect(writeYaml({ kind: "A", apiVersion: "v1", items: [shared, shared], long })).toBe(
    `apiVersion: v1\nitems:\n- q: 1\n- q: 1\nkind: A\nlong: ${long}\n`,
  );
});
