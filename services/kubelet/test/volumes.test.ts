// What pods' volumes are on disk, with the kernel's mounts left out: those are in volumes.kernel.test.ts.
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CONFIG_MAPS, SECRETS, type Container, type Volume } from "@coxswain/api";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VolumeError } from "../src/volumes/contract.ts";
import { mountPointsBelow } from "../src/volumes/mounter.ts";
import { openBelow } from "../src/volumes/sub-path.ts";
import { fakeMounter, podWith, volumeSetting, type VolumeSetting } from "./volume-setup.ts";

let fake = fakeMounter();
let at: VolumeSetting;

beforeEach(async () => {
  fake = fakeMounter();
  at = await volumeSetting({ mounter: fake.mounter });
});
afterEach(() => at.end());

function configMap(data: Record<string, string>, more: object = {}): void {
  at.cluster.seed(CONFIG_MAPS, { metadata: { name: "conf", namespace: "default" }, data, ...more });
}

async function replaceConfigMap(data: Record<string, string>): Promise<void> {
  const client = at.cluster.client();
  const old = await client.get(CONFIG_MAPS, { namespace: "default", name: "conf" });
  await client.update(CONFIG_MAPS, { ...old, data } as typeof old);
}

const read = (path: string): Promise<string> => readFile(path, "utf8");
const conf: Volume = { name: "conf", configMap: { name: "conf" } };

async function failure(volume: Volume): Promise<readonly string[]> {
  const error: unknown = await at.volumes.setUp(podWith([volume])).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof VolumeError ? error.messages : [];
}

