// The part of the API's model that describes apiextensions.k8s.io/v1. It is written by hand, because its types hold what no
// declaration says: values of any JSON, and schemas where a boolean or a list may stand in their place.
// https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
import type { ModelField } from "../schema/model.ts";

const PREFIX = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";
const META = "io.k8s.apimachinery.pkg.apis.meta.v1";
const GROUP = "apiextensions.k8s.io";

export const CRD_SCHEMA = `${PREFIX}.CustomResourceDefinition`;
export const JSON_SCHEMA_PROPS = `${PREFIX}.JSONSchemaProps`;

interface RawType {
  readonly f: Record<string, ModelField>;
  readonly i?: [number, string][];
  readonly g?: [string, string, string];
}

/** kind and apiVersion, which are no fields of the message. */
const typeMeta: [number, string][] = [[0, `${META}.TypeMeta`]];

const own = (name: string): string => `#${PREFIX}.${name}`;
/** A field that is left out where empty. */
const opt = (n: number, t: string, more: Partial<ModelField> = {}): ModelField => ({ t, n, o: 1, ...more });
/** A field of which zero is a value of its own. */
const ptr = (n: number, t: string, more: Partial<ModelField> = {}): ModelField => opt(n, t, { p: 1, ...more });
const req = (n: number, t: string, more: Partial<ModelField> = {}): ModelField => ({ t, n, r: 1, ...more });
const atomic = { l: "list", lt: "atomic" } as const;
const schemas = own("JSONSchemaProps");

const jsonSchemaProps: Record<string, ModelField> = {
  id: opt(1, "string"),
  $schema: opt(2, "string"),
  $ref: ptr(3, "string"),
  description: opt(4, "string"),
  type: opt(5, "string"),
  format: opt(6, "string"),
  title: opt(7, "string"),
  default: ptr(8, "any"),
  maximum: ptr(9, "double"),
  exclusiveMaximum: opt(10, "bool"),
  minimum: ptr(11, "double"),
  exclusiveMinimum: opt(12, "bool"),
  maxLength: ptr(13, "int64"),
  minLength: ptr(14, "int64"),
  pattern: opt(15, "string"),
  maxItems: ptr(16, "int64"),
  minItems: ptr(17, "int64"),
  uniqueItems: opt(18, "bool"),
  multipleOf: ptr(19, "double"),
  enum: opt(20, "any", atomic),
  maxProperties: ptr(21, "int64"),
  minProperties: ptr(22, "int64"),
  required: opt(23, "string", atomic),
  items: ptr(24, "schema-or-array"),
  allOf: opt(25, schemas, atomic),
  oneOf: opt(26, schemas, atomic),
  anyOf: opt(27, schemas, atomic),
  not: ptr(28, schemas),
  properties: opt(29, schemas, { l: "map" }),
  additionalProperties: ptr(30, "schema-or-bool"),
  patternProperties: opt(31, schemas, { l: "map" }),
  dependencies: opt(32, "schema-or-strings", { l: "map" }),
  additionalItems: ptr(33, "schema-or-bool"),
  definitions: opt(34, schemas, { l: "map" }),
  externalDocs: ptr(35, own("ExternalDocumentation")),
  example: ptr(36, "any"),
  nullable: opt(37, "bool"),
  "x-kubernetes-preserve-unknown-fields": ptr(38, "bool"),
  "x-kubernetes-embedded-resource": opt(39, "bool"),
  "x-kubernetes-int-or-string": opt(40, "bool"),
  "x-kubernetes-list-map-keys": opt(41, "string", atomic),
  "x-kubernetes-list-type": ptr(42, "string"),
  "x-kubernetes-map-type": ptr(43, "string"),
  "x-kubernetes-validations": opt(44, own("ValidationRule"), {
    l: "list",
    lt: "map",
    mk: ["rule"],
    k: "rule",
    s: ["merge"],
  }),
};

const names: Record<string, ModelField> = {
  plural: req(1, "string"),
  singular: opt(2, "string"),
  shortNames: opt(3, "string", atomic),
  kind: req(4, "string"),
  listKind: opt(5, "string"),
  categories: opt(6, "string", atomic),
};

const version: Record<string, ModelField> = {
  name: req(1, "string"),
  served: req(2, "bool"),
  storage: req(3, "bool"),
  schema: ptr(4, own("CustomResourceValidation")),
  subresources: ptr(5, own("CustomResourceSubresources")),
  additionalPrinterColumns: opt(6, own("CustomResourceColumnDefinition"), atomic),
  deprecated: opt(7, "bool"),
  deprecationWarning: ptr(8, "string"),
  selectableFields: opt(9, own("SelectableField"), atomic),
};

