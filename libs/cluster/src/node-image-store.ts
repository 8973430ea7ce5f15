// How images get into the containerd of a node of the platform.
import type { NodeImageStore } from "@coxswain/images";
import type { Platform } from "./platform/create-platform.ts";

/** Throws where the platform is not made. */
export function nodeImageStore(platform: Platform, node: string): NodeImageStore {
  return {
    ctr: platform.plan.programs.ctr,
    socket: platform.containerdSocket(node),
    commandEnv: platform.nodeEnv,
    snapshotter: platform.snapshotter(),
  };
}
