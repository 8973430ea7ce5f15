// The binder: which volume a claim gets, what becomes of a volume without its claim, protection, and the provisioner of node disks.
import {
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  STORAGE_CLASSES,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type StorageClass,
} from "@coxswain/api";
import { findVolume, isReservedFor, volumeBoundTo } from "@coxswain/api/core-v1/persistent-volume/binding";
import { NODE_DISK_CLASS, NODE_DISK_FINALIZER } from "@coxswain/api/storage-v1/storage-class/node-disk";
import { parseQuantity } from "@coxswain/apimachinery";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { grown } from "../src/node-disk/expander.ts";
import { growth, refusal } from "../src/node-disk/plan.ts";
import { claimBoundTo, claimInPhase } from "../src/persistent-volume/bind.ts";
import { planClaim, type ClaimFacts } from "../src/persistent-volume/plan-claim.ts";
import { planVolume, unbound } from "../src/persistent-volume/plan-volume.ts";
import { makeFixture, readyNode, type Fixture } from "./cluster-fixture.ts";

type ClaimSpec = NonNullable<PersistentVolumeClaim["spec"]>;
type VolumeSpec = NonNullable<PersistentVolume["spec"]>;

function claim(
  name: string,
  spec: Partial<ClaimSpec> & { size?: string } = {},
  annotations: Record<string, string> = {},
): PersistentVolumeClaim {
  const { size = "1Gi", ...rest } = spec;
  return {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default", uid: `uid-${name}`, annotations },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: size } }, storageClassName: "", ...rest },
  };
}

function volume(
  name: string,
  spec: Partial<VolumeSpec> & { size?: string } = {},
  more: { annotations?: Record<string, string>; labels?: Record<string, string>; phase?: string } = {},
): PersistentVolume {
  const { size = "1Gi", ...rest } = spec;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name, annotations: more.annotations ?? {}, labels: more.labels ?? {} },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: size },
      hostPath: { path: `/srv/${name}` },
      persistentVolumeReclaimPolicy: "Retain",
      ...rest,
    },
    status: { phase: more.phase ?? "Available" },
  };
}

const reserved = (name: string, uid?: string): VolumeSpec["claimRef"] => ({
  namespace: "default",
  name,
  ...(uid === undefined ? {} : { uid }),
});

const lazy: StorageClass = {
  metadata: { name: "lazy" },
  provisioner: "example.test/p",
  volumeBindingMode: "WaitForFirstConsumer",
};
const eager: StorageClass = {
  metadata: { name: "eager" },
  provisioner: "example.test/p",
  volumeBindingMode: "Immediate",
};
const builtIn: StorageClass = {
  metadata: { name: "none" },
  provisioner: "kubernetes.io/no-provisioner",
  volumeBindingMode: "Immediate",
};

function facts(volumes: readonly PersistentVolume[], more: Partial<ClaimFacts> = {}): ClaimFacts {
  return {
    volumes,
    volume: (name) => volumes.find(({ metadata }) => metadata?.name === name),
    storageClass: (name) => [lazy, eager, builtIn].find(({ metadata }) => metadata?.name === name),
    defaultClass: undefined,
    unscheduledPods: [],
    ...more,
  };
}

