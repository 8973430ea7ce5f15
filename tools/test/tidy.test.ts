// The repository rules catch what they are for, and leave the rest alone.
import { describe, expect, test } from "vitest";
import { checkLinks, checkSource } from "../tidy.ts";

const rules = (file: string, body: string): string[] =>
  checkSource(file, `// Opens well.\n${body}`).map((finding) => finding.rule);

describe("tidy", () => {
  test.each([
    ["const t = Date.now();"],
    ["const d = new Date();"],
    ["setTimeout(() => {}, 5);"],
    ["const id = crypto.randomUUID();"],
    ["const x = Math.random();"],
    ['import { setTimeout } from "node:timers/promises";'],
    ["const s = AbortSignal.timeout(5);"],
  ])("bans %s outside libs/env", (line) => {
    expect(rules("services/scheduler/src/app.ts", line)).toHaveLength(1);
    expect(rules("libs/env/src/real.ts", line)).toEqual([]);
  });

  test.each([["const d = new Date(ms);"], ["env.timers.setTimeout(run, 5);"], ["// Date.now is banned"]])(
    "allows %s",
    (line) => {
      expect(rules("services/scheduler/src/app.ts", line)).toEqual([]);
    },
  );

  test("bans vague names and missing openings", () => {
    expect(rules("libs/api/src/utils.ts", "")).toEqual(["no utils, common or helpers: name it by its concept"]);
    expect(rules("libs/api/src/helpers/x.ts", "")).toHaveLength(1);
    expect(rules("libs/api/src/camelCase.ts", "")).toEqual(["file names are kebab-case"]);
    expect(checkSource("libs/api/src/x.ts", "export {};")).toHaveLength(1);
  });

  test("finds broken links", () => {
    const findings = checkLinks(
      "docs/A.md",
      "[a](b.md) [c](../README.md#top) [d](https://x.test) [e](#here)",
      (target) => target === "README.md",
    );
    expect(findings.map((finding) => finding.rule)).toEqual(["broken link: b.md"]);
  });
});
