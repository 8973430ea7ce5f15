// Attachments of CSI volumes: asked for where pods use them, one node at a time, and taken back when nobody does.
import {
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  VOLUME_ATTACHMENTS,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type VolumeAttachment,
} from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { attachmentName, planAttachments, uniqueName, type Use } from "../src/attach-detach/plan.ts";
import { makeFixture, readyNode } from "./cluster-fixture.ts";

const DRIVER = "d.example";

const volume = (name: string, accessModes = ["ReadWriteOnce"]): PersistentVolume => ({
  metadata: { name },
  spec: { accessModes, csi: { driver: DRIVER, volumeHandle: `h-${name}` } },
});
const use = (name: string, accessModes?: string[]): Use => ({ volume: volume(name, accessModes), pods: [] });
const node = (status: Node["status"] = {}): Node => ({ metadata: { name: "a" }, status });

function attachment(
  name: string,
  on: string,
  status: VolumeAttachment["status"] = { attached: false },
): VolumeAttachment {
  return {
    metadata: { name: attachmentName(DRIVER, `h-${name}`, on) },
    spec: { attacher: DRIVER, nodeName: on, source: { persistentVolumeName: name } },
    status,
  };
}

describe("what is attached to a node", () => {
  const names = (list: readonly VolumeAttachment[]) => list.map(({ spec }) => spec.source.persistentVolumeName);
  const plan = (uses: Use[], attachments: VolumeAttachment[], of: Node | undefined = node()) => {
    const { create, remove, held, attached, failed, volumesAttached } = planAttachments("a", {
      node: of,
      uses,
      attachments,
    });
    return {
      create: names(create),
      remove: names(remove),
      held: held.map(({ volume: one }) => one.metadata?.name),
      attached: attached.map(({ volume: one }) => one.metadata?.name),
      failed: failed.map(({ message }) => message),
      told: volumesAttached.map((one) => one.name),
    };
  };
  const nothing = { create: [], remove: [], held: [], attached: [], failed: [], told: [] };
  const named = uniqueName(volume("v"));

  test("an attachment that somebody else made is left alone", () => {
    const foreign = { ...attachment("v", "a"), metadata: { name: "by-hand" } };
    expect(plan([], [foreign])).toEqual(nothing);
    expect(plan([], [attachment("v", "a")])).toEqual({ ...nothing, remove: ["v"] });
  });

  test("what a pod uses is asked for once", () => {
    expect(plan([use("v")], [])).toEqual({ ...nothing, create: ["v"] });
    expect(plan([use("v")], [attachment("v", "a")])).toEqual(nothing);
  });

  test("what is attached is told, once", () => {
    const there = [attachment("v", "a", { attached: true })];
    expect(plan([use("v")], there)).toEqual({ ...nothing, attached: ["v"], told: [named] });
    const told = node({ volumesAttached: [{ name: named, devicePath: "" }] });
    expect(plan([use("v")], there, told)).toEqual({ ...nothing, told: [named] });
  });

  test("what could not be attached says why", () => {
    const failed = attachment("v", "a", { attached: false, attachError: { message: "no room" } });
    expect(plan([use("v")], [failed])).toEqual({ ...nothing, failed: ["no room"] });
  });

  test("what another node has waits, unless it may be shared", () => {
    const elsewhere = [attachment("v", "b", { attached: true })];
    expect(plan([use("v")], elsewhere)).toEqual({ ...nothing, held: ["v"] });
    expect(plan([use("v", ["ReadWriteMany"])], elsewhere)).toEqual({ ...nothing, create: ["v"] });
  });

  test("what nobody uses goes, but not from under a node that has it mounted; of a node that is gone all goes", () => {
    const left = [attachment("v", "a", { attached: true })];
    expect(plan([], left)).toEqual({ ...nothing, remove: ["v"] });
    expect(plan([], left, node({ volumesInUse: [named] }))).toEqual(nothing);
    const facts = { node: undefined, uses: [use("v")], attachments: left };
    expect(names(planAttachments("a", facts).remove)).toEqual(["v"]);
  });
});

test("a pod's CSI volume is attached to its node, and let go after it", async () => {
  const fixture = makeFixture();
  const { cluster, admin, env } = fixture;
  fixture.seedNamespace();
  cluster.seed(NODES, readyNode("a", env.clock.now()));
  const claim: PersistentVolumeClaim = cluster.seed(PERSISTENT_VOLUME_CLAIMS, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "c", namespace: "default", annotations: { "pv.kubernetes.io/bind-completed": "yes" } },
    spec: {
      accessModes: ["ReadWriteOnce"],
      volumeName: "v",
      storageClassName: "",
      resources: { requests: { storage: "1Gi" } },
    },
  });
  const { uid = "" } = claim.metadata ?? {};
  const { spec } = volume("v");
  cluster.seed(PERSISTENT_VOLUMES, {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "v" },
    spec: {
      ...spec,
      capacity: { storage: "1Gi" },
      persistentVolumeReclaimPolicy: "Retain",
      claimRef: { namespace: "default", name: "c", uid },
    },
  });
  cluster.seed(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", namespace: "default" },
    spec: { nodeName: "a", containers: [], volumes: [{ name: "d", persistentVolumeClaim: { claimName: "c" } }] },
  });
  fixture.start();
  const attachments = () => cluster.objects<VolumeAttachment>(VOLUME_ATTACHMENTS);
  expect(await fixture.until(() => attachments().length === 1)).toBe(true);
  const name = attachmentName(DRIVER, "h-v", "a");
  expect(attachments()[0]).toMatchObject({ metadata: { name }, spec: { attacher: DRIVER, nodeName: "a" } });
  const status = { status: { attached: true } };
  const merge = "application/merge-patch+json";
  await fixture.settle(admin.patch(VOLUME_ATTACHMENTS, { name }, merge, status, { subresource: "status" }));
  const told = () => cluster.objects<Node>(NODES)[0]?.status?.volumesAttached;
  expect(await fixture.until(() => told() !== undefined)).toBe(true);
  expect(told()).toEqual([{ name: "kubernetes.io/csi/d.example^h-v", devicePath: "" }]);
  expect(await fixture.until(() => fixture.events("SuccessfulAttachVolume").length === 1)).toBe(true);
  await fixture.settle(admin.delete(PODS, { namespace: "default", name: "p" }, { gracePeriodSeconds: 0 }));
  expect(await fixture.until(() => attachments().length === 0 && told() === undefined)).toBe(true);
});
