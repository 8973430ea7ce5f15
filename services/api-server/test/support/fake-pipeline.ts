// A pipeline of a few lines, for tests of the fronts: authorization, objects in a map, no admission, no validation.
import { kindFor } from "@coxswain/api";
import type { KindDefinition } from "@coxswain/api";
import { apiVersionOf, newAlreadyExists, newNotFound } from "@coxswain/apimachinery";
import type { KubeObject } from "@coxswain/apimachinery";
import { demand } from "../../src/auth/demand.ts";
import type { ApiRequest, Authorizer, Pipeline, VersionedObject, WatchSink } from "../../src/pipeline/contract.ts";
import type { ObjectSource } from "../../src/pipeline/extension.ts";

export interface FakePipeline extends Pipeline, ObjectSource {
  /** Everything is allowed until it is set. */
  authorizer: Authorizer | undefined;
  put(object: KubeObject, resource: string): VersionedObject;
  /** All but watches. */
  readonly requests: ApiRequest[];
  /** How many watches go on. */
  watches(): number;
}

function versioned(object: KubeObject, rv: bigint): VersionedObject {
  const full = { ...object, metadata: { ...object.metadata, resourceVersion: String(rv) } };
  const { namespace = "", name = "" } = full.metadata;
  return { namespace, name, rv, object: full, json: Buffer.from(JSON.stringify(full)) };
}

export function createFakePipeline(): FakePipeline {
  const objects = new Map<string, VersionedObject>();
  const sinks = new Map<WatchSink, string>();
  const listeners = new Set<() => void>();
  const requests: ApiRequest[] = [];
  let rv = 1n;
  const key = (group: string, resource: string, namespace: string, name: string) =>
    `${group}/${resource}/${namespace}/${name}`;
  const kindOf = (request: ApiRequest): KindDefinition => {
    const kind = kindFor(request);
    if (kind === undefined) throw newNotFound(request, request.name);
    return kind;
  };
  const listOf = (group: string, resource: string, namespace?: string): VersionedObject[] =>
    [...objects]
      .filter(([id]) => id.startsWith(`${group}/${resource}/`))
      .map(([, object]) => object)
      .filter((object) => namespace === undefined || namespace === "" || object.namespace === namespace);
  const put = (object: KubeObject, resource: string): VersionedObject => {
    const group = object.apiVersion?.includes("/") === true ? (object.apiVersion.split("/")[0] ?? "") : "";
    const item = versioned(object, ++rv);
    const id = key(group, resource, item.namespace, item.name);
    const type = objects.has(id) ? "MODIFIED" : "ADDED";
    objects.set(id, item);
    for (const [sink, prefix] of sinks) if (id.startsWith(prefix)) sink.send([{ type, object: item }]);
    for (const listener of listeners) listener();
    return item;
  };
  const pipeline: FakePipeline = {
    authorizer: undefined,
    requests,
    watches: () => sinks.size,
    put,
    get: (ref, namespace, name) => objects.get(key(ref.group, ref.resource, namespace, name)),
    list: (ref, namespace) => listOf(ref.group, ref.resource, namespace),
    onChange: (_ref, listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async handle(request) {
      requests.push(request);
      await check(request);
      const kind = kindOf(request);
      const { group, resource, namespace, name } = request;
      if (request.verb === "list") {
        const items = listOf(group, resource, namespace);
        return { type: "list", kind, items, resourceVersion: String(rv), continue: "", remainingItemCount: undefined };
      }
      if (request.verb === "create") {
        const body = JSON.parse(String(request.body)) as KubeObject;
        const full = { ...body, kind: kind.kind, apiVersion: apiVersionOf(kind) };
        full.metadata = { ...full.metadata, ...(kind.namespaced ? { namespace } : {}) };
        if (objects.has(key(group, resource, namespace, full.metadata.name ?? ""))) {
          throw newAlreadyExists(request, full.metadata.name ?? "");
        }
        return { type: "object", code: 201, kind, object: put(full, resource), warnings: ['a "warning"'] };
      }
      const found = objects.get(key(group, resource, namespace, name));
      if (found === undefined) throw newNotFound(request, name);
      return { type: "object", code: 200, kind, object: found, warnings: [] };
    },
    async connect(request) {
      requests.push(request);
      await check(request);
    },
    async watch(request, sink) {
      await check(request);
      const kind = kindOf(request);
      const prefix = `${request.group}/${request.resource}/`;
      sinks.set(sink, prefix);
      request.signal.addEventListener("abort", () => sinks.delete(sink), { once: true });
      const events = listOf(request.group, request.resource, request.namespace).map((object) => ({
        type: "ADDED" as const,
        object,
      }));
      if (events.length > 0) sink.send(events);
      return { kind };
    },
  };
  const check = async (request: ApiRequest): Promise<void> => {
    if (pipeline.authorizer !== undefined) await demand(pipeline.authorizer, request, request.annotate);
  };
  return pipeline;
}
