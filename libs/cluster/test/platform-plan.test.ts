// What a platform consists of is decided without touching the machine.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { NodePrograms } from "../src/node-programs.ts";
import { cgroupHierarchies, trackingRoot } from "../src/platform/cgroup-tree.ts";
import { containerdConfig } from "../src/platform/containerd-config.ts";
import { diffInventory, type Resource } from "../src/platform/inventory.ts";
import { nodeScript, quote } from "../src/platform/member-scripts.ts";
import { nodeShare } from "../src/platform/node-share.ts";
import { PlatformError, planPlatform, platformId, type PlatformPlan } from "../src/platform/platform-plan.ts";

const programs: NodePrograms = {
  containerd: "/usr/bin/containerd",
  containerdShim: "/usr/bin/containerd-shim-runc-v2",
  ctr: "/usr/bin/ctr",
  runc: "/usr/sbin/runc",
  cniBinDir: "/usr/lib/cni",
  nft: "/usr/sbin/nft",
  iptables: "/usr/sbin/iptables",
  conntrack: "/usr/sbin/conntrack",
  ip: "/usr/sbin/ip",
  nsenter: "/usr/bin/nsenter",
  unshare: "/usr/bin/unshare",
  mount: "/usr/bin/mount",
  busybox: "/bin/busybox",
  slirp4netns: undefined,
  env: { PATH: "/usr/bin" },
};

function plan(
  nodes: number,
  controlMembers: readonly string[] = ["etcd-0", "api-server-0"],
  id = "a-123456",
): PlatformPlan {
  return planPlatform({ id, dataDir: "/data/a", controlMembers, nodes, programs });
}

describe("planPlatform", () => {
  test("the id tells clusters of one name in two homes apart", () => {
    expect(platformId("default", "/root/.coxswain")).toMatch(/^default-[0-9a-f]{6}$/);
    expect(platformId("default", "/a")).not.toBe(platformId("default", "/b"));
  });

  test("members have one address each, in a /24 of 198.18.0.0/15", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 100 }),
        fc.integer({ min: 0, max: 90 }),
        fc.string({ minLength: 1 }),
        (nodes, control, id) => {
          const made = plan(
            nodes,
            Array.from({ length: control }, (_, at) => `c-${at}`),
            id,
          );
          const members = [...made.controlMembers, ...made.nodes];
          expect(made.subnet).toMatch(/^198\.1[89]\.\d{1,3}\.0\/24$/);
          expect(new Set(members.map(({ address }) => address)).size).toBe(nodes + control);
          expect(new Set(members.map(({ port }) => port)).size).toBe(nodes + control);
          for (const { address } of members) {
            expect(address.startsWith(made.subnet.replace("0/24", ""))).toBe(true);
            expect(Number(address.split(".")[3])).toBeLessThan(255);
          }
        },
      ),
    );
  });

  test("every member reaches every node's pods, and nobody has a way out", () => {
    const made = plan(3);
    for (const member of [...made.controlMembers, ...made.nodes]) {
      const routes = member.network.filter((line) => line.startsWith("route"));
      expect(routes.some((route) => /default|0\.0\.0\.0/.test(route))).toBe(false);
      expect(routes).toContain("route add unreachable 10.244.0.0/16");
      for (const node of made.nodes)
        expect(routes.includes(`route add ${node.podCidr} via ${node.address}`)).toBe(node.name !== member.name);
    }
    expect(made.nodes[0]?.network).toContain("route add 10.96.0.0/16 dev eth0");
    expect(made.controlMembers[0]?.network).toContain("route add unreachable 10.96.0.0/16");
  });

  test("daemons of a node are in a leaf beside its pods' cgroups", () => {
    expect(plan(1).nodes[0]).toMatchObject({
      name: "node-1",
      podCidr: "10.244.1.0/24",
      podCgroupRoot: "/coxswain-a-123456/node-1",
      cgroup: "/coxswain-a-123456/node-1/daemons",
    });
  });

  test("refuses what does not fit", () => {
    expect(() => plan(101)).toThrow(PlatformError);
    expect(() =>
      plan(
        1,
        Array.from({ length: 91 }, (_, at) => `c-${at}`),
      ),
    ).toThrow("at most 90");
    expect(() => plan(1, ["etcd-0", "etcd-0"])).toThrow("two members are called etcd-0");
    expect(() => plan(1, ["fabric"])).toThrow("fabric");
  });

  test("folders of programs that a node would not see are made visible", () => {
    const hidden = { ...programs, containerd: "/tmp/tools/usr/bin/containerd" };
    const made = planPlatform({ id: "a", dataDir: "/data", controlMembers: [], nodes: 1, programs: hidden });
    expect(made.visible).toEqual(["/data", "/tmp/tools/usr/bin"]);
  });

  test("of the folders asked for, those are mounted that a node would not see", () => {
    const visible = ["/tmp/checkout", "/opt/node/bin", "/var/lib/node/bin"];
    const made = planPlatform({ id: "a", dataDir: "/data", controlMembers: [], nodes: 1, programs, visible });
    expect(made.visible).toEqual(["/data", "/tmp/checkout", "/var/lib/node/bin"]);
  });
});

