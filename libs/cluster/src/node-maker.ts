// Makes and removes nodes of a running cluster: the namespaces of a real one, and the processes of both kinds.
import type { NodeMaker } from "./node-pool.ts";
import type { Platform } from "./platform/create-platform.ts";
import type { ProcessSpec } from "./process-plan.ts";
import { NODE_COMPONENTS } from "./process-slots.ts";
import type { Supervisor } from "./supervisor.ts";

export interface NodeMakerDeps {
  readonly supervisor: Pick<Supervisor, "add" | "start" | "removeNode">;
  /** Undefined where nodes are simulated. */
  readonly platform: Pick<Platform, "addNode" | "removeNode"> | undefined;
  /** The node's processes with their command lines. */
  specsOf(node: string): Promise<ProcessSpec[]>;
  /** Resolves when the node's containerd takes calls. */
  containerdReady(node: string): Promise<void>;
  /** Gives the node's containerd the images that every node has. */
  importImages(node: string): Promise<void>;
}

export function createNodeMaker(deps: NodeMakerDeps): NodeMaker {
  const { supervisor, platform } = deps;

  async function remove(node: string): Promise<void> {
    await supervisor.removeNode(node);
    await platform?.removeNode(node);
  }

  return {
    async make(node) {
      try {
        await platform?.addNode(node);
        supervisor.add(await deps.specsOf(node));
        if (platform !== undefined) {
          // Kubelets come last: a pod must find the pause image.
          supervisor.start(
            NODE_COMPONENTS.filter((component) => component !== "kubelet"),
            node,
          );
          await deps.containerdReady(node);
          await deps.importImages(node);
        }
        supervisor.start(NODE_COMPONENTS, node);
      } catch (error) {
        await remove(node);
        throw error;
      }
    },
    remove,
  };
}
