// What claims stand for on a real node: which volumes are mounted and how, what is refused and in which words, and folders of the
// node's own disk. Works in a temporary folder; mounts are a fake's.
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  type PersistentVolume,
  type Pod,
  type Volume,
} from "@coxswain/api";
import { nodeDiskPath } from "@coxswain/api/storage-v1/storage-class/node-disk";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MountError, VolumeError } from "../src/volumes/contract.ts";
import { nodeDiskFolder, removeNodeDisk } from "../src/volumes/node-disk.ts";
import { fakeMounter, podWith, volumeSetting, type VolumeSetting } from "./volume-setup.ts";

let fake = fakeMounter();
let at: VolumeSetting;

beforeEach(async () => {
  fake = fakeMounter();
  at = await volumeSetting({ mounter: fake.mounter });
  at.cluster.seed(NODES, { metadata: { name: "n", labels: { "kubernetes.io/hostname": "n" } } });
});
afterEach(() => at.end());

type Spec = NonNullable<PersistentVolume["spec"]>;

const affinity = (host: string): Spec["nodeAffinity"] => ({
  required: {
    nodeSelectorTerms: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [host] }] }],
  },
});

/** A claim bound to a volume of these. */
function seed(name: string, spec: Spec, more: { metadata?: object; claim?: object } = {}): Volume {
  const claim = at.cluster.seed(PERSISTENT_VOLUME_CLAIMS, {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { volumeName: `pv-${name}` },
    status: { phase: "Bound" },
    ...more.claim,
  });
  const uid = claim?.metadata?.uid ?? `uid-${name}`;
  at.cluster.seed(PERSISTENT_VOLUMES, {
    metadata: { name: `pv-${name}`, ...more.metadata },
    spec: { claimRef: { namespace: "default", name, uid }, ...spec },
  });
  return { name: "data", persistentVolumeClaim: { claimName: name } };
}

