// What a cluster with real nodes needs before and beside its processes: the nodes' programs, the platform, bound sockets for
// the gateway, certificates with fabric addresses, and the images that every node has.
import path from "node:path";
import type { Env } from "@coxswain/env";
import { ensureSystemImages, importImage } from "@coxswain/images";
import type { ApiFront } from "./api-front.ts";
import { clusterId } from "./cluster-id.ts";
import { nodeCapacity, type ClusterPaths, type ClusterSpec } from "./cluster-spec.ts";
import { createLoopbackSockets, type LoopbackSockets } from "./gateway/loopback-sockets.ts";
import { nodeImageStore } from "./node-image-store.ts";
import { ensureNodePrograms } from "./node-programs.ts";
import { createPlatform, type Platform } from "./platform/create-platform.ts";
import { nodeShare } from "./platform/node-share.ts";
import { planPlatform } from "./platform/platform-plan.ts";
import { choosePorts, openFront, prepareIdentity, writeConfigs } from "./prepare.ts";
import type { ProcessSpec } from "./process-plan.ts";
import { controlMembers, type ProcessPorts } from "./process-slots.ts";
import { fabricSite, type Site } from "./site.ts";

export interface ContainerdInput {
  readonly env: Env;
  readonly spec: ClusterSpec;
  readonly paths: ClusterPaths;
  /** The folders of bundles and of programs that were unpacked. */
  readonly dist: string;
  readonly tools: string;
  readonly freePorts: boolean;
  /** The nodes that are made now; others that the spec allows may be added later. */
  readonly nodes: readonly string[];
  readonly say: (line: string) => void;
}

export interface ContainerdGround {
  readonly platform: Platform;
  readonly site: Site;
  readonly sockets: LoopbackSockets;
  readonly ports: ReadonlyMap<string, ProcessPorts>;
  /** Before several api-servers. */
  readonly front: ApiFront | undefined;
}

/** Makes all that the processes stand on. The caller removes the platform, also when this rejects. */
export async function prepareContainerd(input: ContainerdInput): Promise<ContainerdGround> {
  const { env, spec, paths, say } = input;
  const programs = await ensureNodePrograms(input.tools, say, { egress: spec.egress === "nat" });
  say("namespaces");
  const plan = planPlatform({
    id: clusterId(paths),
    dataDir: paths.dataDir,
    controlMembers: controlMembers(spec),
    nodes: nodeCapacity(spec),
    egress: spec.egress === "nat",
    programs,
    visible: [input.dist, path.dirname(process.execPath)],
  });
  const platform = await createPlatform(plan, env, input.nodes);
  const site = fabricSite(platform, nodeShare(nodeCapacity(spec)));
  say("certificates");
  await prepareIdentity(env, spec, paths, site);
  const sockets = createLoopbackSockets();
  const file = path.join(paths.dataDir, "ports.json");
  const front = await openFront(spec, file, input.freePorts);
  const ports = await choosePorts(spec, file, input.freePorts, sockets.choose, front);
  writeConfigs(spec, paths, ports, site);
  return { platform, site, sockets, ports, front };
}

/** Leads the ports of every process on 127.0.0.1 to where it listens. Resolves when the gateway listens on all. */
export async function mapPorts(specs: readonly ProcessSpec[], sockets: LoopbackSockets): Promise<void> {
  const pairs = specs.flatMap(({ ports, inside }) =>
    inside === undefined
      ? []
      : [
          { port: ports.main, target: `${inside.address}:${inside.ports.main}` },
          { port: ports.grpc, target: `${inside.address}:${inside.ports.grpc}` },
        ],
  );
  await Promise.all(
    pairs.filter(({ port }) => port > 0).map(({ port, target }) => sockets.map({ port, targets: [target] })),
  );
}

/** Imports the images that every node has; those that it has from its last time are left alone. containerd of `nodes` must run. */
export async function importSystemImages(
  input: Pick<ContainerdInput, "tools" | "say">,
  platform: Platform,
  nodes: readonly string[],
): Promise<void> {
  const { busybox } = platform.plan.programs;
  const cacheDir = path.join(input.tools, "images");
  const images = await ensureSystemImages({ cacheDir, programs: { busybox }, say: input.say });
  await Promise.all(
    nodes.map(async (name) => {
      const store = nodeImageStore(platform, name);
      for (const { tar } of [images.pause, images.busybox, images.node]) await importImage(store, tar);
    }),
  );
}
