// The platform on a real kernel: members reach each other and nothing else, and whatever dies, nothing stays behind.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { createRealEnv } from "@coxswain/env";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ensureNodePrograms, type NodePrograms, nodeRuntimeMissing } from "../src/node-programs.ts";
import { cgroupFolders, cgroupProcesses, trackingRoot } from "../src/platform/cgroup-tree.ts";
import { createPlatform, openPlatform, type Platform } from "../src/platform/create-platform.ts";
import { diffInventory, foreignPackets, inventory, type Inventory } from "../src/platform/inventory.ts";
import { planPlatform, platformId, runDir } from "../src/platform/platform-plan.ts";
import { mountsBelow, removePlatform } from "../src/platform/remove-platform.ts";
import { runToEnd, startTestNode } from "../src/platform/testing.ts";
import { startTimeOf } from "../src/process-table.ts";

const env = createRealEnv();
const tools = path.resolve(import.meta.dirname, "../../../.tools");
const CONTROL = ["etcd-0", "api-server-0", "gateway-0"];

let home: string;
let programs: NodePrograms;
let before: Inventory;

beforeAll(async () => {
  expect(nodeRuntimeMissing(tools)).toBeUndefined();
  programs = await ensureNodePrograms(tools, (line) => console.log(line));
  home = mkdtempSync("/tmp/cox-plt-");
  before = inventory(programs);
});

afterAll(() => rmSync(home, { recursive: true, force: true }));

/** What this process's own clusters left. Other tests may run beside this one. */
const leaks = (): string[] =>
  diffInventory(before, inventory(programs), process.env["COXSWAIN_RUN_LABEL"]).filter(
    (line) => !line.startsWith("process "),
  );

interface Made {
  readonly platform: Platform;
  readonly id: string;
  readonly dataDir: string;
  [Symbol.asyncDispose](): Promise<void>;
}

async function make(name: string, nodes = 2, control: readonly string[] = CONTROL): Promise<Made> {
  const dataDir = path.join(home, name);
  const id = platformId("plt", dataDir);
  mkdirSync(dataDir, { recursive: true });
  const visible = [path.dirname(process.execPath)];
  const plan = planPlatform({ id, dataDir, controlMembers: control, nodes, programs, visible });
  const platform = await createPlatform(plan, env);
  return { platform, id, dataDir, [Symbol.asyncDispose]: () => removePlatform(id, dataDir, env) };
}

const inMember = (platform: Platform, member: string, ...program: string[]): Promise<string> =>
  runToEnd(platform.enter(member), program, platform.nodeEnv);

/** Connects from a member; resolves to what came back, or the error's code. */
function dial(platform: Platform, from: string, address: string, port: number): Promise<string> {
  const script = `const s = require("net").connect(${port}, "${address}"); s.on("data", d => { console.log(String(d)); process.exit(); }); s.on("error", e => { console.log(e.code); process.exit(); });`;
  return inMember(platform, from, process.execPath, "-e", script).then((text) => text.trim());
}

/** A TCP server in a member that answers with the caller's address. Resolves once it listens. */
async function listen(platform: Platform, member: string): Promise<ChildProcess> {
  const script = `require("net").createServer(s => s.end(s.remoteAddress)).listen(7777, "${platform.address(member)}", () => console.log("up"));`;
  const { command, args } = platform.enter(member);
  const child = spawn(command, [...args, process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("exit", () => reject(new Error("the server ended")));
  });
  return child;
}

describe("nodes that come and go", () => {
  test("are made beside others, reach them, and leave nothing when they are removed with all that runs there", async () => {
    const dataDir = path.join(home, "coming");
    const id = platformId("plt", dataDir);
    mkdirSync(dataDir, { recursive: true });
    const visible = [path.dirname(process.execPath)];
    const plan = planPlatform({ id, dataDir, controlMembers: ["api-server-0"], nodes: 3, programs, visible });
    const platform = await createPlatform(plan, env, ["node-1"]);
    try {
      const only1 = inventory(programs);
      expect(existsSync(path.join(runDir(id), "net", "node-3"))).toBe(false);
      // Twice: the second life finds nothing of the first, not even while the kernel still clears up.
      for (const life of ["first", "second"]) {
        await platform.addNode("node-3");
        await listen(platform, "node-3");
        for (const from of ["node-1", "api-server-0"])
          expect(await dial(platform, from, platform.address("node-3"), 7777)).toBe(platform.address(from));
        expect(await inMember(platform, "node-3", "/bin/sh", "-c", "ls /var/lib/kubelet; hostname")).toBe("node-3\n");
        await inMember(platform, "node-3", "/bin/sh", "-c", `echo ${life} > /var/lib/kubelet/life`);
        await platform.removeNode("node-3");
        await platform.removeNode("node-3");
        expect(cgroupFolders(`/coxswain-${id}/node-3`)).toEqual([]);
        expect(existsSync(path.join(dataDir, "nodes", "node-3"))).toBe(false);
        const left = diffInventory(only1, inventory(programs), process.env["COXSWAIN_RUN_LABEL"]);
        expect(left.filter((line) => line.includes("node-3"))).toEqual([]);
      }
      expect(await inMember(platform, "node-1", "/bin/sh", "-c", "hostname")).toBe("node-1\n");
    } finally {
      await removePlatform(id, dataDir, env);
    }
    expect(leaks()).toEqual([]);
  });
});