const types: Record<string, RawType> = {
  CustomResourceDefinition: {
    f: {
      metadata: opt(1, `#${META}.ObjectMeta`),
      spec: req(2, own("CustomResourceDefinitionSpec")),
      status: opt(3, own("CustomResourceDefinitionStatus")),
    },
    i: typeMeta,
    g: [GROUP, "v1", "CustomResourceDefinition"],
  },
  CustomResourceDefinitionList: {
    f: {
      metadata: opt(1, `#${META}.ListMeta`),
      items: req(2, own("CustomResourceDefinition"), { l: "list" }),
    },
    i: typeMeta,
    g: [GROUP, "v1", "CustomResourceDefinitionList"],
  },
  CustomResourceDefinitionSpec: {
    f: {
      group: req(1, "string"),
      names: req(3, own("CustomResourceDefinitionNames")),
      scope: req(4, "string"),
      versions: req(7, own("CustomResourceDefinitionVersion"), atomic),
      conversion: ptr(9, own("CustomResourceConversion")),
      preserveUnknownFields: opt(10, "bool"),
    },
  },
  CustomResourceDefinitionStatus: {
    f: {
      conditions: opt(1, own("CustomResourceDefinitionCondition"), { l: "list", lt: "map", mk: ["type"] }),
      acceptedNames: opt(2, own("CustomResourceDefinitionNames")),
      storedVersions: opt(3, "string", atomic),
      observedGeneration: opt(4, "int64"),
    },
  },
  CustomResourceDefinitionCondition: {
    f: {
      type: req(1, "string"),
      status: req(2, "string"),
      lastTransitionTime: opt(3, "time"),
      reason: opt(4, "string"),
      message: opt(5, "string"),
      observedGeneration: opt(6, "int64"),
    },
  },
  CustomResourceDefinitionNames: { f: names },
  CustomResourceDefinitionVersion: { f: version },
  CustomResourceValidation: { f: { openAPIV3Schema: ptr(1, schemas) } },
  CustomResourceSubresources: {
    f: {
      status: ptr(1, own("CustomResourceSubresourceStatus")),
      scale: ptr(2, own("CustomResourceSubresourceScale")),
    },
  },
  CustomResourceSubresourceStatus: { f: {} },
  CustomResourceSubresourceScale: {
    f: {
      specReplicasPath: req(1, "string"),
      statusReplicasPath: req(2, "string"),
      labelSelectorPath: ptr(3, "string"),
    },
  },
  CustomResourceColumnDefinition: {
    f: {
      name: req(1, "string"),
      type: req(2, "string"),
      format: opt(3, "string"),
      description: opt(4, "string"),
      priority: opt(5, "int32"),
      jsonPath: req(6, "string"),
    },
  },
  SelectableField: { f: { jsonPath: req(1, "string") } },
  CustomResourceConversion: {
    f: { strategy: req(1, "string"), webhook: ptr(2, own("WebhookConversion")) },
  },
  WebhookConversion: {
    f: {
      clientConfig: ptr(2, own("WebhookClientConfig")),
      conversionReviewVersions: req(3, "string", atomic),
    },
  },
  WebhookClientConfig: {
    f: { service: ptr(1, own("ServiceReference")), caBundle: opt(2, "bytes"), url: ptr(3, "string") },
  },
  ServiceReference: {
    f: {
      namespace: req(1, "string"),
      name: req(2, "string"),
      path: ptr(3, "string"),
      port: ptr(4, "int32"),
    },
  },
  ExternalDocumentation: { f: { description: opt(1, "string"), url: opt(2, "string") } },
  JSONSchemaProps: { f: jsonSchemaProps },
  ValidationRule: {
    f: {
      rule: req(1, "string"),
      message: opt(2, "string"),
      messageExpression: opt(3, "string"),
      reason: ptr(4, "string"),
      fieldPath: opt(5, "string"),
      optionalOldSelf: ptr(6, "bool"),
    },
  },
};

/** By schema name, in the form of the generated model. */
export const APIEXTENSIONS_MODEL: Readonly<Record<string, RawType>> = Object.fromEntries(
  Object.entries(types).map(([name, type]) => [`${PREFIX}.${name}`, type]),
);
