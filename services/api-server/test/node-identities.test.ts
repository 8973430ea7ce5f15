// What kubelets and packs of simulated kubelets may do: everything for their own nodes, nothing for others.
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import {
  CERTIFICATE_SIGNING_REQUESTS,
  CONFIG_MAPS,
  CSI_DRIVERS,
  CSI_NODES,
  LEASES,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  RESOURCE_CLAIMS,
  RESOURCE_SLICES,
  SECRETS,
  VOLUME_ATTACHMENTS,
  type DeviceResourceClaim,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type ResourceSlice,
} from "@coxswain/api";
import { NODE_DISK_FINALIZER, NODE_DISK_LABEL } from "@coxswain/api/storage-v1/storage-class/node-disk";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ListOptions, ResourceClient } from "@coxswain/client";
import type { UserInfo } from "@coxswain/component-base";
import { createSigningRequest } from "@coxswain/component-base/identity/signing-requests";
import { createInProcessClient } from "../src/client/in-process-client.ts";
import { createNodeRestriction } from "../src/admission/node-restriction.ts";
import { ALLOWED, alwaysAllow, AuthorizerChain, NO_OPINION, type ChainLink } from "../src/auth/authorizer-chain.ts";
import { nodeIdentityOf } from "../src/auth/node-identity.ts";
import { createNodeAuthorizer } from "../src/auth/node-authorizer.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;

const pod = (name: string, node: string, spec: object = {}): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: { nodeName: node, containers: [{ name: "c", image: "i" }], ...spec },
});

const as = (user: UserInfo): ResourceClient =>
  createInProcessClient({ pipeline: server.api.pipeline, user, env: server.env });

/** Of nodes the authorizer before it decides, but for writes of volumes, which admission is to look at. */
const notOfNodes: ChainLink = {
  ...alwaysAllow,
  authorize({ user, resource, verb }) {
    const writes = resource === "persistentvolumes" && (verb === "patch" || verb === "delete");
    return writes || nodeIdentityOf(user) === undefined ? ALLOWED : NO_OPINION;
  },
};

const MERGE = "application/merge-patch+json";
const KUBELET: UserInfo = { username: "system:node:sim-1", groups: ["system:nodes"] };
const PACK: UserInfo = { username: "system:node-pack:sim-0-4", groups: ["system:node-packs"] };
const IDENTITIES = [
  ["a kubelet", KUBELET],
  ["a pack", PACK],
] as const;

beforeAll(async () => {
  server = await startTestServer({
    authorizer: (source) => new AuthorizerChain([createNodeAuthorizer(source), notOfNodes]),
  });
  const { client } = server;
  await client.create(CSI_DRIVERS, {
    apiVersion: "storage.k8s.io/v1",
    kind: "CSIDriver",
    metadata: { name: "tokens.example.com" },
    spec: { tokenRequests: [{ audience: "driver" }] },
  });
  for (const node of ["sim-1", "sim-9"]) {
    await client.create(NODES, { apiVersion: "v1", kind: "Node", metadata: { name: node } });
    const metadata = { name: node, namespace: "kube-node-lease" };
    await client.create(LEASES, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata });
    for (const kind of ["ConfigMap", "Secret"]) {
      const ref = kind === "Secret" ? SECRETS : CONFIG_MAPS;
      for (const use of ["volume", "env", "projected", "pull"]) {
        await client.create(ref, {
          apiVersion: "v1",
          kind,
          metadata: { name: `${use}-${node}`, namespace: "default" },
        });
      }
    }
    await client.create(PODS, pod(`pod-${node}`, node, uses(node)));
    for (const name of [`data-${node}`, `pod-${node}-scratch`]) {
      await client.create(PERSISTENT_VOLUME_CLAIMS, claim(name, `pv-${name}`));
      await client.create(PERSISTENT_VOLUMES, volume(`pv-${name}`, name, node));
    }
    for (const name of [`stage-${node}`, `control-${node}`]) {
      await client.create(SECRETS, { apiVersion: "v1", kind: "Secret", metadata: { name, namespace: "default" } });
    }
    await client.create(VOLUME_ATTACHMENTS, {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata: { name: `attached-${node}` },
      spec: { attacher: "d.example.com", nodeName: node, source: { persistentVolumeName: `pv-data-${node}` } },
    });
    await client.create(PERSISTENT_VOLUMES, onDisk(node));
    await client.create(RESOURCE_CLAIMS, deviceClaim(`gpu-${node}`));
    await client.create(RESOURCE_SLICES, slice(`slice-${node}`, node));
  }
});

