// What the older form of OpenAPI says of kinds that take fields which their schema does not name.
import { expect, test } from "vitest";
import { openApiV2 } from "../src/schema/index.ts";

const GVK = { "x-kubernetes-group-version-kind": [{ group: "g.example", version: "v1", kind: "Free" }] };
const ANYTHING = { "x-kubernetes-preserve-unknown-fields": true };

test("a kind that takes any field is an object without properties, a field of that sort anything", () => {
  const properties = { metadata: { type: "object" }, free: { ...ANYTHING, type: "object", properties: {} } };
  const schemas = {
    root: { ...ANYTHING, ...GVK, description: "d", type: "object", properties },
    closed: { ...GVK, type: "object", properties },
  };
  const { definitions } = openApiV2([{ components: { schemas } }]) as { definitions: Record<string, object> };
  expect(definitions["root"]).toEqual({ ...GVK, type: "object" });
  expect(definitions["closed"]).toEqual({
    ...GVK,
    type: "object",
    properties: { metadata: { type: "object" }, free: ANYTHING },
  });
});
