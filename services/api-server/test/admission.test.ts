// Built-in admission that looks at other objects: limits, priorities, default classes, runtimes, requestors.
import type {
  CertificateSigningRequest,
  DeviceResourceClaim,
  Ingress,
  LimitRange,
  LimitRangeItem,
  Node,
  PersistentVolumeClaim,
  Pod,
} from "@coxswain/api";
import { kindFor, NODES, PODS, PRIORITY_CLASSES, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS } from "@coxswain/api";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import { createSigningRequest } from "@coxswain/component-base/identity/signing-requests";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createCertificateApproval, createCertificateSigning } from "../src/admission/certificate-permissions.ts";
import { limitErrors, podDemand } from "../src/admission/limit-ranger.ts";
import type { ApiRequest, Authorizer } from "../src/pipeline/contract.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const ref = (group: string, resource: string): ResourceRef => ({ group, version: "v1", resource });
const LIMIT_RANGES = ref("", "limitranges");
const CLAIMS = ref("", "persistentvolumeclaims");
const STORAGE_CLASSES = ref("storage.k8s.io", "storageclasses");
const INGRESS_CLASSES = ref("networking.k8s.io", "ingressclasses");
const INGRESSES = ref("networking.k8s.io", "ingresses");
const RUNTIME_CLASSES = ref("node.k8s.io", "runtimeclasses");
const REQUESTS = ref("certificates.k8s.io", "certificatesigningrequests");

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** Creates it, and waits until the cache, which admission reads, has it. */
async function make<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T> {
  const made = await server.client.create(resource, object);
  const { name = "", namespace = "" } = made.metadata ?? {};
  const seen = () => server.api.source.get(resource, namespace, name) !== undefined;
  while (!seen()) await new Promise((resolve) => server.env.timers.defer(() => resolve(undefined)));
  return made;
}

const pod = (name: string, spec: object = {}, namespace = "default"): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace },
  spec: { containers: [{ name: "c", image: "example.test/app:1" }], ...spec },
});
const withResources = (name: string, resources: object, namespace: string): Pod =>
  pod(name, { containers: [{ name: "c", image: "i", resources }] }, namespace);

describe("limits of a namespace", () => {
  beforeAll(async () => {
    await make(ref("", "namespaces"), { apiVersion: "v1", kind: "Namespace", metadata: { name: "tight" } });
    const limits: LimitRangeItem[] = [
      {
        type: "Container",
        max: { cpu: "1" },
        default: { cpu: "500m" },
        defaultRequest: { cpu: "100m", memory: "10Mi" },
      },
      { type: "PersistentVolumeClaim", max: { storage: "1Gi" } },
    ];
    await make<LimitRange>(LIMIT_RANGES, {
      apiVersion: "v1",
      kind: "LimitRange",
      metadata: { name: "l", namespace: "tight" },
      spec: { limits },
    });
  });

  test("fill in what a container leaves open", async () => {
    const made = await server.client.create(PODS, pod("open", {}, "tight"));
    expect(made.spec?.containers[0]?.resources).toEqual({
      requests: { cpu: "100m", memory: "10Mi" },
      limits: { cpu: "500m" },
    });
    expect(made.metadata?.annotations?.["kubernetes.io/limit-ranger"]).toBe(
      "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c",
    );
  });

  test("leave a container's own limit as its request", async () => {
    const made = await server.client.create(PODS, withResources("own", { limits: { cpu: "300m" } }, "tight"));
    expect(made.spec?.containers[0]?.resources?.requests?.["cpu"]).toBe("300m");
  });

  test("refuse what is beyond them", async () => {
    const greedy = withResources("greedy", { limits: { cpu: "2" } }, "tight");
    await expect(server.client.create(PODS, greedy)).rejects.toMatchObject({
      reason: "Forbidden",
      message:
        'pods "greedy" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Container is 1, but request is 2]',
    });
    const claim: PersistentVolumeClaim = {
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: "big", namespace: "tight" },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "2Gi" } } },
    };
    await expect(server.client.create(CLAIMS, claim)).rejects.toThrow(
      'persistentvolumeclaims "big" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi',
    );
  });
});

