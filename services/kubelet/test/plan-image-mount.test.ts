// How an image becomes a mounted folder.
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chainId, chainIdIn, planImageMount, snapshotterAt } from "../src/cri/containerd/plan-image-mount.ts";
import { isReadOnlyMount, mountPointsBelow } from "../src/volumes/mounter.ts";

const A = `sha256:${"a".repeat(64)}`;
const B = `sha256:${"b".repeat(64)}`;
// printf '%s %s' "$A" "$B" | sha256sum
const AB = "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c";

describe("the name of an image's layers", () => {
  test("one layer is its own; more are hashed with those below", () => {
    expect(chainId([A])).toBe(A);
    expect(chainId([A, B])).toBe(AB);
  });

  test("is read from what the runtime says at length, by the layers where it tells them", () => {
    const layers = { rootfs: { diff_ids: [A, B] } };
    expect(chainIdIn(JSON.stringify({ chainID: "sha256:c", imageSpec: layers }))).toBe(chainId([A, B]));
    expect(chainIdIn(JSON.stringify({ chainID: "sha256:c" }))).toBe("sha256:c");
    expect(chainIdIn("{}")).toBeUndefined();
    expect(chainIdIn(JSON.stringify({ imageSpec: { rootfs: { diff_ids: [] } }, chainID: "" }))).toBeUndefined();
    expect(chainIdIn(undefined)).toBeUndefined();
  });
});

test("a snapshotter is known by its folder", () => {
  expect(snapshotterAt("/var/lib/containerd/io.containerd.snapshotter.v1.native")).toBe("native");
  expect(snapshotterAt("/x/io.containerd.snapshotter.v1.overlayfs/")).toBe("overlayfs");
  expect(snapshotterAt("/var/lib/images")).toBe("overlayfs");
});

describe("mounts", () => {
  const at = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";

  test("layers are laid over each other, with nothing that could be written", () => {
    const options = ["index=off", "workdir=/w", "upperdir=/u", "rw", `lowerdir=${at}/12/fs:${at}/3/fs`];
    const [call, ...more] = planImageMount([{ type: "overlay", source: "overlay", options }], "/empty");
    expect(more).toEqual([]);
    expect(call).toEqual({
      type: "overlay",
      source: "overlay",
      options: ["ro", "noexec", "index=off", "lowerdir=12/fs:3/fs"],
      cwd: at,
    });
  });

  test("one layer is laid over nothing, or, where that cannot be, bound", () => {
    const mount = { type: "bind", source: `${at}/3/fs`, options: ["ro", "rbind"] };
    expect(planImageMount([mount], "/var/lib/kubelet/empty")).toEqual([
      {
        type: "overlay",
        source: "overlay",
        options: [
          "ro",
          "noexec",
          "lowerdir=containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/3/fs:kubelet/empty",
        ],
        cwd: "/var/lib",
      },
      { type: "none", source: `${at}/3/fs`, options: ["bind", "ro", "noexec"] },
    ]);
  });

  test("other kinds are refused", () => {
    expect(() => planImageMount([], "/e")).toThrow("a snapshot of 0 mounts is not known");
    expect(() => planImageMount([{ type: "erofs", source: "/x", options: [] }], "/e")).toThrow('type "erofs"');
  });

  test("whatever the layers, each is found again from the folder that they have in common, in order", () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,3}$/);
    const folder = fc.array(name, { minLength: 1, maxLength: 5 }).map((names) => `/${names.join("/")}`);
    fc.assert(
      fc.property(fc.array(folder, { minLength: 2, maxLength: 8 }), (layers) => {
        const options = [`lowerdir=${layers.join(":")}`];
        const [call] = planImageMount([{ type: "overlay", source: "overlay", options }], "/empty");
        const lower = call?.options.at(-1)?.replace("lowerdir=", "").split(":") ?? [];
        expect(lower.map((one) => path.posix.resolve(call?.cwd ?? "", one))).toEqual(layers);
        expect(lower.every((one) => one !== "" && !one.startsWith("/"))).toBe(true);
      }),
    );
  });
});

describe("mountinfo", () => {
  const text = [
    "1 0 0:1 / / rw,relatime - ext4 /dev/sda rw",
    "2 1 0:2 / /a\\040b rw,noexec shared:1 - overlay overlay ro,lowerdir=/x:/y",
    "3 2 0:3 / /a\\040b/c ro - tmpfs tmpfs rw,size=1k",
  ].join("\n");

  test("a file system is read-only or it is not, whatever its mount says", () => {
    expect(["/a b", "/a b/c", "/", "/none"].map((point) => isReadOnlyMount(text, point))).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(mountPointsBelow(text, "/a b")).toEqual(["/a b/c", "/a b"]);
  });
});
