// Volumes and claims, and the CSI sources that pods may name.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict } from "./lifecycle.ts";
import { at, type Resource, type Thing } from "./rest-client.ts";
import { found, gone } from "./shared-cluster.ts";
import { type Part, pod } from "./workload.ts";

conformsShared("CSI inline")("CSI volume source accepted in pod spec", async ({ api, namespace }) => {
  const ns = await namespace("csi");
  const pods = api.resource("v1", "pods", ns);
  const csi = { driver: `csi.${ns}.example.com`, fsType: "ext4", volumeAttributes: { foo: "bar" } };
  const volume = { name: "inline", csi };
  const mount = { volumeMounts: [{ name: "inline", mountPath: "/mnt" }] };
  const nowhere = { nodeSelector: { no: "such-node" }, volumes: [volume] };
  const made = await pods.create(pod("p", { csi: "yes" }, nowhere, mount));
  expect(at(made, "spec.volumes")).toContainEqual(volume);
  expect(at<Part[]>(await pods.get("p"), "spec.volumes")).toContainEqual(volume);
  const patched = await pods.patch("p", { metadata: { labels: { patched: "yes" } } });
  expect(at(patched, "spec.volumes")).toContainEqual(volume);
  const listed = await api.resource("v1", "pods").list({ labelSelector: "csi=yes,patched=yes" });
  expect(listed.items.some((one) => one.metadata.namespace === ns)).toBe(true);
  await pods.delete("p", { gracePeriodSeconds: 0 });
  await gone(() => pods.get("p"));
});

const volumes = conformsShared("PV/PVC");

async function pair(c: Parameters<Parameters<typeof volumes>[1]>[0]) {
  const ns = await c.namespace("pv");
  const labels = { set: ns };
  const spec = { accessModes: ["ReadWriteOnce"], storageClassName: `none-${ns}`, volumeMode: "Filesystem" };
  const pvs = c.api.resource("v1", "persistentvolumes");
  const pvcs = c.api.resource("v1", "persistentvolumeclaims", ns);
  const makeVolume = (): Promise<Thing> =>
    pvs.create({
      metadata: { name: `pv-${ns}`, labels },
      spec: {
        ...spec,
        capacity: { storage: "2Gi" },
        hostPath: { path: "/tmp/data" },
        persistentVolumeReclaimPolicy: "Retain",
      },
    });
  const makeClaim = (): Promise<Thing> =>
    pvcs.create({ metadata: { name: "pvc", labels }, spec: { ...spec, resources: { requests: { storage: "1Gi" } } } });
  return { ns, labelSelector: `set=${ns}`, pvs, pvcs, volume: `pv-${ns}`, makeVolume, makeClaim };
}

volumes("PV and PVC lifecycle (protection finalizers)", async (c) => {
  const { ns, labelSelector, pvs, pvcs, volume, makeVolume, makeClaim } = await pair(c);
  const made = await makeVolume();
  expect(made.metadata.finalizers).toEqual(["kubernetes.io/pv-protection"]);
  const claim = await makeClaim();
  expect(claim.metadata.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
  expect((await pvs.list({ labelSelector })).items).toHaveLength(1);
  expect((await c.api.resource("v1", "persistentvolumeclaims").list({ labelSelector })).items).toHaveLength(1);
  await eventually(
    async () => [at(await pvs.get(volume), "status.phase"), at(await pvcs.get("pvc"), "status.phase")],
    (phases) => phases.join(" ") === "Bound Bound",
  );
  expect(at(await pvs.get(volume), "spec.claimRef")).toMatchObject({
    name: "pvc",
    namespace: ns,
    uid: claim.metadata.uid,
  });
  for (const [resource, name] of [
    [pvs, volume],
    [pvcs, "pvc"],
  ] as const) {
    const patched = await resource.patch(name, { metadata: { labels: { [name]: "patched" } } });
    expect(patched.metadata.labels).toMatchObject({ [name]: "patched" });
    const updated = await retryOnConflict(async () => {
      const now = await resource.get(name);
      return resource.replace({
        ...now,
        metadata: { ...now.metadata, labels: { ...now.metadata.labels, [name]: "updated" } },
      });
    });
    expect(updated.metadata.labels).toMatchObject({ [name]: "updated" });
  }
  await pvcs.delete("pvc");
  await gone(() => pvcs.get("pvc"));
  await pvs.delete(volume);
  await gone(() => pvs.get(volume));
  await makeVolume();
  await makeClaim();
  await pvcs.deleteCollection({ labelSelector });
  await gone(() => pvcs.get("pvc"));
  await pvs.deleteCollection({ labelSelector });
  await gone(() => pvs.get(volume));
  expect(await found(pvs.get(volume))).toBeUndefined();
});

volumes("PV and PVC status patch/update", async (c) => {
  const { pvs, pvcs, volume, makeVolume, makeClaim } = await pair(c);
  await makeVolume();
  await makeClaim();
  const condition = { type: "StatusUpdate", status: "True", reason: "E2E", message: "Set from an e2e test" };
  const patched = await pvcs.patch("pvc", { status: { conditions: [condition] } }, "merge", "status");
  expect(at(patched, "status.conditions")).toContainEqual(expect.objectContaining(condition));
  const replaced = await retryOnConflict(async () => {
    const now = await pvcs.get("pvc", "status");
    const conditions = [{ ...condition, type: "StatusReplaced" }];
    return pvcs.replace({ ...now, status: { ...(now["status"] as object), conditions } }, "status");
  });
  expect(at(replaced, "status.conditions.0.type")).toBe("StatusReplaced");
  const told = async (resource: Resource, name: string, message: string): Promise<void> => {
    const body = { status: { message, reason: "E2E" } };
    expect((await resource.patch(name, body, "merge", "status"))["status"]).toMatchObject(body.status);
  };
  await told(pvs, volume, "StatusPatched");
  const updated = await retryOnConflict(async () => {
    const now = await pvs.get(volume, "status");
    return pvs.replace(
      { ...now, status: { ...(now["status"] as object), message: "StatusUpdated", reason: "E2E" } },
      "status",
    );
  });
  expect(at(updated, "status.message")).toBe("StatusUpdated");
  await pvcs.delete("pvc");
  await pvs.delete(volume);
});
