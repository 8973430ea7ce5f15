// Readers of a volume see one version or another, never some of both; also after writes that were cut off.
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeAtomically, type Payload } from "../src/volumes/atomic-writer.ts";

let root = "";
let count = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "cox-atomic-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function newVolume(): Promise<string> {
  const dir = join(root, `v${count++}`);
  await mkdir(dir);
  return dir;
}

const version = (): string => `..v.${count++}`;
const payload = (files: Readonly<Record<string, string>>): Payload =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o640 }]));

/** What is in a volume as a container sees it, by path. */
async function visible(dir: string, prefix = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await readdir(join(dir, prefix))) {
    if (prefix === "" && name.startsWith("..")) continue;
    const path = prefix === "" ? name : `${prefix}/${name}`;
    const isFolder = (await stat(join(dir, path))).isDirectory();
    Object.assign(found, isFolder ? await visible(dir, path) : { [path]: await readFile(join(dir, path), "utf8") });
  }
  return found;
}

const NAMES = ["a", "b", "c", "d/x", "d/y", "e/f/z"];
const filesArbitrary = fc
  .dictionary(fc.constantFrom(...NAMES), fc.string({ maxLength: 8 }))
  .map((files) => ({ ...files }));

describe("atomic writer", () => {
  test("links each name into the present version, with the mode that was asked for", async () => {
    const dir = await newVolume();
    expect(await writeAtomically(dir, payload({ "app.conf": "1", "tls/key": "k" }), { version: "..one" })).toBe(true);
    expect(await readlink(join(dir, "..data"))).toBe("..one");
    expect(await readlink(join(dir, "app.conf"))).toBe("..data/app.conf");
    expect(await readlink(join(dir, "tls"))).toBe("..data/tls");
    expect((await stat(join(dir, "tls/key"))).mode & 0o7777).toBe(0o640);
    expect((await readdir(dir)).toSorted()).toEqual(["..data", "..one", "app.conf", "tls"]);
  });

  test("writes nothing where nothing changed", async () => {
    const dir = await newVolume();
    await writeAtomically(dir, payload({ a: "1" }), { version: "..one" });
    expect(await writeAtomically(dir, payload({ a: "1" }), { version: "..two" })).toBe(false);
    expect(await readlink(join(dir, "..data"))).toBe("..one");
  });

  test("any sequence of versions ends with the last one, and nothing else on disk", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(filesArbitrary, { minLength: 1, maxLength: 6 }), async (versions) => {
        const dir = await newVolume();
        for (const files of versions) {
          await writeAtomically(dir, payload(files), { version: version() });
          expect(await visible(dir)).toEqual(files);
          const own = (await readdir(dir)).filter((name) => name.startsWith("..") && name !== "..data");
          expect(own).toEqual([await readlink(join(dir, "..data"))]);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("a reader never sees some of two versions", async () => {
    const dir = await newVolume();
    const files = (n: number): Payload => payload({ a: String(n), b: String(n), "c/d": String(n) });
    await writeAtomically(dir, files(0), { version: version() });
    const stop = new AbortController();
    let seen = 0;
    const read = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const folder = join(dir, await readlink(join(dir, "..data")));
        try {
          const texts = await Promise.all(["a", "b", "c/d"].map((path) => readFile(join(folder, path), "utf8")));
          expect(new Set(texts).size).toBe(1);
          seen++;
        } catch (error) {
          // The version was replaced while it was read: its files go, they do not change.
          expect((error as NodeJS.ErrnoException).code).toBe("ENOENT");
        }
      }
    };
    const readers = [read(), read(), read()];
    for (let n = 1; n <= 60; n++) await writeAtomically(dir, files(n), { version: version() });
    stop.abort();
    await Promise.all(readers);
    expect(seen).toBeGreaterThan(0);
  });

  test("a write that was cut off leaves the old version, and the next one sweeps up", async () => {
    const dir = await newVolume();
    await writeAtomically(dir, payload({ a: "old", b: "old" }), { version: "..one" });
    const cut = writeAtomically(dir, payload({ a: "new" }), {
      version: "..two",
      finish: () => Promise.reject(new Error("cut off")),
    });
    await expect(cut).rejects.toThrow("cut off");
    expect(await visible(dir)).toEqual({ a: "old", b: "old" });
    // As a crash between making the new link and its rename, and between the rename and the removal of old names.
    await symlink("..two", join(dir, "..data_tmp"));
    await symlink("..data/gone", join(dir, "gone"));
    await writeAtomically(dir, payload({ a: "new" }), { version: "..three" });
    expect(await visible(dir)).toEqual({ a: "new" });
    expect((await readdir(dir)).toSorted()).toEqual(["..data", "..three", "a"]);
  });

  test("finishes a version before anybody sees it", async () => {
    const dir = await newVolume();
    let shown: string[] = [];
    await writeAtomically(dir, payload({ a: "1" }), {
      version: "..one",
      finish: async (folder) => {
        shown = await readdir(dir);
        await writeFile(join(folder, "a"), "finished");
      },
    });
    expect(shown).toEqual(["..one"]);
    expect(await visible(dir)).toEqual({ a: "finished" });
  });

  test.each([
    ["", "must not be empty"],
    ["/etc/passwd", "must be relative path"],
    ["a/../../b", "must not contain '..'"],
    ["..data", "must not start with '..'"],
    ["x".repeat(256), "filenames must be less than or equal to 255 characters"],
  ])("refuses the path %j", async (path, message) => {
    const dir = await newVolume();
    await expect(writeAtomically(dir, payload({ [path]: "1" }), { version: "..one" })).rejects.toThrow(message);
    expect(await readdir(dir)).toEqual([]);
  });
});