const deviceClaim = (name: string): DeviceResourceClaim => ({
  apiVersion: "resource.k8s.io/v1",
  kind: "ResourceClaim",
  metadata: { name, namespace: "default" },
  spec: { devices: { requests: [{ name: "r", exactly: { deviceClassName: "gpu" } }] } },
});

const slice = (name: string, nodeName: string): ResourceSlice => ({
  apiVersion: "resource.k8s.io/v1",
  kind: "ResourceSlice",
  metadata: { name },
  spec: {
    driver: "gpu.example",
    nodeName,
    pool: { name: nodeName, generation: 1, resourceSliceCount: 1 },
    devices: [{ name: "d" }],
  },
});

const modes = { accessModes: ["ReadWriteOnce"] };

const claim = (name: string, volumeName: string): PersistentVolumeClaim => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace: "default" },
  spec: { ...modes, volumeName, resources: { requests: { storage: "1Gi" } } },
});

/** A folder, or, with the node that stages it, a driver's. */
const volume = (name: string, forClaim?: string, node?: string): PersistentVolume => ({
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name },
  spec: {
    ...modes,
    capacity: { storage: "1Gi" },
    ...(node === undefined
      ? { hostPath: { path: "/srv" } }
      : {
          csi: {
            driver: "d.example.com",
            volumeHandle: name,
            nodeStageSecretRef: { namespace: "default", name: `stage-${node}` },
            controllerPublishSecretRef: { namespace: "default", name: `control-${node}` },
          },
        }),
    ...(forClaim === undefined ? {} : { claimRef: { namespace: "default", name: forClaim } }),
  },
});

const onDisk = (node: string): PersistentVolume => {
  const made = volume(`disk-${node}`);
  return {
    ...made,
    metadata: { ...made.metadata, labels: { [NODE_DISK_LABEL]: node }, finalizers: [NODE_DISK_FINALIZER] },
  };
};

afterAll(async () => {
  await server.stop();
});

function uses(node: string): object {
  return {
    serviceAccountName: "default",
    imagePullSecrets: [{ name: `pull-${node}` }],
    resourceClaims: [{ name: "gpu", resourceClaimName: `gpu-${node}` }],
    volumes: [
      { name: "a", configMap: { name: `volume-${node}` } },
      { name: "b", secret: { secretName: `volume-${node}` } },
      {
        name: "c",
        projected: {
          sources: [
            { configMap: { name: `projected-${node}` } },
            { secret: { name: `projected-${node}` } },
            { serviceAccountToken: { path: "own", expirationSeconds: 600 } },
            { serviceAccountToken: { path: "vault", audience: "vault", expirationSeconds: 600 } },
          ],
        },
      },
      { name: "e", csi: { driver: "tokens.example.com" } },
      { name: "d", persistentVolumeClaim: { claimName: `data-${node}` } },
      {
        name: "scratch",
        ephemeral: { volumeClaimTemplate: { spec: { ...modes, resources: { requests: { storage: "1Gi" } } } } },
      },
    ],
    initContainers: [{ name: "i", image: "i", envFrom: [{ secretRef: { name: `env-${node}` } }] }],
    containers: [
      {
        name: "c",
        image: "i",
        env: [{ name: "A", valueFrom: { configMapKeyRef: { name: `env-${node}`, key: "k" } } }],
      },
    ],
  };
}

