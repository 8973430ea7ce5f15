// Stacks tell positions in the sources, where a map lies beside the bundle; a logged error does, and a warning does not.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inSources } from "../src/source-positions.ts";

let folder: string;
let bundle: string;

// One source line: line 4, column 2 of src/one.ts is line 1, column 0 of the bundle.
const MAP = { version: 3, sources: ["../src/one.ts"], names: [], mappings: "AAGE", file: "one.js" };

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stack-"));
  mkdirSync(path.join(folder, "dist"));
  bundle = path.join(folder, "dist/one.js");
  writeFileSync(`${bundle}.map`, JSON.stringify(MAP));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("positions in a bundle become positions in its source", () => {
  const stack = `Error: no\n    at run (${bundle}:1:1)\n    at file://${bundle}:1:1\n    at node:net:1:2`;
  const source = path.join(folder, "src/one.ts");
  expect(inSources(stack)).toBe(`Error: no\n    at run (${source}:4:3)\n    at ${source}:4:3\n    at node:net:1:2`);
});

test("what has no map stays", () => {
  const stack = `Error: no\n    at run (${folder}/other.js:3:4)`;
  expect(inSources(stack)).toBe(stack);
});

test("a logger maps the stacks of errors only", () => {
  const logger = path.resolve(import.meta.dirname, "../src/logger.ts");
  const script = `import { createLogger } from ${JSON.stringify(logger)};
const log = createLogger({ level: "info", bindings: {} });
const err = Object.assign(new TypeError("no"), { stack: ${JSON.stringify(`TypeError: no\n    at run (${bundle}:1:1)`)} });
log.error({ err, more: 1 }, "failed");
log.warn({ err }, "failing");
log.child({ a: 1 }).error({ err: "text" }, "failed with a text");`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { err: { type: string; message: string; stack: string }; more?: number });
  expect(lines[0]).toMatchObject({ err: { type: "TypeError", message: "no" }, more: 1 });
  expect(lines[0]?.err.stack).toContain("src/one.ts:4:3");
  expect(lines[1]?.err.stack).toContain("dist/one.js:1:1");
  expect(lines[2]?.err).toBe("text");
});
