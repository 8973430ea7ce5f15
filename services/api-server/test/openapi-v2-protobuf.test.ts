// The OpenAPI v2 document as protobuf: by its bytes in the small, and read again and compared with the JSON form in the large.
import { expect, test } from "vitest";
import { allKinds } from "@coxswain/api";
import { WireReader } from "@coxswain/api/wire/reader";
import { createOpenApi } from "../src/openapi/openapi-documents.ts";
import { CHOICES, ENTRIES, EXTENSIONS, MESSAGES } from "../src/openapi/openapi-v2-messages.ts";
import { createOpenApiPaths } from "../src/openapi/openapi-paths.ts";
import { encodeV2Document } from "../src/openapi/openapi-v2-protobuf.ts";

/** A length-delimited field. */
function block(number: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const tag = (number << 3) | 2;
  const head = tag < 0x80 ? [tag] : [(tag & 0x7f) | 0x80, tag >> 7];
  const length = content.length < 0x80 ? [content.length] : [(content.length & 0x7f) | 0x80, content.length >> 7];
  return Buffer.concat([Buffer.from([...head, ...length]), content]);
}
const extension = (name: string, yaml: string): Buffer => Buffer.concat([block(1, name), block(2, block(2, yaml))]);

test("fields have the numbers that clients know", () => {
  const document = {
    swagger: "2.0",
    info: { title: "T", version: "v1" },
    paths: {
      "/a": {
        patch: {
          operationId: "patchA",
          consumes: ["a/b"],
          parameters: [
            { name: "body", in: "body", required: true, schema: { $ref: "#/definitions/A" } },
            { name: "q", in: "query", type: "string", uniqueItems: true },
          ],
          responses: { "200": { description: "OK", schema: { type: "object" } } },
          "x-kubernetes-action": "patch",
        },
        parameters: [{ name: "n", in: "path", type: "string", required: true }],
      },
    },
    definitions: {
      A: {
        type: "object",
        required: ["x"],
        properties: {
          "x-y": { type: "array", items: { type: "integer", minimum: 2 }, maxItems: 3 },
          m: { additionalProperties: { type: "string" } },
          o: { additionalProperties: false },
        },
        "x-kubernetes-group-version-kind": [{ group: "", version: "v1", kind: "A" }],
      },
    },
    security: [{ BearerToken: [] }],
    securityDefinitions: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
  };
  const two = Buffer.alloc(8);
  two.writeDoubleLE(2);
  const type = (name: string): Buffer => block(22, block(1, name));
  const body = block(
    1,
    block(1, block(2, "body"), block(3, "body"), Buffer.from([0x20, 1]), block(5, block(1, "#/definitions/A"))),
  );
  const query = block(
    1,
    block(2, block(3, block(2, "query"), block(4, "q"), block(6, "string"), Buffer.from([0xa0, 1, 1]))),
  );
  const path = block(1, block(2, block(4, Buffer.from([8, 1]), block(2, "path"), block(4, "n"), block(5, "string"))));
  const answer = block(1, block(1, "200"), block(2, block(1, block(1, "OK"), block(2, block(1, type("object"))))));
  const operation = block(
    8,
    block(5, "patchA"),
    block(7, "a/b"),
    block(8, body),
    block(8, query),
    block(9, answer),
    block(13, extension("x-kubernetes-action", '"patch"\n')),
  );
  const list = Buffer.concat([
    Buffer.from([0x70, 3]),
    type("array"),
    block(23, block(1, Buffer.from([0x49]), two, type("integer"))),
  ]);
  const properties = [
    block(1, block(1, "x-y"), block(2, list)),
    block(1, block(1, "m"), block(2, block(21, block(1, type("string"))))),
    block(1, block(1, "o"), block(2, block(21, Buffer.from([0x10, 0])))),
  ];
  const definition = block(
    2,
    block(19, "x"),
    type("object"),
    block(25, ...properties),
    block(31, extension("x-kubernetes-group-version-kind", '[{"group":"","version":"v1","kind":"A"}]\n')),
  );
  expect(encodeV2Document(document).toString("latin1")).toBe(
    Buffer.concat([
      block(1, "2.0"),
      block(2, block(1, "T"), block(2, "v1")),
      block(8, block(2, block(1, "/a"), block(2, operation, block(9, path)))),
      block(9, block(1, block(1, "A"), definition)),
      block(12, block(1, block(1, "BearerToken"), block(2))),
      block(
        13,
        block(
          1,
          block(1, "BearerToken"),
          block(2, block(2, block(1, "apiKey"), block(2, "authorization"), block(3, "header"))),
        ),
      ),
    ]).toString("latin1"),
  );
});

type Json = Record<string, unknown>;

