// Variables out of files that init containers leave: how the files read, and what of a volume may be read.
import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileKeySelector, Pod } from "@coxswain/api";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { createRealEnv } from "@coxswain/env";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveEnvironment } from "../src/pods/container-environment.ts";
import { envFileValue } from "../src/pods/env-file.ts";
import { ObjectCache } from "../src/pods/object-cache.ts";
import { fakeMounter, podWith, volumeSetting, type VolumeSetting } from "./volume-setup.ts";

describe("the text", () => {
  test.each([
    ["A='one'", "one"],
    ["# A='no'\n\n  B='x'\n\tA='two' # told\n", "two"],
    ["B='A='\nA='a=b#c'\n", "a=b#c"],
    ["B='\nA=no\n'\nA='many\n\nlines'\n", "many\n\nlines"],
    ["A=''\n", ""],
    ["B='x'\n", undefined],
    ["", undefined],
    ["A='first'\nnonsense", "first"],
  ])("%j", (text, value) => {
    expect(envFileValue(text, "A")).toBe(value);
  });

  test.each([
    ["B='x'\nA ='x'", "whitespace before '=' is not allowed at line 2"],
    ["A= 'x'", "value must be enclosed in single quotes at line 1"],
    ['A="x"', "value must be enclosed in single quotes at line 1"],
    ["B='\n\n'\nA=x", "value must be enclosed in single quotes at line 4"],
    ["='x'", "invalid environment variable format at line 1"],
    ["\nnonsense\nA='x'", "invalid environment variable format at line 2"],
    ["A='x''y'", "unexpected content after closing quote at line 1"],
    ["A='x'#y", "unexpected content after closing quote at line 1"],
    ["A='x", "unclosed single quote at line 1"],
  ])("%j is refused", (text, message) => {
    expect(() => envFileValue(text, "A")).toThrow(message);
  });

  test("what it takes, a shell takes as well, and in the same way", () => {
    const word = fc.stringMatching(/^[ -&(-~\n\t]{0,12}$/);
    const entry = fc.tuple(fc.constantFrom("A", "B", "C"), word, fc.constantFrom("", " ", "\t# told", " #"));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 4 }), (entries) => {
        const text = entries.map(([key, value, tail]) => `${key}='${value}'${tail}`).join("\n\n# between\n");
        const first = entries.find(([key]) => key === "A");
        expect(envFileValue(text, "A")).toBe(first?.[1]);
        if (entries.filter(([key]) => key === "A").length !== 1) return;
        const said = execFileSync("/bin/sh", ["-c", `${text}\nprintf %s "$A"`], { env: {} });
        expect(said.toString()).toBe(first?.[1]);
      }),
      { numRuns: 50 },
    );
  });
});

describe("the file", () => {
  let at: VolumeSetting;
  let pod: Pod;
  let dir = "";
  beforeEach(async () => {
    at = await volumeSetting({ mounter: fakeMounter().mounter });
    pod = podWith([{ name: "left", emptyDir: {} }]);
    await at.volumes.setUp(pod);
    dir = at.path("u-1", "empty-dir", "left");
  });
  afterEach(() => at.end());

  const env = createRealEnv();
  const value = async (more: Partial<FileKeySelector> = {}): Promise<string | undefined> => {
    const fileKeyRef = { volumeName: "left", path: "app.env", key: "A", ...more };
    const variables = await resolveEnvironment({
      pod,
      container: { name: "c", env: [{ name: "X", valueFrom: { fileKeyRef } }] },
      podIp: "",
      hostIp: "",
      objects: new ObjectCache(createMemoryCluster({ env }).client(), env.clock),
      allocatable: {},
      file: (volume, path) => at.volumes.readFile(pod, volume, path),
    });
    return variables.find(({ name }) => name === "X")?.value;
  };

  test("gives its value; what is missing is told, or left out where it may be", async () => {
    await expect(value()).rejects.toThrow("couldn't parse env file: open app.env: no such file or directory");
    expect(await value({ optional: true })).toBeUndefined();
    await writeFile(join(dir, "app.env"), "A='from the file'\n");
    expect(await value()).toBe("from the file");
    await expect(value({ key: "B" })).rejects.toThrow('environment variable key "B" not found in file');
    expect(await value({ key: "B", optional: true })).toBeUndefined();
    await expect(value({ volumeName: "none" })).rejects.toThrow(
      'cannot find the volume "none" referenced by FileKeyRef',
    );
  });

  test("is of the volume, and a plain one", async () => {
    await symlink("/etc/passwd", join(dir, "app.env"));
    await expect(value()).rejects.toThrow("not within volume path");
    await mkdir(join(dir, "folder"));
    await expect(value({ path: "folder" })).rejects.toThrow('"folder" is not a regular file');
    execFileSync("/bin/sh", ["-c", `mkfifo "$1"`, "sh", join(dir, "pipe")]);
    await expect(value({ path: "pipe" })).rejects.toThrow('"pipe" is not a regular file');
    await writeFile(join(dir, "big"), Buffer.alloc(1024 * 1024 + 1));
    await expect(value({ path: "big" })).rejects.toThrow("larger than 1048576 bytes");
    await writeFile(join(dir, "real"), "A='inside'");
    await symlink("real", join(dir, "link"));
    expect(await value({ path: "link" })).toBe("inside");
  });
});
