// What the language and the libraries can do beyond plain expressions: optional elements, two variables, objects and patches,
// sets, the authorizer; and the places that errors name.
import fc from "fast-check";
import { expect, test } from "vitest";
import { CelAuthorizer, CelScope, celToJson, misplacedObjects } from "../src/index.ts";
import { desugar } from "../src/syntax/desugar.ts";

const scope = new CelScope({ object: { is: "dyn" }, n: { is: "int" } }, { patches: true });
const OBJECT = { metadata: { name: "web", labels: { app: "web" } }, spec: { replicas: 3, items: [1, 2, 3] } };

function evaluate(expression: string, object: unknown = OBJECT): unknown {
  const compiled = scope.compile(expression);
  if ("issue" in compiled) throw new Error(compiled.issue);
  return compiled.program.run({ object: scope.value("object", object), n: 2n }).value;
}

function issue(expression: string): string {
  const compiled = scope.compile(expression);
  return "issue" in compiled ? compiled.issue : `compiled to ${compiled.program.typeText}`;
}

test.each([
  "{?'a': object.?spec.?none, 'b': 1} == {'b': 1}",
  "{?'a': object.?metadata.?name} == {'a': 'web'}",
  "[?object.?spec.?none, 2, ?optional.of(3)] == [2, 3]",
  "[1, 2].all(i, v, v == i + 1) && !{'a': 1}.all(k, v, v > 1)",
  "object.metadata.labels.exists(k, v, k == v) == false && {'x': 'x'}.exists(k, v, k == v)",
  "[5, 6, 6].existsOne(i, v, v == 5) && ![6, 6].existsOne(i, v, v == 6)",
  "[10, 20].transformList(i, v, v / 10 + i) == [1, 3]",
  "[10, 20].transformList(i, v, i > 0, v) == [20]",
  "{'a': 1, 'b': 2}.transformMap(k, v, v * 2) == {'a': 2, 'b': 4}",
  "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v) == {'b': 2}",
  "{'a': 'x'}.transformMapEntry(k, v, {v: k}) == {'x': 'a'}",
  "['a', 'b'].transformMapEntry(i, v, i > 0, {v: i}) == {'b': 1}",
  "[false, true].exists(i, v, v || 1 / 0 > 1)",
  "object.?spec.?replicas.optMap(r, r + 1).orValue(0) == 4",
  "object.?none.optMap(r, r + 1).orValue(7) == 7",
  "object.?spec.optFlatMap(s, s.?replicas).value() == 3",
  "optional.ofNonZeroValue('').hasValue() == false && optional.ofNonZeroValue(1).value() == 1",
  "[optional.of(1), optional.none()].unwrapOpt() == [1] && optional.unwrap([optional.of(2)]) == [2]",
  "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()",
  "sets.contains([1, 2, 3], [3, 1]) && !sets.contains([1], [2]) && sets.contains([1], [])",
  "sets.equivalent([1, 2, 2], [2, 1]) && sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [])",
  "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
  "'HeLLo'.lowerAscii() == 'hello' && 'x'.upperAscii() == 'X' && ' a '.trim() == 'a'",
  "['a', 'b'].join('-') == 'a-b' && 'a,b'.split(',') == ['a', 'b'] && 'hello'.substring(1, 3) == 'el'",
  "'a-b-a'.lastIndexOf('a') == 4 && 'abc'.indexOf('c') == 2",
  "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'",
  "Object{spec: Object.spec{replicas: 1}}.spec.replicas == 1",
  "Object{metadata: Object.metadata{?labels: object.?none}} == Object{metadata: Object.metadata{}}",
  "[JSONPatch{op: 'add', path: '/x', value: {'a': [1]}}].size() == 1",
  "'{\"a\": Object.b{c: 1}}' == r'{\"a\": Object.b{c: 1}}' // Object{x: 1}",
  "n in {1: 'a', 2: 'b'} && n in [1, 2] && (n > 1 ? {'a': 1} : {'b': 2}) == {'a': 1}",
  "timestamp('2023-08-26T12:39:00-07:00').getHours('UTC') == 19 && duration('90m').getHours() == 1",
  "object.spec.items.map(i, i * 2).filter(i, i > 2) == [4, 6]",
  "has(object.metadata.labels) && !has(object.metadata.annotations)",
])("%s", (expression) => {
  expect(evaluate(expression)).toBe(true);
});

