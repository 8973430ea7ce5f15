// The lives of the kinds that only an api-server is needed for.
import { expect } from "vitest";
import { conformsShared } from "./conforms.ts";
import { type LifecycleKind, walkLifecycle } from "./lifecycle.ts";
import type { SharedCluster } from "./shared-cluster.ts";

type Wish = Omit<LifecycleKind, "namespace"> & { readonly namespaced?: boolean };

/** A row that is a walk through one kind's life, and `more` on the same cluster. */
function walk(area: string, behaviour: string, wish: Wish, more?: (c: SharedCluster) => Promise<void>): void {
  conformsShared(area)(behaviour, async (c) => {
    const { namespaced, ...kind } = wish;
    const namespace = namespaced === true ? await c.namespace(wish.plural) : undefined;
    await walkLifecycle(c.api, { ...kind, ...(namespace === undefined ? {} : { namespace }) });
    await more?.(c);
  });
}

const condition = {
  status: "True",
  reason: "E2E",
  message: "Set by a test",
  lastTransitionTime: "2025-01-01T00:00:00Z",
};

walk("APF", "FlowSchema v1: discovery + full CRUD/watch/deletecollection + status", {
  groupVersion: "flowcontrol.apiserver.k8s.io/v1",
  plural: "flowschemas",
  kind: "FlowSchema",
  body: (n) => ({
    spec: {
      matchingPrecedence: 9_000 + n,
      priorityLevelConfiguration: { name: "global-default" },
      distinguisherMethod: { type: "ByUser" },
      rules: [
        {
          subjects: [{ kind: "User", user: { name: "example-e2e-non-existent-user" } }],
          nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
        },
      ],
    },
  }),
  change: {
    spec: { matchingPrecedence: 9_999, priorityLevelConfiguration: { name: "global-default" } },
  },
  status: { conditions: [{ ...condition, type: "Tested" }] },
});

walk("APF", "PriorityLevelConfiguration v1: discovery + full CRUD/watch/deletecollection + status", {
  groupVersion: "flowcontrol.apiserver.k8s.io/v1",
  plural: "prioritylevelconfigurations",
  kind: "PriorityLevelConfiguration",
  body: (n) => ({
    spec: { type: "Limited", limited: { nominalConcurrencyShares: 2 + n, limitResponse: { type: "Reject" } } },
  }),
  change: {
    spec: { type: "Limited", limited: { nominalConcurrencyShares: 4, limitResponse: { type: "Reject" } } },
  },
  status: { conditions: [{ ...condition, type: "Busy" }] },
});

walk("EndpointSlice", "discovery.k8s.io/v1 CRUD/watch", {
  groupVersion: "discovery.k8s.io/v1",
  plural: "endpointslices",
  kind: "EndpointSlice",
  namespaced: true,
  body: (n) => ({
    addressType: "IPv4",
    endpoints: [{ addresses: [`192.0.2.${n + 1}`], conditions: { ready: true } }],
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
  }),
  change: { ports: [{ name: "http", port: 81, protocol: "TCP" }] },
});

walk("Ingress API", "Ingress v1 CRUD/watch/status", {
  groupVersion: "networking.k8s.io/v1",
  plural: "ingresses",
  kind: "Ingress",
  namespaced: true,
  body: () => ({ spec: { defaultBackend: { service: { name: "default-backend", port: { number: 80 } } } } }),
  change: { spec: { defaultBackend: { service: { name: "other", port: { name: "web" } } } } },
  status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } },
});

walk("Ingress API", "IngressClass v1 CRUD/watch", {
  groupVersion: "networking.k8s.io/v1",
  plural: "ingressclasses",
  kind: "IngressClass",
  body: (n) => ({ spec: { controller: `example.com/controller-${n}` } }),
});

walk("ServiceCIDR API", "IPAddress v1 CRUD/watch", {
  groupVersion: "networking.k8s.io/v1",
  plural: "ipaddresses",
  kind: "IPAddress",
  name: (n) => `192.168.1.${n + 1}`,
  body: () => ({ spec: { parentRef: { group: "", resource: "services", namespace: "foo", name: "test" } } }),
});

walk("ServiceCIDR API", "ServiceCIDR v1 CRUD/watch/status", {
  groupVersion: "networking.k8s.io/v1",
  plural: "servicecidrs",
  kind: "ServiceCIDR",
  body: (n) => ({ spec: { cidrs: [`10.${100 + n}.0.0/24`] } }),
  status: { conditions: [{ ...condition, type: "StatusPatched" }] },
});

for (const [behaviour, plural, kind, body, change, status] of [
  [
    "DeviceClass v1 CRUD",
    "deviceclasses",
    "DeviceClass",
    { spec: { selectors: [{ cel: { expression: 'device.driver == "example.com"' } }] } },
    { spec: { selectors: [{ cel: { expression: 'device.driver == "other.example.com"' } }] } },
    undefined,
  ],
  [
    "ResourceSlice v1 CRUD",
    "resourceslices",
    "ResourceSlice",
    {
      spec: {
        driver: "dra.example.com",
        nodeName: "some-node",
        pool: { name: "some-node", generation: 1, resourceSliceCount: 3 },
        devices: [{ name: "device-0" }],
      },
    },
    undefined,
    undefined,
  ],
] as const) {
  walk("DRA API", behaviour, {
    groupVersion: "resource.k8s.io/v1",
    plural,
    kind,
    body: () => body,
    ...(change === undefined ? {} : { change }),
    ...(status === undefined ? {} : { status }),
  });
}