describe.each(IDENTITIES)("%s", (what, user) => {
  test("reads the claims of devices that its pods use, and keeps the slices of its own nodes", async () => {
    const client = as(user);
    const [forbidden, own] = [{ code: 403 }, what.replaceAll(" ", "-")];
    await client.get(RESOURCE_CLAIMS, { namespace: "default", name: "gpu-sim-1" });
    await expect(client.get(RESOURCE_CLAIMS, { namespace: "default", name: "gpu-sim-9" })).rejects.toThrow(
      "no relationship found between node",
    );
    const made = await client.create(RESOURCE_SLICES, slice(own, "sim-1"));
    await expect(client.create(RESOURCE_SLICES, slice("other", "sim-9"))).rejects.toThrow(
      "can only create ResourceSlice with the same NodeName as the requesting node",
    );
    await vi.waitFor(() => expect(server.api.source.get(RESOURCE_SLICES, "", own)).toBeDefined());
    await client.update(RESOURCE_SLICES, { ...made, spec: { ...made.spec, devices: [] } });
    const foreign = slice("slice-sim-9", "sim-9");
    await expect(client.update(RESOURCE_SLICES, foreign)).rejects.toMatchObject(forbidden);
    await client.list(RESOURCE_SLICES, { fieldSelector: "spec.nodeName=sim-1" });
    await expect(client.list(RESOURCE_SLICES, { fieldSelector: "spec.nodeName=sim-9" })).rejects.toThrow(
      "can only list/watch/deletecollection resourceslices with nodeName field selector",
    );
    await expect(client.list(RESOURCE_SLICES)).rejects.toMatchObject(forbidden);
    await client.delete(RESOURCE_SLICES, { name: own });
    await expect(client.delete(RESOURCE_SLICES, { name: "slice-sim-9" })).rejects.toMatchObject(forbidden);
  });

  test("does not say which claims a pod has", async () => {
    const status = { status: { resourceClaimStatuses: [{ name: "gpu", resourceClaimName: "gpu-sim-9" }] } };
    const target = { namespace: "default", name: "pod-sim-1" };
    await expect(as(user).patch(PODS, target, MERGE, status, { subresource: "status" })).rejects.toThrow(
      "cannot update resource claim statues",
    );
  });

  test("changes the status of its own nodes' pods only", async () => {
    const client = as(user);
    const status = { status: { phase: "Running" } };
    const key = (node: string) => ({ namespace: "default", name: `pod-${node}` });
    const options = { subresource: "status" } as const;
    await client.patch(PODS, key("sim-1"), MERGE, status, options);
    await expect(client.patch(PODS, key("sim-9"), MERGE, status, options)).rejects.toMatchObject({ code: 403 });
    await expect(client.delete(PODS, key("sim-9"))).rejects.toThrow("can only delete pods with spec.nodeName set");
  });

  test("reads the pods, the Nodes and the Leases of its own nodes only", async () => {
    const client = as(user);
    const key = (node: string) => ({ namespace: "default", name: `pod-${node}` });
    const lease = (name: string) => ({ namespace: "kube-node-lease", name });
    await client.get(PODS, key("sim-1"));
    await client.get(NODES, { name: "sim-1" });
    await client.get(LEASES, lease("sim-1"));
    await expect(client.get(PODS, key("sim-9"))).rejects.toThrow("no relationship found between node");
    await expect(client.get(NODES, { name: "sim-9" })).rejects.toThrow("only its own Node object");
    await expect(client.get(LEASES, lease("sim-9"))).rejects.toThrow("same name as the requesting node");
    const leader = { namespace: "kube-system", name: "sim-1" };
    await expect(client.get(LEASES, leader)).rejects.toThrow(
      'can only access leases in the "kube-node-lease" system namespace',
    );
    const names = async (ref: typeof PODS, fieldSelector?: string): Promise<(string | undefined)[]> =>
      (await client.list(ref, fieldSelector === undefined ? {} : { fieldSelector })).items.map(
        ({ metadata }) => metadata?.name,
      );
    expect(await names(PODS, "spec.nodeName=sim-1")).toEqual(["pod-sim-1"]);
    expect(await names(NODES, "metadata.name=sim-1")).toEqual(["sim-1"]);
    if (what === "a pack") {
      // It follows all of them.
      expect(await names(NODES)).toHaveLength(2);
      expect(await names(PODS)).toHaveLength(2);
      return;
    }
    for (const selector of [undefined, "spec.nodeName=sim-9", "spec.nodeName!=sim-1", "status.phase=Running"]) {
      await expect(names(PODS, selector)).rejects.toThrow("can only list/watch pods with spec.nodeName field selector");
    }
    for (const selector of [undefined, "metadata.name=sim-9"]) {
      await expect(names(NODES, selector)).rejects.toThrow("only its own Node object");
    }
  });

  test("reads the volumes of its pods' claims, the Secrets of those volumes, and which are attached to its own nodes", async () => {
    const client = as(user);
    const none = "no relationship found between node";
    for (const [node, may] of [
      ["sim-1", true],
      ["sim-9", false],
    ] as const) {
      for (const read of [
        () => client.get(PERSISTENT_VOLUMES, { name: `pv-data-${node}` }),
        () => client.get(SECRETS, { namespace: "default", name: `stage-${node}` }),
        () => client.get(VOLUME_ATTACHMENTS, { name: `attached-${node}` }),
      ]) {
        await (may ? expect(read()).resolves.toBeDefined() : expect(read()).rejects.toThrow(none));
      }
    }
    await expect(client.get(SECRETS, { namespace: "default", name: "control-sim-1" })).rejects.toThrow(none);
    await expect(client.list(VOLUME_ATTACHMENTS)).rejects.toThrow("can only get individual resources of this type");
  });

  test("tells how a claim of its pods has grown, and nothing else of it", async () => {
    const client = as(user);
    const target = { namespace: "default", name: "data-sim-1" };
    const patch = (status: object) =>
      client.patch(PERSISTENT_VOLUME_CLAIMS, target, MERGE, { status }, { subresource: "status" });
    await patch({ capacity: { storage: `${what.length}Gi` } });
    await expect(patch({ phase: "Lost" })).rejects.toThrow(
      "is not allowed to update fields other than status.quantity and status.conditions",
    );
  });

  test("keeps the CSINode of its own nodes only", async () => {
    const client = as(user);
    const csiNode = (name: string) => ({
      apiVersion: "storage.k8s.io/v1",
      kind: "CSINode",
      metadata: { name },
      spec: { drivers: [] },
    });
    await client.create(CSI_NODES, csiNode("sim-1"));
    await client.get(CSI_NODES, { name: "sim-1" });
    await client.delete(CSI_NODES, { name: "sim-1" });
    const refused = "can only access CSINode with the same name as the requesting node";
    await expect(client.create(CSI_NODES, csiNode("sim-9"))).rejects.toThrow(refused);
    await expect(client.get(CSI_NODES, { name: "sim-9" })).rejects.toThrow(refused);
    await expect(client.delete(CSI_NODES, { name: "sim-9" })).rejects.toThrow(refused);
  });

  test("asks for tokens of its pods' accounts, for those alone whom the pods' volumes have tokens for", async () => {
    const ask = async (node: string, ...audiences: string[]) => {
      const found = server.api.source.get(PODS, "default", `pod-${node}`)?.object;
      const uid = found?.metadata?.uid;
      return askFor({ apiVersion: "v1", kind: "Pod", name: `pod-${node}`, uid }, ...audiences);
    };
    const askFor = async (boundObjectRef: object | undefined, ...audiences: string[]) => {
      const admission = createNodeRestriction(server.api.source, {
        authorize: ({ resource, verb }) => ({
          allowed: resource === "granted" && verb === "request-serviceaccounts-token-audience",
          reason: "",
        }),
      });
      return admission.validate?.({
        operation: "CREATE",
        kind: { group: "", resource: "serviceaccounts" },
        subresource: "token",
        namespace: "default",
        name: "default",
        request: { user },
        object: { spec: { audiences, boundObjectRef } },
      } as never);
    };
    await ask("sim-1", "vault");
    await ask("sim-1", "driver");
    await ask("sim-1");
    await ask("sim-1", "granted");
    await expect(ask("sim-1", "other")).rejects.toThrow(
      `audience "other" not found in pod spec volume, ${user.username} is not authorized to request tokens for this audience`,
    );
    await expect(ask("sim-1", "vault", "driver")).rejects.toThrow("node may only request 0 or 1 audiences");
    await expect(ask("sim-9", "vault")).rejects.toThrow("bound to a pod scheduled on a different node");
    const bound = { apiVersion: "v1", kind: "Pod", name: "pod-sim-1", uid: "7" };
    for (const [reference, why] of [
      [undefined, "node requested token not bound to a pod"],
      [{ ...bound, apiVersion: "v2" }, "node requested token not bound to a pod"],
      [{ ...bound, uid: undefined }, "node requested token with a pod binding without a uid"],
      [{ ...bound, name: "none" }, 'pods "none" not found'],
      [bound, "the UID in the bound object reference (7) does not match the UID in record."],
    ] as const) {
      await expect(askFor(reference)).rejects.toThrow(why);
    }
  });

  test("gives its Nodes the labels of kubelets, and no others of Kubernetes' own", async () => {
    const client = as(user);
    const patch = (labels: Record<string, string | null>, more: object = {}) =>
      client.patch(NODES, { name: "sim-1" }, MERGE, { metadata: { labels, ...more } });
    await patch({ "node.kubernetes.io/instance-type": "small", "example.com/rack": "a" });
    const restricted = { "node-restriction.kubernetes.io/fips": "true", "node-role.kubernetes.io/control-plane": "" };
    await expect(patch(restricted)).rejects.toThrow(
      "is not allowed to modify labels: node-restriction.kubernetes.io/fips, node-role.kubernetes.io/control-plane",
    );
    const node = { apiVersion: "v1", kind: "Node", metadata: { name: "sim-1x", labels: restricted } };
    const admission = createNodeRestriction(server.api.source);
    const creates = { operation: "CREATE", kind: { group: "", resource: "nodes" }, name: "sim-1", request: { user } };
    expect(() => admission.validate?.({ ...creates, object: node } as never)).toThrow(
      "is not allowed to set the following labels: node-restriction.kubernetes.io/fips",
    );
    const ownerReferences = [{ apiVersion: "v1", kind: "Node", name: "sim-9", uid: "u" }];
    await expect(patch({}, { ownerReferences })).rejects.toThrow("is not allowed to modify ownerReferences");
  });

  test("makes mirror pods that belong to their Node and name nothing", async () => {
    const uid = server.api.source.get(NODES, "", "sim-1")?.object.metadata?.uid;
    const owner = { apiVersion: "v1", kind: "Node", name: "sim-1", uid, controller: true };
    const admission = createNodeRestriction(server.api.source);
    const make = (owners: object[], spec: object = {}) => {
      const annotations = { "kubernetes.io/config.mirror": "x" };
      const metadata = { name: "static-sim-1", annotations, ownerReferences: owners };
      const object = { metadata, spec: { nodeName: "sim-1", containers: [], ...spec } };
      const attributes = { operation: "CREATE", kind: { group: "", resource: "pods" }, name: "static-sim-1", object };
      return admission.validate?.({ ...attributes, subresource: "", request: { user } } as never);
    };
    void make([owner]);
    const refused: [object[], object, string][] = [
      [[], {}, "can only create pods with an owner reference set to itself"],
      [[owner, owner], {}, "can only create pods with a single owner reference set to itself"],
      [[{ ...owner, name: "sim-9" }], {}, "can only create pods with an owner reference set to itself"],
      [[{ ...owner, controller: false }], {}, "can only create pods with a controller owner reference set to itself"],
      [[{ ...owner, blockOwnerDeletion: true }], {}, "must not set blockOwnerDeletion on an owner reference"],
      [[{ ...owner, uid: "other" }], {}, `node sim-1 UID mismatch: expected other got ${uid}`],
      [[owner], { serviceAccountName: "default" }, "can not create pods that reference serviceaccounts"],
      [
        [owner],
        { volumes: [{ name: "v", secret: { secretName: "s" } }] },
        "can not create pods that reference secrets",
      ],
    ];
    for (const [owners, spec, message] of refused) expect(() => make(owners, spec), message).toThrow(message);
    const relabel = { metadata: { labels: { by: "it" } } };
    const target = { namespace: "default", name: "pod-sim-1" };
    await expect(as(user).patch(PODS, target, MERGE, relabel, { subresource: "status" })).rejects.toThrow(
      "cannot update labels through pod status",
    );
  });

  test("changes its own Node and Lease only", async () => {
    const client = as(user);
    const label = { metadata: { labels: { by: "it" } } };
    const lease = (name: string) => ({ namespace: "kube-node-lease", name });
    await client.patch(NODES, { name: "sim-1" }, MERGE, label);
    await client.patch(LEASES, lease("sim-1"), MERGE, label);
    await expect(client.patch(NODES, { name: "sim-9" }, MERGE, label)).rejects.toThrow('modify node "sim-9"');
    await expect(client.patch(LEASES, lease("sim-9"), MERGE, label)).rejects.toMatchObject({ code: 403 });
  });

  test("reads the ConfigMaps and Secrets that its pods name, and no others", async () => {
    const client = as(user);
    for (const use of ["volume", "env", "projected"]) {
      for (const ref of [CONFIG_MAPS, SECRETS]) {
        await client.get(ref, { namespace: "default", name: `${use}-sim-1` });
        const others = client.get(ref, { namespace: "default", name: `${use}-sim-9` });
        await expect(others).rejects.toThrow("no relationship found between node");
      }
    }
    await client.get(SECRETS, { namespace: "default", name: "pull-sim-1" });
    await expect(client.get(CONFIG_MAPS, { namespace: "default", name: "pull-sim-1" })).rejects.toMatchObject({
      code: 403,
    });
    const all: ListOptions = { namespace: "default" };
    await expect(client.list(SECRETS, all)).rejects.toThrow("No Object name found");
    const one = await client.list(SECRETS, { ...all, fieldSelector: "metadata.name=env-sim-1" });
    expect(one.items).toHaveLength(1);
  });
});

