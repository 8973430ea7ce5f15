// Definitions of custom resources with schemas of all shapes, CEL rules and defaults among them.
import type { KubeObject } from "@coxswain/apimachinery";
import type { Values } from "./values.ts";

const RULES = [
  "self.a > 0",
  "self.all(x, self.all(y, self.all(z, x == y)))",
  "has(self.a) || !has(self.b)",
  "oldSelf.a == self.a",
  "self == oldSelf",
  "size(self) < 10",
  "self.matches('(a+)+$')",
  "1/0 == 1",
  "self.a.b.c.d",
  "self[0]",
  "'a' + 1",
  "(((((((",
  "url(self).getHost() == 'x'",
  "quantity(self).isGreaterThan(quantity('1'))",
  "self.map(x, x * 9223372036854775807)",
  "duration(self) > duration('1s')",
  "__proto__",
  "self.__proto__ == 1",
  "ip(self).family() == 4",
  "",
  "true",
  "self.filter(x, x > 0).map(x, [x].map(y, [y])).size() > 0",
  "optional.of(self).hasValue()",
  "self.?a.orValue(1) == 1",
];
const TYPES = ["object", "array", "string", "integer", "number", "boolean", "null", ""];

function schemaOf(values: Values, depth: number): Record<string, unknown> {
  const type =
    depth <= 0 ? values.pick(TYPES.slice(2)) : values.chance(0.7) ? values.pick(TYPES.slice(0, 6)) : values.pick(TYPES);
  const schema: Record<string, unknown> = { type };
  const maybe = (probability: number, key: string, make: () => unknown): void => {
    if (values.chance(probability)) schema[key] = make();
  };
  if (type === "object" && values.chance(0.85)) {
    schema["properties"] = Object.fromEntries(
      Array.from({ length: 1 + values.random.int(3) }, () => [
        values.pick(["a", "b", "spec", "__proto__", "constructor", "x-y", "metadata"]),
        schemaOf(values, depth - 1),
      ]),
    );
  } else if (type === "object")
    schema["additionalProperties"] = values.chance(0.5) ? true : schemaOf(values, depth - 1);
  if (type === "array") maybe(0.9, "items", () => schemaOf(values, depth - 1));
  maybe(0.15, "default", () => values.anything(2));
  maybe(0.1, "nullable", () => values.chance(0.5));
  maybe(0.1, "x-kubernetes-preserve-unknown-fields", () => true);
  maybe(0.05, "x-kubernetes-int-or-string", () => true);
  maybe(0.05, "x-kubernetes-embedded-resource", () => true);
  maybe(0.1, "x-kubernetes-list-type", () => values.pick(["set", "map", "atomic", "x"]));
  maybe(0.05, "x-kubernetes-list-map-keys", () => ["a"]);
  maybe(0.1, "pattern", () => values.pick(["^a+$", "(a+)+$", "[", "\\p{L}", "a{1,99999}"]));
  maybe(0.1, "format", () => values.pick(["date-time", "ipv4", "byte", "int32", "x"]));
  maybe(0.1, "enum", () => [values.anything(1), "a"]);
  maybe(0.1, "maximum", () => values.anything(0));
  maybe(0.1, "maxLength", () => values.pick([0, 5, -1, 1e300]));
  maybe(0.05, "required", () => ["a", "a", "__proto__"]);
  maybe(0.05, "anyOf", () => [{ required: ["a"] }, schemaOf(values, 0)]);
  maybe(0.05, "$ref", () => "#/x");
  maybe(0.2, "x-kubernetes-validations", () =>
    Array.from({ length: 1 + values.random.int(2) }, () => ({
      rule: values.pick(RULES),
      ...(values.chance(0.4) ? { message: "no" } : { messageExpression: values.pick(RULES) }),
      ...(values.chance(0.2) ? { fieldPath: values.pick([".a", "x", ".__proto__"]), reason: "FieldValueInvalid" } : {}),
    })),
  );
  return schema;
}

/** No conversion by webhook: it would dial. */
export function customResourceDefinition(values: Values): KubeObject {
  const [plural, kind] = values.pick([
    ["widgets", "Widget"],
    ["gadgets", "Gadget"],
  ] as const);
  const versions = values.chance(0.8) ? ["v1"] : ["v1", "v2"];
  const object = {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.fuzz.example.com` },
    spec: {
      group: "fuzz.example.com",
      scope: "Namespaced",
      names: {
        plural,
        kind,
        singular: kind.toLowerCase(),
        ...(values.chance(0.2) ? { shortNames: [values.name()] } : {}),
      },
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema: { openAPIV3Schema: { ...schemaOf(values, 4), type: "object" } },
        ...(values.chance(0.3)
          ? {
              subresources: {
                status: {},
                ...(values.chance(0.3)
                  ? { scale: { specReplicasPath: ".spec.a", statusReplicasPath: ".status.a" } }
                  : {}),
              },
            }
          : {}),
        ...(values.chance(0.3)
          ? {
              additionalPrinterColumns: [
                {
                  name: "A",
                  type: values.pick(["string", "date", "integer", "x"]),
                  jsonPath: values.pick([".spec.a", "{.x", ".a[*].b", ".__proto__"]),
                },
              ],
            }
          : {}),
        ...(values.chance(0.1) ? { selectableFields: [{ jsonPath: values.pick([".spec.a", ".__proto__"]) }] } : {}),
      })),
    },
  };
  return values.chance(0.2) ? (values.mutate(object) as KubeObject) : object;
}
