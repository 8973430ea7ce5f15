// ResourceClient's calls as messages of coxswain.api.v1.Resources.
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import type { BatchOperation, DeleteOptions, Fence, WriteOptions } from "../resource-client.ts";
import type { BatchRequest } from "./batch-stream.ts";

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** What the URL says in REST. */
export function resourceName(ref: ResourceRef, namespace = "", name = "", subresource = "") {
  const { group, version, resource } = ref;
  return { group, version, resource, subresource, namespace, name };
}

function writeOptions(options: WriteOptions, fence: Fence | undefined) {
  const { dryRun = false, fieldManager = "", fieldValidation = "" } = options;
  return { dryRun, fieldManager, fieldValidation, fence: fence ?? null };
}

/** A DeleteOptions object; empty where nothing is asked for. */
export function deleteOptionsBytes(options: DeleteOptions): Buffer {
  const { gracePeriodSeconds, propagationPolicy, preconditions, dryRun } = options;
  const body = {
    gracePeriodSeconds,
    propagationPolicy,
    preconditions,
    ...(dryRun === true ? { dryRun: ["All"] } : {}),
  };
  const asked = Object.values(body).some((value) => value !== undefined);
  return asked ? json({ kind: "DeleteOptions", apiVersion: "v1", ...body }) : Buffer.alloc(0);
}

/** One write as a message of the Batch stream. */
export function batchRequest(operation: BatchOperation, options: WriteOptions, fence: Fence | undefined): BatchRequest {
  const { ref } = operation;
  const write = writeOptions(options, fence);
  const metaOf = (object: KubeObject) => object.metadata ?? {};
  if (operation.op === "create") {
    const { object, subresource = "" } = operation;
    const name = operation.name ?? (subresource === "" ? "" : (metaOf(object).name ?? ""));
    const namespace = operation.namespace || (metaOf(object).namespace ?? "");
    return {
      create: {
        target: resourceName(ref, namespace, name, subresource),
        object: { json: json(object) },
        options: write,
      },
    };
  }
  if (operation.op === "update") {
    const { object, subresource } = operation;
    const { namespace, name } = metaOf(object);
    return {
      update: {
        target: resourceName(ref, namespace, name, subresource),
        object: { json: json(object) },
        options: write,
      },
    };
  }
  const target = resourceName(ref, operation.target.namespace, operation.target.name, "");
  if (operation.op === "patch") {
    const { type, patch, subresource = "" } = operation;
    return { patch: { target: { ...target, subresource }, patchType: type, patch: json(patch), options: write } };
  }
  const { dryRun = false } = operation.options ?? {};
  return {
    delete: { target, deleteOptions: deleteOptionsBytes(operation.options ?? {}), options: { ...write, dryRun } },
  };
}
