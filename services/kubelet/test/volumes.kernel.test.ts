// Pods' volumes as the kernel has them: tmpfs, groups, and binds of sub paths that cannot be led astray. Needs root.
import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, rename, rm, stat, statfs, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CONFIG_MAPS, SECRETS, type Container, type Volume } from "@coxswain/api";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createMounter } from "../src/volumes/mounter.ts";
import { podWith, volumeSetting, type VolumeSetting } from "./volume-setup.ts";

const TMPFS_MAGIC = 0x01021994;
const mounter = createMounter();
let at: VolumeSetting;

beforeEach(async () => {
  at = await volumeSetting({ mounter });
});
afterEach(async () => {
  await mounter.unmount(await mounter.mountsBelow(at.rootDir));
  await at.end();
});

const facts = { attempt: 0, env: new Map<string, string>(), podIp: "10.244.1.2", images: new Map<string, string>() };
const mounting = (subPath: string, name = "work"): Container => ({
  name: "c",
  volumeMounts: [{ name, mountPath: "/w", subPath }],
});
const work: Volume = { name: "work", emptyDir: {} };

/** Runs a shell line as another user and group, as a container's process would. */
function asUser(uid: number, gid: number, line: string): void {
  execFileSync("/bin/sh", ["-c", line], { uid, gid, stdio: "pipe" });
}

describe("tmpfs", () => {
  test("a volume in memory has its size, and is gone with its pod", async () => {
    const pod = podWith([{ name: "work", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } }]);
    await at.volumes.setUp(pod);
    await at.volumes.setUp(pod);
    const dir = at.path("u-1", "empty-dir", "work");
    const found = await statfs(dir);
    expect(found.type).toBe(TMPFS_MAGIC);
    expect(found.blocks * found.bsize).toBe(2 ** 20);
    expect((await stat(dir)).mode & 0o7777).toBe(0o1777);
    expect(await mounter.mountsBelow(dir)).toEqual([dir]);
    await expect(writeFile(join(dir, "large"), Buffer.alloc(2 ** 21))).rejects.toThrow("ENOSPC");
    await at.volumes.tearDown("u-1");
    expect(await mounter.mountsBelow(at.rootDir)).toEqual([]);
    expect(await at.volumes.known()).toEqual([]);
  });

  test("a tmpfs that is lost, as when a node dies, is made and filled again", async () => {
    at.cluster.seed(SECRETS, { metadata: { name: "s", namespace: "default" }, data: { key: "azE=" } });
    const pod = podWith([{ name: "s", secret: { secretName: "s" } }]);
    await at.volumes.setUp(pod);
    const dir = at.path("u-1", "secret", "s");
    await mounter.unmount([dir]);
    expect(await readdir(dir)).toEqual([]);
    await at.volumes.setUp(pod);
    expect(await readFile(join(dir, "key"), "utf8")).toBe("k1");
    expect((await statfs(dir)).type).toBe(TMPFS_MAGIC);
  });

  test("a later process finds and ends what an earlier one made", async () => {
    await at.volumes.setUp(podWith([{ name: "work", emptyDir: { medium: "Memory" } }]));
    const later = await volumeSetting({ mounter });
    await rm(later.rootDir, { recursive: true });
    await rename(at.rootDir, later.rootDir);
    expect(await later.volumes.known()).toEqual(["u-1"]);
    await later.volumes.tearDown("u-1");
    expect(await mounter.mountsBelow(later.rootDir)).toEqual([]);
    await later.end();
  });
});

describe("fsGroup", () => {
  test("an emptyDir belongs to the group, and what is made in it too", async () => {
    await at.volumes.setUp(podWith([work], { securityContext: { fsGroup: 4242 } }));
    const dir = at.path("u-1", "empty-dir", "work");
    const { gid, mode } = await stat(dir);
    expect([gid, mode & 0o7777]).toEqual([4242, 0o2777]);
    await writeFile(join(dir, "made"), "");
    expect((await stat(join(dir, "made"))).gid).toBe(4242);
  });

  test("files of the API are the group's to read, also after a change", async () => {
    at.cluster.seed(SECRETS, { metadata: { name: "s", namespace: "default" }, data: { key: "azE=" } });
    const pod = podWith([{ name: "s", secret: { secretName: "s", defaultMode: 0o400 } }], {
      securityContext: { fsGroup: 4242 },
    });
    await at.volumes.setUp(pod);
    const file = join(at.path("u-1", "secret", "s"), "key");
    const shown = async (): Promise<number[]> => [(await stat(file)).gid, (await stat(file)).mode & 0o7777];
    expect(await shown()).toEqual([4242, 0o440]);
    const client = at.cluster.client();
    const old = await client.get(SECRETS, { namespace: "default", name: "s" });
    await client.update(SECRETS, { ...old, data: { key: "azI=" } } as typeof old);
    at.skip(11_000);
    await at.volumes.refresh(pod);
    expect(await readFile(file, "utf8")).toBe("k2");
    expect(await shown()).toEqual([4242, 0o440]);
  });

  test("a token is for the pod's user alone", async () => {
    const sources = [{ serviceAccountToken: { path: "token" } }];
    await at.volumes.setUp(podWith([{ name: "t", projected: { sources } }], { securityContext: { runAsUser: 1234 } }));
    const found = await stat(join(at.path("u-1", "projected", "t"), "token"));
    expect([found.uid, found.mode & 0o7777]).toEqual([1234, 0o600]);
  });
});