describe("texts", () => {
  test("a quoted word is one word, whatever it holds", () => {
    expect(quote(`a'b "c" $d`)).toBe(`'a'\\''b "c" $d'`);
    const [node] = plan(1).nodes;
    if (node === undefined) throw new Error("no node");
    const script = nodeScript(plan(1), { ...node, dir: "/data/it's" }, true);
    expect(script).toContain(`dir='/data/it'\\''s'`);
  });

  test("without an overlay /etc is a copy", () => {
    const made = plan(1);
    const [node] = made.nodes;
    if (node === undefined) throw new Error("no node");
    expect(nodeScript(made, node, true)).toContain("-t overlay");
    expect(nodeScript(made, node, false)).toContain("cp -an /etc/.");
    expect(nodeScript(made, node, false)).not.toContain("-t overlay");
  });

  test("a node has no network configuration of the machine, and rules for a way out only with one", () => {
    const made = plan(1);
    const [node] = made.nodes;
    if (node === undefined) throw new Error("no node");
    expect(nodeScript(made, node, true)).toContain('rm -rf "$root/etc/cni/net.d"');
    expect(nodeScript(made, node, true)).not.toContain("masquerade");
    expect(nodeScript({ ...made, egress: true }, node, true)).toContain('oifname "tap0" masquerade');
  });

  test("containerd's configuration has standard paths and our pause image", () => {
    const text = containerdConfig(programs, "native");
    expect(text).toContain('sandbox_image = "coxswain.local/pause:1"');
    expect(text).toContain('snapshotter = "native"');
    expect(text).toContain("netns_mounts_under_state_dir = true");
    expect(text).not.toContain("a-123456");
  });
});

describe("cgroups", () => {
  const line = (point: string, type: string, options: string): string =>
    `31 23 0:28 / ${point} rw,relatime shared:1 - ${type} ${type} ${options}`;

  test("finds each hierarchy once, v1 by its controllers", () => {
    const found = cgroupHierarchies(
      [
        line("/sys/fs/cgroup", "tmpfs", "rw,mode=755"),
        line("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
        line("/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,release_agent=/lib/x,name=systemd"),
        line("/other/systemd", "cgroup", "rw,xattr,name=systemd"),
        line("/sys/fs/cgroup/unified", "cgroup2", "rw,nsdelegate"),
      ].join("\n"),
    );
    expect(found).toEqual([
      { mountPoint: "/sys/fs/cgroup/cpu,cpuacct", version: 1, controllers: ["cpu", "cpuacct"] },
      { mountPoint: "/sys/fs/cgroup/systemd", version: 1, controllers: ["name=systemd"] },
      { mountPoint: "/sys/fs/cgroup/unified", version: 2, controllers: [] },
    ]);
    expect(trackingRoot(found)).toBe("/sys/fs/cgroup/unified");
    expect(trackingRoot(found.slice(0, 2))).toBe("/sys/fs/cgroup/systemd");
  });
});

describe("nodeShare", () => {
  test("nodes divide the machine, and none gets nothing", () => {
    const machine = { cpus: 2, memoryBytes: 8 * 2 ** 30 };
    expect(nodeShare(2, machine)).toEqual({ cpu: "1000m", memory: "4194304Ki" });
    expect(nodeShare(3, machine)).toEqual({ cpu: "666m", memory: "2796202Ki" });
    expect(nodeShare(100, machine)).toEqual({ cpu: "100m", memory: "131072Ki" });
  });
});

describe("diffInventory", () => {
  const resource = (name: string, label?: string): Resource => ({ kind: "cgroup", name, label });

  test("tells what is new, and leaves out what is somebody else's", () => {
    const before = { resources: [resource("/a")] };
    const after = { resources: [resource("/a"), resource("/b", "mine"), resource("/c", "yours"), resource("/d")] };
    expect(diffInventory(before, after, "mine")).toEqual(["cgroup /b", "cgroup /d"]);
    expect(diffInventory(before, after)).toEqual(["cgroup /b", "cgroup /c", "cgroup /d"]);
    expect(diffInventory(after, before)).toEqual([]);
  });
});
