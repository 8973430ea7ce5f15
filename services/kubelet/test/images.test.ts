// Images on a node: who may use what was pulled with a Secret, and which images go.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Node, Pod } from "@coxswain/api";
import { silentLogger } from "@coxswain/component-base";
import { VirtualEnv } from "@coxswain/env";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ContainerStatus } from "../src/cri/contract.ts";
import { ImageCollector, type ImageCollectorDeps } from "../src/images/image-collector.ts";
import {
  agedImages,
  bytesToFree,
  DEFAULT_IMAGE_POLICY,
  evictionOrder,
  policyProblem,
  usedPercent,
  type ImagePolicy,
} from "../src/images/plan-collection.ts";
import { PullManager, type PullRecordStore } from "../src/images/pull-manager.ts";
import { createPullRecordFiles } from "../src/images/pull-record-files.ts";
import type { PullSecret } from "../src/images/pull-records.ts";

const secret = (name: string, hash: string): PullSecret => ({
  uid: `u-${name}`,
  namespace: "d",
  name,
  credentialHash: hash,
});
const A = secret("a", "1");
const IMAGE = "quay.io/team/app:1";
const ID = "sha256:1";

function manager(store?: PullRecordStore, images: { id: string; names: string[]; sizeBytes: number }[] = []) {
  const env = new VirtualEnv({ seed: 1 });
  return new PullManager({
    clock: env.clock,
    logger: silentLogger,
    cri: { listImages: async () => images },
    ...(store === undefined ? {} : { store }),
  });
}

async function pull(pulls: PullManager, by: PullSecret | "everybody", image = IMAGE, id = ID): Promise<void> {
  await pulls.intend(image);
  await pulls.pulled(image, id, by);
}

const must = (pulls: PullManager, secrets: readonly PullSecret[], image = IMAGE, id = ID): Promise<boolean> =>
  pulls.mustPull(image, id, async () => secrets);

describe("an image that is there", () => {
  test("and that nobody pulled is for everybody", async () => {
    expect(await must(manager(), [])).toBe(false);
  });

  test("and was pulled as nobody is for everybody, whose secrets nobody asks for", async () => {
    const pulls = manager();
    await pull(pulls, "everybody");
    const asked = pulls.mustPull(IMAGE, ID, () => Promise.reject(new Error("asked")));
    expect(await asked).toBe(false);
  });

  test("and was pulled with a secret is for those who have it, or one like it", async () => {
    const pulls = manager();
    await pull(pulls, A);
    expect(await must(pulls, [])).toBe(true);
    expect(await must(pulls, [secret("b", "2")])).toBe(true);
    expect(await must(pulls, [A])).toBe(false);
    expect(await must(pulls, [secret("b", "1")])).toBe(false);
    // The same secret with what is new in it, and from then on that of anybody.
    expect(await must(pulls, [secret("c", "3")])).toBe(true);
    expect(await must(pulls, [secret("a", "3")])).toBe(false);
    expect(await must(pulls, [secret("c", "3")])).toBe(false);
  });

  test("and was pulled from another repository with a secret must be pulled from this one", async () => {
    const pulls = manager();
    await pull(pulls, A);
    expect(await must(pulls, [A], "docker.io/other:1")).toBe(true);
    expect(await must(pulls, [A], "quay.io/team/app:2")).toBe(false);
  });

  test("and was pulled by nobody after somebody is for everybody", async () => {
    const pulls = manager();
    await pull(pulls, A);
    await pull(pulls, "everybody");
    await pull(pulls, secret("b", "2"));
    expect(await must(pulls, [])).toBe(false);
  });

  test("while somebody pulls it must be pulled, and a pull of which nothing comes changes nothing", async () => {
    const pulls = manager();
    await pulls.intend(IMAGE);
    await pulls.intend(IMAGE);
    await pulls.failed(IMAGE);
    expect(await must(pulls, [A])).toBe(true);
    await pulls.failed(IMAGE);
    expect(await must(pulls, [A])).toBe(false);
  });
});