describe("sub paths", () => {
  const target = (): string => `${at.rootDir}/pods/u-1/volume-subpaths/work/c/0`;

  test("a folder of the volume is bound, and bound once", async () => {
    const pod = podWith([work], { securityContext: { fsGroup: 4242 } });
    await at.volumes.setUp(pod);
    await at.volumes.mounts(pod, mounting("deep/er"), facts);
    await at.volumes.mounts(pod, mounting("deep/er"), facts);
    const inside = join(at.path("u-1", "empty-dir", "work"), "deep/er");
    await writeFile(join(inside, "file"), "1");
    expect(await readFile(join(target(), "file"), "utf8")).toBe("1");
    expect(await mounter.mountsBelow(target())).toEqual([target()]);
    expect([(await stat(inside)).gid, (await stat(inside)).mode & 0o7777]).toEqual([4242, 0o2777]);
    await at.volumes.tearDown("u-1");
    expect(await mounter.mountsBelow(at.rootDir)).toEqual([]);
  });

  test("a file of a ConfigMap is bound; after a change the next life has the new one", async () => {
    at.cluster.seed(CONFIG_MAPS, { metadata: { name: "conf", namespace: "default" }, data: { a: "1" } });
    const pod = podWith([{ name: "work", configMap: { name: "conf" } }]);
    await at.volumes.setUp(pod);
    await at.volumes.mounts(pod, mounting("a"), facts);
    expect(await readFile(target(), "utf8")).toBe("1");
    const client = at.cluster.client();
    const old = await client.get(CONFIG_MAPS, { namespace: "default", name: "conf" });
    await client.update(CONFIG_MAPS, { ...old, data: { a: "2" } } as typeof old);
    at.skip(11_000);
    await at.volumes.refresh(pod);
    expect(await readFile(target(), "utf8")).toBe("1");
    await at.volumes.mounts(pod, mounting("a"), facts);
    expect(await readFile(target(), "utf8")).toBe("2");
    expect(await mounter.mountsBelow(target())).toEqual([target()]);
  });

  test("a symlink inside the volume is followed, one that leads out is refused", async () => {
    const pod = podWith([work]);
    await at.volumes.setUp(pod);
    const dir = at.path("u-1", "empty-dir", "work");
    await mkdir(join(dir, "real"));
    await symlink("real", join(dir, "inside"));
    await symlink("/etc", join(dir, "outside"));
    await at.volumes.mounts(pod, mounting("inside"), facts);
    expect((await stat(target())).ino).toBe((await stat(join(dir, "real"))).ino);
    await expect(at.volumes.mounts(pod, mounting("outside"), facts)).rejects.toThrow("not within volume path");
    await expect(at.volumes.mounts(pod, mounting("outside/made"), facts)).rejects.toThrow("not within volume path");
  });

  test("whoever swaps a folder for a symlink once it was opened does not get another place bound", async () => {
    const pod = podWith([work]);
    const dir = (): string => swapped.path("u-1", "empty-dir", "work");
    const swapped = await volumeSetting({
      mounter: {
        ...mounter,
        bindDescriptor: async (descriptor, to) => {
          await rename(join(dir(), "a"), join(dir(), "moved"));
          await symlink("/etc", join(dir(), "a"));
          await mounter.bindDescriptor(descriptor, to);
        },
      },
    });
    await swapped.volumes.setUp(pod);
    const [mount] = await swapped.volumes.mounts(pod, mounting("a"), facts);
    expect((await stat(mount?.hostPath ?? "")).ino).toBe((await stat(join(dir(), "moved"))).ino);
    await swapped.volumes.tearDown("u-1");
    await swapped.end();
  });
});

test("a message file can be written by whomever the container runs as", async () => {
  const pod = podWith([]);
  await at.volumes.setUp(pod);
  const container: Container = { name: "c", terminationMessagePath: "/dev/termination-log" };
  const mounts = await at.volumes.mounts(pod, container, facts);
  const file = mounts.find((one) => one.containerPath === "/dev/termination-log")?.hostPath ?? "";
  // The way there is the kubelet's; a container sees the file alone.
  const shown = join(at.rootDir, "shown");
  await writeFile(shown, "");
  execFileSync("mount", ["--bind", file, shown]);
  execFileSync("chmod", ["711", at.rootDir]);
  asUser(1234, 1234, `echo bye > ${shown}`);
  const life = { attempt: 0, exitCode: 0, log: async function* () {} };
  expect(await at.volumes.terminationMessage(pod, container, life)).toBe("bye\n");
});