describe("files of the API", () => {
  test("a ConfigMap's keys are files, text and binary", async () => {
    configMap({ "app.conf": "port=80" }, { binaryData: { logo: Buffer.from([1, 2, 3]).toString("base64") } });
    await at.volumes.setUp(podWith([conf]));
    const dir = at.path("u-1", "configmap", "conf");
    expect(await read(`${dir}/app.conf`)).toBe("port=80");
    expect([...(await readFile(`${dir}/logo`))]).toEqual([1, 2, 3]);
    expect((await stat(`${dir}/app.conf`)).mode & 0o7777).toBe(0o644);
    expect(fake.points).toEqual([]);
  });

  test("items choose keys, with paths and modes of their own", async () => {
    configMap({ a: "1", b: "2" });
    const items = [{ key: "a", path: "deep/er/a", mode: 0o400 }];
    await at.volumes.setUp(podWith([{ name: "conf", configMap: { name: "conf", items, defaultMode: 0o600 } }]));
    const dir = at.path("u-1", "configmap", "conf");
    expect((await readdir(dir)).filter((name) => !name.startsWith(".."))).toEqual(["deep"]);
    expect((await stat(`${dir}/deep/er/a`)).mode & 0o7777).toBe(0o400);
  });

  test("a Secret is in memory only", async () => {
    const data = { password: Buffer.from("hunter2").toString("base64") };
    at.cluster.seed(SECRETS, { metadata: { name: "s", namespace: "default" }, data });
    await at.volumes.setUp(podWith([{ name: "s", secret: { secretName: "s", defaultMode: 0o400 } }]));
    const dir = at.path("u-1", "secret", "s");
    expect(await read(`${dir}/password`)).toBe("hunter2");
    expect(fake.points).toEqual([dir]);
  });

  test("what is missing is told, one message a volume; what is optional makes an empty one", async () => {
    const volumes: Volume[] = [
      { name: "a", configMap: { name: "none" } },
      { name: "b", secret: { secretName: "none" } },
      { name: "c", configMap: { name: "none", optional: true } },
    ];
    const error: unknown = await at.volumes.setUp(podWith(volumes)).then(undefined, (reason: unknown) => reason);
    expect(error instanceof VolumeError && error.messages).toEqual([
      'MountVolume.SetUp failed for volume "a" : configmap "none" not found',
      'MountVolume.SetUp failed for volume "b" : secret "none" not found',
    ]);
    expect(await readdir(at.path("u-1", "configmap", "c"))).toContain("..data");
  });

  test("a key that is missing is told, unless the source is optional", async () => {
    configMap({ a: "1" });
    const items = [{ key: "b", path: "b" }];
    expect(await failure({ name: "conf", configMap: { name: "conf", items } })).toEqual([
      'MountVolume.SetUp failed for volume "conf" : configmap references non-existent config key: b',
    ]);
    expect(await failure({ name: "conf", configMap: { name: "conf", items, optional: true } })).toEqual([]);
  });

  test("a change of the ConfigMap arrives as a whole; an immutable one is not looked at again", async () => {
    configMap({ a: "1", b: "1" });
    const pod = podWith([conf]);
    await at.volumes.setUp(pod);
    await replaceConfigMap({ a: "2", c: "2" });
    at.skip(11_000);
    const next = await at.volumes.refresh(pod);
    expect(next).toBeGreaterThanOrEqual(60_000);
    const dir = at.path("u-1", "configmap", "conf");
    expect((await readdir(dir)).filter((name) => !name.startsWith(".."))).toEqual(["a", "c"]);
    expect(await read(`${dir}/a`)).toBe("2");

    at.cluster.seed(CONFIG_MAPS, { metadata: { name: "fixed", namespace: "default" }, data: {}, immutable: true });
    const fixed = podWith([{ name: "fixed", configMap: { name: "fixed" } }]);
    await at.volumes.setUp(fixed);
    expect(await at.volumes.refresh(fixed)).toBeUndefined();
  });

  test("a pod that begins has what was written before it, though another pod read an older version just now", async () => {
    configMap({ a: "1" });
    const pod = podWith([conf]);
    await at.volumes.setUp(pod);
    await replaceConfigMap({ a: "2" });
    await at.volumes.setUp({ ...pod, metadata: { ...pod.metadata, uid: "u-2" } });
    expect(await read(`${at.path("u-2", "configmap", "conf")}/a`)).toBe("2");
  });

  test("what cannot be read any more stays as it was", async () => {
    configMap({ a: "1" });
    const pod = podWith([conf]);
    await at.volumes.setUp(pod);
    await at.cluster.client().delete(CONFIG_MAPS, { namespace: "default", name: "conf" });
    at.skip(11_000);
    await expect(at.volumes.refresh(pod)).rejects.toThrow('configmap "conf" not found');
    expect(await read(`${at.path("u-1", "configmap", "conf")}/a`)).toBe("1");
  });

  test("the downward API tells of metadata and resources", async () => {
    const items = [
      { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
      { path: "name", fieldRef: { fieldPath: "metadata.name" } },
      { path: "cpu", resourceFieldRef: { containerName: "c", resource: "limits.cpu", divisor: "1m" } },
    ];
    const pod = podWith([{ name: "info", downwardAPI: { items } }]);
    pod.metadata = { ...pod.metadata, labels: { b: "2", a: 'say "hi"\n' } };
    await at.volumes.setUp(pod);
    const dir = at.path("u-1", "downward-api", "info");
    expect(await read(`${dir}/labels`)).toBe('a="say \\"hi\\"\\n"\nb="2"');
    expect(await read(`${dir}/name`)).toBe("web");
    expect(await read(`${dir}/cpu`)).toBe("4000");
    // Go takes a space for printable, and no other of its kind.
    await at.volumes.refresh({ ...pod, metadata: { ...pod.metadata, labels: { c: "3 \u00a0\u2028" } } });
    expect(await read(`${dir}/labels`)).toBe('c="3 \\u00a0\\u2028"');
  });
});

describe("tokens", () => {
  const token: Volume = {
    name: "token",
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { path: "token", audience: "vault", expirationSeconds: 3600 } },
        { configMap: { name: "conf", items: [{ key: "ca", path: "ca.crt" }] } },
        { downwardAPI: { items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }] } },
      ],
    },
  };

  test("are bound to the pod, and replaced before 80% of their life are over", async () => {
    configMap({ ca: "CA" }, { immutable: true });
    const pod = podWith([token], { serviceAccountName: "robot" });
    await at.volumes.setUp(pod);
    const dir = at.path("u-1", "projected", "token");
    expect(await read(`${dir}/token`)).toBe("token-1");
    expect(await read(`${dir}/ca.crt`)).toBe("CA");
    expect(await read(`${dir}/namespace`)).toBe("default");
    expect(at.requests[0]?.spec).toEqual({
      audiences: ["vault"],
      expirationSeconds: 3600,
      boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "web", uid: "u-1" },
    });
    const next = (await at.volumes.refresh(pod)) ?? 0;
    expect(next).toBeGreaterThan(0.79 * 3_600_000);
    expect(next).toBeLessThanOrEqual(0.8 * 3_600_000);
    at.skip(next);
    await at.volumes.refresh(pod);
    expect(await read(`${dir}/token`)).toBe("token-2");
  });

  test("several sources that fail are told of together", async () => {
    const sources = [{ configMap: { name: "x" } }, { secret: { name: "y" } }];
    expect(await failure({ name: "all", projected: { sources } })).toEqual([
      'MountVolume.SetUp failed for volume "all" : [configmap "x" not found, secret "y" not found]',
    ]);
  });
});