describe("records of pulled images in files", () => {
  let folder = "";
  beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), "cox-images-"))));
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const files = (): PullRecordStore => createPullRecordFiles(folder, silentLogger);

  test("outlive the process", async () => {
    await pull(manager(files()), A);
    const next = manager(files());
    expect(await must(next, [])).toBe(true);
    expect(await must(next, [A])).toBe(false);
    const [name = ""] = await readdir(path.join(folder, "pulled"));
    expect(name).toMatch(/^sha256-[0-9a-f]{64}$/);
    expect(JSON.parse(await readFile(path.join(folder, "pulled", name), "utf8"))).toMatchObject({
      kind: "ImagePulledRecord",
      imageRef: ID,
      credentialMapping: { "quay.io/team/app": { kubernetesSecrets: [A] } },
    });
    expect(await readdir(path.join(folder, "pulling"))).toEqual([]);
  });

  test("say of a pull that a crash cut off that nobody knows who pulled", async () => {
    await manager(files()).intend(IMAGE);
    const next = manager(files(), [{ id: ID, names: [IMAGE], sizeBytes: 1 }]);
    expect(await must(next, [A])).toBe(true);
    expect(await readdir(path.join(folder, "pulling"))).toEqual([]);
    expect(await readdir(path.join(folder, "pulled"))).toHaveLength(1);
  });

  test("keep the intent of a pull whose image is not there", async () => {
    await manager(files()).intend(IMAGE);
    const next = manager(files());
    expect(await must(next, [A])).toBe(true);
    expect(await readdir(path.join(folder, "pulling"))).toHaveLength(1);
    await pull(next, A);
    expect(await readdir(path.join(folder, "pulling"))).toEqual([]);
  });

  test("go with their images, and one that cannot be read counts as none", async () => {
    const pulls = manager(files());
    await pull(pulls, A);
    await pulls.prune(new Set([ID]), Number.MAX_SAFE_INTEGER);
    expect(await readdir(path.join(folder, "pulled"))).toHaveLength(1);
    await pulls.prune(new Set(), Number.MAX_SAFE_INTEGER);
    expect(await readdir(path.join(folder, "pulled"))).toEqual([]);
    await writeFile(path.join(folder, "pulled", `sha256-${"0".repeat(64)}`), "{");
    expect(await must(manager(files()), [])).toBe(false);
  });

  test("that cannot be written hold up the pull", async () => {
    const store: PullRecordStore = { ...files(), writeIntent: () => Promise.reject(new Error("read-only")) };
    await expect(manager(store).intend(IMAGE)).rejects.toThrow("read-only");
  });
});

describe("which images go", () => {
  const policy = (parts: Partial<ImagePolicy> = {}): ImagePolicy => ({ ...DEFAULT_IMAGE_POLICY, ...parts });

  test("a policy whose thresholds cross is none", () => {
    expect(policyProblem(policy())).toBeUndefined();
    expect(policyProblem(policy({ lowThresholdPercent: 90 }))).toBe(
      "LowThresholdPercent 90 can not be higher than HighThresholdPercent 85",
    );
    expect(policyProblem(policy({ highThresholdPercent: 101 }))).toBe(
      "invalid HighThresholdPercent 101, must be in range [0-100]",
    );
  });

  test("from the high threshold down to the low one", () => {
    expect(bytesToFree({ capacityBytes: 1000, availableBytes: 160 }, policy())).toBe(0);
    expect(bytesToFree({ capacityBytes: 1000, availableBytes: 150 }, policy())).toBe(50);
    expect(bytesToFree({ capacityBytes: 1000, availableBytes: 2000 }, policy())).toBe(0);
  });

  test("what must go brings the disk to the low threshold, and nothing must go below the high one", () => {
    const arbitrary = fc.record({
      capacity: fc.integer({ min: 1000, max: 2 ** 40 }),
      free: fc.integer({ min: 0, max: 100 }),
      high: fc.integer({ min: 0, max: 100 }),
      gap: fc.integer({ min: 0, max: 100 }),
    });
    fc.assert(
      fc.property(arbitrary, ({ capacity, free, high, gap }) => {
        const disk = { capacityBytes: capacity, availableBytes: Math.floor((capacity * free) / 100) };
        const limits = policy({ highThresholdPercent: high, lowThresholdPercent: Math.max(0, high - gap) });
        const wanted = bytesToFree(disk, limits);
        expect(wanted).toBeGreaterThanOrEqual(0);
        if (usedPercent(disk) < high) expect(wanted).toBe(0);
        else {
          const after = { ...disk, availableBytes: disk.availableBytes + wanted };
          expect(usedPercent(after)).toBeLessThanOrEqual(limits.lowThresholdPercent + 1);
        }
      }),
    );
  });

  test("those first that have been idle for longest, none that is in use, by age only after that age", () => {
    const image = (id: string, usedAtMs: number, detectedAtMs = 0, inUse = false) => ({
      id,
      sizeBytes: 1,
      usedAtMs,
      detectedAtMs,
      inUse,
    });
    const order = evictionOrder([image("b", 20), image("busy", 0, 0, true), image("a", 10), image("new", 10, 5)]);
    expect(order.map(({ id }) => id)).toEqual(["a", "new", "b"]);
    const aging = policy({ maximumAgeMs: 100 });
    const ids = (nowMs: number, bornMs: number) => agedImages(order, aging, nowMs, bornMs).map(({ id }) => id);
    expect(ids(115, 0)).toEqual(["a", "new"]);
    expect(ids(115, 15)).toEqual([]);
    expect(agedImages(order, policy(), 1e9, 0)).toEqual([]);
  });
});