test.each([
  ["object.none.x", "no such key: none"],
  [
    "{'a': 1}.transformMapEntry(k, v, {'x': v}) == {'x': 1} && ['a', 'b'].transformMapEntry(i, v, {'x': v}) == {}",
    "insert failed: key 'x' already exists",
  ],
  ["optional.none().value()", "optional.none() dereference"],
])("%s fails", (expression, message) => {
  expect(() => evaluate(expression)).toThrow(message);
});

test.each([
  [
    "Object{spec: nothing}",
    "ERROR: <input>:1:14: undeclared reference to 'nothing' (in container '')\n | Object{spec: nothing}\n | .............^",
  ],
  ["[?object.?x, Other{a: 1}]", "ERROR: <input>:1:14: undeclared reference to 'Other' (in container '')"],
  ["'a'.matches('(')", "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^"],
  ["duration('1 hour') > duration('1h')", "ERROR: <input>:1:10: invalid duration argument"],
  ["[timestamp('yesterday')]", "ERROR: <input>:1:12: invalid timestamp argument"],
  ["[?object.?x, 'a'.matches('[')]", "ERROR: <input>:1:26: invalid matches argument"],
  ["JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"],
  ["JSONPatch{operation: 'add'}", "undefined field 'operation'"],
  ["[?1]", "expected type 'optional_type(int)' but found 'int'"],
  ["n.all(i, v, true)", "expression of type 'int' cannot be range of a comprehension"],
  ["[1].all(i, v, 1)", "expected type 'bool' but found 'int'"],
  ["Object{spec: Object.spec{}}", "compiled to Object"],
  ["[JSONPatch{op: 'test', path: '/'}]", "compiled to list(JSONPatch)"],
  ["{'a': [1]}", "compiled to map(string, list(int))"],
  ["{'a': [1]} > 1", "found no matching overload for '_>_' applied to '(map(string, list(int)), int)'"],
  ["timestamp('2023-08-26T12:39:00Z') + 1", "applied to '(timestamp, int)'"],
])("%s is told: %s", (expression, text) => {
  expect(issue(expression)).toContain(text);
});

test("objects are made only where patches are", () => {
  const compiled = new CelScope({}).compile("Object{}");
  expect("issue" in compiled && compiled.issue).toContain("undeclared reference to 'Object'");
  const key = new CelScope({}).compile("jsonpatch.escapeKey('a')");
  expect("issue" in key && key.issue).toContain("undeclared reference to 'jsonpatch'");
});

test("what was made has a JSON form, and objects say where they belong", () => {
  const made = evaluate(
    "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: Object.spec{replicas: 2, ratio: 0.5, on: true, list: [Object.spec.list{n: 1}], no: null, wait: duration('90s'), at: timestamp('2026-01-02T03:04:05Z')}}",
  );
  expect(celToJson(made)).toEqual({
    metadata: { labels: { a: "b" } },
    spec: { replicas: 2, ratio: 0.5, on: true, list: [{ n: 1 }], no: null, wait: "90s", at: "2026-01-02T03:04:05Z" },
  });
  expect(misplacedObjects(made)).toEqual([]);
  expect(misplacedObjects(evaluate("Object{spec: Object.wrong{}}"))).toEqual([
    'unexpected type name "Object.wrong", expected "Object.spec", which matches field name path from root Object type',
  ]);
  expect(() => celToJson(evaluate("{1: 2}.transformMap(k, v, v)"))).toThrow('map key "1" is not a string');
});

test("members that nobody asks for are not made", () => {
  const lazy = new CelScope({
    variables: { is: "object", fields: { a: { is: "dyn" }, b: { is: "dyn" } }, name: "kubernetes.variables" },
  });
  const compiled = lazy.compile("variables.a == 1 && variables.a == 1 || variables.b == 2");
  if ("issue" in compiled) throw new Error(compiled.issue);
  const asked: string[] = [];
  const member = (name: string, value: bigint) => () => (asked.push(name), value);
  const variables = lazy.lazy("variables", { a: member("a", 1n), b: member("b", 2n) });
  expect(compiled.program.run({ variables }).value).toBe(true);
  expect(asked).toEqual(["a"]);
  const unknown = lazy.compile("variables.c == 1");
  expect("issue" in unknown && unknown.issue).toContain("undefined field 'c'");
});

