// CEL with the libraries of Kubernetes: what expressions give, what they may not be, and that none runs on.
import { expect, test } from "vitest";
import { CelFailure, CelScope, type CelType } from "../src/index.ts";

const PORT: CelType = { is: "object", fields: { name: { is: "string" }, port: { is: "int" } } };

const SELF: CelType = {
  is: "object",
  fields: {
    name: { is: "string" },
    "dash-ed": { is: "string" },
    namespace: { is: "string" },
    replicas: { is: "int" },
    ratio: { is: "double" },
    when: { is: "timestamp" },
    port: { is: "dyn" },
    items: { is: "list", items: { is: "object", fields: { key: { is: "string" }, n: { is: "int" } } } },
    labels: { is: "map", values: { is: "string" } },
    if: { is: "int" },
    none: { is: "string" },
    set: { is: "list", items: { is: "string" }, identity: { by: "value" } },
    other: { is: "list", items: { is: "string" }, identity: { by: "value" } },
    ports: { is: "list", items: PORT, identity: { by: "keys", keys: ["name"] } },
    morePorts: { is: "list", items: PORT, identity: { by: "keys", keys: ["name"] } },
    parts: { is: "list", items: { is: "object", fields: { a: { is: "int" } } } },
  },
};
const OBJECT = {
  name: "web",
  "dash-ed": "x",
  namespace: "ns",
  replicas: 3,
  ratio: 2,
  when: "2026-01-02T03:04:05Z",
  port: 80,
  items: [
    { key: "a", n: 1 },
    { key: "b", n: 2 },
  ],
  labels: { app: "web" },
  if: 1,
  none: null,
  set: ["a", "b"],
  other: ["b", "a"],
  ports: [
    { name: "x", port: 1 },
    { name: "y", port: 2 },
  ],
  morePorts: [
    { name: "y", port: 2 },
    { name: "x", port: 1 },
  ],
  parts: [
    { a: 1, unknown: 1 },
    { a: 1, unknown: 2 },
    { a: 1, unknown: 1 },
  ],
};

const scope = new CelScope({ self: SELF, oldSelf: SELF });

function evaluate(expression: string, old: unknown = OBJECT): unknown {
  const compiled = scope.compile(expression);
  if ("issue" in compiled) throw new Error(compiled.issue);
  return compiled.program.run({ self: scope.value("self", OBJECT), oldSelf: scope.value("oldSelf", old) }).value;
}

test.each([
  "self.replicas > 2 && self.ratio == 2.0",
  "self.replicas >= oldSelf.replicas",
  "self == oldSelf && self.items == oldSelf.items",
  "self.dash__dash__ed == 'x'",
  "self.__namespace__ == 'ns' && self.namespace == 'ns' && self.if == 1 && self.__if__ == 1",
  "!has(self.none) && has(self.name)",
  "self.set == self.other && self.set == ['b', 'a'] && ['b', 'a'] != self.set",
  "self.set + ['c', 'a'] == ['c', 'b', 'a'] && (self.set + ['c', 'a']).size() == 3 && 'a' in self.set",
  "self.ports == self.morePorts && (self.ports + self.morePorts).size() == 2 && self.ports[0] in self.morePorts",
  "self.parts[0] != self.parts[1] && self.parts[0] == self.parts[2]",
  "self.items.all(i, i.n > 0) && self.items[1].key == 'b'",
  "self.items.exists_one(i, i.key == 'a')",
  "self.items.map(i, i.n).sum() == 3 && self.items.map(i, i.n).max() == 2",
  "[1, 2, 3].isSorted() && ['a', 'b'].indexOf('b') == 1",
  "'app' in self.labels && self.labels['app'] == 'web' && self.labels.all(k, k.size() > 2)",
  "!has(self.labels.none) && self.?labels[?'none'].orValue('z') == 'z'",
  "self.port == 80 && type(self.port) == int",
  "self.name.matches('^[a-z]+$') && self.name.find('e.') == 'eb'",
  "'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'abc'.charAt(1) == 'b'",
  "'a-b-c'.replace('-', '+', 1) == 'a+b-c' && '%s is %d'.format(['x', 5]) == 'x is 5'",
  "self.when.getFullYear() == 2026 && self.when > timestamp('2025-01-01T00:00:00Z')",
  "duration('1h') > duration('59m')",
  "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').add(quantity('1500m')).asInteger() == 2",
  "isQuantity('1x') == false && quantity('1k') == quantity('1000')",
  "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback() && !isIP('010.0.0.1')",
  "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR('10.9.0.0/16')",
  "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('fd00::/64').prefixLength() == 64",
  "url('https://example.com:8443/a?b=c').getHostname() == 'example.com' && isURL('/path') && !isURL('no')",
  "url('https://x/a?b=c&b=d').getQuery()['b'] == ['c', 'd'] && url('https://x:1/a').getPort() == '1'",
  "format.dns1123Label().validate('ok').hasValue() == false && format.dns1123Label().validate('No').hasValue()",
  "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.1').compareTo(semver('1.0.0')) == -1",
  "semver('v01.02', true).minor() == 2 && semver('1', true) == semver('1.0.0') && isSemver('v1.2.3-rc.1+b', true)",
  "!isSemver('v1.2.3') && !isSemver('1.2') && !isSemver('01.2.3') && !isSemver('1.0.0-01') && !isSemver('1.2-rc', true)",
  "!isSemver('1.2.3.4', true) && !isSemver('1.2.18446744073709551616') && isSemver('1.0.0-0a.-', false)",
  "cel.bind(n, self.replicas, n * n == 9)",
])("%s", (expression) => {
  expect(evaluate(expression)).toBe(true);
});

