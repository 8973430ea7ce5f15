// Estimated costs, function by function: the figures are those of the reference implementation.
// https://github.com/kubernetes/apiserver/blob/v0.35.0/pkg/cel/library/cost_test.go
import { expect, test } from "vitest";
import { AUTHORIZER_TYPE, CelScope, type CostSizes } from "../src/index.ts";

const scope = new CelScope({
  authorizer: { is: "declared", name: AUTHORIZER_TYPE },
  l: { is: "list", items: { is: "string" } },
  s: { is: "string" },
  d: { is: "dyn" },
  n: { is: "int" },
  m: { is: "map", values: { is: "string" } },
});
/** Texts have twelve characters at most; of lists and maps nothing is known but these. */
const SIZES: CostSizes = {
  size: ([variable], type) => {
    if (type === "string" || type === "bytes") return { min: 0, max: 12 };
    return variable === "l" || variable === "m" ? { min: 0, max: 5 } : undefined;
  },
  kind: () => undefined,
};

function cost(expression: string): readonly [number, number] {
  const compiled = scope.compile(expression);
  if ("issue" in compiled) throw new Error(compiled.issue);
  const { min, max } = compiled.program.estimate(SIZES);
  return [min, max];
}

const INTS = "[1, 2, 3, 4, 5]";
const DURATIONS = "[duration('1s'), duration('2s'), duration('3s'), duration('4s'), duration('5s')]";
const TEXTS = "['012345678901', '012345678901', '012345678901', '012345678901', '012345678901']";
const WORDS = "['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j']";
const RESOURCE =
  "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')";
const FIELDS = "'spec.nodeName=example-node-name.fully.qualified.domain.name.example.com'";
const [V4, V6] = ["ip('192.168.0.1')", "ip('2001:db8:3333:4444:5555:6666:7777:8888')"];

test.each([
  [`${INTS}.sum()`, 15, 15],
  [`${DURATIONS}.sum()`, 20, 20],
  [`${INTS}.isSorted()`, 15, 15],
  [`${TEXTS}.max()`, 15, 25],
  [`${TEXTS}.indexOf('x')`, 15, 25],
  ["'01234567890123456789012345678901234567890123456789'.indexOf('123')", 5, 5],
  ["url('https:://kubernetes.io/').getHost()", 4, 4],
  ["url('https:://kubernetes.io/') == url('https:://kubernetes.io/')", 7, 9],
  ["url('https:://kubernetes.io/') == url('http://x.b')", 5, 5],
  [V4, 2, 2],
  [V6, 4, 4],
  [`${V6}.family()`, 5, 5],
  [`${V4} == ${V4}`, 5, 5],
  ["ip.isCanonical('192.168.0.1')", 3, 3],
  ["cidr('192.168.0.0/16').prefixLength()", 3, 3],
  ["cidr('192.168.0.0/16').ip()", 3, 3],
  ["cidr('192.168.0.0/16').containsCIDR(cidr('192.0.0.0/30'))", 7, 11],
  ["cidr('192.168.0.0/16').containsCIDR('192.0.0.0/30')", 7, 11],
  ["cidr('192.168.0.0/16').containsIP('192.0.0.1')", 4, 7],
  ["cidr('192.168.0.0/16').containsIP(ip('192.169.0.1'))", 5, 8],
  ["'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3],
  ["'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()", 7, 9],
  ["strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3],
  ["strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", 7, 11],
  ["'abc 123 def 123'.replace('123', '456')", 3, 3],
  ["'abc 123 def 123'.replace('', 'x')", 3, 3],
  ["'abc 123 def 123'.split(' ', 1)", 3, 3],
  ["'abc 123 def 123'.substring(5, 8)", 2, 2],
  ["'  abc 123 def 123  '.trim()", 2, 2],
  [`${WORDS}.join(' ')`, 11, 23],
  [`${WORDS}.join()`, 10, 22],
  ["'abc 123 def 123'.findAll('123')", 2, 2],
  [RESOURCE, 6, 6],
  [`authorizer.group('').resource('pods').fieldSelector(${FIELDS})`, 1821, 1821],
  ["authorizer.path('/healthz').check('get').allowed()", 350_003, 350_003],
  [`${RESOURCE}.check('create').allowed()`, 350_007, 350_007],
  ['quantity("200M") == quantity("200M")', 3, 3],
  ['quantity("200M") == quantity("0.2G") && quantity("0.2G") == quantity("200M")', 3, 6],
  ['quantity("50k").add(quantity("20")) == quantity("50.02k")', 5, 5],
  ['quantity("50k").add(20).sub(quantity("100k")).sub(-50000).asInteger() > 0', 7, 7],
  ['format.named("dns1123subdomain")', 1, 1],
  ['format.named("dns1123Subdomain").value().validate("my-name")', 34, 34],
  ['format.named("dns1123Label").value() == format.named("dns1123Label").value()', 5, 11],
  ["sets.contains([], [])", 21, 21],
  ["sets.contains([1, 2, 3, 4], [2, 3])", 29, 29],
  ["sets.contains([[1], [2, 3]], [[2, 3]])", 53, 53],
  ["sets.equivalent([1], [1, 1])", 25, 25],
])("%s costs %i to %i", (expression, least, most) => {
  expect(cost(expression)).toEqual([least, most]);
});

test.each([
  ["s", 1, 1],
  ["'a' == s", 2, 2],
  ["d == s", 3, 4],
  ["n < 3", 2, 2],
  ["s + 'abc' == 'abcd'", 3, 4],
  // Where types are open, all that an operator may be counts.
  ["d < d", 3, Infinity],
  ["'a' in l", 1, 6],
  ["'a' in m", 2, 2],
  ["has(m.a)", 1, 1],
  ["m.a", 2, 2],
  ["d.a", 1, 1],
  ["m[?'a'].orValue('b')", 3, 3],
  ["n > 1 ? s : 'b'", 2, 3],
  ["l.all(x, x == 'a')", 2, 2 + 5 * 5],
  ["l.exists(x, x == 'a')", 2, 2 + 5 * 6],
  ["l.exists_one(x, x == 'a')", 3, 3 + 5 * 4],
  ["l.filter(x, x == 'a')", 12, 12 + 5 * 15],
  ["l.map(x, x + 'a')", 12, 12 + 5 * 15],
  ["l.map(x, x == 'a', x)", 12, 12 + 5 * 15],
  ["l.filter(x, x == 'a').all(x, x == 'b')", 13, 12 + 5 * 15 + 1 + 5 * 5],
  ["l.all(i, x, i > 0 && x == 'a')", 2, 2 + 5 * 7],
  ["l.transformList(i, x, x)", 12, 12 + 5 * 13],
  ["m.transformMap(k, x, k)", 32, 32 + 5 * 4],
  ["cel.bind(x, s + s, x + x)", 14, 14 + 3 + 3],
  ["optional.of(s).optMap(x, x + 'a').orValue('b')", 5, 21],
  ["[1, 2].map(x, x).sum()", 49, 49],
  ["bytes(s) == b'x'", 2, 4],
])("%s costs %i to %d", (expression, least, most) => {
  const [min, max] = cost(expression);
  expect([min, max > 2 ** 60 ? Infinity : max]).toEqual([least, most]);
});