test.each<[object, string[]]>([
  [{ min: { cpu: "1" } }, ["minimum cpu usage per Pod is 1, but request is 500m"]],
  [{ min: { memory: "1Gi" } }, ["minimum memory usage per Pod is 1Gi.  No request is specified"]],
  [{ max: { cpu: "1" } }, ["maximum cpu usage per Pod is 1, but limit is 2"]],
  [
    { maxLimitRequestRatio: { cpu: "2" } },
    ["cpu max limit to request ratio per Pod is 2, but provided ratio is 4.000000"],
  ],
  [{ max: { cpu: "2" }, min: { cpu: "500m" }, maxLimitRequestRatio: { cpu: "4" } }, []],
])("bounds %j", (bounds, errors) => {
  const demand = { requests: { cpu: "500m" }, limits: { cpu: "2" } };
  expect(limitErrors({ type: "Pod", ...bounds }, demand)).toEqual(errors);
});

test("a pod asks for its containers together, or for its largest init container", () => {
  const container = (name: string, cpu: string) => ({ name, resources: { requests: { cpu } } });
  const containers = [container("a", "100m"), container("b", "200m")];
  expect(podDemand({ containers, initContainers: [container("i", "250m")] }).requests).toEqual({ cpu: "300m" });
  expect(podDemand({ containers, initContainers: [container("i", "1")] }).requests).toEqual({ cpu: "1" });
});

test("an init container asks beside the sidecars that were started before it", () => {
  const container = (name: string, cpu: string, restartPolicy?: string) => ({
    name,
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const containers = [container("a", "100m")];
  const sidecar = container("s", "300m", "Always");
  const init = container("i", "400m");
  expect(podDemand({ containers, initContainers: [sidecar, init] }).requests).toEqual({ cpu: "700m" });
  expect(podDemand({ containers, initContainers: [init, sidecar] }).requests).toEqual({ cpu: "400m" });
});

test("what is asked for the pod as a whole is what is held against the bounds of pods", () => {
  const containers = [{ name: "a", resources: { requests: { cpu: "100m" }, limits: { cpu: "200m" } } }];
  const resources = { requests: { cpu: "1", "example.com/gpu": "1" }, limits: { cpu: "2" } };
  const whole = podDemand({ containers, resources });
  expect(whole).toEqual({ requests: { cpu: "1" }, limits: { cpu: "2" } });
  expect(limitErrors({ type: "Pod", max: { cpu: "1" } }, whole)).toEqual([
    "maximum cpu usage per Pod is 1, but limit is 2",
  ]);
});

test("priorities come from classes; the system's are there from the start", async () => {
  const critical = await server.client.create(PODS, pod("critical", { priorityClassName: "system-node-critical" }));
  expect(critical.spec).toMatchObject({ priority: 2_000_001_000, preemptionPolicy: "PreemptLowerPriority" });
  expect((await server.client.get(PRIORITY_CLASSES, { name: "system-cluster-critical" })).metadata?.name).toBeDefined();
  const priorityClass = (name: string, value: number) => ({
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name },
    value,
    globalDefault: true,
    preemptionPolicy: "Never",
  });
  await make(PRIORITY_CLASSES, priorityClass("usual", 7));
  const plain = await server.client.create(PODS, pod("plain"));
  expect(plain.spec).toMatchObject({ priorityClassName: "usual", priority: 7, preemptionPolicy: "Never" });
  await expect(server.client.create(PRIORITY_CLASSES, priorityClass("second", 8))).rejects.toThrow(
    'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is already marked as default. Only one default can exist',
  );
  await expect(server.client.create(PODS, pod("lost", { priorityClassName: "none" }))).rejects.toThrow(
    'pods "lost" is forbidden: no PriorityClass with name none was found',
  );
  await server.client.delete(PRIORITY_CLASSES, { name: "usual" });
});

test("a pod may be replaced by what it was made of, which says no priority", async () => {
  const made: Pod = await server.client.create(PODS, pod("replaced"));
  expect(made.spec).toMatchObject({ priority: 0, preemptionPolicy: "PreemptLowerPriority" });
  const { priority: _priority, preemptionPolicy: _policy, ...spec } = made.spec ?? { containers: [] };
  const again = { ...pod("replaced"), metadata: { ...made.metadata, labels: { a: "b" } }, spec };
  const replaced = await server.client.update(PODS, again);
  expect(replaced.metadata?.labels).toEqual({ a: "b" });
  expect(replaced.spec).toEqual(made.spec);
});

test("claims and volumes are protected from their first moment, once", async () => {
  const claim = await make(CLAIMS, {
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "kept", namespace: "default", finalizers: ["example.test/own"] },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  });
  expect(claim.metadata?.finalizers).toEqual(["example.test/own", "kubernetes.io/pvc-protection"]);
  const volume = await make(ref("", "persistentvolumes"), {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "kept", finalizers: ["kubernetes.io/pv-protection"] },
    spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, hostPath: { path: "/srv" } },
  });
  expect(volume.metadata?.finalizers).toEqual(["kubernetes.io/pv-protection"]);
});

