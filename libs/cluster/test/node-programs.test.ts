// The environment of programs in a node, by what the tools folder holds.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { nodeEnvironment } from "../src/node-programs.ts";

const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
let tools = "";

beforeEach(() => {
  tools = mkdtempSync(path.join(tmpdir(), "cox-tools-"));
});
afterEach(() => rmSync(tools, { recursive: true, force: true }));

test("without unpacked packages only the system's programs are named", () => {
  expect(Object.keys(nodeEnvironment(tools))).toEqual(["PATH"]);
  expect(nodeEnvironment(tools)["PATH"]).not.toContain(tools);
});

test("only folders that the packages filled are named", () => {
  const libraries = path.join(tools, "debian/usr/lib", triplet);
  const programs = path.join(tools, "debian/usr/sbin");
  for (const folder of [libraries, programs]) mkdirSync(folder, { recursive: true });
  const env = nodeEnvironment(tools);
  expect(env["LD_LIBRARY_PATH"]).toBe(libraries);
  expect(env["PATH"]?.split(":").at(-1)).toBe(programs);
  expect(env["XTABLES_LIBDIR"]).toBeUndefined();
});
