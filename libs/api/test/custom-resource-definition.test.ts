// What a CustomResourceDefinition may say, in upstream's words, and what it becomes.
import { fieldErrorText } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { CRD_FINALIZER } from "../src/apiextensions-v1/custom-resource-definition/custom-resource-definition.ts";
import type { CrdSpec, CustomResourceDefinition, JsonSchemaProps } from "../src/apiextensions-v1/types.ts";
import { kindFor, type KindDefinition } from "../src/index.ts";
import { checkTypes, pruneUnknown, walkUnknownFields } from "../src/schema/index.ts";
import { decodeProtobuf, encodeProtobuf } from "../src/wire/index.ts";

const kind = kindFor({
  group: "apiextensions.k8s.io",
  version: "v1",
  resource: "customresourcedefinitions",
}) as unknown as KindDefinition<CustomResourceDefinition>;

function cronTabs(schema: JsonSchemaProps, change: (spec: CrdSpec) => void = () => {}): CustomResourceDefinition {
  const spec: CrdSpec = {
    group: "stable.example.com",
    names: { plural: "crontabs", kind: "CronTab" },
    scope: "Namespaced",
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
  };
  change(spec);
  const crd = { metadata: { name: "crontabs.stable.example.com" }, spec };
  kind.defaults(crd);
  return crd;
}

const errorsOf = (crd: CustomResourceDefinition): string[] => {
  const fresh = structuredClone(crd);
  kind.strategy.prepareForCreate(fresh, { nowMs: 0 });
  return kind.validateCreate(fresh).map((error) => fieldErrorText(error));
};

const spec = (properties: Record<string, JsonSchemaProps>): JsonSchemaProps => ({
  type: "object",
  properties: { spec: { type: "object", properties } },
});

test("names, list kind, conversion and stored versions are filled in", () => {
  const crd = cronTabs(spec({ replicas: { type: "integer" } }));
  expect(crd.spec.names).toEqual({ plural: "crontabs", kind: "CronTab", singular: "crontab", listKind: "CronTabList" });
  expect(crd.spec.conversion).toEqual({ strategy: "None" });
  expect(crd.status?.storedVersions).toEqual(["v1"]);
  expect(errorsOf(crd)).toEqual([]);
});

test("the name must be made of plural and group", () => {
  const crd = cronTabs(spec({}));
  crd.metadata = { name: "x.stable.example.com" };
  expect(errorsOf(crd)).toEqual([
    'metadata.name: Invalid value: "x.stable.example.com": must be spec.names.plural+"."+spec.group',
  ]);
});

test("a schema must be structural", () => {
  const at = "spec.validation.openAPIV3Schema";
  expect(errorsOf(cronTabs({ type: "object", properties: { spec: {} } }))).toEqual([
    `${at}.properties[spec].type: Required value: must not be empty for specified object fields`,
  ]);
  expect(errorsOf(cronTabs({ properties: {} }))).toEqual([`${at}.type: Required value: must not be empty at the root`]);
  expect(errorsOf(cronTabs(spec({ list: { type: "array" } })))).toEqual([
    `${at}.properties[spec].properties[list].items: Required value: must be specified`,
  ]);
  const junctor = { ...spec({}), anyOf: [{ properties: { other: { type: "string" } } }] };
  expect(errorsOf(cronTabs(junctor))).toEqual([
    `${at}.anyOf[0].properties[other].type: Forbidden: must be empty to be structural`,
    `${at}.properties[other]: Required value: because it is defined in ${at}.anyOf[0].properties[other]`,
  ]);
  const intOrString = { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] };
  expect(errorsOf(cronTabs(spec({ port: intOrString })))).toEqual([]);
  expect(errorsOf(cronTabs(spec({ name: { type: "string", pattern: "(" } })))).toEqual([
    `${at}.properties[spec].properties[name].pattern: Invalid value: "(": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): \`(\``,
  ]);
});

test("there is one storage version, and every version has a schema", () => {
  const two = cronTabs(spec({}), (one) => one.versions.push({ name: "v2", served: true, storage: true }));
  const [required, , storage] = errorsOf(two);
  expect(required).toBe("spec.versions[1].schema.openAPIV3Schema: Required value");
  expect(errorsOf(two).join()).toContain("must have exactly one version marked as storage version");
  expect(storage).toBeDefined();
});