test("claims and Ingresses that name no class get the default one", async () => {
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  await make(STORAGE_CLASSES, {
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "fast", annotations },
    provisioner: "example.com/disk",
  } as KubeObject);
  const claim = (name: string, spec: object = {}): PersistentVolumeClaim => ({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name, namespace: "default" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
  });
  expect((await server.client.create(CLAIMS, claim("a"))).spec?.storageClassName).toBe("fast");
  expect((await server.client.create(CLAIMS, claim("b", { storageClassName: "" }))).spec?.storageClassName).toBe("");
  await make(INGRESS_CLASSES, {
    apiVersion: "networking.k8s.io/v1",
    kind: "IngressClass",
    metadata: { name: "front", annotations: { "ingressclass.kubernetes.io/is-default-class": "true" } },
    spec: { controller: "example.com/ingress" },
  } as KubeObject);
  const backend = { service: { name: "s", port: { number: 80 } } };
  const ingress: Ingress = {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "i", namespace: "default" },
    spec: { defaultBackend: backend },
  };
  expect((await server.client.create(INGRESSES, ingress)).spec?.ingressClassName).toBe("front");
});

test("a claim grows where it is bound and its class allows it", async () => {
  const storageClass = (name: string, allowVolumeExpansion: boolean): KubeObject & Record<string, unknown> => ({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name },
    provisioner: "example.com/disk",
    allowVolumeExpansion,
  });
  await make(STORAGE_CLASSES, storageClass("stiff", false));
  await make(STORAGE_CLASSES, storageClass("elastic", true));
  const bound = async (name: string, storageClassName: string): Promise<PersistentVolumeClaim> => {
    const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName };
    const metadata = { name, namespace: "default" };
    const made = await make(CLAIMS, { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata, spec });
    return await server.client.update(CLAIMS, { ...made, status: { phase: "Bound" } }, { subresource: "status" });
  };
  const grown = (claim: PersistentVolumeClaim): PersistentVolumeClaim => ({
    ...claim,
    spec: { ...claim.spec, resources: { requests: { storage: "2Gi" } } },
  });
  await expect(server.client.update(CLAIMS, grown(await bound("stiff", "stiff")))).rejects.toThrow(
    'persistentvolumeclaims "stiff" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize',
  );
  const after = await server.client.update(CLAIMS, grown(await bound("elastic", "elastic")));
  expect(after.spec?.resources?.requests?.["storage"]).toBe("2Gi");
});

