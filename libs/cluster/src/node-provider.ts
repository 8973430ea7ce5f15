// The supervisor as a node provider: clusterautoscaler.cloudprovider.v1.externalgrpc over a unix socket that only the cluster's
// owner can open. One group, "nodes", with all nodes of the cluster in it.
import { chmodSync, rmSync } from "node:fs";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { newNotFound } from "@coxswain/apimachinery";
import type { Node } from "@coxswain/api";
import { schemaNameOf } from "@coxswain/api/wire/index";
import { encodeMessage } from "@coxswain/api/wire/encode";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import { serviceDefinition } from "@coxswain/protos";
import type {
  ExternalGrpcNode,
  InstanceInput,
  NodeGroupInput,
} from "@coxswain/protos/clusterautoscaler-cloudprovider-v1-externalgrpc.gen";
import { nodeNumber, nodeOfProviderId, providerId } from "./node-names.ts";
import type { NodePool, PoolNode } from "./node-pool.ts";

export const NODE_GROUP = "nodes";

export interface NodeProviderOptions {
  /** The cluster's name. */
  readonly cluster: string;
  readonly pool: NodePool;
  /** The Node that a fresh one would be. */
  readonly template: () => Node;
}

const STATES = { creating: "instanceCreating", running: "instanceRunning", deleting: "instanceDeleting" } as const;
/** As upstream's OtherErrorClass. */
const OTHER_ERROR = 99;

function instanceOf(cluster: string, { name, state, error }: PoolNode): InstanceInput {
  const errorInfo =
    error === undefined
      ? {}
      : { errorInfo: { errorCode: "CannotCreate", errorMessage: error, instanceErrorClass: OTHER_ERROR } };
  return { id: providerId(cluster, name), status: { instanceState: STATES[state], ...errorInfo } };
}

/** The contract over a pool of nodes. */
export function nodeProviderService({ cluster, pool, template }: NodeProviderOptions): GrpcService {
  const group = (): NodeGroupInput => {
    const { min, max } = pool.range;
    return { id: NODE_GROUP, minSize: min, maxSize: max, debug: `${NODE_GROUP} (${min}:${max}): ${pool.targetSize}` };
  };
  const mustBe = (id: string): NodePool => {
    if (id === NODE_GROUP) return pool;
    throw newNotFound({ group: "", resource: "nodegroups" }, id);
  };
  /** Also of one that has gone: it was of this group. */
  const nodeOf = ({ providerID, name }: ExternalGrpcNode): string | undefined => {
    const found = providerID === "" ? name : nodeOfProviderId(cluster, providerID);
    const number = found === undefined ? undefined : nodeNumber(found);
    return number !== undefined && number <= pool.range.max ? found : undefined;
  };
  return implementService("clusterautoscaler.cloudprovider.v1.externalgrpc.CloudProvider", {
    nodeGroups: async () => ({ nodeGroups: [group()] }),
    nodeGroupForNode: async ({ node }) => ({
      nodeGroup: node !== null && nodeOf(node) !== undefined ? group() : { id: "" },
    }),
    cleanup: async () => ({}),
    refresh: async () => ({}),
    nodeGroupTargetSize: async ({ id }) => ({ targetSize: mustBe(id).targetSize }),
    nodeGroupIncreaseSize: async ({ id, delta }) => {
      mustBe(id).increase(delta);
      return {};
    },
    nodeGroupDeleteNodes: async ({ id, nodes }) => {
      const names = nodes.map((node) => nodeOf(node) ?? (node.name || node.providerID));
      await mustBe(id).delete(names);
      return {};
    },
    nodeGroupDecreaseTargetSize: async ({ id, delta }) => {
      mustBe(id).decrease(delta);
      return {};
    },
    nodeGroupNodes: async ({ id }) => ({
      instances: mustBe(id)
        .nodes()
        .map((node) => instanceOf(cluster, node)),
    }),
    nodeGroupTemplateNodeInfo: async ({ id }) => {
      mustBe(id);
      const schema = schemaNameOf("v1", "Node") ?? "";
      return { nodeBytes: encodeMessage(template() as unknown as Record<string, unknown>, schema) };
    },
  });
}

/** Serves on the unix socket `path`, in place of one that was left there. Resolves with the way to end it. */
export async function serveNodeProvider(path: string, service: GrpcService): Promise<() => void> {
  rmSync(path, { force: true });
  const server = new Server({ "grpc.enable_channelz": 0 });
  server.addService(serviceDefinition(service.service), service.implementation);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  chmodSync(path, 0o600);
  return () => {
    server.forceShutdown();
    rmSync(path, { force: true });
  };
}