describe("emptyDir and hostPath", () => {
  test("an emptyDir is open to all, on disk or in memory within bounds", async () => {
    const volumes: Volume[] = [
      { name: "disk", emptyDir: {} },
      { name: "small", emptyDir: { medium: "Memory", sizeLimit: "16Mi" } },
      { name: "large", emptyDir: { medium: "Memory" } },
    ];
    await at.volumes.setUp(podWith(volumes));
    expect((await stat(at.path("u-1", "empty-dir", "disk"))).mode & 0o7777).toBe(0o777);
    expect(fake.tmpfs).toEqual(
      new Map([
        [at.path("u-1", "empty-dir", "small"), 16 * 2 ** 20],
        [at.path("u-1", "empty-dir", "large"), 2 ** 30],
      ]),
    );
    await writeFile(join(at.path("u-1", "empty-dir", "disk"), "kept"), "1");
    await at.volumes.setUp(podWith(volumes));
    expect(await readdir(at.path("u-1", "empty-dir", "disk"))).toEqual(["kept"]);
    expect(fake.points).toHaveLength(2);
  });

  test.each([
    ["Directory", "is not a directory"],
    ["File", "is not a file"],
    ["Socket", "is not a socket file"],
    ["CharDevice", "is not a character device"],
    ["BlockDevice", "is not a block device"],
  ])("hostPath of type %s must be there", async (type, complaint) => {
    const path = join(at.rootDir, "none");
    expect(await failure({ name: "host", hostPath: { path, type } })).toEqual([
      `MountVolume.SetUp failed for volume "host" : hostPath type check failed: ${path} ${complaint}`,
    ]);
  });

  test("hostPath makes what it may make, and takes what fits", async () => {
    const [dir, file] = [join(at.rootDir, "made/deep"), join(at.rootDir, "made-file")];
    expect(await failure({ name: "d", hostPath: { path: dir, type: "DirectoryOrCreate" } })).toEqual([]);
    expect(await failure({ name: "f", hostPath: { path: file, type: "FileOrCreate" } })).toEqual([]);
    expect((await stat(dir)).isDirectory()).toBe(true);
    expect((await stat(file)).isFile()).toBe(true);
    expect(await failure({ name: "z", hostPath: { path: "/dev/zero", type: "CharDevice" } })).toEqual([]);
    expect(await failure({ name: "any", hostPath: { path: join(at.rootDir, "none") } })).toEqual([]);
  });

  test("what is not supported is refused by name; what no container mounts is not looked at", async () => {
    expect(await failure({ name: "csi", csi: { driver: "x" } })).toEqual([
      'MountVolume.SetUp failed for volume "csi" : volume type csi is not supported by this kubelet',
    ]);
    const pod = podWith([], { volumes: [{ name: "unused", nfs: { server: "s", path: "/" } }] });
    await expect(at.volumes.setUp(pod)).resolves.toBeUndefined();
  });
});

