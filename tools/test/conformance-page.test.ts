// The conformance page tells of each behaviour, and what the table knows is what the page says.
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { BEHAVIOURS, parseBehaviours, titleOf } from "../../test/conformance/behaviours.ts";
import { judge, outcomesOf, renderPage } from "../../test/conformance/page.ts";
import { root } from "../run-step.ts";

const page = readFileSync(path.join(root, "docs/CONFORMANCE.md"), "utf8");

/** The cells of each row of the page's tables whose first cell is `title`. */
function linesOf(text: string, title: string): string[][] {
  return text
    .split("\n")
    .map((line) => line.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|")))
    .filter((cells) => cells[1] === title)
    .map((cells) => cells.slice(1));
}

test("docs/CONFORMANCE.md has each behaviour once, with what the table says of it", () => {
  for (const row of BEHAVIOURS) {
    const lines = linesOf(page, titleOf(row));
    expect(lines, titleOf(row)).toHaveLength(1);
    const [, needs, result = "", why = ""] = lines[0] ?? [];
    expect(needs, titleOf(row)).toBe(row.needs);
    if (row.fails !== "" && result !== "not tested") expect([/fails/.test(result), why]).toEqual([true, row.fails]);
    if (row.fails === "") expect(why, titleOf(row)).not.toMatch(/on record as|its test failed/);
    if (result === "not tested") expect(why, titleOf(row)).not.toBe("");
  }
});

test("a line of the table that is no row is refused by its number", () => {
  const head = "id\tsig\tarea\tbehaviour\tneeds\tfails\tnote\n";
  expect(parseBehaviours(`${head}a\ts\tx\ty\tapi\t\t\n`)).toHaveLength(1);
  expect(() => parseBehaviours(`${head}a\ts\tx\ty\tmoon\t\t\n`)).toThrow("line 2");
  expect(() => parseBehaviours(`${head}a\ts\tx\ty\tapi\t\t\na\ts\tx\tz\tapi\t\t\n`)).toThrow(
    "line 3: a is there twice",
  );
});

test("a known failure that passes, a failure and a row without a test are each told", () => {
  const [row] = parseBehaviours("id\tsig\tarea\tbehaviour\tneeds\tfails\tnote\na\ts\tx\ty\tapi\t\t\n");
  if (row === undefined) throw new Error("no row");
  const report = (status: string) => [
    { testResults: [{ name: "/r/t.ts", assertionResults: [{ title: "x: y", status }] }] },
  ];
  const verdict = (fails: string, status: string) => {
    const known = { ...row, fails };
    return judge(known, outcomesOf(report(status), "/r").get("x: y"));
  };
  expect(verdict("", "passed")).toMatchObject({ verdict: "passes", file: "t.ts" });
  expect(verdict("", "failed")).toMatchObject({ verdict: "fails" });
  expect(verdict("gap", "passed")).toMatchObject({ verdict: "fails", why: "gap" });
  expect(verdict("gap", "failed")).toMatchObject({ verdict: "fails", why: "passes, though it is on record as: gap" });
  expect(judge(row, undefined)).toMatchObject({ verdict: "not tested", why: "no test yet" });
  expect(linesOf(renderPage([row], new Map()), "x: y")).toEqual([["x: y", "api", "not tested", "no test yet", ""]]);
});
