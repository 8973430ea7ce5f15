// The messages of gnostic's openapi.v2.Document, as far as a document of ours can have them: fields in the order of their
// numbers, from 1. https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto

/** Fields whose value is not a member of the JSON: the vendor's members, and all others as a list of names and values. */
export const EXTENSIONS = "x-";
export const ENTRIES = "*";

/**
 * "member:type": the type is a text where none is given; "bool", "int", "double" or "any", or a message. In brackets: several.
 * "x-" stands for the members that start so, "*" for all others.
 */
const FIELDS = {
  Document:
    "swagger info:Info host basePath schemes:[string] consumes:[string] produces:[string] paths:Paths definitions:Definitions parameters:ParameterDefinitions responses:ResponseDefinitions security:[SecurityRequirement] securityDefinitions:SecurityDefinitions tags:[Tag] externalDocs:ExternalDocs x-",
  Info: "title version description termsOfService contact:Contact license:License x-",
  Contact: "name url email x-",
  License: "name url x-",
  Tag: "name description externalDocs:ExternalDocs x-",
  ExternalDocs: "description url x-",
  Paths: "x- *:PathItem",
  PathItem:
    "$ref get:Operation put:Operation post:Operation delete:Operation options:Operation head:Operation patch:Operation parameters:[ParametersItem] x-",
  Operation:
    "tags:[string] summary description externalDocs:ExternalDocs operationId produces:[string] consumes:[string] parameters:[ParametersItem] responses:Responses schemes:[string] deprecated:bool security:[SecurityRequirement] x-",
  Responses: "*:ResponseValue x-",
  Response: "description schema:SchemaItem headers:Headers examples:Examples x-",
  Examples: "*:any",
  Headers: "*:Header",
  JsonReference: "$ref description",
  ParameterDefinitions: "*:Parameter",
  ResponseDefinitions: "*:Response",
  Definitions: "*:Schema",
  Properties: "*:Schema",
  SecurityRequirement: "*:StringArray",
  SecurityDefinitions: "*:SecurityDefinitionsItem",
  Oauth2Scopes: "*:string",
  BasicAuthenticationSecurity: "type description x-",
  ApiKeySecurity: "type name in description x-",
  Oauth2ImplicitSecurity: "type flow scopes:Oauth2Scopes authorizationUrl description x-",
  Oauth2PasswordSecurity: "type flow scopes:Oauth2Scopes tokenUrl description x-",
  Oauth2ApplicationSecurity: "type flow scopes:Oauth2Scopes tokenUrl description x-",
  Oauth2AccessCodeSecurity: "type flow scopes:Oauth2Scopes authorizationUrl tokenUrl description x-",
  BodyParameter: "description name in required:bool schema:Schema x-",
  HeaderParameterSubSchema:
    "required:bool in description name type format items:PrimitivesItems collectionFormat default:any maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool enum:[any] multipleOf:double x-",
  PathParameterSubSchema:
    "required:bool in description name type format items:PrimitivesItems collectionFormat default:any maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool enum:[any] multipleOf:double x-",
  FormDataParameterSubSchema:
    "required:bool in description name allowEmptyValue:bool type format items:PrimitivesItems collectionFormat default:any maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool enum:[any] multipleOf:double x-",
  QueryParameterSubSchema:
    "required:bool in description name allowEmptyValue:bool type format items:PrimitivesItems collectionFormat default:any maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool enum:[any] multipleOf:double x-",
  Header:
    "type format items:PrimitivesItems collectionFormat default:any maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool enum:[any] multipleOf:double description x-",
  PrimitivesItems:
    "type format items:PrimitivesItems collectionFormat default:any maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool enum:[any] multipleOf:double x-",
  Schema:
    "$ref format title description default:any multipleOf:double maximum:double exclusiveMaximum:bool minimum:double exclusiveMinimum:bool maxLength:int minLength:int pattern maxItems:int minItems:int uniqueItems:bool maxProperties:int minProperties:int required:[string] enum:[any] additionalProperties:AdditionalPropertiesItem type:TypeItem items:ItemsItem allOf:[Schema] properties:Properties discriminator readOnly:bool xml:Xml externalDocs:ExternalDocs example:any x-",
  FileSchema:
    "format title description default:any required:[string] type readOnly:bool externalDocs:ExternalDocs example:any x-",
  Xml: "name namespace prefix attribute:bool wrapped:bool x-",
} as const;

export interface MessageField {
  readonly number: number;
  /** Of the JSON; or EXTENSIONS or ENTRIES. */
  readonly member: string;
  readonly type: string;
  readonly repeated: boolean;
}

function fieldsOf(text: string): readonly MessageField[] {
  return text.split(" ").map((each, at) => {
    const [member = "", type = member === EXTENSIONS ? "any" : "string"] = each.split(":");
    const repeated = type.startsWith("[");
    return { number: at + 1, member, type: repeated ? type.slice(1, -1) : type, repeated };
  });
}

/** By the message's name. */
export const MESSAGES: ReadonlyMap<string, readonly MessageField[]> = new Map(
  Object.entries(FIELDS).map(([name, text]) => [name, fieldsOf(text)]),
);

type Json = Readonly<Record<string, unknown>>;
type Choice = readonly [number: number, type: string];

const flowOf = (flow: unknown): Choice => {
  if (flow === "implicit") return [3, "Oauth2ImplicitSecurity"];
  if (flow === "password") return [4, "Oauth2PasswordSecurity"];
  return flow === "application" ? [5, "Oauth2ApplicationSecurity"] : [6, "Oauth2AccessCodeSecurity"];
};

const PLACES: Readonly<Record<string, Choice>> = {
  header: [1, "HeaderParameterSubSchema"],
  formData: [2, "FormDataParameterSubSchema"],
  query: [3, "QueryParameterSubSchema"],
  path: [4, "PathParameterSubSchema"],
};

/** Messages of one field that JSON has no level for: which it is, and of which type, by the value. Lists stand for repeated fields. */
export const CHOICES: Readonly<Record<string, (value: Json) => Choice>> = {
  AdditionalPropertiesItem: (value) => (typeof value === "boolean" ? [2, "bool"] : [1, "Schema"]),
  TypeItem: () => [1, "string"],
  StringArray: () => [1, "string"],
  ItemsItem: () => [1, "Schema"],
  SchemaItem: ({ type }) => (type === "file" ? [2, "FileSchema"] : [1, "Schema"]),
  ParametersItem: (value) => ("$ref" in value ? [2, "JsonReference"] : [1, "Parameter"]),
  Parameter: (value) => (value["in"] === "body" ? [1, "BodyParameter"] : [2, "NonBodyParameter"]),
  NonBodyParameter: (value) => PLACES[String(value["in"])] ?? [3, "QueryParameterSubSchema"],
  ResponseValue: (value) => ("$ref" in value ? [2, "JsonReference"] : [1, "Response"]),
  SecurityDefinitionsItem: ({ type, flow }) => {
    if (type === "basic") return [1, "BasicAuthenticationSecurity"];
    return type === "apiKey" ? [2, "ApiKeySecurity"] : flowOf(flow);
  },
};
