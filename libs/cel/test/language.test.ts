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
  "int(1u) == 1 && int(-3.9) == -3 && int('12') == 12 && int(timestamp('1970-01-01T00:00:10Z')) == 10 && int(duration('1s')) == 1000000000",
  "uint(3.2) == 3u && double('1e3') == 1000.0 && bool('T') && !bool('0') && string(3u) == '3'",
  "'hello mellow'.indexOf('ello', 20) == -1 && 'héllo'.indexOf('l') == 2 && 'héllo'.substring(1, 3) == 'él' && [1, 2, 1].lastIndexOf(1) == 2",
  "'TacoCÆt'.lowerAscii() == 'tacocÆt' && 'hello'.replace('', '_', 2) == '_h_ello'",
  "'%s'.format([[dyn(1), dyn('a'), dyn(2.5), dyn(null)]]) == '[1, \"a\", 2.500000, null]' && '%s'.format([{'a': [1]}]) == '{\"a\":[1]}'",
  "'%s %s %s'.format([b'xyz', 1e20, int]) == 'xyz 1e+20 int' && '%x'.format([b'abc']) == '616263'",
  "{'a': 1, ?'b': optional.none()} == {'a': 1} && {'a': 1, ?'b': optional.of(2)}.size() == 2",
  "sign(quantity('-1k')) == -1 && [1u, 2u].sum() == 3u && -9223372036854775808 < 0",
  "optional.of('a') == optional.of('a') && optional.of('a') != optional.of('b') && optional.of(1) != optional.none()",
  "object.?none == optional.none() && object.?metadata.?name == optional.of('web') && [1][?0] == optional.of(1)",
  "dyn(1) == dyn(1.0) && dyn(1u) == dyn(1) && dyn(9007199254740993) != dyn(9007199254740992) && dyn(1) != dyn('1')",
  "type(n) == int && type(n) != string && dyn(n) != null && [quantity('1')] == [quantity('1000m')]",
  "string(timestamp('2023-08-26T12:39:00Z')) == '2023-08-26T12:39:00Z' && string(duration('90m')) == '5400s'",
  "timestamp('2023-08-26T12:39:00Z').getHours('01:00') == 13 && timestamp('2023-08-26T12:39:00Z').getHours('-02:30') == 10",
  "timestamp('2023-08-26T12:39:00Z').getMinutes('-02:30') == 9 && timestamp('2023-01-01T02:00:00Z').getFullYear('America/New_York') == 2022",
  "timestamp('2023-08-26T12:39:00Z').getDayOfYear('UTC') == 237 && timestamp('2023-08-26T12:39:00Z').getDayOfWeek('Asia/Tokyo') == 6",
  "[duration('1h'), duration('2m')].sum() == duration('3720s') && '%e'.format([3.14]) == '3.140000×10⁰⁰'",
  "'%.1e'.format([0.00012]) == '1.200000×10⁻⁰⁴' && '%s and %d'.format(['a', 1]) == 'a and 1'",
  "url('https://example.com:443/a%20b?c=d').getPort() == '443' && url('https://Example.com').getEscapedPath() == ''",
  "url('https://Example.com').getHost() == 'Example.com' && url('mailto:a@b').getHost() == ''",
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
  ["9223372036854775807 + n > 0", /integer overflow$/],
  ["1 % (n - 2) > 0", "modulus by zero"],
  ["int('x') > n", "type conversion error from 'string' to 'int'"],
  ["int(1e30) > n", /^integer overflow$/],
  ["uint(n - 5) > 0u", /^unsigned integer overflow$/],
  ["1u - 2u > 0u", /^unsigned integer overflow$/],
  ["dyn('a') < n", /^no such overload$/],
  ["'abc'.substring(5) == ''", /^index out of range: 5$/],
  ["'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"],
  ["'%d'.format([1.5]) == ''", "decimal clause can only be used on integers, was given double"],
  ["'%s'.format(['a', 'b']) == ''", "too many arguments supplied to string.format (expected 1, got 2)"],
  ["timestamp('2023-08-26T12:39:00Z').getHours('Nowhere') > 0", "unknown time zone Nowhere"],
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
  ["n  == 'a'", "ERROR: <input>:1:4: found no matching overload for '_==_' applied to '(int, string)'"],
  ["(n)\n+ 'a'", "ERROR: <input>:2:1: found no matching overload for '_+_' applied to '(int, string)'"],
  ["true && n", "ERROR: <input>:1:9: expected type 'bool' but found 'int'"],
  ["[1].all(x, 'a')", "ERROR: <input>:1:12: expected type 'bool' but found 'string'"],
  ["n.all(x, true)", "ERROR: <input>:1:1: expression of type 'int' cannot be range of a comprehension (must be"],
  ["[1].all(1, true)", "ERROR: <input>:1:9: argument must be a simple name"],
  ["has(n)", "ERROR: <input>:1:5: invalid argument to has() macro"],
  ["has(n.x)", "ERROR: <input>:1:4: type 'int' does not support field selection"],
  [
    "sets.contains([1], ['a'])",
    "found no matching overload for 'sets.contains' applied to '(list(int), list(string))'",
  ],
  ["'a'.reverse()", "found no matching overload for 'reverse' applied to 'string.()'"],
  ["9223372036854775808 > n", "ERROR: <input>:1:1: invalid int literal"],
  ["n +", "ERROR: <input>:1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true'"],
  ["(n", "ERROR: <input>:1:3: Syntax error: missing ')' at '<EOF>'"],
  ["[n", "ERROR: <input>:1:3: Syntax error: mismatched input '<EOF>' expecting {']', ','}"],
  ["n.", "ERROR: <input>:1:3: Syntax error: no viable alternative at input '.'"],
  ["n 2", "ERROR: <input>:1:3: Syntax error: extraneous input '2' expecting <EOF>"],
  ["!n", "ERROR: <input>:1:1: found no matching overload for '!_' applied to '(int)'"],
  ["n > 1 ? 1 : 'a'", "ERROR: <input>:1:7: found no matching overload for '_?_:_' applied to '(bool, int, string)'"],
  ["nothing(n)", "ERROR: <input>:1:8: undeclared reference to 'nothing' (in container '')"],
  ["'a'.nothing(n)", "ERROR: <input>:1:12: undeclared reference to 'nothing' (in container '')"],
  ["'a'.matches(n)", "ERROR: <input>:1:12: found no matching overload for 'matches' applied to 'string.(int)'"],
  ["[[1]].min()", "ERROR: <input>:1:10: found no matching overload for 'min' applied to 'list(list(int)).()'"],
  ["['a'].sum()", "found no matching overload for 'sum' applied to 'list(string).()'"],
  ["[1, 'a', true]", "ERROR: <input>:1:5: expected type 'int' but found 'string'"],
  ["{'a': 1, 'b': false}", "ERROR: <input>:1:15: expected type 'int' but found 'bool'"],
  ["{'a': 1}[1]", "ERROR: <input>:1:9: found no matching overload for '_[_]' applied to '(map(string, int), int)'"],
  ["[1]['a']", "ERROR: <input>:1:4: found no matching overload for '_[_]' applied to '(list(int), string)'"],
  ["n.foo", "ERROR: <input>:1:2: type 'int' does not support field selection"],
  ["'a' == null", "found no matching overload for '_==_' applied to '(string, null)'"],
  ["optional.of('a') == optional.of(1)", "applied to '(optional_type(string), optional_type(int))'"],
  ["JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"],
  ["JSONPatch{operation: 'add'}", "undefined field 'operation'"],
  ["[?1]", "expected type 'optional_type(int)' but found 'int'"],
  ["n.all(i, v, true)", "expression of type 'int' cannot be range of a comprehension"],
  ["[1].all(i, v, 1)", "expected type 'bool' but found 'int'"],
  ["Object{spec: Object.spec{}}", "compiled to Object"],
  ["[JSONPatch{op: 'test', path: '/'}]", "compiled to list(JSONPatch)"],
  ["[]", "compiled to list(dyn)"],
  ["[] == {}", "found no matching overload for '_==_' applied to '(list(dyn), map(dyn, dyn))'"],
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
