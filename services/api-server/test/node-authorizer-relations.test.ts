// The Node authorizer of attachments and service accounts: a kubelet reads those of its own node and of its own pods alone.
import { describe, expect, test } from "vitest";
import { PODS, VOLUME_ATTACHMENTS } from "@coxswain/api";
import type { GroupResource, KubeObject } from "@coxswain/apimachinery";
import { createNodeAuthorizer } from "../src/auth/node-authorizer.ts";
import type { AuthorizationDecision } from "../src/pipeline/contract.ts";
import type { ObjectSource } from "../src/pipeline/extension.ts";

const pod = (name: string, nodeName: string, serviceAccountName: string): KubeObject & { spec: object } => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName, serviceAccountName, containers: [{ name: "c", image: "i" }] },
});
const attachment = (name: string, nodeName: string): KubeObject & { spec: object } => ({
  apiVersion: "storage.k8s.io/v1",
  kind: "VolumeAttachment",
  metadata: { name },
  spec: { nodeName, attacher: "a", source: { persistentVolumeName: "pv" } },
});

const stored = new Map(
  [
    [PODS.resource, [pod("p1", "sim-1", "mine"), pod("p9", "sim-9", "theirs")]] as const,
    [VOLUME_ATTACHMENTS.resource, [attachment("va-1", "sim-1"), attachment("va-9", "sim-9")]] as const,
  ].map(([resource, objects]) => [
    resource,
    objects.map((object) => ({
      name: object.metadata!.name!,
      namespace: object.metadata!.namespace ?? "",
      json: Buffer.from(JSON.stringify(object)),
      object,
    })),
  ]),
);
const source = {
  get: ({ resource }: GroupResource, namespace: string, name: string) =>
    stored.get(resource)?.find((one) => one.namespace === namespace && one.name === name),
  list: ({ resource }: GroupResource, namespace: string) =>
    (stored.get(resource) ?? []).filter((one) => one.namespace === namespace),
  onChange: () => () => {},
} as unknown as ObjectSource;

describe.each([
  ["a kubelet", { username: "system:node:sim-1", groups: ["system:nodes"] }],
  ["a pack", { username: "system:node-pack:sim-0-4", groups: ["system:node-packs"] }],
])("%s", (_, user) => {
  const authorizer = createNodeAuthorizer(source);
  const ask = (verb: string, group: string, resource: string, namespace: string, name: string, subresource = "") =>
    authorizer.authorize({
      user,
      verb,
      group,
      version: "v1",
      resource,
      subresource,
      namespace,
      name,
    }) as AuthorizationDecision;

  test.each([
    ["storage.k8s.io", "volumeattachments", "", "va-1"],
    ["", "serviceaccounts", "default", "mine"],
  ])("reads what is its own of %s %s", (group, resource, namespace, name) => {
    expect(ask("get", group, resource, namespace, name).allowed).toBe(true);
  });

  test.each([
    ["storage.k8s.io", "volumeattachments", "", "va-9"],
    ["storage.k8s.io", "volumeattachments", "", "va-none"],
    ["", "serviceaccounts", "default", "theirs"],
    ["", "serviceaccounts", "other", "mine"],
  ])("does not read what is another's of %s %s", (group, resource, namespace, name) => {
    const { allowed, reason } = ask("get", group, resource, namespace, name);
    expect(allowed).toBe(false);
    expect(reason).toContain("no relationship found between node");
  });

  test("reads attachments one by one, and nothing below them", () => {
    const listed = ask("list", "storage.k8s.io", "volumeattachments", "", "");
    expect(listed).toMatchObject({ allowed: false, reason: "can only get individual resources of this type" });
    const status = ask("get", "storage.k8s.io", "volumeattachments", "", "va-1", "status");
    expect(status).toMatchObject({ allowed: false, reason: "cannot get subresource" });
  });
});