test("defaults inside of embedded resources must make good ones", () => {
  const at = "spec.validation.openAPIV3Schema.properties[spec].properties[pod]";
  const pod = (properties: Record<string, JsonSchemaProps>, more: JsonSchemaProps = {}): string[] =>
    errorsOf(
      cronTabs(
        spec({
          pod: { type: "object", "x-kubernetes-embedded-resource": true, properties, ...more },
        }),
      ),
    );
  expect(pod({ kind: { type: "string", default: "%" } })[0]).toMatch(
    /^spec\.validation.*\[pod\]\.properties\[kind\]\.default: Invalid value: "%": must result in valid metadata: kind: Invalid value: "%": may have mixed case, but should otherwise match: a DNS-1035 label/,
  );
  expect(pod({ kind: { type: "string", default: 42 } })).toEqual([
    `${at}.properties[kind].default: Invalid value: 42: must result in valid metadata: kind: Invalid value: 42: must be a string`,
  ]);
  const labels = { type: "object", default: { labels: { a: "x y" } } };
  expect(pod({ metadata: labels })[0]).toMatch(
    /must result in valid metadata: metadata\.labels: Invalid value: "x y": a valid/,
  );
  const named = { apiVersion: "v1", kind: "Pod", metadata: { name: "%" } };
  const open = { "x-kubernetes-preserve-unknown-fields": true };
  expect(pod({}, { ...open, default: named })).toEqual([
    `${at}.default.metadata.name: Invalid value: "%": may not contain '%'`,
  ]);
  expect(pod({}, { ...open, default: { kind: "Pod" } })).toEqual([`${at}.default.apiVersion: Required value`]);
  expect(pod({}, { ...open, default: { apiVersion: "v1", kind: "" } })).toEqual([
    `${at}.default.kind: Invalid value: "": must not be empty`,
  ]);
});

test("lists, maps and defaults follow their rules", () => {
  const at = "spec.validation.openAPIV3Schema.properties[spec].properties";
  const map: JsonSchemaProps = {
    type: "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    items: { type: "object", properties: { name: { type: "string" } } },
  };
  expect(errorsOf(cronTabs(spec({ ports: map })))).toEqual([
    `${at}[ports].items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property`,
  ]);
  expect(errorsOf(cronTabs(spec({ size: { type: "integer", default: "big" } })))).toEqual([
    `${at}[size].default: Invalid value: "string":  in body must be of type integer: "string"`,
  ]);
  const ruled = { type: "integer", default: 3, "x-kubernetes-validations": [{ rule: "self > 5" }] };
  expect(errorsOf(cronTabs(spec({ size: ruled })))).toEqual([
    `${at}[size].default: Invalid value: 3: failed rule: self > 5`,
  ]);
  const unknown = { type: "object", properties: {}, default: { what: 1 } };
  expect(errorsOf(cronTabs(spec({ size: unknown })))).toEqual([
    `${at}[size].default: Invalid value: {"what":1}: must not have unknown fields`,
  ]);
  expect(errorsOf(cronTabs(spec({ size: { type: "string", uniqueItems: true } })))).toEqual([
    `${at}[size].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic`,
  ]);
});

test("protected groups need an approval, and conversion must name its webhook", () => {
  const crd = cronTabs(spec({}), (one) => {
    one.group = "stable.k8s.io";
    one.conversion = { strategy: "Webhook", webhook: { conversionReviewVersions: ["v1"] } };
  });
  crd.metadata = { name: "crontabs.stable.k8s.io" };
  expect(errorsOf(crd)).toEqual([
    "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
    'metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
  ]);
});

