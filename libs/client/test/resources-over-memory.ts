// A gRPC server of coxswain.api.v1.Resources over the in-memory double, so that the gRPC client meets a real wire.
import { StatusError, type KubeObject } from "@coxswain/apimachinery";
import { createGrpcServer, type GrpcServer } from "@coxswain/component-base/grpc-server";
import { implementService } from "@coxswain/component-base/grpc-service";
import { toStatusError } from "@coxswain/component-base/grpc-status";
import { silentLogger } from "@coxswain/component-base";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { Env } from "@coxswain/env";
import type { ServiceTypes } from "@coxswain/protos";
import type { DeleteOptions, PatchType, ResourceClient } from "../src/resource-client.ts";

type Resources = ServiceTypes["coxswain.api.v1.Resources"];
type Batch = Resources["batch"]["request"];

const encode = (object: unknown): { json: Buffer } => ({ json: Buffer.from(JSON.stringify(object)) });
const decode = (object: { json?: Buffer } | null): KubeObject =>
  JSON.parse(object?.json?.toString() ?? "{}") as KubeObject;
const none = { group: "", version: "", resource: "", subresource: "", namespace: "", name: "" };

function withFence(client: ResourceClient, options: Batch["create"] extends infer C ? C : never): ResourceClient {
  const fence = (options as { options?: { fence?: { lease: string; holder: string; transitions: number } } } | null)
    ?.options?.fence;
  return fence === undefined || fence === null ? client : client.fenced(() => fence);
}

function writeOne(
  client: ResourceClient,
  request: Omit<Batch, "id" | "more" | "together">,
): Promise<KubeObject | undefined> {
  const { create, update, patch } = request;
  if (create) {
    const { subresource, namespace, name } = create.target ?? none;
    const options = { namespace, name, subresource, dryRun: create.options?.dryRun ?? false };
    return withFence(client, create).create(create.target ?? none, decode(create.object), options);
  }
  if (update) {
    const { subresource } = update.target ?? none;
    return withFence(client, update as never).update(update.target ?? none, decode(update.object), { subresource });
  }
  if (patch) {
    const target = patch.target ?? none;
    const body: unknown = JSON.parse(patch.patch.toString());
    return withFence(client, patch as never).patch(target, target, patch.patchType as PatchType, body, {
      subresource: target.subresource,
    });
  }
  const target = request.delete?.target ?? none;
  const bytes = request.delete?.deleteOptions ?? Buffer.alloc(0);
  const options = bytes.length === 0 ? {} : (JSON.parse(bytes.toString()) as DeleteOptions);
  return withFence(client, request.delete as never).delete(target, target, options);
}

const answer = async (written: Promise<KubeObject | undefined>) => ({
  object: encode((await written) ?? { kind: "Status", status: "Success" }),
});

export interface ResourcesServer {
  readonly server: GrpcServer;
  readonly port: number;
  /** Requests by method. */
  readonly seen: Record<string, number>;
  /** Batch answers wait while this is set. */
  hold(held: boolean): void;
}

/** Serves `client` on a free port of loopback; `batch: false` answers Unimplemented to the Batch stream. */
export async function serveResources(
  env: Env,
  client: ResourceClient,
  tls: TlsMaterial,
  batch = true,
): Promise<ResourcesServer> {
  const seen: Record<string, number> = {};
  let held = false;
  const note = (method: string): void => {
    seen[method] = (seen[method] ?? 0) + 1;
  };
  const service = implementService("coxswain.api.v1.Resources", {
    get: async ({ target, resourceVersion }) => {
      note("get");
      const { subresource } = target ?? none;
      return { object: encode(await client.get(target ?? none, target ?? none, { subresource, resourceVersion })) };
    },
    list: async (request, responses) => {
      note("list");
      const { target, limit, ...options } = request;
      const { items, metadata } = await client.list(target ?? none, {
        ...options,
        resourceVersionMatch: undefined,
        namespace: target?.namespace,
        limit: Number(limit),
      });
      await responses.send({ ...metadata, items: items.slice(0, 1).map(encode) });
      await responses.send({ resourceVersion: metadata.resourceVersion, items: items.slice(1).map(encode) });
    },
    watch: async (request, responses, { signal }) => {
      note("watch");
      const { target, timeoutSeconds, ...options } = request;
      const watch = { ...options, namespace: target?.namespace, timeoutSeconds: Number(timeoutSeconds) };
      for await (const { type, object } of client.watch(target ?? none, watch, signal)) {
        await responses.send({ events: [{ type, object: encode(object) }] });
      }
    },
    create: async (create) => (note("create"), answer(writeOne(client, { create }))),
    update: async (update) => (note("update"), answer(writeOne(client, { update }))),
    patch: async (patch) => (note("patch"), answer(writeOne(client, { patch }))),
    delete: async (request) => (note("delete"), answer(writeOne(client, { delete: request }))),
    deleteCollection: async ({ target, labelSelector, fieldSelector }) => {
      note("deleteCollection");
      await client.deleteCollection(target ?? none, { namespace: target?.namespace, labelSelector, fieldSelector });
      return { object: encode({ kind: "Status", status: "Success" }) };
    },
    batch: async (requests, responses) => {
      note("batch");
      if (!batch) throw new StatusError("NotImplemented", 501, "no batches here");
      for await (const message of requests) {
        for (const request of [message, ...message.more]) await respond(request);
      }
      async function respond(request: Batch): Promise<void> {
        const done = answer(writeOne(client, request)).then(
          async ({ object }) => (held ? undefined : responses.send({ id: request.id, object })),
          (error: unknown) => responses.send({ id: request.id, status: encode(toStatusError(error).toStatus()).json }),
        );
        await done;
      }
    },
  });
  const authenticate = (): { username: string; groups: string[] } => ({ username: "tester", groups: [] });
  const server = createGrpcServer({ tls, services: [service], authenticate, timers: env.timers, logger: silentLogger });
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  return { server, port, seen, hold: (value) => void (held = value) };
}