describe("the collector", () => {
  const NODE: Node = { metadata: { name: "node-1" } };
  function setup(limits: Partial<ImagePolicy> = {}) {
    const env = new VirtualEnv({ seed: 1 });
    const images = new Map<string, { id: string; names: string[]; sizeBytes: number }>();
    const containers: ContainerStatus[] = [];
    const pods: Pod[] = [];
    const told: string[] = [];
    const counted: string[] = [];
    const disk = { capacityBytes: 1000, availableBytes: 500 };
    const broken = new Set<string>();
    const cri: ImageCollectorDeps["cri"] = {
      listImages: async () => [...images.values()],
      listContainers: async () => containers,
      imageFsInfo: async () => ({ ...disk }),
      removeImage: async (id) => {
        if (broken.has(id)) throw new Error(`cannot remove ${id}`);
        disk.availableBytes += images.get(id)?.sizeBytes ?? 0;
        images.delete(id);
      },
    };
    const pulls = new PullManager({ clock: env.clock, logger: silentLogger, cri });
    const policy = { ...DEFAULT_IMAGE_POLICY, ...limits };
    const collector = new ImageCollector({
      env,
      logger: silentLogger,
      cri,
      pulls,
      policy,
      pods: () => pods,
      node: () => NODE,
      warn: (_, reason) => told.push(reason),
      collected: { inc: ({ reason }) => counted.push(reason) },
      everyMs: 1000,
    });
    const put = (id: string, names: string[], sizeBytes = 100): void => void images.set(id, { id, names, sizeBytes });
    const fetch = async (id: string, name: string, sizeBytes?: number): Promise<void> => {
      put(id, [name], sizeBytes);
      await pull(pulls, "everybody", name, id);
    };
    const wait = (ms: number) => env.advance(ms);
    return { env, images, containers, pods, told, counted, disk, broken, collector, put, fetch, wait, pulls };
  }
  const running = (image: string, imageRef = "") => ({ imageRef, config: { image } }) as ContainerStatus;

  test("makes room with what nobody uses and the kubelet pulled, and with nothing else", async () => {
    const { images, containers, pods, counted, disk, collector, put, fetch, wait, told } = setup();
    put("loaded", ["coxswain.local/app:1"]);
    await fetch("both", "quay.io/both:1");
    put("both", ["quay.io/both:1", "coxswain.local/both:1"]);
    for (const name of ["busy", "by-ref", "volume", "idle", "idle2"]) await fetch(name, `quay.io/${name}:1`);
    containers.push(running("quay.io/busy:1"), running("x", "by-ref"));
    pods.push({ spec: { containers: [], volumes: [{ name: "v", image: { reference: "quay.io/volume:1" } }] } });
    await collector.collect();
    disk.availableBytes = 100;
    await wait(DEFAULT_IMAGE_POLICY.minimumAgeMs);
    await collector.collect();
    // 10% are free, 20% are wanted: one image of 10% is enough.
    expect([...images.keys()]).toEqual(["loaded", "both", "busy", "by-ref", "volume", "idle2"]);
    expect(counted).toEqual(["space"]);
    disk.availableBytes = 0;
    await expect(collector.collect()).rejects.toThrow(
      "Insufficient free disk space on the node's image filesystem (100% of 1000 B used). Failed to free sufficient space by deleting unused images (freed 100 bytes).",
    );
    expect([...images.keys()]).toEqual(["loaded", "both", "busy", "by-ref", "volume"]);
    expect(told).toEqual(["FreeDiskSpaceFailed"]);
  });

  test("leaves what has come a moment ago, and all while there is room", async () => {
    const { images, disk, collector, fetch, wait } = setup();
    await fetch("new", "quay.io/new:1");
    await collector.collect();
    await wait(DEFAULT_IMAGE_POLICY.minimumAgeMs);
    await collector.collect();
    expect(images.size).toBe(1);
    disk.availableBytes = 10;
    await fetch("newer", "quay.io/newer:1");
    await expect(collector.collect()).rejects.toThrow("freed 100 bytes");
    expect([...images.keys()]).toEqual(["newer"]);
  });

  test("removes by age, however much room there is, and forgets what it knew", async () => {
    const { images, counted, containers, collector, put, fetch, wait, pulls } = setup({ maximumAgeMs: 3_600_000 });
    put("loaded", ["coxswain.local/app:1"]);
    await fetch("old", "quay.io/old:1");
    await fetch("busy", "quay.io/busy:1");
    containers.push(running("quay.io/busy:1"));
    await collector.collect();
    await wait(3_600_001);
    await collector.collect();
    expect([...images.keys()]).toEqual(["loaded", "busy"]);
    expect(counted).toEqual(["age"]);
    put("old", ["quay.io/old:1"]);
    expect(await pulls.canBePulledAgain({ id: "old", names: ["quay.io/old:1"] })).toBe(false);
  });

  test("goes on after a failure, and tells of the second one in a row", async () => {
    const { env, images, told, broken, disk, collector, fetch, wait } = setup({ minimumAgeMs: 0 });
    await fetch("stuck", "quay.io/stuck:1");
    await fetch("idle", "quay.io/idle:1");
    broken.add("stuck");
    disk.availableBytes = 100;
    const stop = new AbortController();
    const ended = collector.run(stop.signal);
    await env.runUntil(() => !images.has("idle"), env.elapsedMs + 10_000);
    expect([...images.keys()]).toEqual(["stuck"]);
    disk.availableBytes = 100;
    await wait(3000);
    expect(told).toContain("ImageGCFailed");
    broken.clear();
    await env.runUntil(() => images.size === 0, env.elapsedMs + 10_000);
    expect(images.size).toBe(0);
    stop.abort();
    await env.advance(1);
    await ended;
  });
});
