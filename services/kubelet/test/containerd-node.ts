// A test node that pods can run on: containerd with its images and a pod network, and clients of its runtime interface.
import { spawn } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { Duplex } from "node:stream";
import { startTestNode, type TestNode } from "@coxswain/cluster/platform/testing";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv } from "@coxswain/env";
import { BUSYBOX_IMAGE, ensureSystemImages, importImage } from "@coxswain/images";
import type { Cri, PodSandboxConfig, SandboxLinux } from "../src/cri/contract.ts";
import { createContainerdCri, type ContainerdCri } from "../src/cri/containerd/containerd-cri.ts";
import type { Dial } from "../src/cri/streaming/upgrade.ts";

export interface ContainerdNode {
  readonly node: TestNode;
  readonly image: string;
  /** A new client, as a kubelet that was started anew has. */
  connect(): ContainerdCri;
  /** What a pod needs to be on this node. */
  pod(name: string, linux?: Partial<SandboxLinux>): Partial<PodSandboxConfig>;
  stop(): Promise<void>;
}

const POD_LOGS = "pod-logs";
const IMAGES = path.resolve(import.meta.dirname, "../../../.tools/images");

/** The network of the node's pods, in the place where the kubelet puts it. */
async function writePodNetwork(node: TestNode): Promise<void> {
  const ipam = { type: "host-local", ranges: [[{ subnet: node.podCidr }]], routes: [{ dst: "0.0.0.0/0" }] };
  const plugins = [
    { type: "ptp", ipMasq: false, ipam },
    { type: "portmap", capabilities: { portMappings: true } },
  ];
  const conflist = JSON.stringify({ cniVersion: "0.4.0", name: "coxswain", plugins });
  const script = 'mkdir -p /etc/cni/net.d && printf %s "$1" > /etc/cni/net.d/10-coxswain.conflist';
  await node.run("/bin/sh", "-c", script, "sh", conflist);
}

/** The streaming server listens on the node's loopback: a program inside carries the bytes. */
function dialInto(node: TestNode): Dial {
  return (host, port) => {
    const { command, args } = node.enter();
    const program = [...args, node.programs.busybox, "nc", host, String(port)];
    const child = spawn(command, program, { stdio: ["pipe", "pipe", "ignore"] });
    return Duplex.from({ writable: child.stdin, readable: child.stdout });
  };
}

export async function startContainerdNode(name: string): Promise<ContainerdNode> {
  const node = await startTestNode({ name });
  try {
    const images = await ensureSystemImages({ cacheDir: IMAGES, programs: { busybox: node.programs.busybox } });
    const { command, args } = node.enter();
    const store = {
      ctr: node.programs.ctr,
      socket: "/run/containerd/containerd.sock",
      enter: [command, ...args],
      commandEnv: node.programs.env,
    };
    for (const { tar } of [images.pause, images.busybox]) await importImage(store, tar);
    await writePodNetwork(node);
    await networkReady(clientOf(node));
    return {
      node,
      image: BUSYBOX_IMAGE,
      connect: () => clientOf(node),
      pod: (pod, linux) => podOn(node, pod, linux),
      stop: () => node.stop(),
    };
  } catch (error) {
    await node.stop();
    throw error;
  }
}

function clientOf(node: TestNode): ContainerdCri {
  const endpoint = `unix://${node.socketPathOnHost}`;
  return createContainerdCri({ env: createRealEnv(), logger: silentLogger, endpoint, dial: dialInto(node) });
}

async function networkReady(cri: ContainerdCri): Promise<void> {
  const { timers } = createRealEnv();
  try {
    while (!(await cri.status()).networkReady) await timers.sleep(10);
  } finally {
    cri.close();
  }
}

function podOn(node: TestNode, name: string, linux: Partial<SandboxLinux> = {}): Partial<PodSandboxConfig> {
  const logDirectory = path.join(node.dataDir, POD_LOGS, name);
  mkdirSync(logDirectory, { recursive: true });
  return {
    logDirectory,
    linux: {
      cgroupParent: `${node.cgroupRoot}/pod${name}`,
      sysctls: {},
      ipcMode: "POD",
      pidMode: "CONTAINER",
      supplementalGroups: [],
      privileged: false,
      ...linux,
    },
  };
}

/** Ends and removes every pod of a node, with its logs. */
export async function removeAllPods(cri: Cri, node: TestNode): Promise<void> {
  for (const { id } of await cri.listPodSandbox()) {
    await cri.stopPodSandbox(id);
    await cri.removePodSandbox(id);
  }
  rmSync(path.join(node.dataDir, POD_LOGS), { recursive: true, force: true });
}