test("the authorizer is asked what the expression says", () => {
  const authorized = new CelScope({ authorizer: { is: "declared", name: "kubernetes.authorization.Authorizer" } });
  const asked: unknown[] = [];
  const ask = (question: object): { allowed: boolean; reason: string } => {
    asked.push(question);
    return { allowed: true, reason: "because" };
  };
  const authorizer = new CelAuthorizer(
    ask,
    {},
    { group: "apps", resource: "deployments", namespace: "ns", name: "web" },
  );
  const run = (expression: string): unknown => {
    const compiled = authorized.compile(expression);
    if ("issue" in compiled) throw new Error(compiled.issue);
    return compiled.program.run({ authorizer }).value;
  };
  expect(
    run("authorizer.group('').resource('pods').subresource('log').namespace('a').name('p').check('get').allowed()"),
  ).toBe(true);
  expect(run("authorizer.requestResource.check('delete').reason()")).toBe("because");
  expect(run("authorizer.serviceAccount('kube-system', 'me').path('/healthz').check('get').errored()")).toBe(false);
  const none = { group: "", resource: "", subresource: "", namespace: "", name: "" };
  expect(asked).toEqual([
    { ...none, resource: "pods", subresource: "log", namespace: "a", name: "p", verb: "get" },
    { ...none, group: "apps", resource: "deployments", namespace: "ns", name: "web", verb: "delete" },
    { ...none, serviceAccount: { namespace: "kube-system", name: "me" }, path: "/healthz", verb: "get" },
  ]);
  // Two questions fit into an evaluation.
  const question = "authorizer.path('/a').check('get').allowed()";
  expect(run(`${question} && ${question}`)).toBe(true);
  expect(() => run(`${question} && ${question} && ${question}`)).toThrow("actual cost limit exceeded");
  expect(() => run("authorizer.group('').resource(' ').check('get').allowed()")).toThrow("resource must not be empty");
});

test("evaluations that stand inside of others have budgets of their own", () => {
  const inner = new CelScope({ numbers: { is: "dyn" } });
  const outer = new CelScope({ variables: { is: "object", fields: { a: { is: "dyn" } } } });
  const long = inner.compile("numbers.all(x, numbers.all(y, x + y >= 0))");
  const asks = outer.compile("variables.a && true");
  if ("issue" in long || "issue" in asks) throw new Error("did not compile");
  const numbers = inner.value(
    "numbers",
    Array.from({ length: 2_000 }, (_, n) => n),
  );
  const a = (): unknown => long.program.run({ numbers }).value;
  const run = (): unknown => asks.program.run({ variables: outer.lazy("variables", { a }) });
  expect(run).toThrow("actual cost limit exceeded");
  expect(outer.compile("1 == 1")).toHaveProperty("program");
});

const literal = fc.oneof(
  fc.constantFrom(
    "1",
    "'a {b: 1}'",
    '"[?x]"',
    "r'\\'",
    "true",
    "x",
    "x.y",
    "[1, 2]",
    "{'a': 1}",
    "f(x)",
    "'''it's {?}'''",
  ),
);

test("what has none of our words stays as it is, and places lead back to where they came from", () => {
  fc.assert(
    fc.property(fc.array(literal, { minLength: 1, maxLength: 6 }), (parts) => {
      const source = parts.join(" + ");
      expect(desugar(source).text).toBe(source);
    }),
  );
  fc.assert(
    fc.property(fc.array(literal, { minLength: 1, maxLength: 5 }), (parts) => {
      const source = parts.map((part) => `Object.a{?b: ${part}, c: [?${part}]}`).join(" + ");
      const { text, sourceOf } = desugar(source);
      for (const [at, char] of text.split("").entries()) {
        const place = sourceOf(at);
        expect(place).toBeGreaterThanOrEqual(0);
        expect(place).toBeLessThanOrEqual(source.length);
        if (/[x{:+]/.test(char) && source.charAt(place) !== char)
          expect(text.slice(Math.max(0, at - 20), at + 20)).toContain("__");
      }
    }),
  );
});

test("no text makes the compiler throw", () => {
  const pieces = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    "?",
    ",",
    ":",
    "Object",
    ".",
    "a",
    "'",
    '"',
    "\\",
    "(",
    ")",
    "1",
    " in ",
    "all",
    "optMap",
    "__construct__",
    "__optional__",
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 24 }), (parts) => {
      const compiled = scope.compile(parts.join(""));
      expect("issue" in compiled || "program" in compiled).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});
