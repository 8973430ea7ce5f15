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
  type Pod,
  type VolumeAttachment,
} from "@coxswain/api";
import { attachmentName } from "@coxswain/api/core-v1/persistent-volume/attachable";
import { describe, expect, test } from "vitest";
import {
  FORCED_DETACH_MS,
  planAttachments,
  uniqueName,
  whyHeld,
  type AttachFacts,
  type Use,
} from "../src/attach-detach/plan.ts";
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
  const still = { nowMs: 1_000_000, unwantedSinceMs: new Map<string, number>() };
  const plan = (
    uses: Use[],
    attachments: VolumeAttachment[],
    of: Node | undefined = node(),
    more: Partial<AttachFacts> = {},
  ) => {
    const facts = { node: of, uses, attachments, ...still, ...more };
    const { create, remove, held, attached, failed, volumesAttached } = planAttachments("a", facts);
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

  const left = [attachment("v", "a", { attached: true })];
  const ready = (status: string) => ({ volumesInUse: [named], conditions: [{ type: "Ready", status }] });
  const asked = (agoMs: number) => ({
    unwantedSinceMs: new Map([[attachmentName(DRIVER, "h-v", "a"), still.nowMs - agoMs]]),
  });

  test("what nobody uses goes, but not from under a node that has it mounted, of which it is told all the while", () => {
    expect(plan([], left)).toEqual({ ...nothing, remove: ["v"] });
    const mounted = { ...nothing, told: [named] };
    expect(plan([], left, node(ready("True")))).toEqual(mounted);
    expect(plan([], left, node(ready("True")), asked(FORCED_DETACH_MS))).toEqual(mounted);
    expect(plan([], left, node({ ...ready("True"), volumesInUse: [] }))).toEqual({ ...nothing, remove: ["v"] });
  });

  test("a node that is not well keeps it for six minutes", () => {
    expect(plan([], left, node(ready("Unknown")), asked(FORCED_DETACH_MS - 1)).remove).toEqual([]);
    expect(plan([], left, node(ready("Unknown")), asked(FORCED_DETACH_MS)).remove).toEqual(["v"]);
    expect(plan([use("v")], left, node(ready("Unknown")), asked(FORCED_DETACH_MS)).remove).toEqual([]);
  });

  test("a node out of service keeps nothing", () => {
    const spec = { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] };
    expect(plan([], left, { ...node(ready("Unknown")), spec }).remove).toEqual(["v"]);
  });

  test("a node that is gone keeps for as long what it had in use, and where that is not known all", () => {
    const gone = (more: Partial<AttachFacts>) =>
      names(planAttachments("a", { node: undefined, uses: [use("v")], attachments: left, ...still, ...more }).remove);
    expect(gone({ lastInUse: [] })).toEqual(["v"]);
    expect(gone({ lastInUse: [named] })).toEqual([]);
    expect(gone({})).toEqual([]);
    expect(gone({ lastInUse: [named], ...asked(FORCED_DETACH_MS) })).toEqual(["v"]);
  });
});

/** Nodes are judged by nobody but the test. */
const PATIENT = { options: { nodeMonitorGracePeriodMs: 1e9, nodeStartupGracePeriodMs: 1e9 } };

/** A pod on node "a" with a CSI volume that is attached to it. */
async function attachedPod(options: Parameters<typeof makeFixture>[0] = {}) {
  const fixture = makeFixture(options);
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
  const remove = () =>
    fixture.settle(admin.delete(PODS, { namespace: "default", name: "p" }, { gracePeriodSeconds: 0 }));
  const patchNode = (patch: object, subresource?: string) =>
    fixture.settle(admin.patch(NODES, { name: "a" }, merge, patch, subresource === undefined ? {} : { subresource }));
  const inUse = (volumesInUse: string[] | null) => patchNode({ status: { volumesInUse } }, "status");
  return { fixture, attachments, told, remove, patchNode, inUse };
}

const NAMED = "kubernetes.io/csi/d.example^h-v";

