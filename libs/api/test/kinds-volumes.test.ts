// What is refused of volumes: those of pods, PersistentVolumes and claims, in upstream's words and field paths.
import { describe, expect, test } from "vitest";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
  PersistentVolumeSpec,
  Pod,
  Volume,
  VolumeAttachment,
} from "../src/index.ts";
import { createErrors, updateErrors } from "./support/kind-cases.ts";

const podWith = (volumes: Volume[], container: object = {}): Pod => ({
  metadata: { name: "web", namespace: "default" },
  spec: { containers: [{ name: "main", image: "nginx", ...container }], volumes, serviceAccountName: "default" },
});
const claimTemplate = { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } } };

const V = "spec.volumes[0]";
test.each<[string, Partial<Volume>, string[]]>([
  [
    "awsElasticBlockStore",
    { awsElasticBlockStore: { volumeID: "", partition: 256 } },
    [
      `${V}.awsElasticBlockStore.volumeID: Required value`,
      `${V}.awsElasticBlockStore.partition: Invalid value: 256: must be between 1 and 255, inclusive`,
    ],
  ],
  ["gcePersistentDisk", { gcePersistentDisk: { pdName: "" } }, [`${V}.persistentDisk.pdName: Required value`]],
  [
    "gitRepo",
    { gitRepo: { repository: "", directory: "../up" } },
    [
      `${V}.gitRepo.repository: Required value`,
      `${V}.gitRepo.directory: Invalid value: "../up": must not contain '..'`,
    ],
  ],
  [
    "iscsi",
    {
      iscsi: { targetPortal: "", iqn: "abc", lun: 256, chapAuthSession: true, initiatorName: "eui.short" },
    },
    [
      `${V}.iscsi.targetPortal: Required value`,
      `${V}.iscsi.iqn: Invalid value: "abc": must be valid format starting with iqn, eui, or naa`,
      `${V}.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive`,
      `${V}.iscsi.secretRef: Required value`,
      `${V}.iscsi.initiatorname: Invalid value: "eui.short": must be valid format`,
    ],
  ],
  [
    "a good iscsi",
    { iscsi: { targetPortal: "10.0.0.1:3260", iqn: "iqn.2001-04.com.example:storage.disk1", lun: 0 } },
    [],
  ],
  [
    "an iscsi of a long portal",
    {
      iscsi: {
        targetPortal: "p".repeat(64),
        iqn: "naa." + "0".repeat(32),
        lun: 0,
        initiatorName: "iqn.2001-04.com.example:a",
      },
    },
    [
      `${V}.name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.`,
    ],
  ],
  [
    "glusterfs",
    { glusterfs: { endpoints: "", path: "" } },
    [`${V}.glusterfs.endpoints: Required value`, `${V}.glusterfs.path: Required value`],
  ],
  [
    "flocker of nothing",
    { flocker: {} },
    [`${V}.flocker: Required value: one of datasetName and datasetUUID is required`],
  ],
  [
    "flocker of two",
    { flocker: { datasetName: "a/b", datasetUUID: "u" } },
    [
      `${V}.flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously`,
      `${V}.flocker.datasetName: Invalid value: "a/b": must not contain '/'`,
    ],
  ],
  [
    "rbd",
    { rbd: { monitors: [], image: "" } },
    [`${V}.rbd.monitors: Required value`, `${V}.rbd.image: Required value`],
  ],
  [
    "cinder",
    { cinder: { volumeID: "", secretRef: {} } },
    [`${V}.cinder.volumeID: Required value`, `${V}.cinder.secretRef.name: Required value`],
  ],
  ["cephfs", { cephfs: { monitors: [] } }, [`${V}.cephfs.monitors: Required value`]],
  [
    "quobyte",
    { quobyte: { registry: "host", volume: "" } },
    [
      `${V}.quobyte.volume: Required value`,
      `${V}.quobyte.registry: Invalid value: "host": must be a host:port pair or multiple pairs separated by commas`,
    ],
  ],
  [
    "fc of nothing",
    { fc: {} },
    [`${V}.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both`],
  ],
  [
    "fc of both",
    { fc: { targetWWNs: ["a"], wwids: ["b"] } },
    [
      `${V}.fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously`,
      `${V}.fc.lun: Required value: lun is required if targetWWNs is specified`,
    ],
  ],
  [
    "flexVolume",
    { flexVolume: { driver: "", options: { "kubernetes.io/a": "1", "x.k8s.io": "2", own: "3" } } },
    [
      `${V}.flexVolume.driver: Required value`,
      `${V}.flexVolume.options[kubernetes.io/a]: Invalid value: "kubernetes.io/a": kubernetes.io and k8s.io namespaces are reserved`,
      `${V}.flexVolume.options[x.k8s.io]: Invalid value: "x.k8s.io": kubernetes.io and k8s.io namespaces are reserved`,
    ],
  ],
  [
    "azureFile",
    { azureFile: { secretName: "", shareName: "" } },
    [`${V}.azureFile.secretName: Required value`, `${V}.azureFile.shareName: Required value`],
  ],
  [
    "azureDisk",
    { azureDisk: { diskName: "d", diskURI: "/x", kind: "Managed", cachingMode: "Some" } },
    [
      `${V}.azureDisk.cachingMode: Unsupported value: "Some": supported values: "None", "ReadOnly", "ReadWrite"`,
      `${V}.azureDisk.diskURI: Unsupported value: "/x": supported values: "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"`,
    ],
  ],
  ["vsphereVolume", { vsphereVolume: { volumePath: "" } }, [`${V}.vsphereVolume.volumePath: Required value`]],
  ["photonPersistentDisk", { photonPersistentDisk: { pdID: "" } }, [`${V}.photonPersistentDisk.pdID: Required value`]],
  ["portworxVolume", { portworxVolume: { volumeID: "" } }, [`${V}.portworxVolume.volumeID: Required value`]],
  [
    "scaleIO",
    { scaleIO: { gateway: "", system: "", volumeName: "v", secretRef: {} } },
    [`${V}.scaleIO.gateway: Required value`, `${V}.scaleIO.system: Required value`],
  ],
  [
    "storageos",
    { storageos: { secretRef: {} } },
    [`${V}.storageos.volumeName: Required value`, `${V}.storageos.secretRef.name: Required value`],
  ],
  [
    "nfs",
    { nfs: { server: "", path: "rel" } },
    [`${V}.nfs.server: Required value`, `${V}.nfs.path: Invalid value: "rel": must be an absolute path`],
  ],
  [
    "csi",
    { csi: { driver: "d".repeat(64), nodePublishSecretRef: {} } },
    [`${V}.csi.driver: Too long: may not be more than 63 bytes`, `${V}.csi.nodePublishSecretRef.name: Required value`],
  ],
  ["ephemeral of no template", { ephemeral: {} }, [`${V}.ephemeral.volumeClaimTemplate: Required value`]],
  ["a good ephemeral", { ephemeral: { volumeClaimTemplate: claimTemplate } }, []],
  [
    "ephemeral of a bad claim",
    { ephemeral: { volumeClaimTemplate: { metadata: { name: "own" }, spec: {} } } },
    [
      `${V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set`,
      `${V}.ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required`,
      `${V}.ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value`,
    ],
  ],
  [
    "a file of no source in downwardAPI",
    { downwardAPI: { items: [{ path: "a" }] } },
    [`${V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required`],
  ],
  [
    "two files of one path in a projected volume",
    {
      projected: {
        sources: [
          { secret: { name: "s", items: [{ key: "k", path: "a" }] } },
          { configMap: { name: "c", items: [{ key: "k", path: "a" }] } },
        ],
      },
    },
    [`${V}.projected: Invalid value: "c": conflicting duplicate paths`],
  ],
  [
    "a token that goes out of its volume",
    { projected: { sources: [{ serviceAccountToken: { path: "../a" } }, { serviceAccountToken: { path: "" } }] } },
    [`${V}.projected.path: Invalid value: "../a": must not contain '..'`, `${V}.projected.path: Required value`],
  ],
  [
    "a projection of two sources",
    { projected: { sources: [{ secret: { name: "s" }, configMap: { name: "c" } }] } },
    [`${V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source`],
  ],
])("a pod's volume: %s", (_, source, errors) => {
  expect(createErrors("pods", podWith([{ name: "v", ...source }]))).toEqual(errors);
});