walk("DRA API", "ResourceClaim v1 CRUD + status", {
  groupVersion: "resource.k8s.io/v1",
  plural: "resourceclaims",
  kind: "ResourceClaim",
  namespaced: true,
  body: () => ({ spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "example" } }] } } }),
  status: {
    allocation: { devices: { results: [{ request: "r", driver: "dra.example.com", pool: "p", device: "d" }] } },
  },
});

walk("RuntimeClass", "node.k8s.io/v1 CRUD/watch", {
  groupVersion: "node.k8s.io/v1",
  plural: "runtimeclasses",
  kind: "RuntimeClass",
  body: (n) => ({ handler: `handler-${n}` }),
});

walk("CSIDriver", "lifecycle", {
  groupVersion: "storage.k8s.io/v1",
  plural: "csidrivers",
  kind: "CSIDriver",
  body: () => ({ spec: { attachRequired: true, podInfoOnMount: false } }),
});

walk("CSINode", "lifecycle", {
  groupVersion: "storage.k8s.io/v1",
  plural: "csinodes",
  kind: "CSINode",
  body: (n) => ({ spec: { drivers: [{ name: "csi.example.com", nodeID: `node-id-${n}`, topologyKeys: ["zone"] }] } }),
});

walk("CSIStorageCapacity", "CRUD/watch", {
  groupVersion: "storage.k8s.io/v1",
  plural: "csistoragecapacities",
  kind: "CSIStorageCapacity",
  namespaced: true,
  body: () => ({ storageClassName: "example.com", capacity: "1Gi" }),
  change: { capacity: "2Gi" },
});

walk("StorageClass", "lifecycle", {
  groupVersion: "storage.k8s.io/v1",
  plural: "storageclasses",
  kind: "StorageClass",
  body: () => ({ provisioner: "csi.example.com", reclaimPolicy: "Delete", parameters: { quality: "high" } }),
});

const attachment = (n: number): object => ({
  spec: {
    attacher: "csi.example.com",
    nodeName: `no-such-node-${n}`,
    source: { persistentVolumeName: `pv-${n}` },
  },
});

walk("VolumeAttachment", "lifecycle", {
  groupVersion: "storage.k8s.io/v1",
  plural: "volumeattachments",
  kind: "VolumeAttachment",
  body: attachment,
});

walk("VolumeAttachment", "status patch/update", {
  groupVersion: "storage.k8s.io/v1",
  plural: "volumeattachments",
  kind: "VolumeAttachment",
  body: attachment,
  status: { attached: true },
});

walk("VolumeAttributesClass", "lifecycle", {
  groupVersion: "storage.k8s.io/v1",
  plural: "volumeattributesclasses",
  kind: "VolumeAttributesClass",
  body: () => ({ driverName: "csi.example.com", parameters: { iops: "100" } }),
});

walk("PodTemplate", "create/patch/list/delete", {
  groupVersion: "v1",
  plural: "podtemplates",
  kind: "PodTemplate",
  namespaced: true,
  body: () => ({ template: { spec: { containers: [{ name: "nginx", image: "example.test/nginx:1" }] } } }),
});

conformsShared("PodTemplate")("replace", async ({ api, namespace }) => {
  const templates = api.resource("v1", "podtemplates", await namespace("podtemplate"));
  const made = await templates.create({
    metadata: { name: "replaced", labels: { round: "0" } },
    template: { spec: { containers: [{ name: "nginx", image: "example.test/nginx:1" }] } },
  });
  const template = { spec: { containers: [{ name: "nginx", image: "example.test/nginx:2" }] } };
  const replaced = await templates.replace({
    ...made,
    metadata: { ...made.metadata, labels: { round: "1" } },
    template,
  });
  expect(replaced).toMatchObject({ metadata: { labels: { round: "1" } }, template });
  expect(await templates.get("replaced")).toMatchObject({ metadata: { labels: { round: "1" } }, template });
});

walk("lease", "Lease create/get/update/patch/list/delete", {
  groupVersion: "coordination.k8s.io/v1",
  plural: "leases",
  kind: "Lease",
  namespaced: true,
  body: () => ({ spec: { holderIdentity: "holder", leaseDurationSeconds: 30, leaseTransitions: 0 } }),
  change: { spec: { holderIdentity: "holder2", leaseDurationSeconds: 60, leaseTransitions: 1 } },
});

walk("ConfigMap API", "lifecycle with watch", {
  groupVersion: "v1",
  plural: "configmaps",
  kind: "ConfigMap",
  namespaced: true,
  body: () => ({ data: { valueName: "value" } }),
  change: { data: { valueName: "value1" } },
});

walk("CronJob", "batch/v1 CronJob full CRUD, watch, status", {
  groupVersion: "batch/v1",
  plural: "cronjobs",
  kind: "CronJob",
  namespaced: true,
  body: () => ({
    spec: {
      schedule: "* */1 * * ?",
      suspend: true,
      concurrencyPolicy: "Allow",
      jobTemplate: {
        spec: {
          template: { spec: { restartPolicy: "OnFailure", containers: [{ name: "c", image: "example.test/c:1" }] } },
        },
      },
    },
  }),
  status: { lastScheduleTime: "2025-01-01T00:00:00Z" },
});