test.each(IDENTITIES)("%s asks for certificates of its own nodes only", async (_, user) => {
  const ask = async (commonName: string, signerName = "kubernetes.io/kubelet-serving") => {
    const { requestPem } = await createSigningRequest({ commonName, organizations: ["system:nodes"] });
    const request = Buffer.from(requestPem).toString("base64");
    return as(user).create(CERTIFICATE_SIGNING_REQUESTS, {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { generateName: "csr-" },
      spec: { signerName, request, usages: ["digital signature", "server auth"] },
    } as KubeObject);
  };
  const refused = `can only create a node CSR with CN=system:node:${user.username.split(":").at(-1)}`;
  await expect(ask("system:node:sim-9")).rejects.toThrow(refused);
  await expect(ask("anybody", "kubernetes.io/kube-apiserver-client-kubelet")).rejects.toThrow(refused);
  expect((await ask("system:node:sim-1")).metadata?.name).toMatch(/^csr-/);
  expect((await ask("anybody", "example.com/other")).metadata?.name).toMatch(/^csr-/);
});

describe.each(IDENTITIES)("of storage, %s", (what, user) => {
  test("reads the claims of its pods and their volumes, and no others", async () => {
    const client = as(user);
    for (const name of ["data", "pod"]) {
      const at = (node: string): string => (name === "pod" ? `pod-${node}-scratch` : `data-${node}`);
      await client.get(PERSISTENT_VOLUME_CLAIMS, { namespace: "default", name: at("sim-1") });
      await client.get(PERSISTENT_VOLUMES, { name: `pv-${at("sim-1")}` });
      const others = [
        client.get(PERSISTENT_VOLUME_CLAIMS, { namespace: "default", name: at("sim-9") }),
        client.get(PERSISTENT_VOLUMES, { name: `pv-${at("sim-9")}` }),
      ];
      for (const one of others) await expect(one).rejects.toThrow("no relationship found between node");
    }
  });

  test("lists the volumes on its own disks, by their label", async () => {
    const client = as(user);
    const names = async (labelSelector: string): Promise<(string | undefined)[]> =>
      (await client.list(PERSISTENT_VOLUMES, { labelSelector })).items.map(({ metadata }) => metadata?.name);
    expect(await names(`${NODE_DISK_LABEL}=sim-1`)).toEqual(["disk-sim-1"]);
    for (const selector of ["", "a=sim-1", `${NODE_DISK_LABEL}=sim-9`, `${NODE_DISK_LABEL}!=sim-1`]) {
      await expect(names(selector), selector).rejects.toThrow("can only list volumes on the disks of its own nodes");
    }
    if (what === "a pack") expect(await names(NODE_DISK_LABEL)).toEqual(["disk-sim-1", "disk-sim-9"]);
    else await expect(names(NODE_DISK_LABEL)).rejects.toMatchObject({ code: 403 });
  });

  test("takes its finalizer off its own volumes that are being deleted, and changes nothing else", async () => {
    const client = as(user);
    const told = { metadata: { finalizers: ["kubernetes.io/pv-protection"] } };
    const target = { name: "disk-sim-1" };
    const refused = "can only take the finalizer";
    await expect(client.patch(PERSISTENT_VOLUMES, target, MERGE, told)).rejects.toThrow(refused);
    await server.client.delete(PERSISTENT_VOLUMES, target);
    await server.client.delete(PERSISTENT_VOLUMES, { name: "disk-sim-9" });
    await expect(client.patch(PERSISTENT_VOLUMES, { name: "disk-sim-9" }, MERGE, told)).rejects.toThrow(refused);
    const more = { ...told, spec: { persistentVolumeReclaimPolicy: "Delete" } };
    await expect(client.patch(PERSISTENT_VOLUMES, target, MERGE, more)).rejects.toThrow(refused);
    await expect(client.delete(PERSISTENT_VOLUMES, target)).rejects.toThrow(refused);
    await client.patch(PERSISTENT_VOLUMES, target, MERGE, told);
    await server.client.patch(PERSISTENT_VOLUMES, target, MERGE, { metadata: { finalizers: [] } });
    // For the next identity.
    await server.client.create(PERSISTENT_VOLUMES, onDisk("sim-1"));
    await vi.waitUntil(() => server.api.source.get(PERSISTENT_VOLUMES, "", "disk-sim-1") !== undefined);
  });

  test("changes of claims the status, of those that its pods use", async () => {
    const client = as(user);
    const target = (node: string) => ({ namespace: "default", name: `data-${node}` });
    const label = { metadata: { labels: { by: "it" } } };
    const refused = { code: 403 };
    await expect(client.patch(PERSISTENT_VOLUME_CLAIMS, target("sim-1"), MERGE, label)).rejects.toMatchObject(refused);
    const status = { status: { capacity: { storage: "2Gi" } } };
    const tell = (node: string) =>
      client.patch(PERSISTENT_VOLUME_CLAIMS, target(node), MERGE, status, { subresource: "status" });
    await tell("sim-1");
    await expect(tell("sim-9")).rejects.toMatchObject(refused);
  });
});