const C = "spec.containers[0]";
test.each<[string, object, string[]]>([
  ["a device of a claim", { volumeDevices: [{ name: "claim", devicePath: "/dev/a" }] }, []],
  [
    "a device of no claim, one that goes up, and one of no volume",
    {
      volumeDevices: [
        { name: "empty", devicePath: "/dev/../a" },
        { name: "none", devicePath: "" },
      ],
    },
    [
      `${C}.volumeDevices[0].name: Invalid value: "empty": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode`,
      `${C}.volumeDevices[0].devicePath: Invalid value: "/dev/../a": can not contain backsteps ('..')`,
      `${C}.volumeDevices[1].name: Not found: "none"`,
      `${C}.volumeDevices[1].devicePath: Required value`,
    ],
  ],
  [
    "a device twice",
    {
      volumeDevices: [
        { name: "claim", devicePath: "/dev/a" },
        { name: "claim", devicePath: "/dev/a" },
      ],
    },
    [
      `${C}.volumeDevices[1].name: Invalid value: "claim": must be unique`,
      `${C}.volumeDevices[1].devicePath: Invalid value: "/dev/a": must be unique`,
    ],
  ],
  [
    "a device that is mounted too",
    {
      volumeMounts: [{ name: "claim", mountPath: "/dev/a" }],
      volumeDevices: [{ name: "claim", devicePath: "/dev/a" }],
    },
    [
      `${C}.volumeMounts[0].name: Invalid value: "claim": must not already exist in volumeDevices`,
      `${C}.volumeMounts[0].mountPath: Invalid value: "/dev/a": must not already exist as a path in volumeDevices`,
      `${C}.volumeDevices[0].name: Invalid value: "claim": must not already exist in volumeMounts`,
      `${C}.volumeDevices[0].devicePath: Invalid value: "/dev/a": must not already exist as a path in volumeMounts`,
    ],
  ],
])("a container's devices: %s", (_, container, errors) => {
  const volumes = [
    { name: "claim", persistentVolumeClaim: { claimName: "c" } },
    { name: "empty", emptyDir: {} },
  ];
  expect(createErrors("pods", podWith(volumes, container))).toEqual(errors);
});