test.each<[object, string[]]>([
  [
    { strategy: "Other" },
    ['spec.conversion.strategy: Unsupported value: "Other": supported values: "None", "Webhook"'],
  ],
  [
    { strategy: "None", webhook: { conversionReviewVersions: ["v1"], clientConfig: {} } },
    [
      "spec.conversion.webhookClientConfig: Forbidden: should not be set when strategy is not set to Webhook",
      "spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook",
    ],
  ],
  [
    { strategy: "Webhook", webhook: { clientConfig: {} } },
    [
      "spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required",
      "spec.conversion.conversionReviewVersions: Required value",
    ],
  ],
  [
    { strategy: "Webhook", webhook: { clientConfig: { url: "https://h/c" }, conversionReviewVersions: ["v2", "v2"] } },
    [
      'spec.conversion.conversionReviewVersions[1]: Invalid value: "v2": duplicate version',
      'spec.conversion.conversionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1',
    ],
  ],
  [
    { strategy: "Webhook", webhook: { clientConfig: { url: "https://h/c" }, conversionReviewVersions: ["v9", "v1"] } },
    [],
  ],
])("conversion %j", (conversion, errors) => {
  const crd = cronTabs(spec({}), (one) => Object.assign(one, { conversion }));
  expect(errorsOf(crd)).toEqual(errors);
});

test("columns, selectable fields and scale are checked against the schema", () => {
  const crd = cronTabs(spec({ replicas: { type: "integer" }, other: { type: "object" } }), (one) => {
    const [version] = one.versions;
    Object.assign(version as object, {
      additionalPrinterColumns: [{ name: "Size", type: "text", jsonPath: "spec" }],
      selectableFields: [{ jsonPath: ".spec.other" }, { jsonPath: ".spec.none" }],
      subresources: { scale: { specReplicasPath: ".status.replicas", statusReplicasPath: "" } },
    });
  });
  expect(errorsOf(crd)).toEqual([
    'spec.subresources.scale.specReplicasPath: Invalid value: ".status.replicas": should be a json path under .spec',
    "spec.subresources.scale.statusReplicasPath: Required value",
    'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string',
    'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec": must be a simple json path starting with .',
    'spec.selectableFields[0].jsonPath: Invalid value: ".spec.other": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
    'spec.selectableFields[1].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to a valid field',
  ]);
});

test("a version that objects may be stored in cannot be left out", () => {
  const old = cronTabs(spec({}));
  const crd = structuredClone(old);
  (crd.spec.versions[0] as { name: string }).name = "v2";
  kind.strategy.prepareForUpdate(crd, old, { nowMs: 0 });
  expect(crd.status?.storedVersions).toEqual(["v1", "v2"]);
  expect(kind.validateUpdate(crd, old).map((error) => error.field)).toEqual(["status.storedVersions[0]"]);
});

test("the first DELETE adds the finalizer and says that the end is near", () => {
  const crd = cronTabs(spec({}));
  kind.strategy.prepareForDelete?.(crd, { nowMs: 0 });
  expect(crd.metadata?.finalizers).toEqual([CRD_FINALIZER]);
  expect(crd.status?.conditions).toEqual([
    {
      type: "Terminating",
      status: "True",
      reason: "InstanceDeletionPending",
      message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
      lastTransitionTime: "1970-01-01T00:00:00Z",
    },
  ]);
});

test("schemas keep what only they know: any JSON, booleans and lists in place of schemas", () => {
  const properties = {
    map: { type: "object", additionalProperties: true },
    typed: { type: "object", additionalProperties: { type: "string", default: "", what: 1 } },
    list: { type: "array", items: { type: "integer", minimum: 0, enum: [0, null, "x", { a: [] }] }, default: [] },
    flag: { type: "boolean", default: false },
  };
  const crd = { apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", ...cronTabs(spec({})) };
  const schema = crd.spec.versions[0]?.schema?.openAPIV3Schema as JsonSchemaProps;
  Object.assign(schema.properties?.["spec"] ?? {}, { properties });
  expect(checkTypes(crd, kind.schemaName)).toEqual([]);
  const path = "spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.typed.additionalProperties.what";
  expect(walkUnknownFields(crd, kind.schemaName)).toEqual([`unknown field "${path}"`]);
  pruneUnknown(crd, kind.schemaName);
  expect(properties.map.additionalProperties).toBe(true);
  expect(properties.typed.additionalProperties).toEqual({ type: "string", default: "" });
  expect(properties.list).toMatchObject({ default: [], items: { minimum: 0, enum: [0, null, "x", { a: [] }] } });
  expect(properties.flag.default).toBe(false);
  expect(decodeProtobuf(encodeProtobuf(crd))).toEqual(crd);
});