describe("members", () => {
  test("reach each other by fabric address, and nothing else", async () => {
    await using made = await make("reach");
    const { platform } = made;
    const sentBefore = foreignPackets();
    for (const member of ["node-2", "api-server-0"]) await listen(platform, member);
    for (const [from, to] of [
      ["node-1", "node-2"],
      ["etcd-0", "node-2"],
      ["node-1", "api-server-0"],
      ["etcd-0", "api-server-0"],
    ] as const)
      expect(await dial(platform, from, platform.address(to), 7777)).toBe(platform.address(from));
    for (const from of ["node-1", "etcd-0"]) {
      expect(await dial(platform, from, "192.0.2.77", 80)).toBe("ENETUNREACH");
      expect(await dial(platform, from, "10.244.77.1", 80)).toBe("EHOSTUNREACH");
    }
    expect(await dial(platform, "etcd-0", "10.96.0.1", 443)).toBe("EHOSTUNREACH");
    if (process.env["COXSWAIN_QUIET_NETWORK"] === "1") expect(foreignPackets()).toBe(sentBefore);
  });

  test("have a loopback, a cgroup and, as nodes, a name and a root of their own", async () => {
    await using made = await make("own");
    const { platform, id } = made;
    expect(
      await inMember(
        platform,
        "node-2",
        "/bin/sh",
        "-c",
        "hostname; cat /etc/hostname; cat /proc/sys/net/ipv4/ip_forward",
      ),
    ).toBe("node-2\nnode-2\n1\n");
    expect(
      await inMember(
        platform,
        "etcd-0",
        "/bin/sh",
        "-c",
        "ls /sys/fs/cgroup > /dev/null; cat /proc/net/dev | grep -c :",
      ),
    ).toBe("2\n");
    expect(await inMember(platform, "gateway-0", "/bin/cat", "/proc/self/cgroup")).toContain(
      `/coxswain-${id}/gateway-0`,
    );
    expect(await inMember(platform, "node-1", "/bin/cat", "/proc/self/cgroup")).toContain(
      `/coxswain-${id}/node-1/daemons`,
    );
    expect(await inMember(platform, "node-1", "/bin/cat", "/etc/hosts")).toContain(
      `${platform.address("etcd-0")} etcd-0\n`,
    );
  });

  test("write nothing to the machine's file system but their data folder", async () => {
    await using made = await make("write");
    const { platform, dataDir } = made;
    const name = path.basename(dataDir) + process.pid;
    const touch = (file: string): Promise<string> => inMember(platform, "node-1", "/usr/bin/touch", file);
    for (const folder of ["/", "/etc", "/run", "/var/lib", "/tmp", "/etc/cni/net.d"]) {
      const file = path.join(folder, name);
      await touch(file);
      expect(existsSync(file)).toBe(false);
    }
    expect(readFileSync(platform.pathOnHost("node-1", `/var/lib/${name}`), "utf8")).toBe("");
    expect(readFileSync(platform.pathOnHost("node-1", `/run/${name}`), "utf8")).toBe("");
    await expect(touch(`/usr/${name}`)).rejects.toThrow("Read-only file system");
    await touch(path.join(dataDir, "seen"));
    expect(existsSync(path.join(dataDir, "seen"))).toBe(true);
  });

  test("mount without the machine seeing it, but every process of the node does", async () => {
    await using made = await make("mounts");
    const { platform, dataDir } = made;
    await inMember(
      platform,
      "node-1",
      "/bin/sh",
      "-c",
      "mkdir /var/lib/kubelet/v && mount -t tmpfs mine /var/lib/kubelet/v",
    );
    expect(await inMember(platform, "node-1", "/bin/cat", "/proc/self/mounts")).toContain(
      "mine /var/lib/kubelet/v tmpfs",
    );
    expect(readFileSync("/proc/self/mounts", "utf8")).not.toContain("mine ");
    expect(mountsBelow([dataDir])).toEqual([]);
    expect(await inMember(platform, "node-2", "/bin/cat", "/proc/self/mounts")).not.toContain("mine ");
  });
});

