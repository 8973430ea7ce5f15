// Bytes from outside become values, or a BadRequest; never a crash, never a changed prototype.
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeJson, StatusError, strictProblems } from "../src/index.ts";

test("duplicates are named with their path, and only when asked for", () => {
  const text = '{"a":1,"b":{"x":[{"y":1,"y":2}],"x":1},"a":2,"\\u0061":3,"s":"{\\"a\\":1,\\"a\\":2}"}';
  expect(decodeJson(text, { duplicates: true }).duplicates).toEqual([
    'duplicate field "b.x[0].y"',
    'duplicate field "b.x"',
    'duplicate field "a"',
  ]);
  expect(decodeJson(text).duplicates).toEqual([]);
});

test("unknown members are told once, where they stand, and nothing of what is in them", () => {
  const text = '{"a":1,"b":{"x":{"y":1,"y":2},"n":1,"n":2,"x":{}},"a":2}';
  const unknown = ['unknown field "b.x"'];
  expect(strictProblems(text, unknown)).toEqual([...unknown, 'duplicate field "b.n"', 'duplicate field "a"']);
});

test.each([
  '{"__proto__":{"x":1}}',
  '{"a":{"\\u005f_proto__":1}}',
  "[".repeat(5000) + "]".repeat(5000),
  '{"a":'.repeat(3000) + "1" + "}".repeat(3000),
  "{",
  "",
])("refused: %.30s", (text) => {
  expect(() => decodeJson(Buffer.from(text))).toThrow(StatusError);
  expect(({} as { x?: number }).x).toBeUndefined();
});

test("any JSON decodes as JSON.parse does, without duplicates", () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(0, 2), (json, indent) => {
      if (json.includes("__proto__")) return;
      const text = JSON.stringify(JSON.parse(json), undefined, indent);
      expect(decodeJson(text, { duplicates: true })).toEqual({ value: JSON.parse(text) as unknown, duplicates: [] });
    }),
  );
});

test("a member written twice is found whatever stands around it and however its key is written", () => {
  fc.assert(
    fc.property(fc.json(), fc.string(), fc.boolean(), (json, key, escaped) => {
      if (json.includes("__proto__") || key === "__proto__") return;
      const plain = JSON.stringify(key);
      const again = escaped ? `"${unicodeEscapes(key)}"` : plain;
      const text = `[${JSON.stringify(JSON.parse(json))}, {${plain}: {"a": "\\"b\\": "}, ${again} : ${JSON.stringify(JSON.parse(json))}}]`;
      expect(decodeJson(text, { duplicates: true }).duplicates).toHaveLength(1);
    }),
  );
});

test("any bytes decode or are refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeJson(Buffer.from(bytes), { duplicates: true });
      } catch (error) {
        expect(error).toBeInstanceOf(StatusError);
      }
    }),
  );
});

/** Text as JSON may spell it. */
function unicodeEscapes(text: string): string {
  return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at))
    .map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`)
    .join("");
}