test("what a rule cannot mean is told with its place", () => {
  const issue = (expression: string): string => {
    const compiled = scope.compile(expression);
    return "issue" in compiled ? compiled.issue : `compiled to ${compiled.program.type}`;
  };
  expect(issue("self.foo > 1")).toBe("ERROR: <input>:1:5: undefined field 'foo'\n | self.foo > 1\n | ....^");
  expect(issue("has(self.foo)")).toBe("ERROR: <input>:1:4: undefined field 'foo'\n | has(self.foo)\n | ...^");
  expect(issue("self['name'] == 'a'")).toContain(
    "ERROR: <input>:1:5: found no matching overload for '_[_]' applied to",
  );
  expect(issue("self.name == null")).toContain("found no matching overload for '_==_' applied to '(string, null)'");
  expect(issue("nothing == 1")).toContain("undeclared reference to 'nothing' (in container '')");
  expect(issue("self.name > 1")).toContain("found no matching overload for '_>_' applied to '(string, int)'");
  expect(issue("self.name.matches(1)")).toContain("found no matching overload for 'matches' applied to 'string.(int)'");
  expect(issue("self.name +")).toContain("Syntax error: ");
  expect(issue("self.replicas")).toBe("compiled to int");
});

test("an expression fails by what it lacks, not by an exception of ours", () => {
  expect(() => evaluate("self.items[7].n == 1")).toThrow(new CelFailure("index out of bounds: 7", false));
  expect(() => evaluate("self.labels['none'] == 'x'")).toThrow("no such key: none");
  expect(() => evaluate("self.replicas / 0 == 1")).toThrow("division by zero");
  expect(() => evaluate("self.name.matches('(' + '')")).toThrow("missing closing )");
});

test("a variable may have no value", () => {
  const optional = new CelScope({ self: SELF, oldSelf: SELF }, { optional: ["oldSelf"] });
  const compiled = optional.compile("!oldSelf.hasValue() || self.replicas >= oldSelf.value().replicas");
  if ("issue" in compiled) throw new Error(compiled.issue);
  const run = (old: unknown): unknown =>
    compiled.program.run({ self: optional.value("self", OBJECT), oldSelf: optional.optionalValue("oldSelf", old) })
      .value;
  expect([run(undefined), run(OBJECT), run({ ...OBJECT, replicas: 9 })]).toEqual([true, true, false]);
  expect([...compiled.program.uses].toSorted()).toEqual(["oldSelf", "self"]);
});

test("no expression runs on", () => {
  const many = { ...OBJECT, items: Array.from({ length: 2_000 }, (_, n) => ({ key: "k", n })) };
  const compiled = scope.compile("self.items.all(a, self.items.all(b, self.items.all(c, a.n + b.n + c.n >= 0)))");
  if ("issue" in compiled) throw new Error(compiled.issue);
  const run = (): unknown => compiled.program.run({ self: scope.value("self", many), oldSelf: undefined });
  expect(run).toThrow("operation cancelled: actual cost limit exceeded");
  // An error on one side of || is forgiven, an exhausted budget is not.
  const swallowed = scope.compile("self.items.all(a, self.items.all(b, a.n + b.n >= 0)) || true");
  if ("issue" in swallowed) throw new Error(swallowed.issue);
  expect(() => swallowed.program.run({ self: scope.value("self", many), oldSelf: undefined })).toThrow("cost limit");
});
