// The CloudProvider of processes: clusterautoscaler.cloudprovider.v1.externalgrpc of whoever has the machines.
import { ChannelCredentials } from "@grpc/grpc-js";
import { decodeMessage } from "@coxswain/api/wire/decode";
import { schemaNameOf } from "@coxswain/api/wire/index";
import { isReason } from "@coxswain/apimachinery";
import type { Clock } from "@coxswain/env";
import { readFileSync } from "node:fs";
import type { CloudConfig } from "./cloud-config.ts";
import type { CloudProvider, Instance, ProviderNode } from "./cloud-provider.ts";
import { createUnaryClient } from "./unary-client.ts";

const STATES: Readonly<Record<string, Instance["state"]>> = {
  instanceRunning: "running",
  instanceCreating: "creating",
  instanceDeleting: "deleting",
};

function credentialsOf({ key, cert, cacert }: CloudConfig): ChannelCredentials {
  if (key === undefined || cert === undefined || cacert === undefined) return ChannelCredentials.createInsecure();
  return ChannelCredentials.createSsl(readFileSync(cacert), readFileSync(key), readFileSync(cert));
}

const wireNode = ({ providerId, name }: ProviderNode): { providerID: string; name: string } => ({
  providerID: providerId,
  name,
});

/** Connects on first use. `cleanup` closes the connection. */
export function createExternalGrpcProvider(config: CloudConfig, clock: Clock): CloudProvider {
  const { address, timeoutMs } = config;
  const client = createUnaryClient("clusterautoscaler.cloudprovider.v1.externalgrpc.CloudProvider", {
    target: address,
    credentials: credentialsOf(config),
    channel: {
      "grpc.enable_http_proxy": 0,
      "grpc.max_reconnect_backoff_ms": 2_000,
      "grpc.default_authority": authority(address),
    },
    clock,
    timeoutMs,
  });
  return {
    refresh: async () => void (await client.call("refresh", {})),
    nodeGroups: async () => {
      const { nodeGroups } = await client.call("nodeGroups", {});
      return nodeGroups.map(({ id, minSize, maxSize }) => ({ id, minSize, maxSize }));
    },
    groupForNode: async (node) => {
      const { nodeGroup } = await client.call("nodeGroupForNode", { node: wireNode(node) });
      return nodeGroup?.id || undefined;
    },
    targetSize: async (id) => (await client.call("nodeGroupTargetSize", { id })).targetSize,
    increaseSize: async (id, delta) => void (await client.call("nodeGroupIncreaseSize", { id, delta })),
    decreaseTargetSize: async (id, delta) => void (await client.call("nodeGroupDecreaseTargetSize", { id, delta })),
    deleteNodes: async (id, nodes) =>
      void (await client.call("nodeGroupDeleteNodes", { id, nodes: nodes.map(wireNode) })),
    instances: async (id) => {
      const { instances } = await client.call("nodeGroupNodes", { id });
      return instances.map((one) => {
        const { errorCode = "", errorMessage = "" } = one.status?.errorInfo ?? {};
        const state = STATES[one.status?.instanceState ?? ""] ?? "unknown";
        return {
          id: one.id,
          state,
          ...(errorCode === "" ? {} : { error: { code: errorCode, message: errorMessage } }),
        };
      });
    },
    template: async (id) => {
      try {
        const { nodeBytes } = await client.call("nodeGroupTemplateNodeInfo", { id });
        const node = decodeMessage(Buffer.from(nodeBytes), schemaNameOf("v1", "Node") ?? "");
        return { apiVersion: "v1", kind: "Node", ...node };
      } catch (error) {
        // The contract calls it optional.
        if (isReason(error, "MethodNotAllowed")) return undefined;
        throw error;
      }
    },
    cleanup: async () => {
      try {
        await client.call("cleanup", {});
      } finally {
        client.close();
      }
    },
  };
}

/** A socket has no name of its own. */
const authority = (address: string): string => (address.startsWith("unix:") ? "localhost" : address);
