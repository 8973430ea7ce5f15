// Images as volumes on a node whose containerd cannot mount them by its runtime interface: views of their layers, mounted for the
// pods that use them, whatever becomes of the kubelet or of the image meanwhile.
import path from "node:path";
import type { Container, Pod, Volume, VolumeMount } from "@coxswain/api";
import {
  buildImage,
  copyOf,
  importImage,
  symlink,
  textFile,
  type ImageFile,
  type NodeImageStore,
} from "@coxswain/images";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startNodeKubelet, statusOf, type NodeKubelet } from "./node-kubelet.ts";

const LAYERS = "coxswain.local/data:1";
const FLAT = "coxswain.local/flat:1";
let at: NodeKubelet;
let store: NodeImageStore;

beforeAll(async () => {
  at = await startNodeKubelet("image-volumes");
  const { node } = at.containerd;
  const { command, args } = node.enter();
  const socket = "/run/containerd/containerd.sock";
  store = { ctr: node.programs.ctr, socket, enter: [command, ...args], commandEnv: node.programs.env };
  await give(LAYERS, [
    [textFile("data/one", "first\n"), textFile("data/changed", "old\n")],
    [textFile("data/changed", "new\n"), textFile("data/deep/two", "second\n"), symlink("out", "/etc")],
    [await copyOf(node.programs.busybox, "bin/program", 0o755)],
  ]);
  await give(FLAT, [[textFile("only", "flat\n")]]);
  await at.call.start(at.options);
});
afterAll(() => at.stop());

async function give(reference: string, layers: ImageFile[][]): Promise<void> {
  const out = path.join(at.containerd.node.dataDir, `${reference.replaceAll(/\W/g, "-")}.tar`);
  await importImage(store, (await buildImage({ reference, out, layers })).tar);
}

const ctr = async (...args: string[]): Promise<string> =>
  at.containerd.node.run(store.ctr, "-a", store.socket, "-n", "k8s.io", ...args);
const inNode = (script: string): Promise<string> => at.containerd.node.run("/bin/sh", "-c", script);

/** Ends at once when it is asked to. */
const LIVES = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
const shell = (line: string, volumeMounts: VolumeMount[], more: Partial<Container> = {}): Container => ({
  name: "c",
  image: at.containerd.image,
  command: ["/bin/sh", "-c", line],
  volumeMounts,
  ...more,
});
const volume = (reference: string, more: Partial<NonNullable<Volume["image"]>> = {}): Volume => ({
  name: "v",
  image: { reference, pullPolicy: "IfNotPresent", ...more },
});
const mount: VolumeMount = { name: "v", mountPath: "/v" };

const said = async (name: string, container = "c"): Promise<string> => {
  const uid = (await at.call.pod(name))?.metadata?.uid;
  return inNode(`cat /var/log/pods/default_${name}_${uid}/${container}/*.log | cut -d' ' -f4-`);
};
const folderOf = (pod: Pod): string => `/var/lib/kubelet/pods/${pod.metadata?.uid}`;
const viewsOf = async (pod: Pod): Promise<string[]> =>
  (await ctr("snapshots", "ls")).split("\n").filter((line) => line.startsWith(folderOf(pod)));
const mountsOf = (pod: Pod): Promise<string> => inNode(`grep ' ${folderOf(pod)}/' /proc/self/mountinfo || true`);

/** Waits until nothing of the pod is on the node. */
async function leavesNothing(pod: Pod): Promise<void> {
  await expect.poll(() => inNode(`ls -d ${folderOf(pod)} 2>/dev/null || true`), { timeout: 90_000 }).toBe("");
  expect(await mountsOf(pod)).toBe("");
  expect(await viewsOf(pod)).toEqual([]);
}

async function remove(name: string): Promise<void> {
  const pod = await at.call.pod(name);
  await at.call.remove(name);
  await at.gone(name);
  if (pod !== undefined) await leavesNothing(pod);
}