describe("life", () => {
  test("the same plan again is the same platform; another one starts anew", async () => {
    await using made = await make("again");
    const server = await listen(made.platform, "node-1");
    await using again = await make("again");
    expect(await dial(again.platform, "node-2", again.platform.address("node-1"), 7777)).toBe(
      again.platform.address("node-2"),
    );
    expect(openPlatform(again.platform.plan).address("node-2")).toBe(made.platform.address("node-2"));
    await using other = await make("again", 1);
    expect(other.platform.plan.nodes).toHaveLength(1);
    expect(server.pid === undefined ? undefined : startTimeOf(server.pid)).toBeUndefined();
  });

  test("two clusters of one name in two homes do not know of each other", async () => {
    await using one = await make("home-1");
    await using two = await make("home-2");
    await listen(one.platform, "node-1");
    await listen(two.platform, "node-1");
    for (const { platform } of [one, two])
      expect(await dial(platform, "node-2", platform.address("node-1"), 7777)).toBe(platform.address("node-2"));
    await one[Symbol.asyncDispose]();
    expect(await dial(two.platform, "node-2", two.platform.address("node-1"), 7777)).toBe(
      two.platform.address("node-2"),
    );
  });

  test("containerd answers, and comes back on the same state after kill -9", async () => {
    const node = await startTestNode({ name: "plt" });
    try {
      expect(await node.run(programs.ctr, "version")).toMatch(/Server:\n\s+Version:/);
      await node.run(programs.ctr, "namespace", "create", "kept");
      await node.restartContainerd();
      expect(await node.run(programs.ctr, "namespace", "list")).toContain("kept");
      expect(node.log()).not.toContain("level=fatal");
    } finally {
      await node.stop();
    }
    expect(leaks()).toEqual([]);
  });

  test("a running container ends with its node, and its cgroups in every hierarchy go", async () => {
    const node = await startTestNode({ name: "plt" });
    const cgroup = `${node.cgroupRoot}/besteffort/podx`;
    try {
      const rootfs = path.join(node.dataDir, "rootfs");
      mkdirSync(path.join(rootfs, "bin"), { recursive: true });
      copyFileSync(programs.busybox, path.join(rootfs, "bin", "busybox"));
      const flags = ["--detach", "--rootfs", "--cgroup", `${cgroup}/c1`, rootfs, "c1"];
      await node.run(programs.ctr, "run", ...flags, "/bin/busybox", "sleep", "1000");
      expect(cgroupProcesses(cgroup).size).toBe(1);
      expect(cgroupFolders(cgroup).length).toBeGreaterThan(0);
      // The mount of its root is the node's alone.
      expect(
        mountsBelow([node.dataDir, runDir(node.platform.plan.id)]).filter((point) => point.includes("rootfs")),
      ).toEqual([]);
      // Containers outlive containerd.
      await node.restartContainerd();
      expect(await node.run(programs.ctr, "task", "list")).toMatch(/c1\s+\d+\s+RUNNING/);
    } finally {
      await node.stop();
    }
    expect(cgroupFolders(cgroup)).toEqual([]);
    expect(leaks()).toEqual([]);
  });

  test("after kill -9 of everything, removal knows enough by the id alone", async () => {
    const made = await make("killed");
    const { platform, id, dataDir } = made;
    const { command, args } = platform.containerdCommand("node-1");
    const containerd = spawn(command, [...args], { stdio: "ignore", env: platform.nodeEnv, detached: true });
    const servers = [await listen(platform, "node-2"), await listen(platform, "etcd-0")];
    // A grandchild that left its parents and its cgroup: only its namespace tells whose it is.
    const stray = `const c = require("child_process").spawn("/bin/sh", ["-c", "echo 0 > $0; exec sleep 1000", "${trackingRoot()}/cgroup.procs"], { detached: true, stdio: "ignore" }); c.unref(); console.log(c.pid); process.exit()`;
    const strayPid = Number(await inMember(platform, "gateway-0", process.execPath, "-e", stray));
    for (const child of [containerd, servers[0]]) child?.kill("SIGKILL");
    expect(cgroupProcesses(`/coxswain-${id}`)).toContain(servers[1]?.pid);
    await removePlatform(id, dataDir, env);
    await removePlatform(id, dataDir, env);
    for (const pid of [strayPid, servers[1]?.pid ?? 0]) expect(startTimeOf(pid)).toBeUndefined();
    expect(leaks()).toEqual([]);
  });

  test("what is half made is removed, and a made one replaces it", async () => {
    const first = await make("half");
    rmSync(path.join(runDir(first.id), "plan"));
    await using second = await make("half");
    await listen(second.platform, "node-1");
    expect(await dial(second.platform, "etcd-0", second.platform.address("node-1"), 7777)).toBe(
      second.platform.address("etcd-0"),
    );
  });

  test("20 rounds of creation and removal leave nothing", async () => {
    for (let round = 0; round < 20; round++) {
      await using made = await make("rounds");
      expect(made.platform.plan.nodes).toHaveLength(2);
    }
    expect(leaks()).toEqual([]);
    expect(readdirSync("/tmp").filter((name) => name.startsWith(path.basename(home)))).toEqual([path.basename(home)]);
  });
});

test("a frozen process does not hold up removal", async () => {
  const made = await make("frozen", 0);
  const child = await listen(made.platform, "etcd-0");
  execFile("/bin/kill", ["-STOP", String(child.pid)]);
  await removePlatform(made.id, made.dataDir, env);
  expect(startTimeOf(child.pid ?? 0)).toBeUndefined();
});