test("a runtime adds what it costs and where it is", async () => {
  await make(RUNTIME_CLASSES, {
    apiVersion: "node.k8s.io/v1",
    kind: "RuntimeClass",
    metadata: { name: "vm" },
    handler: "vm",
    overhead: { podFixed: { cpu: "250m" } },
    scheduling: { nodeSelector: { vm: "yes" } },
  } as KubeObject);
  const made = await server.client.create(PODS, pod("in-vm", { runtimeClassName: "vm" }));
  expect(made.spec).toMatchObject({ overhead: { cpu: "250m" }, nodeSelector: { vm: "yes" } });
  await expect(
    server.client.create(PODS, pod("torn", { runtimeClassName: "vm", nodeSelector: { vm: "no" } })),
  ).rejects.toThrow(
    "pod rejected: conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
  );
  await expect(server.client.create(PODS, pod("nowhere", { runtimeClassName: "none" }))).rejects.toThrow(
    'pod rejected: RuntimeClass "none" not found',
  );
});

test("who asks for a certificate is written down, and one may approve it", async () => {
  const pem = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
  const request: CertificateSigningRequest = {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name: "csr" },
    spec: {
      request: Buffer.from(pem).toString("base64"),
      signerName: "example.com/mine",
      usages: ["client auth"],
      username: "somebody else",
    },
  };
  const made = await server.client.create(REQUESTS, request);
  expect(made.spec).toMatchObject({ username: "admin", groups: ["system:masters", "system:authenticated"] });
  const approved = { ...made, status: { conditions: [{ type: "Approved", status: "True", reason: "Test" }] } };
  const answer = await server.api.pipeline.handle({
    user: { username: "admin", groups: ["system:masters"] },
    verb: "update",
    ...REQUESTS,
    namespace: "",
    name: "csr",
    subresource: "approval",
    contentType: "application/json",
    options: {},
    signal: new AbortController().signal,
    body: Buffer.from(JSON.stringify(approved)),
  });
  expect(answer).toMatchObject({ type: "object", code: 200 });
  const stored = await server.client.get<CertificateSigningRequest>(REQUESTS, { name: "csr" });
  expect(stored.status?.conditions).toMatchObject([{ type: "Approved", status: "True" }]);
});

test("approving and signing need the permission for the signer", async () => {
  const asked: string[] = [];
  const only = (allowed: string): Authorizer => ({
    authorize: ({ verb, resource, name }) => {
      asked.push(`${verb} ${resource} ${name}`);
      return { allowed: name === allowed, reason: "" };
    },
  });
  const old: CertificateSigningRequest = { spec: { request: "", signerName: "example.com/mine" } };
  const object: CertificateSigningRequest = { ...old, status: { certificate: "eA==" } };
  const kind = kindFor(REQUESTS);
  if (kind === undefined) throw new Error("no such kind");
  const request = { user: { username: "u", groups: [] } } as unknown as ApiRequest;
  const attributes = {
    request,
    kind,
    namespace: "",
    name: "csr",
    object,
    old,
    dryRun: false,
    operation: "UPDATE" as const,
  };
  const approve = async (allowed: string) =>
    createCertificateApproval(only(allowed)).validate?.({ ...attributes, subresource: "approval" });
  const sign = async (allowed: string) =>
    createCertificateSigning(only(allowed)).validate?.({ ...attributes, subresource: "status" });
  await approve("example.com/*");
  await sign("example.com/mine");
  await expect(approve("example.com/other")).rejects.toThrow(
    'user not permitted to approve requests with signerName "example.com/mine"',
  );
  await expect(sign("other.com/*")).rejects.toThrow(
    'user not permitted to sign requests with signerName "example.com/mine"',
  );
  expect(asked).toContain("approve signers example.com/mine");
});

