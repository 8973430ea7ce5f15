// What the rows of a Table have besides cells, and the order in which they come.
import { kindFor, type KindDefinition } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { tableOf, type IncludeObject } from "../src/rest/table.ts";

function kindOf(resource: string, group = ""): KindDefinition {
  const kind = kindFor({ group, version: "v1", resource });
  if (!kind) throw new Error(`no kind ${resource}`);
  return kind;
}

const rowsOf = (kind: KindDefinition, objects: object[], include: IncludeObject = "None") =>
  tableOf(
    kind,
    objects.map((object) => ({ object: object as KubeObject })),
    {},
    { nowMs: 0, include, withColumns: true },
  ).rows;

test("the row of a pod says that it is over, and has a null where no object is asked for", () => {
  const pods = ["Succeeded", "Running"].map((phase) => ({ metadata: { name: phase }, status: { phase } }));
  const rows = rowsOf(kindOf("pods"), pods);
  expect(rows.map(({ conditions }) => conditions?.[0]?.reason)).toEqual(["Succeeded", undefined]);
  expect(rows.map(({ object }) => object)).toEqual([null, null]);
  expect(rows[1]).not.toHaveProperty("conditions");
});

test("flow schemas come in the order in which requests try them", () => {
  const schema = (name: string, matchingPrecedence: number) => ({ metadata: { name }, spec: { matchingPrecedence } });
  const schemas = [schema("a", 9900), schema("c", 100), schema("b", 100), schema("z", 1)];
  const rows = rowsOf(kindOf("flowschemas", "flowcontrol.apiserver.k8s.io"), schemas);
  expect(rows.map(({ cells }) => cells[0])).toEqual(["z", "b", "c", "a"]);
});
