// Text that is no JSON is refused in the words of Go's scanner.
import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonSyntaxProblem } from "../src/json-syntax.ts";

test.each([
  ["", "unexpected end of JSON input"],
  ["  ", "unexpected end of JSON input"],
  ["apiVersion: v1", "invalid character 'a' looking for beginning of value"],
  ["é", "invalid character 'Ã' looking for beginning of value"],
  ["'a'", String.raw`invalid character '\'' looking for beginning of value`],
  ["[1,]", "invalid character ']' looking for beginning of value"],
  ["{,}", "invalid character ',' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b":2}', `invalid character '"' after object key:value pair`],
  ['{"kind":"Pod"', "unexpected end of JSON input"],
  ['[{"a":[]} 2]', "invalid character '2' after array element"],
  ["{} {}", "invalid character '{' after top-level value"],
  ["[1]]", "invalid character ']' after top-level value"],
  ['"a\nb"', String.raw`invalid character '\n' in string literal`],
  [String.raw`"\x"`, "invalid character 'x' in string escape code"],
  [String.raw`"\u12g4"`, String.raw`invalid character 'g' in \u hexadecimal character escape`],
  ["[-]", "invalid character ']' in numeric literal"],
  ["[01]", "invalid character '1' after array element"],
  ["[1.]", "invalid character ']' after decimal point in numeric literal"],
  ["[1e+]", "invalid character ']' in exponent of numeric literal"],
  ["[nul]", "invalid character ']' in literal null (expecting 'l')"],
  ["tru", "unexpected end of JSON input"],
])("%j: %s", (text, problem) => {
  expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
  expect(jsonSyntaxProblem(text)).toBe(problem);
});

test("whatever JSON.parse refuses has something wrong in it, and nothing else", () => {
  const characters = fc.constantFrom(...Array.from('{}[],:"\\-+.0123456789eEtruefalsn \n'));
  fc.assert(
    fc.property(fc.json(), characters, fc.nat(), (json, character, where) => {
      const at = where % (json.length + 1);
      const text = json.slice(0, at) + character + json.slice(at + (where % 2));
      let refused = false;
      try {
        JSON.parse(text);
      } catch {
        refused = true;
      }
      expect(jsonSyntaxProblem(text) !== "invalid JSON").toBe(refused);
    }),
  );
});
