// Go's regular expressions: what they match, what they refuse, and that none takes long.
import { expect, test } from "vitest";
import { compileGoRegExp, GoRegExpError } from "../src/go-regexp.ts";

test.each([
  ["^[a-z]+$", "abc", true],
  ["(?i)^ABC$", "abc", true],
  ["(?s)a.b", "a\nb", true],
  ["^[[:alpha:]_]+$", "a_B", true],
  ["^[^[:space:]]+$", "a b", false],
  ["^[]a]+$", "]a", true],
  ["\\Aab\\z", "ab", true],
  ["^(?P<year>\\d{4})-(?P<month>\\d{2})$", "2026-11", true],
  ["^\\Qa.b\\E$", "axb", false],
  ["^\\pL+$", "äß", true],
  ["^\\x{41}$", "A", true],
  ["^(\\S+\\s?){5}$", "* * * * *", true],
])("%s on %j: %s", (pattern, text, matches) => {
  expect(compileGoRegExp(pattern).test(text)).toBe(matches);
});

test.each([
  ["(", "error parsing regexp: missing closing ): `(`"],
  ["a)", "error parsing regexp: unexpected ): `a)`"],
  ["[a", "error parsing regexp: missing closing ]: `[a`"],
  ["*a", "error parsing regexp: missing argument to repetition operator: `*a`"],
  ["(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"],
  ["(a)\\1", "error parsing regexp: invalid escape sequence: `\\1`"],
])("%s is refused", (pattern, message) => {
  expect(() => compileGoRegExp(pattern)).toThrow(new GoRegExpError(message));
});

test("a pattern that would backtrack for ages does not", () => {
  const startedMs = performance.now();
  expect(compileGoRegExp("^(a+)+$").test(`${"a".repeat(40)}b`)).toBe(false);
  expect(compileGoRegExp("^(([a-z])+.)+[A-Z]([a-z])+$").test("a".repeat(40))).toBe(false);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});