test("a pod's CSI volume is attached to its node, and let go after it", async () => {
  const { fixture, attachments, told, remove } = await attachedPod();
  const toldWhenDetached: unknown[] = [];
  fixture.cluster.onChange(() => {
    if (attachments().length === 0) toldWhenDetached.push(told());
  });
  await remove();
  expect(await fixture.until(() => attachments().length === 0 && told() === undefined)).toBe(true);
  // Or the node could mount what is being taken from it.
  expect(toldWhenDetached[0]).toBeUndefined();
});

test("a volume that the node has in use stays attached after its pod until the node gives it back", async () => {
  const { fixture, attachments, told, remove, inUse } = await attachedPod(PATIENT);
  await inUse([NAMED]);
  await remove();
  await fixture.env.advance(2 * FORCED_DETACH_MS);
  expect(attachments()).toHaveLength(1);
  expect(told()).toHaveLength(1);
  await inUse(null);
  expect(await fixture.until(() => attachments().length === 0 && told() === undefined)).toBe(true);
});

test("a node that is heard of no more loses the volume after six minutes, and at once when it is out of service", async () => {
  for (const taint of [false, true]) {
    const { fixture, attachments, remove, inUse, patchNode } = await attachedPod({ ...PATIENT, measured: true });
    await inUse([NAMED]);
    await patchNode({ status: { conditions: [{ type: "Ready", status: "Unknown" }] } }, "status");
    await remove();
    await fixture.env.advance(FORCED_DETACH_MS - 30_000);
    expect(attachments()).toHaveLength(1);
    const beforeMs = fixture.env.elapsedMs;
    if (taint) {
      await patchNode({ spec: { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] } });
    }
    expect(await fixture.until(() => attachments().length === 0, 60_000)).toBe(true);
    expect(fixture.env.elapsedMs - beforeMs < 10_000).toBe(taint);
    await fixture.env.advance(100);
    const forced = "attach_detach_controller_attachdetach_controller_forced_detaches";
    expect(await fixture.figures(forced)).toEqual({
      [`${forced}{reason="${taint ? "out-of-service" : "timeout"}"}`]: 1,
    });
  }
});

test("a node that is deleted keeps for six minutes what it had in use", async () => {
  const { fixture, attachments, remove, inUse } = await attachedPod();
  await inUse([NAMED]);
  await remove();
  await fixture.settle(fixture.admin.delete(NODES, { name: "a" }));
  await fixture.env.advance(FORCED_DETACH_MS - 30_000);
  expect(attachments()).toHaveLength(1);
  expect(await fixture.until(() => attachments().length === 0, 60_000)).toBe(true);
});

test("who else uses a volume that waits is told, but not across namespaces", async () => {
  const other = (namespace: string, name: string): Pod => ({ metadata: { namespace, name } });
  const mine = other("default", "mine");
  expect(whyHeld(mine, [])).toBe("Volume is already exclusively attached to one node and can't be attached to another");
  expect(whyHeld(mine, [other("x", "p")])).toBe("Volume is already used by 1 pod(s) in different namespaces");
  expect(whyHeld(mine, [other("x", "p"), other("default", "b"), other("default", "a")])).toBe(
    "Volume is already used by pod(s) a, b and 1 pod(s) in different namespaces",
  );
  const { fixture } = await attachedPod();
  fixture.cluster.seed(NODES, readyNode("b", fixture.env.clock.now()));
  fixture.cluster.seed(PODS, {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "q", namespace: "default" },
    spec: { nodeName: "b", containers: [], volumes: [{ name: "d", persistentVolumeClaim: { claimName: "c" } }] },
  });
  expect(await fixture.until(() => fixture.events("FailedAttachVolume").length > 0)).toBe(true);
  expect(
    fixture.events("FailedAttachVolume").map(({ involvedObject, message }) => [involvedObject.name, message]),
  ).toEqual([["q", 'Multi-Attach error for volume "v" Volume is already used by pod(s) p']]);
});