test("a new node takes no pods yet, and a pod carries its node's zone and region", async () => {
  const labels = { "topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1", other: "x" };
  const node = (name: string, spec: object = {}): Node => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec,
  });
  const taint = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" };
  const own = { key: "mine", effect: "NoSchedule" };
  expect((await make(NODES, node("fresh"))).spec?.taints).toEqual([taint]);
  expect((await make(NODES, node("own", { taints: [own] }))).spec?.taints).toEqual([own, taint]);
  expect((await make(NODES, node("known", { taints: [taint] }))).spec?.taints).toEqual([taint]);
  const placed = { ...pod("placed", { nodeName: "fresh" }) };
  placed.metadata = { ...placed.metadata, labels: { "topology.kubernetes.io/zone": "elsewhere" } };
  expect((await server.client.create(PODS, placed)).metadata?.labels).toEqual({
    "topology.kubernetes.io/zone": "z1",
    "topology.kubernetes.io/region": "r1",
  });
  await server.client.create(PODS, pod("bound"));
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "bound" },
    target: { kind: "Node", name: "fresh" },
  };
  const target = { namespace: "default", name: "bound" };
  await server.client.create(PODS, binding, { ...target, subresource: "binding" });
  expect((await server.client.get(PODS, target)).metadata?.labels).toEqual({
    "topology.kubernetes.io/zone": "z1",
    "topology.kubernetes.io/region": "r1",
  });
});

test("nobody asks for an administrator's certificate", async () => {
  const asked = async (name: string, organization: string, signerName: string): Promise<CertificateSigningRequest> => {
    const { requestPem } = await createSigningRequest({ commonName: "me", organizations: [organization] });
    const spec = { request: Buffer.from(requestPem).toString("base64"), signerName, usages: ["client auth"] };
    const object = {
      apiVersion: "certificates.k8s.io/v1",
      kind: "CertificateSigningRequest",
      metadata: { name },
      spec,
    };
    return await server.client.create(REQUESTS, object);
  };
  const signer = "kubernetes.io/kube-apiserver-client";
  await asked("plain", "developers", signer);
  await asked("elsewhere", "system:masters", "example.com/signer");
  await expect(asked("greedy", "system:masters", signer)).rejects.toThrow(
    `certificatesigningrequests.certificates.k8s.io "greedy" is forbidden: use of ${signer} signer with system:masters group is not allowed`,
  );
});

describe("access to devices that others use", () => {
  const requests = [{ name: "r", exactly: { deviceClassName: "gpu", adminAccess: true } }];
  const claim = (namespace: string): DeviceResourceClaim => ({
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { name: "admin", namespace },
    spec: { devices: { requests } },
  });
  const said =
    "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace";

  test("is for namespaces with a label", async () => {
    const labels = { "resource.kubernetes.io/admin-access": "true" };
    await make(ref("", "namespaces"), { apiVersion: "v1", kind: "Namespace", metadata: { name: "keepers", labels } });
    await expect(server.client.create(RESOURCE_CLAIMS, claim("default"))).rejects.toMatchObject({
      code: 422,
      message: `ResourceClaim.resource.k8s.io "admin" is invalid: spec.devices.requests[0].adminAccess: Forbidden: ${said}`,
    });
    await server.client.create(RESOURCE_CLAIMS, claim("keepers"));
    const template = {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaimTemplate",
      spec: { spec: claim("").spec },
    };
    const metadata = { name: "t", namespace: "default" };
    await expect(server.client.create(RESOURCE_CLAIM_TEMPLATES, { ...template, metadata })).rejects.toThrow(said);
  });

  test("is not had by a status either", async () => {
    const plain = claim("default");
    plain.metadata!.name = "plain";
    delete plain.spec.devices!.requests![0]!.exactly!.adminAccess;
    const made = await make(RESOURCE_CLAIMS, plain);
    const result = { request: "r", driver: "a.example", pool: "p", device: "d", adminAccess: true };
    const status = { allocation: { devices: { results: [result] } } };
    await expect(server.client.update(RESOURCE_CLAIMS, { ...made, status }, { subresource: "status" })).rejects.toThrow(
      `status.allocation.devices.results[0].adminAccess: Forbidden: ${said}`,
    );
  });
});
