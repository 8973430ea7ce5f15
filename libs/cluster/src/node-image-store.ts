// How images get into the containerd of a node of the platform.
import { readFileSync } from "node:fs";
import type { NodeImageStore } from "@coxswain/images";
import type { Platform } from "./platform/create-platform.ts";

/** Throws where the node has no configuration of containerd yet. */
export function nodeImageStore(platform: Platform, node: string): NodeImageStore {
  const config = readFileSync(platform.pathOnHost(node, "/etc/containerd/config.toml"), "utf8");
  return {
    ctr: platform.plan.programs.ctr,
    socket: platform.containerdSocket(node),
    commandEnv: platform.nodeEnv,
    snapshotter: /^\s*snapshotter = "(\w+)"/m.exec(config)?.[1],
  };
}
