// Puts a real node together: containerd, volumes, network, cgroups. Thin; what it makes is tested by itself.
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { InformerFactory, ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { NodeHost } from "../app.ts";
import { createContainerdCri, type ContainerdCri } from "../cri/containerd/containerd-cri.ts";
import type { ImagePolicy } from "../images/plan-collection.ts";
import { createPullRecordFiles } from "../images/pull-record-files.ts";
import type { ObjectCache } from "../pods/object-cache.ts";
import { parseResolvConf } from "../pods/dns-config.ts";
import { followServices } from "../pods/service-environment.ts";
import { createNetworkProber } from "../probes/network-prober.ts";
import { createCgroupUsage } from "../stats/cgroup-usage.ts";
import { createHostVolumes } from "../volumes/host-volumes.ts";
import { createMounter } from "../volumes/mounter.ts";
import { removeNodeDisk } from "../volumes/node-disk.ts";
import { ServiceAccountTokens } from "../volumes/service-account-tokens.ts";
import { writeCniConfig } from "./cni-config.ts";
import { askPuller } from "./image-puller.ts";
import { createLinuxPodCgroups } from "./linux-pod-cgroups.ts";
import { LogRotator } from "./log-rotator.ts";
import { readMachineFacts } from "./machine-facts.ts";
import type { LogPolicy } from "./plan-log-rotation.ts";
import { createPodLogFiles } from "./pod-log-files.ts";

export interface RealNodeOptions {
  readonly node: string;
  /** unix:///run/containerd/containerd.sock */
  readonly runtimeEndpoint: string;
  readonly rootDir: string;
  readonly podLogsDir: string;
  readonly cgroupRoot: string;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly cniConfDir: string;
  readonly podCidr?: string;
  /** unix:///run/coxswain/puller.sock; images are pulled by the runtime where unset. */
  readonly imagePuller?: string;
  readonly logPolicy: LogPolicy;
  readonly imagePolicy: ImagePolicy;
  /** How often logs are looked at; 10 s where unset. */
  readonly logsEveryMs?: number;
  readonly allocatable: Readonly<Record<string, string>>;
}

export interface RealNodeDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly client: ResourceClient;
  readonly informers: InformerFactory;
}

/** How long a runtime is waited for at the start, for its name; then the node says that it is containerd. */
const VERSION_TRIES = 40;
const VERSION_EVERY_MS = 250;

async function versionOf(
  cri: ContainerdCri,
  { env, logger }: RealNodeDeps,
): Promise<{ runtimeName: string; runtimeVersion: string }> {
  for (let at = 0; at < VERSION_TRIES; at++) {
    try {
      return await cri.version();
    } catch (error) {
      if (at === 0) logger.warn({ err: error }, "the container runtime does not answer yet");
      await env.timers.sleep(VERSION_EVERY_MS);
    }
  }
  return { runtimeName: "containerd", runtimeVersion: "Unknown" };
}

async function resolvConf(): Promise<string> {
  try {
    return await readFile("/etc/resolv.conf", "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** Waits for the runtime, for a while. */
export async function createRealNode(options: RealNodeOptions, deps: RealNodeDeps): Promise<NodeHost> {
  const { env, logger, client, informers } = deps;
  const mounter = createMounter();
  const imageVolumes = { rootDir: options.rootDir, mounter };
  const cri = createContainerdCri({ env, logger, endpoint: options.runtimeEndpoint, imageVolumes });
  const { runtimeName, runtimeVersion } = await versionOf(cri, deps);
  const services = followServices(informers);
  const usage = createCgroupUsage(options.cgroupRoot, env.clock);
  const { imagePuller, clusterDomain, rootDir, allocatable, logPolicy: policy, logsEveryMs: everyMs } = options;
  const rotator = new LogRotator({ env, logger, cri, policy, ...(everyMs === undefined ? {} : { everyMs }) });
  return {
    cri,
    runtimeName,
    runtimeVersion,
    imagePolicy: options.imagePolicy,
    machine: await readMachineFacts(options.node),
    ...(options.podCidr === undefined ? {} : { podCidr: options.podCidr }),
    runtime: {
      podLogsDir: options.podLogsDir,
      clusterDomain,
      linux: {
        cgroupRoot: options.cgroupRoot,
        clusterDns: options.clusterDns,
        hostDns: parseResolvConf(await resolvConf()),
      },
    },
    real: (objects: ObjectCache) => ({
      volumes: createHostVolumes({
        env,
        logger,
        rootDir,
        objects,
        tokens: new ServiceAccountTokens(client, env.clock),
        mounter,
        allocatable,
        clusterDomain,
        releaseImages: (uid) => cri.releaseImages(uid),
      }),
      network: createNetworkProber(env.timers),
      cgroups: createLinuxPodCgroups(options.cgroupRoot),
      logs: createPodLogFiles(options.podLogsDir),
      services,
      usage,
      pullRecords: createPullRecordFiles(path.join(rootDir, "image_manager"), logger),
      pullImage: async (image, auth) => {
        if (imagePuller !== undefined) await askPuller(imagePuller, image, auth);
        else await cri.pullImage(image, auth);
      },
    }),
    removeNodeDisk: (volume) => removeNodeDisk(rootDir, volume, mounter),
    run: (signal) => rotator.run(signal),
    writeNetworkConfig: (podCidr) => writeCniConfig(options.cniConfDir, podCidr),
  };
}