/** The types that each number of a message of choices can have. */
const CHOSEN: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  AdditionalPropertiesItem: { 1: "Schema", 2: "bool" },
  TypeItem: { 1: "string" },
  StringArray: { 1: "string" },
  ItemsItem: { 1: "Schema" },
  SchemaItem: { 1: "Schema", 2: "FileSchema" },
  ParametersItem: { 1: "Parameter", 2: "JsonReference" },
  Parameter: { 1: "BodyParameter", 2: "NonBodyParameter" },
  NonBodyParameter: {
    1: "HeaderParameterSubSchema",
    2: "FormDataParameterSubSchema",
    3: "QueryParameterSubSchema",
    4: "PathParameterSubSchema",
  },
  ResponseValue: { 1: "Response", 2: "JsonReference" },
  SecurityDefinitionsItem: { 1: "BasicAuthenticationSecurity", 2: "ApiKeySecurity" },
};

function read(type: string, reader: WireReader): unknown {
  if (type === "string") return reader.block().toString();
  if (type === "bool") return reader.varint() === 1n;
  if (type === "int") return Number(reader.varint());
  if (type === "double") return reader.double();
  const inner = new WireReader(reader.block());
  if (type === "any") {
    expect(inner.tag()).toEqual({ number: 2, wireType: 2 });
    return JSON.parse(inner.block().toString());
  }
  return type in CHOICES ? readChoice(type, inner) : readMessage(type, inner);
}

function readChoice(type: string, reader: WireReader): unknown {
  const values: unknown[] = [];
  while (!reader.done) values.push(read(CHOSEN[type]![reader.tag().number]!, reader));
  return type === "StringArray" ? values : values.length === 1 ? values[0] : values;
}

function readMessage(type: string, reader: WireReader): Json {
  const made: Json = {};
  while (!reader.done) {
    const { number } = reader.tag();
    const field = MESSAGES.get(type)!.find((each) => each.number === number)!;
    if (field.member === ENTRIES || field.member === EXTENSIONS) {
      const entry = new WireReader(reader.block());
      entry.tag();
      const name = entry.block().toString();
      made[name] = entry.done ? "" : (entry.tag(), read(field.type, entry));
    } else if (field.repeated) {
      const list = (made[field.member] ??= []) as unknown[];
      list.push(read(field.type, reader));
    } else made[field.member] = read(field.type, reader);
  }
  return made;
}

/** Without what proto3 cannot tell from nothing. */
function present(value: unknown, inside = ""): unknown {
  if (Array.isArray(value)) return value.map((each) => present(each));
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(([name, each]) => {
    const free = inside === "properties" || name.startsWith("x-") || name === "additionalProperties";
    return (
      free ||
      (each !== false &&
        each !== 0 &&
        each !== "" &&
        !(Array.isArray(each) && each.length === 0 && inside !== "security"))
    );
  });
  return Object.fromEntries(
    kept.map(([name, each]) => [
      name,
      name.startsWith("x-") && inside !== "properties" ? each : name === "security" ? each : present(each, name),
    ]),
  );
}

const custom = {
  ...allKinds().find(({ kind }) => kind === "ConfigMap")!,
  group: "example.com",
  version: "v1",
  kind: "Widget",
  resource: "widgets",
  schemaName: "com.example.v1.Widget",
  custom: {
    schemas: {
      "com.example.v1.Widget": {
        type: "object",
        description: "A widget.",
        properties: {
          spec: {
            type: "object",
            required: ["size"],
            properties: {
              size: { type: "integer", minimum: 1, maximum: 9, maxLength: 4 },
              port: { "x-kubernetes-int-or-string": true },
              labels: { type: "object", additionalProperties: { type: "string" } },
              "x-free": { type: "boolean", enum: [true, false] },
              words: { type: "array", items: { type: "string", pattern: "^a" }, "x-kubernetes-list-type": "set" },
            },
          },
        },
        "x-kubernetes-group-version-kind": [{ group: "example.com", version: "v1", kind: "Widget" }],
      },
    },
  },
} as unknown as ReturnType<typeof allKinds>[number];

test("what the messages say is what the JSON says, for custom kinds too", () => {
  const openApi = createOpenApi([...allKinds(), custom]);
  const document = JSON.parse(JSON.stringify(openApi.v2())) as Json;
  const again = readMessage("Document", new WireReader(Buffer.concat([encodeV2Document(document)])));
  expect((again["definitions"] as Json)["com.example.v1.Widget"]).toMatchObject({
    properties: { spec: { properties: { "x-free": { enum: [true, false] } } } },
  });
  for (const [name, schema] of Object.entries(document["definitions"] as Json)) {
    expect((again["definitions"] as Json)[name], name).toEqual(present(schema));
  }
  for (const [name, item] of Object.entries(document["paths"] as Json)) {
    expect((again["paths"] as Json)[name], name).toEqual(present(item));
  }
  expect(again).toEqual(present(document));
});

test("kubectl is given the messages, which it may keep", async () => {
  const openApi = createOpenApi(allKinds());
  const paths = createOpenApiPaths(openApi, () => 0);
  const accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  const ask = (ifNoneMatch?: string) =>
    Promise.resolve(paths({ path: "/openapi/v2", query: new URLSearchParams(), accept, ifNoneMatch }));
  const answer = await ask();
  expect(answer).toMatchObject({ code: 200, contentType: accept.replace("@", ".") });
  expect(answer?.body).toEqual(encodeV2Document(openApi.v2()));
  expect(await ask(answer?.headers?.["ETag"])).toMatchObject({ code: 304 });
});