const volume = (spec: PersistentVolumeSpec): PersistentVolume => ({
  metadata: { name: "pv" },
  spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], ...spec },
});

test.each<[string, PersistentVolumeSpec, string[]]>([
  ["a good one", { hostPath: { path: "/data" } }, []],
  ["no access modes", { accessModes: [], hostPath: { path: "/data" } }, ["spec.accessModes: Required value"]],
  [
    "a capacity of more than storage",
    { capacity: { cpu: "0" }, hostPath: { path: "/data" } },
    [
      'spec.capacity: Unsupported value: {"cpu":"0"}: supported values: "storage"',
      'spec.capacity[cpu]: Invalid value: "0": must be greater than zero',
    ],
  ],
  [
    "a path that goes up",
    { hostPath: { path: "/a/../b" } },
    [`spec.hostPath.path: Invalid value: "/a/../b": must not contain '..'`],
  ],
  [
    "affinity to nothing",
    { hostPath: { path: "/data" }, nodeAffinity: {} },
    ["spec.nodeAffinity.required: Required value: must specify required node constraints"],
  ],
  [
    "affinity of no terms",
    { hostPath: { path: "/data" }, nodeAffinity: { required: { nodeSelectorTerms: [] } } },
    ["spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"],
  ],
  [
    "csi with half a secret",
    { csi: { driver: "a.b", volumeHandle: "h", nodeStageSecretRef: {}, nodePublishSecretRef: { name: "s" } } },
    ["spec.csi.nodePublishSecretRef.namespace: Required value"],
  ],
  [
    "attributes of no driver",
    { hostPath: { path: "/data" }, volumeAttributesClassName: "" },
    [
      "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
      "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
    ],
  ],
  [
    "cinder",
    { cinder: { volumeID: "v", secretRef: { name: "s" } } },
    ["spec.cinder.secretRef.namespace: Required value"],
  ],
  [
    "iscsi",
    { iscsi: { targetPortal: "p", iqn: "abc", lun: 0 } },
    ['spec.iscsi.iqn: Invalid value: "abc": must be valid format'],
  ],
])("a PersistentVolume: %s", (_, spec, errors) => {
  expect(createErrors("persistentvolumes", volume(spec))).toEqual(errors);
});

describe("a PersistentVolume that changes", () => {
  const term = (key: string) => ({ matchExpressions: [{ key, operator: "In", values: ["a"] }] });
  const good = volume({
    csi: { driver: "a.b", volumeHandle: "h" },
    nodeAffinity: { required: { nodeSelectorTerms: [term("failure-domain.beta.kubernetes.io/zone")] } },
  });
  test.each<[string, (spec: PersistentVolumeSpec) => void, string[]]>([
    ["a secret for growing", (s) => (s.csi!.controllerExpandSecretRef = { name: "s", namespace: "n" }), []],
    [
      "the handle",
      (s) => (s.csi!.volumeHandle = "other"),
      ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
    ],
    [
      "the newer name of a label",
      (s) => (s.nodeAffinity!.required!.nodeSelectorTerms = [term("topology.kubernetes.io/zone")]),
      [],
    ],
    [
      "another label",
      (s) => (s.nodeAffinity!.required!.nodeSelectorTerms = [term("other")]),
      [
        'nodeAffinity: Invalid value: {"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"other","operator":"In","values":["a"]}]}]}}: field is immutable, except for updating from beta label to GA',
      ],
    ],
    ["its mode", (s) => (s.volumeMode = "Block"), ['volumeMode: Invalid value: "Block": field is immutable']],
  ])("%s", (_, change, errors) => {
    expect(updateErrors("persistentvolumes", good, (object) => change(object.spec!))).toEqual(errors);
  });
});

