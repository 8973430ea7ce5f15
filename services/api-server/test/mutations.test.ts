// Mutations of policies as functions: what an expression makes is what server-side apply would make of the same configuration,
// a second time changes nothing, and what is not spoken of stays.
import { kindFor, DEPLOYMENTS, type Deployment } from "@coxswain/api";
import { applyJsonPatch, deepClone, type KubeObject } from "@coxswain/apimachinery";
import { mergeObjects } from "@coxswain/apimachinery/managed-fields/index";
import { dynamicValue } from "@coxswain/cel";
import fc from "fast-check";
import { expect, test } from "vitest";
import { mutated } from "../src/admission/policies/mutations.ts";
import { PolicyProgram, type PolicyValues } from "../src/admission/policies/policy-program.ts";
import { typeOf } from "../src/registry/apply-tracking.ts";

const kind = kindFor(DEPLOYMENTS)!;
const program = new PolicyProgram([], true);

const name = fc.constantFrom("a", "b", "c", "d");
const text = fc.string({ maxLength: 6, unit: "grapheme-ascii" });
const labels = fc.dictionary(name, text, { maxKeys: 4, noNullPrototype: true });
const containers = fc.uniqueArray(fc.record({ name, image: text }), { selector: (each) => each.name, maxLength: 4 });

interface Parts {
  readonly labels: Record<string, string>;
  readonly replicas: number;
  readonly containers: readonly { readonly name: string; readonly image: string }[];
}

const parts: fc.Arbitrary<Parts> = fc.record({ labels, replicas: fc.nat(9), containers });

const objectOf = ({ labels: own, replicas, containers: list }: Parts): Record<string, unknown> => ({
  metadata: { labels: own },
  spec: { replicas, template: { spec: { containers: list } } },
});

const quoted = (value: string): string => JSON.stringify(value);
const mapText = (map: Record<string, string>): string =>
  `{${Object.entries(map)
    .map(([key, value]) => `${quoted(key)}: ${quoted(value)}`)
    .join(", ")}}`;

/** The expression that makes `objectOf(parts)`. */
function expressionOf({ labels: own, replicas, containers: list }: Parts): string {
  const path = "Object.spec.template.spec";
  const items = list.map((each) => `${path}.containers{name: ${quoted(each.name)}, image: ${quoted(each.image)}}`);
  const spec = `${path}{containers: [${items.join(", ")}]}`;
  return `Object{metadata: Object.metadata{labels: ${mapText(own)}}, spec: Object.spec{replicas: ${replicas}, template: Object.spec.template{spec: ${spec}}}}`;
}

const live = (given: Parts): KubeObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  ...deepClone(objectOf(given)),
});

function valuesOf(object: KubeObject): PolicyValues {
  const nothing = { oldObject: null, request: new Map(), namespaceObject: null, params: null, authorizer: null };
  return { ...nothing, object: dynamicValue(object) };
}

const apply = (object: KubeObject, expression: string): KubeObject =>
  mutated(
    { patchType: "ApplyConfiguration", applyConfiguration: { expression } },
    kind,
    object,
    program.start(valuesOf(object)),
  );

test("a configuration merges as server-side apply merges it, once and for all", () => {
  fc.assert(
    fc.property(parts, parts, (before, wanted) => {
      const object = live(before);
      const frozen = JSON.stringify(object);
      const made = apply(object, expressionOf(wanted));
      expect(JSON.stringify(object)).toBe(frozen);
      const config = { ...objectOf(wanted), apiVersion: "apps/v1", kind: "Deployment" };
      expect(made).toEqual(mergeObjects(object, config, typeOf(kind)));
      expect(apply(made, expressionOf(wanted))).toEqual(made);
      const { metadata, spec } = made as Deployment;
      expect(metadata?.labels).toEqual({ ...before.labels, ...wanted.labels });
      const named = new Set(wanted.containers.map((each) => each.name));
      const untouched = before.containers.filter((each) => !named.has(each.name));
      expect(spec?.template?.spec?.containers ?? []).toEqual(
        expect.arrayContaining([...untouched, ...wanted.containers]),
      );
    }),
    { numRuns: 300 },
  );
});

test("a patch does what the same patch does by itself", () => {
  fc.assert(
    fc.property(parts, fc.array(fc.tuple(name, text), { maxLength: 5 }), (before, changes) => {
      const object = live(before);
      const operations = changes.map(([key, value]) => ({ op: "add", path: `/metadata/labels/${key}`, value }));
      const items = operations.map(
        ({ path, value }) => `JSONPatch{op: 'add', path: '${path}', value: ${quoted(value)}}`,
      );
      const jsonPatch = { expression: `[${items.join(", ")}]` };
      const made = mutated({ patchType: "JSONPatch", jsonPatch }, kind, object, program.start(valuesOf(object)));
      expect(made).toEqual(applyJsonPatch(object, operations));
    }),
    { numRuns: 200 },
  );
});
