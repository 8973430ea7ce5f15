// What pods get of their node, as numbers and as files of the kernel, in folders that stand for the kernel's.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Container, Pod } from "@coxswain/api";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLinuxPodCgroups } from "../src/node/linux-pod-cgroups.ts";
import { classLimits, podLimits } from "../src/pods/qos-resources.ts";

type Resources = NonNullable<Container["resources"]>;
const podOf = (containers: readonly Resources[], resources?: Resources): Pod => ({
  metadata: { name: "p", uid: "u" },
  spec: {
    containers: containers.map((one, at) => ({ name: `c${at}`, resources: one })),
    ...(resources === undefined ? {} : { resources }),
  },
});
const MIB = 1024 * 1024;

describe("limits", () => {
  test.each<[string, Pod, object]>([
    ["nothing asked", podOf([{}]), { cpuShares: 2 }],
    ["requests alone", podOf([{ requests: { cpu: "500m", memory: "64Mi" } }, {}]), { cpuShares: 512 }],
    [
      "a bound that not all have",
      podOf([{ requests: { cpu: "1" }, limits: { cpu: "2" } }, { limits: { memory: "64Mi" } }]),
      { cpuShares: 1024 },
    ],
    [
      "bounds of all",
      podOf([1, 2].map(() => ({ requests: { cpu: "250m", memory: "64Mi" }, limits: { cpu: "250m", memory: "64Mi" } }))),
      { cpuShares: 512, cpuMillis: 500, memoryBytes: 128 * MIB },
    ],
    [
      "bounds of the pod as a whole",
      podOf([{}, { requests: { cpu: "100m" } }], { requests: { cpu: "1" }, limits: { cpu: "2", memory: "96Mi" } }),
      { cpuShares: 1024, cpuMillis: 2000, memoryBytes: 96 * MIB },
    ],
  ])("%s", (_name, pod, limits) => {
    expect(podLimits(pod)).toEqual(limits);
  });

  test("pods that ask share what they ask for; the others have the rest; those that are sure have their own", () => {
    const asks = podOf([{ requests: { cpu: "500m" } }]);
    const sure = podOf([{ requests: { cpu: "1", memory: "1Mi" }, limits: { cpu: "1", memory: "1Mi" } }]);
    expect(classLimits("/r", asks, [asks, sure, podOf([{}])])).toEqual(["/r/burstable", { cpuShares: 1024 }]);
    expect(classLimits("/r", podOf([{}]), [asks])).toEqual(["/r/besteffort", { cpuShares: 2 }]);
    expect(classLimits("/r", sure, [])).toBeUndefined();
  });
});

describe("files", () => {
  let mount = "";
  beforeEach(() => {
    mount = mkdtempSync(path.join(tmpdir(), "cox-cgroups-"));
  });
  afterEach(() => rmSync(mount, { recursive: true }));

  const at = (file: string): string => path.join(mount, file);
  /** The kernel makes the files of a cgroup with its folder. */
  const kernelMakes = (...files: string[]): void => {
    for (const file of files) {
      mkdirSync(path.dirname(at(file)), { recursive: true });
      writeFileSync(at(file), "");
    }
  };
  const read = (file: string): string => readFileSync(at(file), "utf8");
  const limits = { cpuShares: 1024, cpuMillis: 1500, memoryBytes: 64 * MIB };

  test("version 1", async () => {
    kernelMakes("cpu/r/podu/cpu.shares", "cpu/r/podu/cpu.cfs_quota_us", "memory/r/podu/memory.limit_in_bytes");
    const cgroups = createLinuxPodCgroups("/r", mount);
    await cgroups.apply("/r/podu", limits);
    expect(read("cpu/r/podu/cpu.shares")).toBe("1024");
    expect(read("cpu/r/podu/cpu.cfs_quota_us")).toBe("150000");
    expect(read("memory/r/podu/memory.limit_in_bytes")).toBe(String(64 * MIB));
    kernelMakes("cpu/r/podu/cpu.cfs_quota_us", "memory/r/podu/memory.limit_in_bytes");
    await cgroups.apply("/r/podu", { cpuShares: 2 });
    expect(read("cpu/r/podu/cpu.cfs_quota_us")).toBe("-1");
    expect(read("memory/r/podu/memory.limit_in_bytes")).toBe("-1");
    expect(await cgroups.known()).toEqual(["u"]);
  });

  test("version 2 hands controllers on; what the kernel does not have is left out", async () => {
    kernelMakes("cgroup.subtree_control", "r/cgroup.subtree_control", "r/podu/cpu.weight", "r/podu/cpu.max");
    for (const folder of ["", "r/", "r/podu/"]) writeFileSync(at(`${folder}cgroup.controllers`), "cpuset cpu\n");
    await createLinuxPodCgroups("/r", mount).apply("/r/podu", limits);
    expect(read("cgroup.subtree_control")).toBe("+cpu");
    expect(read("r/cgroup.subtree_control")).toBe("+cpu");
    expect(read("r/podu/cpu.weight")).toBe("39");
    expect(read("r/podu/cpu.max")).toBe("150000 100000");
  });
});
