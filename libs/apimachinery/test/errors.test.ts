// Errors, names and values, in upstream's words.
import { expect, test } from "vitest";
import {
  deepClone,
  deepEqual,
  fieldDuplicate,
  fieldErrorText,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  formatMicroTime,
  formatTime,
  humanDuration,
  newConflict,
  newForbidden,
  newInvalid,
  newNotFound,
  newServerTimeout,
  parseTime,
  quote,
  validateDns1035Label,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateLabelValue,
  validatePortName,
  validateQualifiedName,
} from "../src/index.ts";

test("field errors read as upstream's", () => {
  const texts = [
    fieldRequired("spec.containers[0].image"),
    fieldInvalid("a", 'x"\n', "detail"),
    fieldInvalid("a", 3, "detail"),
    fieldInvalid("a", { b: 1 }, "detail"),
    fieldInvalid("a", null, "detail"),
    fieldNotSupported("p", "x", ["A", "B"]),
    fieldDuplicate("n", "x"),
    fieldTooLong("l", 63),
    fieldTooMany("m", 3, 1),
  ].map((error) => fieldErrorText(error));
  expect(texts).toEqual([
    "spec.containers[0].image: Required value",
    'a: Invalid value: "x\\"\\n": detail',
    "a: Invalid value: 3: detail",
    'a: Invalid value: {"b":1}: detail',
    "a: Invalid value: null: detail",
    'p: Unsupported value: "x": supported values: "A", "B"',
    'n: Duplicate value: "x"',
    "l: Too long: may not be more than 63 bytes",
    "m: Too many: 3: must have at most 1 item",
  ]);
});

test("text is quoted as Go does", () => {
  expect(quote("é\u00a0\u0001\t\\😀")).toBe('"é\\u00a0\\x01\\t\\\\😀"');
});

test("statuses carry upstream's reason, code, details and message", () => {
  const pods = { group: "", resource: "pods" };
  expect(newNotFound(pods, "x").toStatus()).toMatchObject({
    message: 'pods "x" not found',
    reason: "NotFound",
    code: 404,
    details: { name: "x", kind: "pods" },
  });
  expect(newConflict({ group: "apps", resource: "deployments" }, "x").message).toBe(
    'Operation cannot be fulfilled on deployments.apps "x": the object has been modified; please apply your changes to the latest version and try again',
  );
  expect(newForbidden(pods, "", "no").message).toBe("pods is forbidden: no");
  expect(newServerTimeout(pods, "list", 2).details).toEqual({ name: "list", kind: "pods", retryAfterSeconds: 2 });
  const one = newInvalid({ group: "", kind: "Pod" }, "x", [fieldRequired("a")]);
  const two = newInvalid({ group: "apps", kind: "Deployment" }, "x", [fieldRequired("a"), fieldRequired("b")]);
  expect(one.message).toBe('Pod "x" is invalid: a: Required value');
  expect(two.message).toBe('Deployment.apps "x" is invalid: [a: Required value, b: Required value]');
  expect(two.details.causes).toEqual([
    { reason: "FieldValueRequired", message: "Required value", field: "a" },
    { reason: "FieldValueRequired", message: "Required value", field: "b" },
  ]);
});

test.each([
  [validateDns1123Label, ["a", "a-1", "1a", "a".repeat(63)], ["", "A", "-a", "a.b", "a".repeat(64)]],
  [validateDns1123Subdomain, ["a.b", "a"], ["a..b", "A", ".a", "a".repeat(254)]],
  [validateDns1035Label, ["a1"], ["1a", "a."]],
  [validateQualifiedName, ["a", "x.y/a_b", "A"], ["", "/a", "a/", "a/b/c", "-a", "x_y/a", "a".repeat(64)]],
  [validateLabelValue, ["", "a.b_c"], ["-", "a b", "a".repeat(64)]],
  [validatePortName, ["http", "a-1"], ["", "1", "-a", "a--b", "A", "a".repeat(16)]],
])("names are checked", (check: (value: string) => string[], good, bad) => {
  for (const value of good) expect(check(value), value).toEqual([]);
  for (const value of bad) expect(check(value), value).not.toEqual([]);
});

test("times keep seconds or microseconds and refuse what is no time", () => {
  expect(formatTime(1_700_000_000_999)).toBe("2023-11-14T22:13:20Z");
  expect(formatMicroTime(1_700_000_000_999.5)).toBe("2023-11-14T22:13:20.999500Z");
  expect(parseTime("2023-11-14T23:13:20.5+01:00")).toBe(1_700_000_000_500);
  for (const bad of ["", "2023-02-30T00:00:00Z", "2023-01-01", "2023-01-01T25:00:00Z"]) {
    expect(parseTime(bad)).toBeUndefined();
  }
});

test("durations read as kubectl's ages", () => {
  const s = 1000;
  const h = 3600 * s;
  const ages = [-3 * s, -s, 0, 119 * s, 120 * s, 330 * s, 10 * 60 * s, 3 * h, 3.5 * h, 8 * h, 48 * h, 50 * h, 192 * h];
  expect(ages.map((ms) => humanDuration(ms))).toEqual([
    "<invalid>",
    "0s",
    "0s",
    "119s",
    "2m",
    "5m30s",
    "10m",
    "3h",
    "3h30m",
    "8h",
    "2d",
    "2d2h",
    "8d",
  ]);
  expect(humanDuration(400 * 24 * h)).toBe("400d");
  expect(humanDuration(800 * 24 * h)).toBe("2y70d");
  expect(humanDuration(3000 * 24 * h)).toBe("8y");
});

test("equality ignores order and absent members; copies share nothing", () => {
  expect(deepEqual({ a: 1, b: [{ c: undefined }] }, { b: [{}], a: 1 })).toBe(true);
  expect(deepEqual({ a: undefined, b: 1 }, { b: 1, c: undefined })).toBe(true);
  expect(deepEqual({ a: 1 }, { a: 1, b: null })).toBe(false);
  expect(deepEqual([1], { 0: 1 })).toBe(false);
  const copy = deepClone(JSON.parse('{"__proto__": {"polluted": true}, "a": [1]}') as { polluted?: boolean });
  expect(copy.polluted).toBeUndefined();
  expect(Object.keys(copy)).toEqual(["__proto__", "a"]);
});