describe("what containers see", () => {
  test("the files of all layers, read-only, and no program of it runs", async () => {
    const script = [
      "cat /v/data/one /v/data/changed /v/data/deep/two",
      "echo x > /v/data/one; echo write: $?",
      "/v/bin/program true; echo run: $?",
      "mount | grep ' /v '",
    ].join("; ");
    await at.create("sees", {
      restartPolicy: "Never",
      containers: [shell(script, [mount])],
      volumes: [volume(LAYERS)],
    });
    const pod = await at.until("sees", (one) => one?.status?.phase === "Succeeded" && one);
    const log = await said("sees");
    expect(log).toContain("first\nnew\nsecond\n");
    // What goes to stdout and to stderr comes in any order.
    for (const line of ["write: 1\n", "can't create /v/data/one: Read-only file system\n"]) expect(log).toContain(line);
    for (const line of ["run: 126\n", "/v/bin/program: Permission denied\n"]) expect(log).toContain(line);
    expect(log).toMatch(/on \/v type overlay \(ro,noexec/);
    expect(statusOf(pod, "c")?.volumeMounts).toEqual([{ name: "v", mountPath: "/v" }]);
    expect(await at.told("sees", `Pulled: Container image "${LAYERS}" already present on machine`)).toBeTruthy();
    await remove("sees");
  });

  test("an image of one layer, and a folder of one, by name and by a variable", async () => {
    const mounts = [
      { name: "flat", mountPath: "/flat" },
      { ...mount, subPath: "data/deep" },
      { name: "v", mountPath: "/named", subPathExpr: "data/$(PART)" },
    ];
    const container = shell("cat /flat/only /v/two /named/two; echo x > /flat/only; echo x > /v/two", mounts, {
      env: [{ name: "PART", value: "deep" }],
    });
    const volumes = [volume(LAYERS), { ...volume(FLAT), name: "flat" }];
    await at.create("parts", { restartPolicy: "Never", containers: [container], volumes });
    await at.until("parts", (one) => one?.status?.containerStatuses?.[0]?.state?.terminated);
    expect((await said("parts")).match(/Read-only file system/g)).toHaveLength(2);
    expect(await said("parts")).toContain("flat\nsecond\nsecond\n");
    await remove("parts");
  });

  test("two containers share one view", async () => {
    const containers = [shell(LIVES, [mount]), shell(LIVES, [mount], { name: "d" })];
    await at.create("shared", { containers, volumes: [volume(LAYERS)] });
    const pod = await at.running("shared");
    expect(await viewsOf(pod)).toHaveLength(1);
    await remove("shared");
  });
});

describe("what is not there", () => {
  test("a folder that the image does not have, or that leads out of it, keeps the container from being made", async () => {
    const containers = [
      shell(LIVES, [{ ...mount, subPath: "none" }]),
      shell(LIVES, [{ ...mount, subPath: "data/one" }], { name: "file" }),
      shell(LIVES, [{ ...mount, subPath: "out/passwd" }], { name: "out" }),
      shell(LIVES, [mount], { name: "good" }),
    ];
    await at.create("nofolder", { containers, volumes: [volume(LAYERS)] });
    const waits = (name: string) =>
      at.until("nofolder", (pod) => {
        const waiting = statusOf(pod, name)?.state?.waiting;
        return waiting?.reason === "CreateContainerError" && (waiting.message ?? "");
      });
    expect(await waits("c")).toMatch(/^ImageVolumeMountFailed: .* openat none: no such file or directory$/);
    expect(await waits("file")).toMatch(/^ImageVolumeMountFailed: .* only directory subpath is supported/);
    expect(await waits("out")).toMatch(/^ImageVolumeMountFailed: .* (path escapes|no such file)/);
    await at.until("nofolder", (pod) => statusOf(pod, "good")?.state?.running);
    await remove("nofolder");
  });

  test("an image that may not or cannot be pulled keeps back those that mount it, and no others", async () => {
    const none = "coxswain.local/none:1";
    const volumes = [
      { ...volume(none, { pullPolicy: "Never" }), name: "never" },
      { ...volume("127.0.0.1:1/none:1"), name: "none" },
    ];
    const containers = [
      shell(LIVES, [{ name: "never", mountPath: "/v" }]),
      shell(LIVES, [{ name: "none", mountPath: "/v" }], { name: "none" }),
      shell(LIVES, [], { name: "other" }),
    ];
    await at.create("noimage", { containers, volumes });
    await at.until("noimage", (pod) => statusOf(pod, "other")?.state?.running);
    const waiting = (name: string, reason: string) =>
      at.until("noimage", (pod) => {
        const found = statusOf(pod, name)?.state?.waiting;
        return found?.reason === reason && found.message;
      });
    expect(await waiting("c", "ErrImageNeverPull")).toBe(
      `Container image "${none}" is not present with pull policy of Never`,
    );
    const told = await waiting("none", "ImagePullBackOff");
    expect(told).toMatch(/^Back-off pulling image "127\.0\.0\.1:1\/none:1": ErrImagePull: .*failed to pull and unpack/);
    for (const event of [
      `ErrImageNeverPull: Container image "${none}" is not present with pull policy of Never`,
      "Failed: Error: ErrImageNeverPull",
      'Pulling: Pulling image "127.0.0.1:1/none:1"',
      'Failed: Failed to pull image "127.0.0.1:1/none:1": ',
      "Failed: Error: ErrImagePull",
      'BackOff: Back-off pulling image "127.0.0.1:1/none:1"',
      "Failed: Error: ImagePullBackOff",
    ])
      expect(await at.told("noimage", event)).toBeTruthy();
    await give(none, [[textFile("late", "late\n")]]);
    await at.until("noimage", (pod) => statusOf(pod, "c")?.state?.running, 30_000);
    await remove("noimage");
  });
});

describe("what happens meanwhile", () => {
  const again = "trap 'exit 0' TERM; cat /v/data/one; while [ ! -e /e/stop ]; do sleep 0.05; done; rm /e/stop; exit 1";
  const restarts: Partial<NonNullable<Pod["spec"]>> = {};
  beforeAll(() => {
    Object.assign(restarts, {
      containers: [shell(again, [mount, { name: "e", mountPath: "/e" }])],
      volumes: [volume(LAYERS), { name: "e", emptyDir: {} }],
    });
  });
  const endLife = (pod: Pod): Promise<string> =>
    inNode(`touch ${folderOf(pod)}/volumes/kubernetes.io~empty-dir/e/stop`);
  const lives = (name: string, count: number) =>
    at.until(name, (pod) => {
      const status = statusOf(pod, "c");
      return status?.restartCount === count && status.state?.running !== undefined && pod;
    });

  test("an image that is removed stays for those that have it mounted", async () => {
    await give("coxswain.local/gone:1", [[textFile("a", "a\n")], [textFile("b", "still here\n")]]);
    const script = "while [ ! -e /e/stop ]; do sleep 0.05; done; cat /v/b";
    const containers = [shell(script, [mount, { name: "e", mountPath: "/e" }])];
    const volumes = [volume("coxswain.local/gone:1"), { name: "e", emptyDir: {} }];
    await at.create("kept", { restartPolicy: "Never", containers, volumes });
    const pod = await at.running("kept");
    await ctr("images", "rm", "--sync", "coxswain.local/gone:1");
    expect(await viewsOf(pod)).toHaveLength(1);
    await endLife(pod);
    await at.until("kept", (one) => one?.status?.phase === "Succeeded");
    expect(await said("kept")).toBe("still here\n");
    await remove("kept");
  });

  test("a kubelet that comes back finds the view, uses it for the next life, and gives it up", async () => {
    await at.create("back", restarts);
    const pod = await at.running("back");
    const [view] = await viewsOf(pod);
    await at.call.stop();
    await at.call.start(at.options);
    await endLife(pod);
    await lives("back", 1);
    expect(await viewsOf(pod)).toEqual([view]);
    expect(await said("back")).toBe("first\nfirst\n");
    await remove("back");
  });

  test("a view that was not mounted, as by a kubelet that died between the two, is mounted", async () => {
    await at.create("half", restarts);
    const pod = await at.running("half");
    await inNode(`umount ${folderOf(pod)}/volumes/kubernetes.io~image/*`);
    await endLife(pod);
    await lives("half", 1);
    expect(await said("half")).toBe("first\nfirst\n");
    await remove("half");
  });

  test("a pod that went while no kubelet ran leaves nothing", async () => {
    await at.create("orphan", restarts);
    const pod = await at.running("orphan");
    await at.call.stop();
    await at.call.erase("orphan");
    await at.call.start(at.options);
    await leavesNothing(pod);
  });
});
