// What emptyDirs take of the disk, against what their pod may.
import { link, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fakeMounter, podWith, volumeSetting, type VolumeSetting } from "./volume-setup.ts";

let at: VolumeSetting;

beforeEach(async () => {
  at = await volumeSetting({ mounter: fakeMounter().mounter });
});
afterEach(() => at.end());

test("what a volume takes of the disk is counted once, and told where it is too much", async () => {
  const pod = podWith([
    { name: "work", emptyDir: { sizeLimit: "100Ki" } },
    { name: "free", emptyDir: {} },
  ]);
  await at.volumes.setUp(pod);
  const work = at.path("u-1", "empty-dir", "work");
  expect(await at.volumes.excess(pod)).toBeUndefined();
  await writeFile(join(work, "file"), Buffer.alloc(60 * 1024, 1));
  await link(join(work, "file"), join(work, "again"));
  await symlink("/usr", join(work, "elsewhere"));
  await writeFile(join(at.path("u-1", "empty-dir", "free"), "file"), Buffer.alloc(200 * 1024, 1));
  expect(await at.volumes.excess(pod)).toBeUndefined();
  await mkdir(join(work, "more"));
  await writeFile(join(work, "more", "file"), Buffer.alloc(60 * 1024, 1));
  expect(await at.volumes.excess(pod)).toBe('Usage of EmptyDir volume "work" exceeds the limit "100Ki". ');
  expect(await at.volumes.usage(pod)).toBeGreaterThanOrEqual(320 * 1024);
});