describe("mounts", () => {
  const facts = {
    attempt: 2,
    env: new Map([
      ["POD", "web"],
      ["EMPTY", ""],
    ]),
    podIp: "10.244.1.7",
    images: new Map<string, string>(),
  };
  const container = (volumeMounts: NonNullable<Container["volumeMounts"]>): Container => ({
    name: "c",
    volumeMounts,
    terminationMessagePath: "/dev/termination-log",
  });

  test("volumes, /etc/hosts and the termination message", async () => {
    configMap({ a: "1" });
    const pod = podWith([conf, { name: "work", emptyDir: {} }], {
      hostname: "shop",
      subdomain: "web",
      hostAliases: [{ ip: "10.0.0.1", hostnames: ["db", "cache"] }],
    });
    await at.volumes.setUp(pod);
    const mounts = await at.volumes.mounts(
      pod,
      container([
        { name: "conf", mountPath: "/conf" },
        { name: "work", mountPath: "work", readOnly: true, mountPropagation: "HostToContainer" },
      ]),
      facts,
    );
    const base = `${at.rootDir}/pods/u-1`;
    expect(mounts).toEqual([
      {
        hostPath: at.path("u-1", "configmap", "conf"),
        containerPath: "/conf",
        readonly: true,
        propagation: "PRIVATE",
      },
      {
        hostPath: at.path("u-1", "empty-dir", "work"),
        containerPath: "/work",
        readonly: true,
        propagation: "HOST_TO_CONTAINER",
      },
      { hostPath: `${base}/etc-hosts`, containerPath: "/etc/hosts", readonly: false, propagation: "PRIVATE" },
      {
        hostPath: `${base}/containers/c/2`,
        containerPath: "/dev/termination-log",
        readonly: false,
        propagation: "PRIVATE",
      },
    ]);
    expect((await stat(`${base}/containers/c/2`)).mode & 0o7777).toBe(0o666);
    const hosts = await read(`${base}/etc-hosts`);
    expect(hosts).toContain("\n10.244.1.7\tshop.web.default.svc.cluster.local\tshop\n");
    expect(hosts).toMatch(/# Entries added by HostAliases\.\n10\.0\.0\.1\tdb\tcache\n$/);
  });

  test("a pod on the node's network has the node's hosts", async () => {
    const pod = podWith([], { hostNetwork: true });
    await at.volumes.setUp(pod);
    await at.volumes.mounts(pod, container([]), facts);
    const hosts = await read(`${at.rootDir}/pods/u-1/etc-hosts`);
    expect(hosts).toBe(`# Kubernetes-managed hosts file (host network).\n${await read("/etc/hosts")}`);
  });

  test("a container that joins late has volumes that none had mounted before", async () => {
    configMap({ a: "1" });
    const pod = podWith([], { volumes: [conf] });
    await at.volumes.setUp(pod);
    const debug = { ...container([{ name: "conf", mountPath: "/conf" }]), name: "debug" };
    const joined = { ...pod, spec: { containers: [], ...pod.spec, ephemeralContainers: [debug] } };
    const [first] = await at.volumes.mounts(joined, debug, facts);
    expect(await read(`${first?.hostPath}/a`)).toBe("1");
    await at.cluster.client().delete(CONFIG_MAPS, { namespace: "default", name: "conf" });
    at.skip(11_000);
    const other = { ...joined, metadata: { ...pod.metadata, uid: "u-2" } };
    await at.volumes.setUp(pod);
    await expect(at.volumes.mounts(other, debug, facts)).rejects.toThrow(
      'MountVolume.SetUp failed for volume "conf" : configmap "conf" not found',
    );
  });

  test("a sub path is made in the volume and bound", async () => {
    const pod = podWith([{ name: "work", emptyDir: { medium: "Memory" } }]);
    await at.volumes.setUp(pod);
    const mount = { name: "work", mountPath: "/logs", subPathExpr: "logs/$(POD)" };
    const [first] = await at.volumes.mounts(pod, container([mount]), facts);
    const target = `${at.rootDir}/pods/u-1/volume-subpaths/work/c/0`;
    expect(first?.hostPath).toBe(target);
    expect(fake.points).toEqual([at.path("u-1", "empty-dir", "work"), target]);
    expect((await stat(join(at.path("u-1", "empty-dir", "work"), "logs/web"))).mode & 0o7777).toBe(0o1777);
  });

  test.each([
    ["link/x", 'not within volume path "'],
    ["a/../../b", "must not contain '..'"],
    ["/etc", "must not be an absolute path"],
  ])("the sub path %s does not lead out of its volume", async (subPath, complaint) => {
    const pod = podWith([{ name: "work", emptyDir: {} }]);
    await at.volumes.setUp(pod);
    const outside = join(at.rootDir, "outside");
    await mkdir(join(outside, "x"), { recursive: true });
    await symlink(outside, join(at.path("u-1", "empty-dir", "work"), "link"));
    const made = at.volumes.mounts(pod, container([{ name: "work", mountPath: "/w", subPath }]), facts);
    await expect(made).rejects.toThrow(complaint);
    await expect(made).rejects.toThrow('failed to prepare subPath for volumeMount "work" of container "c"');
    expect(fake.points).toEqual([]);
  });

  test("a symlink that was put there this very moment is not followed, in the middle or at the end", async () => {
    await mkdir(join(at.rootDir, "v/real/b"), { recursive: true });
    await symlink("real", join(at.rootDir, "v/a"));
    await symlink("b", join(at.rootDir, "v/real/c"));
    const volume = join(at.rootDir, "v");
    await expect(openBelow(volume, ["a", "b"], [])).rejects.toThrow("unexpected symlink found a");
    await expect(openBelow(volume, ["real", "c"], [])).rejects.toThrow("unexpected symlink found c");
    await expect(openBelow(volume, [], ["a", "b"])).rejects.toThrow("unexpected symlink found a");
    const place = await openBelow(volume, ["real"], ["b", "new"]);
    expect((await place.stat()).ino).toBe((await stat(join(volume, "real/b/new"))).ino);
    await place.close();
  });

  test("says what cannot be mounted", async () => {
    const pod = podWith([{ name: "work", emptyDir: {} }]);
    await at.volumes.setUp(pod);
    const mounts = (mount: object) =>
      at.volumes.mounts(pod, container([{ name: "work", mountPath: "/w", ...mount }]), facts);
    await expect(mounts({ name: "other" })).rejects.toThrow('cannot find volume "other" to mount into container "c"');
    await expect(mounts({ recursiveReadOnly: "Enabled" })).rejects.toThrow("requested recursive read-only mode");
    await expect(mounts({ subPathExpr: "$(NONE)" })).rejects.toThrow("missing value for NONE");
    await expect(mounts({ subPathExpr: "$(EMPTY)" })).rejects.toThrow("missing value for EMPTY");
  });
});

describe("the end of containers and pods", () => {
  async function* log(lines: readonly string[], unended = false): AsyncGenerator<{ line: Buffer; partial: boolean }> {
    for (const [at, line] of lines.entries()) {
      yield { line: Buffer.from(line), partial: unended && at === lines.length - 1 };
    }
  }
  const container: Container = { name: "c", terminationMessagePath: "/dev/termination-log" };
  const facts = { attempt: 0, env: new Map<string, string>(), podIp: "", images: new Map<string, string>() };

  test("the termination message is the file's end, or the log's where the policy falls back to it", async () => {
    const pod = podWith([]);
    await at.volumes.setUp(pod);
    await at.volumes.mounts(pod, container, facts);
    const life = { attempt: 0, exitCode: 1, log: () => log(["first", "last words"]) };
    expect(await at.volumes.terminationMessage(pod, container, life)).toBeUndefined();
    const fallback = { ...container, terminationMessagePolicy: "FallbackToLogsOnError" };
    expect(await at.volumes.terminationMessage(pod, fallback, life)).toBe("first\nlast words\n");
    expect(await at.volumes.terminationMessage(pod, fallback, { ...life, exitCode: 0 })).toBeUndefined();
    const unended = { ...life, log: () => log(["first", "last words"], true) };
    expect(await at.volumes.terminationMessage(pod, fallback, unended)).toBe("first\nlast words");
    const many = { ...life, log: () => log(Array.from({ length: 200 }, (_one, n) => `line ${n}`)) };
    expect((await at.volumes.terminationMessage(pod, fallback, many))?.split("\n")[0]).toBe("line 120");
    await writeFile(`${at.rootDir}/pods/u-1/containers/c/0`, "x".repeat(5000) + "end");
    const message = await at.volumes.terminationMessage(pod, fallback, life);
    expect(message).toHaveLength(4096);
    expect(message?.endsWith("end")).toBe(true);
    await at.volumes.forgetLife(pod, container, 0);
    expect(await at.volumes.terminationMessage(pod, container, life)).toBeUndefined();
  });

  test("tear-down unmounts, deletes, and can be repeated", async () => {
    await at.volumes.setUp(podWith([{ name: "m", emptyDir: { medium: "Memory" } }]));
    expect(await at.volumes.known()).toEqual(["u-1"]);
    await at.volumes.tearDown("u-1");
    await at.volumes.tearDown("u-1");
    expect(await at.volumes.known()).toEqual([]);
    expect(fake.points).toEqual([]);
    await expect(at.volumes.tearDown("../x")).rejects.toThrow("is no uid of a pod");
  });

  test("nothing is deleted through a mount that stays", async () => {
    await at.volumes.setUp(podWith([{ name: "m", emptyDir: { medium: "Memory" } }]));
    const file = join(at.path("u-1", "empty-dir", "m"), "precious");
    await writeFile(file, "1");
    fake.mounter.unmount = async () => {};
    await expect(at.volumes.tearDown("u-1")).rejects.toThrow("still mounted");
    expect(await read(file)).toBe("1");
  });
});

test("mount points are read from the kernel's table, innermost first, with their odd characters", () => {
  const table = [
    "22 1 254:0 / / rw - ext4 /dev/vda rw",
    "30 22 0:30 / /k/pods/a rw shared:1 - tmpfs tmpfs rw",
    "31 30 0:31 / /k/pods/a/with\\040space rw - tmpfs tmpfs rw",
    "32 22 0:32 / /k/pods/ab rw - tmpfs tmpfs rw",
  ].join("\n");
  expect(mountPointsBelow(table, "/k/pods/a")).toEqual(["/k/pods/a/with space", "/k/pods/a"]);
});