const claim = (): PersistentVolumeClaim => ({
  metadata: { name: "c", namespace: "default" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } },
});

describe("a claim", () => {
  test("must say how much, and of what it is a copy in one way", () => {
    const bad = claim();
    bad.spec!.resources = {};
    bad.spec!.dataSource = { kind: "VolumeSnapshot", name: "s", apiGroup: "snapshot.storage.k8s.io" };
    bad.spec!.dataSourceRef = { kind: "VolumeSnapshot", name: "s" };
    expect(createErrors("persistentvolumeclaims", bad)).toEqual([
      "spec.resources[storage]: Required value",
      `spec.dataSourceRef: Invalid value: "VolumeSnapshot": must be 'PersistentVolumeClaim' when referencing the default apiGroup`,
      "spec: Invalid value: {}: must match dataSourceRef",
    ]);
  });

  const immutable =
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
  const bound = (object: PersistentVolumeClaim, capacity: string): void => {
    object.status = { phase: "Bound", capacity: { storage: capacity } };
  };
  const change = (prepare: (old: PersistentVolumeClaim) => void, then: (next: PersistentVolumeClaim) => void) => {
    const old = claim();
    prepare(old);
    return updateErrors("persistentvolumeclaims", old, then, (stored) => {
      if (old.status !== undefined) stored.status = old.status;
    });
  };

  test("of no class gets the default class later, and keeps the one it has", () => {
    expect(
      change(
        () => {},
        (next) => (next.spec!.storageClassName = "standard"),
      ),
    ).toEqual([]);
    const named = (old: PersistentVolumeClaim) => (old.spec!.storageClassName = "slow");
    expect(change(named, (next) => (next.spec!.storageClassName = "standard"))).toEqual([immutable]);
    const none = (old: PersistentVolumeClaim) => (old.spec!.storageClassName = "");
    expect(change(none, (next) => (next.spec!.storageClassName = "standard"))).toEqual([immutable]);
  });

  test("that is bound grows, and shrinks to more than it has", () => {
    const ask = (storage: string) => (next: PersistentVolumeClaim) => (next.spec!.resources!.requests = { storage });
    expect(change(() => {}, ask("3Gi"))).toEqual([immutable]);
    expect(change((old) => bound(old, "1Gi"), ask("3Gi"))).toEqual([]);
    expect(change((old) => bound(old, "1Gi"), ask("1500Mi"))).toEqual([]);
    expect(change((old) => bound(old, "1Gi"), ask("1Gi"))).toEqual([
      "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
    ]);
  });

  test("keeps the attributes that its volume has got", () => {
    const prepare = (old: PersistentVolumeClaim): void => {
      bound(old, "2Gi");
      old.spec!.volumeAttributesClassName = "gold";
      old.status!.currentVolumeAttributesClassName = "gold";
    };
    expect(change(prepare, (next) => delete next.spec!.volumeAttributesClassName)).toEqual([
      "spec.volumeAttributesClassName: Forbidden: update to nil is forbidden when status.currentVolumeAttributesClassName is not nil",
    ]);
  });
});

test("a volume inside a VolumeAttachment is of a driver, and bound to nothing", () => {
  const attachment: VolumeAttachment = {
    metadata: { name: "a" },
    spec: {
      attacher: "a.b",
      nodeName: "n",
      source: {
        inlineVolumeSpec: {
          hostPath: { path: "/x" },
          capacity: { storage: "1Gi" },
          accessModes: ["ReadWriteOnce"],
          volumeMode: "Block",
        },
      },
    },
  };
  const at = "spec.source.inlineVolumeSpec";
  expect(createErrors("volumeattachments.storage.k8s.io", attachment)).toEqual([
    `${at}.capacity: Forbidden: may not be specified in the context of inline volumes`,
    `${at}.csi: Required value: has to be specified in the context of inline volumes`,
    `${at}.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline volumes`,
  ]);
});