describe("which volume suits a claim", () => {
  const block = { volumeMode: "Block" };
  const many = { accessModes: ["ReadWriteOnce", "ReadOnlyMany"] };
  const other = { storageClassName: "eager" };
  test.each<[string, PersistentVolumeClaim, PersistentVolume[], string | undefined]>([
    [
      "the smallest that is large enough",
      claim("c"),
      [volume("a", { size: "9Gi" }), volume("b", { size: "2Gi" }), volume("s", { size: "1Mi" })],
      "b",
    ],
    [
      "the fewest access modes before the smallest size",
      claim("c"),
      [volume("a", many), volume("b", { size: "5Gi" })],
      "b",
    ],
    ["all modes that are asked for", claim("c", { accessModes: ["ReadWriteMany"] }), [volume("a")], undefined],
    ["of the same class", claim("c"), [volume("a", other)], undefined],
    [
      "of the same class, be it by the old annotation",
      claim("c"),
      [volume("a", {}, { annotations: { "volume.beta.kubernetes.io/storage-class": "x" } })],
      undefined,
    ],
    ["of the same mode", claim("c"), [volume("a", block)], undefined],
    [
      "with the labels that the selector wants",
      claim("c", { selector: { matchLabels: { disk: "fast" } } }),
      [volume("a"), volume("b", { size: "8Gi" }, { labels: { disk: "fast" } })],
      "b",
    ],
    [
      "only one that is Available",
      claim("c"),
      [volume("a", {}, { phase: "Released" }), volume("p", {}, { phase: "Pending" })],
      undefined,
    ],
    ["not one that is reserved for another", claim("c"), [volume("a", { claimRef: reserved("d") })], undefined],
    [
      "one that is reserved for it before a better one",
      claim("c"),
      [volume("a"), volume("b", { size: "8Gi", claimRef: reserved("c") })],
      "b",
    ],
    ["a reserved one whatever its class", claim("c"), [volume("b", { ...other, claimRef: reserved("c") })], "b"],
    [
      "not one that is reserved for an earlier claim of its name",
      claim("c"),
      [volume("b", { claimRef: reserved("c", "uid-before") })],
      undefined,
    ],
    [
      "a reserved one that is too small is none",
      claim("c"),
      [volume("b", { size: "1Mi", claimRef: reserved("c") })],
      undefined,
    ],
  ])("%s", (_name, wanted, volumes, expected) => {
    expect(findVolume(wanted, volumes)?.metadata?.name).toBe(expected);
  });

  test("what is found always satisfies, and nothing better was there", () => {
    const modes = fc.subarray(["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"], { minLength: 1 });
    const size = fc.constantFrom("1Mi", "1Gi", "1500Mi", "2Gi", "1G");
    const className = fc.constantFrom("", "eager");
    const spec = fc.record({ accessModes: modes, size, storageClassName: className });
    const volumes = fc.array(
      fc.record({
        spec,
        phase: fc.constantFrom("Available", "Available", "Bound"),
        holder: fc.constantFrom(undefined, "c", "d"),
      }),
      { maxLength: 8 },
    );
    const bytes = (text: string | undefined) => parseQuantity(text ?? "0");
    fc.assert(
      fc.property(spec, volumes, (wanted, list) => {
        const asked = claim("c", wanted);
        const all = list.map(({ spec: one, phase, holder }, at) =>
          volume(`v${at}`, { ...one, ...(holder === undefined ? {} : { claimRef: reserved(holder) }) }, { phase }),
        );
        const request = bytes(wanted.size);
        const fits = (one: PersistentVolume): boolean =>
          bytes(one.spec?.capacity?.["storage"]).compare(request) >= 0 &&
          (one.spec?.claimRef === undefined || isReservedFor(one, asked)) &&
          wanted.accessModes.every((mode) => one.spec?.accessModes?.includes(mode)) &&
          (isReservedFor(one, asked) ||
            (one.status?.phase === "Available" && one.spec?.storageClassName === wanted.storageClassName));
        const found = findVolume(asked, all);
        if (found === undefined) {
          expect(all.filter(fits)).toEqual([]);
          return;
        }
        expect(fits(found)).toBe(true);
        const first = all.find((one) => fits(one) && isReservedFor(one, asked));
        if (first !== undefined) {
          expect(found).toBe(first);
          return;
        }
        for (const one of all.filter(fits)) {
          const fewer = one.spec!.accessModes!.length - found.spec!.accessModes!.length;
          expect(fewer).toBeGreaterThanOrEqual(0);
          if (fewer === 0)
            expect(
              bytes(one.spec?.capacity?.["storage"]).compare(bytes(found.spec?.capacity?.["storage"])),
            ).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});

describe("what a claim waits for", () => {
  const done = { "pv.kubernetes.io/bind-completed": "yes" };
  const node = { "volume.kubernetes.io/selected-node": "node-1" };
  const external =
    "Waiting for a volume to be created either by the external provisioner 'example.test/p' or manually by the system administrator. " +
    "If volume creation is delayed, please verify that the provisioner is running and correctly registered.";
  const wait = (type: string, reason: string, message: string) => ({ do: "wait", event: { type, reason, message } });
  test.each<[string, PersistentVolumeClaim, ClaimFacts, object]>([
    [
      "no volume and no class",
      claim("c"),
      facts([]),
      wait("Normal", "FailedBinding", "no persistent volumes available for this claim and no storage class is set"),
    ],
    [
      "the default class, once there is one",
      claim("c", { storageClassName: undefined }),
      facts([], { defaultClass: "eager" }),
      { do: "setClass", storageClass: "eager" },
    ],
    ["not where the claim wants none", claim("c"), facts([], { defaultClass: "eager" }), { do: "wait" }],
    [
      "a class that is not there",
      claim("c", { storageClassName: "gone" }),
      facts([]),
      wait("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "gone" not found'),
    ],
    [
      "a provisioner that nobody has",
      claim("c", { storageClassName: "none" }),
      facts([]),
      wait("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
    ],
    [
      "a provisioner",
      claim("c", { storageClassName: "eager" }),
      facts([]),
      {
        do: "provision",
        provisioner: "example.test/p",
        event: { type: "Normal", reason: "ExternalProvisioning", message: external },
      },
    ],
    [
      "its first consumer",
      claim("c", { storageClassName: "lazy" }),
      facts([volume("a", { storageClassName: "lazy" })]),
      wait("Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
    ],
    [
      "a pod to be scheduled",
      claim("c", { storageClassName: "lazy" }),
      facts([], { unscheduledPods: ["p"] }),
      wait("Normal", "WaitForPodScheduled", "waiting for pod p to be scheduled"),
    ],
    [
      "several pods to be scheduled",
      claim("c", { storageClassName: "lazy" }),
      facts([], { unscheduledPods: ["p", "q"] }),
      wait("Normal", "WaitForPodScheduled", "waiting for pods p,q to be scheduled"),
    ],
    [
      "the provisioner, once a node is selected",
      claim("c", { storageClassName: "lazy" }, node),
      facts([]),
      { do: "provision" },
    ],
    [
      "nothing, where the scheduler reserved a volume",
      claim("c", { storageClassName: "lazy" }),
      facts([volume("a", { storageClassName: "lazy", claimRef: reserved("c") })]),
      { do: "bind" },
    ],
    ["a volume that is not there yet", claim("c", { volumeName: "v" }), facts([]), { do: "wait" }],
    ["nothing, for the volume that it names", claim("c", { volumeName: "v" }), facts([volume("v")]), { do: "bind" }],
    [
      "a volume that another has",
      claim("c", { volumeName: "v" }),
      facts([volume("v", { claimRef: reserved("d") })]),
      wait("Warning", "FailedBinding", 'volume "v" already bound to a different claim.'),
    ],
    [
      "a volume that is too small",
      claim("c", { volumeName: "v", size: "2Gi" }),
      facts([volume("v")]),
      wait("Warning", "VolumeMismatch", 'Cannot bind to requested volume "v": requested PV is too small'),
    ],
    [
      "a volume of another class",
      claim("c", { volumeName: "v", storageClassName: "eager" }),
      facts([volume("v")]),
      wait("Warning", "VolumeMismatch", 'Cannot bind to requested volume "v": storageClassName does not match'),
    ],
    [
      "a volume of another mode",
      claim("c", { volumeName: "v", volumeMode: "Block" }),
      facts([volume("v")]),
      wait("Warning", "VolumeMismatch", 'Cannot bind to requested volume "v": incompatible volumeMode'),
    ],
    [
      "a volume without its access mode",
      claim("c", { volumeName: "v", accessModes: ["ReadWriteMany"] }),
      facts([volume("v")]),
      wait("Warning", "VolumeMismatch", 'Cannot bind to requested volume "v": incompatible accessMode'),
    ],
    [
      "nothing any more: the volume is gone",
      claim("c", { volumeName: "v" }, done),
      facts([]),
      {
        do: "lose",
        event: {
          type: "Warning",
          reason: "ClaimLost",
          message: "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
        },
      },
    ],
    [
      "nothing any more: its name was taken out",
      claim("c", {}, done),
      facts([]),
      {
        do: "lose",
        event: {
          type: "Warning",
          reason: "ClaimLost",
          message: "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        },
      },
    ],
    [
      "nothing any more: another has the volume",
      claim("c", { volumeName: "v" }, done),
      facts([volume("v", { claimRef: reserved("c", "uid-other") })]),
      {
        do: "lose",
        event: {
          type: "Warning",
          reason: "ClaimMisbound",
          message: "Two claims are bound to the same volume, this one is bound incorrectly",
        },
      },
    ],
    [
      "nothing: it is bound",
      claim("c", { volumeName: "v" }, done),
      facts([volume("v", { claimRef: reserved("c", "uid-c") })]),
      { do: "bind" },
    ],
    ["nothing: its volume forgot it", claim("c", { volumeName: "v" }, done), facts([volume("v")]), { do: "bind" }],
  ])("%s", (_name, one, given, expected) => {
    expect(planClaim(one, given)).toMatchObject(expected);
  });
});

describe("what becomes of a volume", () => {
  const mine = claim("c", { volumeName: "v" });
  const bound = { claimRef: reserved("c", "uid-c") };
  const made = { annotations: { "pv.kubernetes.io/provisioned-by": "example.test/p" } };
  const policy = (persistentVolumeReclaimPolicy: string) => ({ ...bound, persistentVolumeReclaimPolicy });
  const fail = (reason: string, message: string) => ({
    do: "release",
    reclaim: { do: "fail", event: { reason, message } },
  });
  test.each<[string, PersistentVolume, PersistentVolumeClaim | undefined, object]>([
    ["nobody has it", volume("v"), undefined, { do: "phase", phase: "Available" }],
    [
      "its author reserved it",
      volume("v", { claimRef: reserved("c") }),
      claim("c"),
      { do: "phase", phase: "Available" },
    ],
    ["both sides agree", volume("v", bound), mine, { do: "phase", phase: "Bound" }],
    ["the claim does not say so yet", volume("v", bound), claim("c"), { do: "askClaim" }],
    [
      "the claim wants a disk",
      volume("v", { ...bound, volumeMode: "Filesystem" }),
      claim("c", { volumeMode: "Block" }),
      {
        do: "mismatch",
        ofVolume: {
          reason: "VolumeMismatch",
          message:
            'Cannot bind PersistentVolume to requested PersistentVolumeClaim "c" due to incompatible volumeMode.',
        },
        ofClaim: {
          reason: "VolumeMismatch",
          message:
            'Cannot bind PersistentVolume "v" to requested PersistentVolumeClaim due to incompatible volumeMode.',
        },
      },
    ],
    ["the claim has another", volume("v", bound), claim("c", { volumeName: "w" }), { do: "unbind" }],
    [
      "the claim has another, and it was made for it",
      volume("v", policy("Delete"), made),
      claim("c", { volumeName: "w" }),
      { do: "release", reclaim: { do: "leave" } },
    ],
    ["the claim is gone, policy Retain", volume("v", bound), undefined, { do: "release", reclaim: { do: "leave" } }],
    [
      "another claim has the name",
      volume("v", bound),
      { ...mine, metadata: { ...mine.metadata, uid: "new" } },
      { do: "release" },
    ],
    [
      "policy Delete, and its provisioner is outside",
      volume("v", policy("Delete"), made),
      undefined,
      { do: "release", reclaim: { do: "leave" } },
    ],
    [
      "policy Delete, and nobody made it",
      volume("v", policy("Delete")),
      undefined,
      fail(
        "VolumeFailedDelete",
        'error getting deleter volume plugin for volume "v": no deletable volume plugin matched',
      ),
    ],
    [
      "policy Recycle",
      volume("v", policy("Recycle")),
      undefined,
      fail("VolumeFailedRecycle", "No recycler plugin found for the volume!"),
    ],
  ])("%s", (_name, one, holder, expected) => {
    expect(planVolume(one, holder)).toMatchObject(expected);
  });

  test("unbinding leaves what its author wrote", () => {
    const byController = volumeBoundTo(volume("v"), mine);
    expect(unbound(byController)).toMatchObject({ metadata: { name: "v" } });
    expect(unbound(byController).spec?.claimRef).toBeUndefined();
    expect(unbound(byController).metadata?.annotations).toBeUndefined();
    const byAuthor = volumeBoundTo(volume("v", { claimRef: reserved("c") }), mine);
    expect(byAuthor.spec?.claimRef?.uid).toBe("uid-c");
    expect(unbound(byAuthor).spec?.claimRef).toEqual({
      ...reserved("c"),
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
    });
  });

  test("each side says whether a controller chose", () => {
    const yes = { "pv.kubernetes.io/bound-by-controller": "yes" };
    expect(volumeBoundTo(volume("v"), claim("c")).metadata?.annotations).toMatchObject(yes);
    expect(volumeBoundTo(volume("v", { claimRef: reserved("c") }), claim("c")).metadata?.annotations).toEqual({});
    expect(claimBoundTo(claim("c"), volume("v")).metadata?.annotations).toEqual({
      ...yes,
      "pv.kubernetes.io/bind-completed": "yes",
    });
    expect(claimBoundTo(mine, volume("v")).metadata?.annotations).toEqual({ "pv.kubernetes.io/bind-completed": "yes" });
  });

  test("a claim takes over its volume's capacity once", () => {
    const first = claimInPhase(mine, "Bound", volume("v", { size: "5Gi" }));
    expect(first.status).toEqual({ phase: "Bound", accessModes: ["ReadWriteOnce"], capacity: { storage: "5Gi" } });
    expect(claimInPhase(first, "Bound", volume("v", { size: "9Gi" })).status?.capacity).toEqual({ storage: "5Gi" });
    expect(claimInPhase(first, "Lost", undefined).status).toEqual({ phase: "Lost" });
  });
});

test("what the provisioner of node disks refuses, it refuses by name", () => {
  const all: [Partial<ClaimSpec>, Partial<StorageClass>, RegExp][] = [
    [{}, { volumeBindingMode: "Immediate" }, /need a class with volumeBindingMode WaitForFirstConsumer/],
    [{}, { parameters: { a: "b" } }, /parameter "a" is not supported/],
    [{ selector: {} }, {}, /selector is not supported/],
    [{ volumeMode: "Block" }, {}, /block volume provisioning is not supported/],
    [{ accessModes: ["ReadWriteMany"] }, {}, /access mode ReadWriteMany is not supported/],
    [{ dataSourceRef: { kind: "VolumeSnapshot", name: "s" } }, {}, /cannot be filled from a VolumeSnapshot/],
  ];
  for (const [spec, more, why] of all) expect(refusal(claim("c", spec), { ...NODE_DISK_CLASS, ...more })).toMatch(why);
  expect(refusal(claim("c", { accessModes: ["ReadWriteOncePod"] }), NODE_DISK_CLASS)).toBeUndefined();
});

test("a claim grows to what it asks for, and then no more", () => {
  const bound = { ...claim("c", { size: "2Gi" }), status: { phase: "Bound", capacity: { storage: "1Gi" } } };
  expect(growth(bound)).toBe("2Gi");
  expect(growth({ ...bound, status: { phase: "Pending" } })).toBeUndefined();
  const after = grown(bound, "2Gi");
  expect(after.status).toMatchObject({ capacity: { storage: "2Gi" }, allocatedResources: { storage: "2Gi" } });
  expect(growth(after)).toBeUndefined();
});

describe("in a cluster", () => {
  const claims = (fixture: Fixture) => fixture.cluster.objects<PersistentVolumeClaim>(PERSISTENT_VOLUME_CLAIMS);
  const volumes = (fixture: Fixture) => fixture.cluster.objects<PersistentVolume>(PERSISTENT_VOLUMES);
  const phases = (fixture: Fixture) =>
    Object.fromEntries(volumes(fixture).map((one) => [one.metadata?.name, one.status?.phase]));
  const MERGE = "application/merge-patch+json";
  const at = (name: string) => ({ namespace: "default", name });

  function start(): Fixture {
    const fixture = makeFixture({ measured: true });
    fixture.seedNamespace();
    fixture.cluster.seed(STORAGE_CLASSES, NODE_DISK_CLASS);
    fixture.cluster.seed(NODES, readyNode("node-1", fixture.env.clock.now()));
    return fixture;
  }

  test("ten claims share out ten volumes, one each", async () => {
    const fixture = start();
    for (let n = 0; n < 10; n++) {
      fixture.cluster.seed(PERSISTENT_VOLUMES, volume(`v${n}`, { size: `${1 + (n % 3)}Gi`, storageClassName: "" }));
      fixture.cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim(`c${n}`));
    }
    fixture.start();
    const allBound = () => claims(fixture).every(({ status }) => status?.phase === "Bound");
    expect(await fixture.until(allBound)).toBe(true);
    expect(new Set(claims(fixture).map(({ spec }) => spec?.volumeName)).size).toBe(10);
    for (const one of volumes(fixture)) {
      const holder = claims(fixture).find(({ metadata }) => metadata?.uid === one.spec?.claimRef?.uid);
      expect(holder?.spec?.volumeName).toBe(one.metadata?.name);
      expect(one.status?.phase).toBe("Bound");
    }
    fixture.cluster.seed(PERSISTENT_VOLUMES, volume("spare", { storageClassName: "other" }));
    await fixture.env.advance(1_000);
    const counts = await fixture.figures("pv_collector_");
    const plugin = Object.keys(counts).find((key) => key.startsWith("pv_collector_total_pv_count"));
    expect(plugin).toMatch(/plugin_name="kubernetes\.io\/[a-z-]+",volume_mode="Filesystem"/);
    expect(counts).toEqual({
      [plugin ?? ""]: 11,
      'pv_collector_bound_pv_count{storage_class=""}': 10,
      'pv_collector_unbound_pv_count{storage_class="other"}': 1,
      'pv_collector_bound_pvc_count{namespace="default",storage_class="",volume_attributes_class=""}': 10,
    });
  });

  test("a claim of the default class is provisioned on the selected node, grows, is protected, and goes with its volume", async () => {
    const fixture = start();
    fixture.cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("data", { storageClassName: undefined }));
    fixture.start();
    const data = () => claims(fixture)[0];
    expect(await fixture.until(() => fixture.events("WaitForFirstConsumer").length > 0)).toBe(true);
    expect(data()?.spec?.storageClassName).toBe("standard");
    expect(data()?.metadata?.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
    expect(volumes(fixture)).toEqual([]);
    const selected = { metadata: { annotations: { "volume.kubernetes.io/selected-node": "node-1" } } };
    await fixture.settle(fixture.admin.patch(PERSISTENT_VOLUME_CLAIMS, at("data"), MERGE, selected));
    expect(await fixture.until(() => data()?.status?.phase === "Bound")).toBe(true);
    const name = data()?.spec?.volumeName ?? "";
    expect(volumes(fixture)[0]).toMatchObject({
      metadata: { name, labels: { "coxswain.dev/node": "node-1" } },
      spec: { local: { path: `/var/lib/kubelet/node-disk/${name}` }, storageClassName: "standard" },
      status: { phase: "Bound" },
    });
    expect(await fixture.until(() => fixture.events("ProvisioningSucceeded").length > 0)).toBe(true);

    const more = { spec: { resources: { requests: { storage: "3Gi" } } } };
    await fixture.settle(fixture.admin.patch(PERSISTENT_VOLUME_CLAIMS, at("data"), MERGE, more));
    expect(await fixture.until(() => data()?.status?.capacity?.["storage"] === "3Gi")).toBe(true);
    expect(volumes(fixture)[0]?.spec?.capacity).toEqual({ storage: "3Gi" });

    fixture.cluster.seed(PODS, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "user", namespace: "default", uid: "user" },
      spec: {
        nodeName: "node-1",
        containers: [],
        volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }],
      },
    });
    await fixture.settle(fixture.admin.delete(PERSISTENT_VOLUME_CLAIMS, at("data")));
    await fixture.until(() => data() === undefined, 30_000);
    expect(data()?.metadata?.deletionTimestamp).toBeDefined();
    await fixture.settle(fixture.admin.delete(PODS, at("user"), { gracePeriodSeconds: 0 }));
    expect(await fixture.until(() => data() === undefined)).toBe(true);
    // The kubelet of the node has not removed the folder yet.
    const leaving = () => volumes(fixture)[0]?.metadata;
    expect(await fixture.until(() => leaving()?.deletionTimestamp !== undefined)).toBe(true);
    expect(await fixture.until(() => leaving()?.finalizers?.join() === NODE_DISK_FINALIZER)).toBe(true);
    await fixture.settle(fixture.admin.delete(NODES, { name: "node-1" }));
    expect(await fixture.until(() => volumes(fixture).length === 0)).toBe(true);
  });

  test("a retained volume is released, and free again once its author takes the reference out", async () => {
    const fixture = start();
    fixture.cluster.seed(PERSISTENT_VOLUMES, volume("v", { storageClassName: "" }, { phase: "" }));
    fixture.cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("c"));
    fixture.start();
    expect(await fixture.until(() => phases(fixture)["v"] === "Bound")).toBe(true);
    await fixture.settle(fixture.admin.delete(PERSISTENT_VOLUME_CLAIMS, at("c")));
    expect(await fixture.until(() => phases(fixture)["v"] === "Released")).toBe(true);
    await fixture.settle(fixture.admin.patch(PERSISTENT_VOLUMES, { name: "v" }, MERGE, { spec: { claimRef: null } }));
    expect(await fixture.until(() => phases(fixture)["v"] === "Available")).toBe(true);
  });

  test("a volume that goes while it is bound stays until its claim has gone; without it the claim is lost", async () => {
    const fixture = start();
    fixture.cluster.seed(PERSISTENT_VOLUMES, volume("v", { storageClassName: "" }));
    fixture.cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("c"));
    fixture.start();
    expect(await fixture.until(() => claims(fixture)[0]?.status?.phase === "Bound")).toBe(true);
    await fixture.settle(fixture.admin.delete(PERSISTENT_VOLUMES, { name: "v" }));
    await fixture.until(() => volumes(fixture).length === 0, 30_000);
    expect(volumes(fixture)[0]?.metadata?.deletionTimestamp).toBeDefined();
    await fixture.settle(
      fixture.admin.patch(PERSISTENT_VOLUMES, { name: "v" }, MERGE, { metadata: { finalizers: [] } }),
    );
    expect(await fixture.until(() => claims(fixture)[0]?.status?.phase === "Lost")).toBe(true);
    expect(await fixture.until(() => fixture.events("ClaimLost").length === 1)).toBe(true);
  });

  test("ephemeral volumes get claims that go with their pod; somebody else's claim is not taken", async () => {
    const fixture = start();
    const template = { metadata: { labels: { of: "scratch" } }, spec: claim("x").spec };
    const pod = (name: string) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", uid: `uid-${name}` },
      spec: { containers: [], volumes: [{ name: "tmp", ephemeral: { volumeClaimTemplate: template } }] },
    });
    fixture.cluster.seed(PERSISTENT_VOLUME_CLAIMS, claim("taken-tmp"));
    fixture.cluster.seed(PODS, pod("free"));
    fixture.cluster.seed(PODS, pod("taken"));
    fixture.start();
    const made = () => claims(fixture).find(({ metadata }) => metadata?.name === "free-tmp");
    expect(await fixture.until(() => made() !== undefined)).toBe(true);
    expect(made()?.metadata).toMatchObject({
      labels: { of: "scratch" },
      ownerReferences: [{ kind: "Pod", name: "free", controller: true, blockOwnerDeletion: true }],
    });
    expect(
      await fixture.until(() =>
        fixture.events("FailedBinding").some(({ message }) => message?.startsWith("ephemeral")),
      ),
    ).toBe(true);
    const [event] = fixture.events("FailedBinding").filter(({ message }) => message?.startsWith("ephemeral"));
    expect(event?.message).toBe(
      "ephemeral volume tmp: PVC default/taken-tmp was not created for pod default/taken (pod is not owner)",
    );
    expect(await fixture.figures("ephemeral_volume_controller_")).toEqual({
      ephemeral_volume_controller_create_total: 1,
      ephemeral_volume_controller_create_failures_total: 0,
    });
  });
});