test("a right to read ends with the pod", async () => {
  const { client } = server;
  const spec = { volumes: [{ name: "a", secret: { secretName: "volume-sim-9" } }] };
  await client.create(PODS, pod("guest", "sim-1", spec));
  const key = { namespace: "default", name: "volume-sim-9" };
  await vi.waitUntil(async () =>
    as(KUBELET)
      .get(SECRETS, key)
      .then(
        () => true,
        () => false,
      ),
  );
  await client.delete(PODS, { namespace: "default", name: "guest" }, { gracePeriodSeconds: 0 });
  await vi.waitUntil(() => server.api.source.get(PODS, "default", "guest") === undefined);
  await expect(as(KUBELET).get(SECRETS, key)).rejects.toMatchObject({ code: 403 });
});

test("a member of the nodes' group whose name is no node's may do nothing as a node", async () => {
  const client = as({ username: "unknown", groups: ["system:nodes"] });
  const unknown = 'unknown node for user "unknown"';
  await expect(client.get(NODES, { name: "sim-1" })).rejects.toThrow(unknown);
  await expect(client.delete(PODS, { namespace: "default", name: "pod-sim-1" })).rejects.toThrow(unknown);
  await expect(client.create(CSI_NODES, { metadata: { name: "x" } })).rejects.toThrow(unknown);
  const admission = createNodeRestriction(server.api.source);
  const attributes = { operation: "CREATE", kind: { group: "", resource: "events" }, name: "e" };
  const request = { user: { username: "unknown", groups: ["system:nodes"] } };
  expect(() => admission.validate?.({ ...attributes, request } as never)).toThrow(
    'could not determine node from user "unknown"',
  );
});
