// A bundle runs with and without kept code, keeps it only where the run was worth it, and never takes another bundle's.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const LOADER = path.resolve(import.meta.dirname, "../src/bundle-loader.ts");
let folder: string;
let cache: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "bundle-"));
  cache = path.join(folder, "cache");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run(source: string, digest: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  writeFileSync(path.join(folder, "one.js"), source);
  writeFileSync(
    path.join(folder, "start.mjs"),
    `import { runBundle } from ${JSON.stringify(LOADER)};\nrunBundle(${JSON.stringify(path.join(folder, "one.js"))}, "${digest}");\n`,
  );
  const result = spawnSync(process.execPath, [path.join(folder, "start.mjs"), ...args], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], NODE_COMPILE_CACHE: cache, ...env },
  });
  return { out: result.stdout.trim(), code: result.status, errors: result.stderr };
}

const kept = (): string[] => readdirSync(cache).filter((name) => name.endsWith(".code"));

describe("a bundle", () => {
  const says = (what: string): string => `function late() { return ${JSON.stringify(what)}; } console.log(late());`;

  test("runs with the code that an earlier run kept", () => {
    expect(run(says("first"), "aa").out).toBe("first");
    expect(kept()).toEqual(["one-aa.code"]);
    const { mtimeMs } = statSync(path.join(cache, "one-aa.code"));
    expect(run(says("first"), "aa").out).toBe("first");
    expect(statSync(path.join(cache, "one-aa.code")).mtimeMs).toBe(mtimeMs);
  });

  test("of another digest does not run the old one's code, though it is as long", () => {
    run(says("first"), "aa");
    expect(run(says("other"), "bb").out).toBe("other");
    expect(kept().toSorted()).toEqual(["one-aa.code", "one-bb.code"]);
  });

  test("runs beside damaged code, and replaces it", () => {
    run(says("first"), "aa");
    writeFileSync(path.join(cache, "one-aa.code"), "no code at all");
    expect(run(says("first"), "aa")).toMatchObject({ out: "first", code: 0 });
    expect(statSync(path.join(cache, "one-aa.code")).size).toBeGreaterThan(100);
  });

  test("keeps nothing of a run that failed or only told its version", () => {
    expect(run("process.exitCode = 3;", "aa").code).toBe(3);
    expect(run(says("0.1.0"), "aa", ["--version"]).out).toBe("0.1.0");
    expect(readdirSync(folder)).not.toContain("cache/one-aa.code");
    expect(() => statSync(path.join(cache, "one-aa.code"))).toThrow("ENOENT");
  });

  test("keeps nothing where it was told no folder, and lives with one that is a file", () => {
    expect(run(says("first"), "aa", [], { NODE_COMPILE_CACHE: undefined })).toMatchObject({ out: "first", code: 0 });
    expect(() => statSync(path.join(cache, "one-aa.code"))).toThrow("ENOENT");
  });

  test("knows its file, requires beside it and imports modules", () => {
    writeFileSync(path.join(folder, "beside.cjs"), "module.exports = 7;");
    writeFileSync(path.join(folder, "module.mjs"), "export const eight = 8;");
    const source =
      'import("./module.mjs").then((m) => console.log(require("./beside.cjs"), m.eight, __filename.endsWith("one.js")));';
    expect(run(source, "aa")).toMatchObject({ out: "7 8 true", code: 0 });
  });

  test("runs where the folder cannot be made or written, not even by root", () => {
    const env = { NODE_COMPILE_CACHE: "/sys/coxswain-cache" };
    expect(run(says("first"), "aa", [], env)).toMatchObject({ out: "first", code: 0, errors: "" });
  });
});