const on = (volume: Volume, spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod =>
  podWith([volume], { nodeName: "n", ...spec });
const facts = { attempt: 0, env: new Map<string, string>(), podIp: "10.0.0.1", images: new Map<string, string>() };

async function failure(pod: Pod): Promise<readonly string[]> {
  const error: unknown = await at.volumes.setUp(pod).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof VolumeError ? error.messages : [];
}

async function mountOf(pod: Pod) {
  const mounts = await at.volumes.mounts(pod, pod.spec!.containers[0]!, facts);
  return mounts.find(({ containerPath }) => containerPath === "/data");
}

const unable = (why: string): string =>
  `Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process volumes=[data]: ${why}`;

describe("what is refused, and in which words", () => {
  test("claims that lead nowhere", async () => {
    const about = (name: string, why: string): string[] => [unable(`error processing PVC default/${name}: ${why}`)];
    const claimed = (claimName: string): Pod => on({ name: "data", persistentVolumeClaim: { claimName } });
    expect(await failure(claimed("x"))).toEqual(
      about("x", 'failed to fetch PVC from API server: persistentvolumeclaims "x" not found'),
    );
    seed("open", {}, { claim: { status: { phase: "Pending" } } });
    expect(await failure(claimed("open"))).toEqual(about("open", "PVC is not bound"));
    seed("other", { claimRef: { namespace: "default", name: "other", uid: "before" } });
    expect((await failure(claimed("other")))[0]).toMatch(/pv\.spec\.claimRef\.uid "before" does not match pvc uid/);
    at.cluster.seed(PERSISTENT_VOLUME_CLAIMS, { metadata: { name: "web-data", namespace: "default" } });
    expect(await failure(on({ name: "data", ephemeral: {} }))).toEqual([
      unable("PVC default/web-data was not created for pod default/web (pod is not owner)"),
    ]);
  });

  test("volumes that this node cannot mount", async () => {
    const setUp = (name: string, why: string): string[] => [
      `MountVolume.SetUp failed for volume "pv-${name}" : ${why}`,
    ];
    const csi = seed("csi", { csi: { driver: "d.example", volumeHandle: "h" } });
    expect(await failure(on(csi))).toEqual([
      'MountVolume.MountDevice failed for volume "pv-csi" : kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name d.example not found in the list of registered CSI drivers',
    ]);
    const nfs = seed("nfs", { nfs: { server: "s", path: "/" } });
    expect(await failure(on(nfs))).toEqual(setUp("nfs", "volume type nfs is not supported by this kubelet"));
    const far = seed("far", { local: { path: at.rootDir }, nodeAffinity: affinity("elsewhere") });
    expect(await failure(on(far))).toEqual([
      'MountVolume.NodeAffinity check failed for volume "pv-far" : no matching NodeSelectorTerms',
    ]);
    const gone = seed("gone", { local: { path: join(at.rootDir, "none") }, nodeAffinity: affinity("n") });
    expect(await failure(on(gone))).toEqual([
      `MountVolume.NewMounter initialization failed for volume "pv-gone" : path "${at.rootDir}/none" does not exist`,
    ]);
    await at.volumes.tearDown("u-1");
    const typed = seed("typed", { hostPath: { path: join(at.rootDir, "none"), type: "Directory" } });
    expect(await failure(on(typed))).toEqual(
      setUp("typed", `hostPath type check failed: ${at.rootDir}/none is not a directory`),
    );
  });

  test("block volumes", async () => {
    const block = seed("block", { volumeMode: "Block", local: { path: "/dev/x" } });
    const file = seed("file", { hostPath: { path: at.rootDir } });
    const asDevice = {
      containers: [{ name: "c", image: "x", volumeDevices: [{ name: "data", devicePath: "/dev/d" }] }],
    };
    expect(await failure(on(block))).toEqual([
      unable("volume data has volumeMode Block, but is specified in volumeMounts"),
    ]);
    expect(await failure(on(file, asDevice))).toEqual([
      unable("volume data has volumeMode Filesystem, but is specified in volumeDevices"),
    ]);
    expect(await failure(on(block, asDevice))).toEqual([
      'MapVolume.MapPodDevice failed for volume "pv-block" : block volumes are not supported by this kubelet',
    ]);
  });
});

describe("what is mounted", () => {
  test("an administrator's folder, by hostPath and by local, and read-only where the pod says so", async () => {
    const folder = join(at.rootDir, "data");
    await mkdir(folder);
    for (const spec of [{ hostPath: { path: folder } }, { local: { path: folder }, nodeAffinity: affinity("n") }]) {
      const name = Object.keys(spec)[0]!.toLowerCase();
      const pod = on(seed(name, spec));
      await at.volumes.setUp(pod);
      expect(await mountOf(pod)).toMatchObject({ hostPath: folder, readonly: false });
      await at.volumes.tearDown("u-1");
      const fixed = on({ name: "data", persistentVolumeClaim: { claimName: name, readOnly: true } });
      await at.volumes.setUp(fixed);
      expect(await mountOf(fixed)).toMatchObject({ hostPath: folder, readonly: true });
      await at.volumes.tearDown("u-1");
    }
    expect(await readdir(folder)).toEqual([]);
  });

  const disk = (name: string): Volume =>
    seed(
      name,
      { local: { path: nodeDiskPath(`pv-${name}`) }, nodeAffinity: affinity("n") },
      {
        metadata: { annotations: { "pv.kubernetes.io/provisioned-by": "coxswain.dev/node-disk" } },
      },
    );

  test("a folder of the node's own disk is made, outlives its pod, and goes when it is told", async () => {
    const volume = disk("d");
    const pod = on(volume);
    await at.volumes.setUp(pod);
    const folder = nodeDiskFolder(at.rootDir, "pv-d");
    expect(await mountOf(pod)).toMatchObject({ hostPath: folder });
    expect((await stat(folder)).mode & 0o777).toBe(0o777);
    await writeFile(join(folder, "kept"), "words");
    await at.volumes.tearDown("u-1");
    await at.volumes.setUp(on(volume, { hostname: "again" }));
    expect(await readFile(join(folder, "kept"), "utf8")).toBe("words");
    fake.points.push(join(folder, "mounted"));
    await removeNodeDisk(at.rootDir, "pv-d", fake.mounter);
    await removeNodeDisk(at.rootDir, "pv-d", fake.mounter);
    expect(await readdir(join(at.rootDir, "node-disk"))).toEqual([]);
    expect(fake.points).toEqual([]);
  });

  test("nothing is removed by a name that leads elsewhere, nor through a mount that stays", async () => {
    for (const name of ["..", "../pods", "a/b", ""]) {
      await expect(removeNodeDisk(at.rootDir, name, fake.mounter), name).rejects.toThrow("is no name of a volume");
    }
    await at.volumes.setUp(on(disk("m")));
    const stuck = {
      ...fake.mounter,
      unmount: async () => {},
      mountsBelow: async () => [`${at.rootDir}/node-disk/pv-m/in`],
    };
    await expect(removeNodeDisk(at.rootDir, "pv-m", stuck)).rejects.toThrow("still mounted");
    expect(await readdir(join(at.rootDir, "node-disk"))).toEqual(["pv-m"]);
  });

  test("a sub path is a part of the volume; a container that comes late finds the volume too", async () => {
    const pod = on(disk("s"));
    pod.spec!.containers[0]!.volumeMounts![0]!.subPath = "part";
    await at.volumes.setUp(pod);
    const mount = await mountOf(pod);
    expect(mount?.hostPath).toBe(`${at.rootDir}/pods/u-1/volume-subpaths/data/c/0`);
    expect(await readdir(nodeDiskFolder(at.rootDir, "pv-s"))).toEqual(["part"]);
  });

  test("the claim is asked for once: a restarted container needs no api-server", async () => {
    const pod = on(disk("o"));
    await at.volumes.setUp(pod);
    await at.cluster.client().delete(PERSISTENT_VOLUME_CLAIMS, { namespace: "default", name: "o" });
    expect(await mountOf(pod)).toMatchObject({ hostPath: nodeDiskFolder(at.rootDir, "pv-o") });
    // After another kubelet's start it is.
    const late = on({ name: "data", persistentVolumeClaim: { claimName: "o" } });
    late.metadata!.uid = "u-2";
    await expect(mountOf(late)).rejects.toThrow(MountError);
  });

  test("what the pod's group gets, it gets once", async () => {
    const group = process.getgid?.() ?? 0;
    const volume = disk("g");
    const pod = on(volume, { securityContext: { fsGroup: group } });
    await at.volumes.setUp(pod);
    const folder = nodeDiskFolder(at.rootDir, "pv-g");
    expect((await stat(folder)).mode & 0o2770).toBe(0o2770);
    await writeFile(join(folder, "own"), "", { mode: 0o600 });
    await at.volumes.setUp(pod);
    expect((await stat(join(folder, "own"))).mode & 0o777).toBe(0o600);
    await at.volumes.tearDown("u-1");
    const lazy = { fsGroup: group, fsGroupChangePolicy: "OnRootMismatch" };
    await at.volumes.setUp(on(volume, { securityContext: lazy }));
    expect((await stat(join(folder, "own"))).mode & 0o777).toBe(0o600);
    await at.volumes.tearDown("u-1");
    await at.volumes.setUp(on(volume, { securityContext: { fsGroup: group } }));
    expect((await stat(join(folder, "own"))).mode & 0o777).toBe(0o660);
  });
});
