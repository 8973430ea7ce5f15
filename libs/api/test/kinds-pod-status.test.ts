// What upstream refuses of pods, their status and what they are given, that has no table elsewhere.
import { fieldErrorText, type KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { Container, EnvVarSource, Pod, PodSpec, PodStatus } from "../src/index.ts";
import { validateEphemeralContainersUpdate } from "../src/index.ts";
import { created, createErrors, statusErrors, updateErrors } from "./support/kind-cases.ts";

const pod = (spec: Partial<PodSpec> = {}, container: Partial<Container> = {}): Pod => ({
  metadata: { name: "p", namespace: "d" },
  spec: { containers: [{ name: "c", image: "i:1", ...container }], ...spec },
});

describe("huge pages", () => {
  const errors = (requests: Record<string, string>): string[] =>
    createErrors("pods", pod({}, { resources: { requests, limits: requests } }));
  test("come with CPU or memory, and whole", () => {
    expect(errors({ "hugepages-2Mi": "4Mi", cpu: "1" })).toEqual([]);
    expect(errors({ "hugepages-2Mi": "4Mi" })).toEqual([
      "spec.containers[0].resources: Forbidden: HugePages require cpu or memory",
    ]);
    const detail = 'Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi';
    expect(errors({ "hugepages-2Mi": "3Mi", memory: "1Mi" })).toEqual([
      `spec.containers[0].resources.limits[hugepages-2Mi]: ${detail}`,
      `spec.containers[0].resources.requests[hugepages-2Mi]: ${detail}`,
    ]);
    expect(errors({ "hugepages-x": "3Mi", memory: "1Mi" })).toHaveLength(2);
  });
});

describe("a variable's source", () => {
  const errors = (valueFrom: EnvVarSource): string[] =>
    createErrors("pods", pod({}, { env: [{ name: "A", valueFrom }] }));
  const V = "spec.containers[0].env[0].valueFrom";
  test.each([
    ["limits.cpu", "1m", []],
    ["requests.memory", "1Mi", []],
    ["limits.hugepages-2Mi", "1Gi", []],
    [
      "limits.cpu",
      "10",
      [
        `${V}.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor's values 1m and 1 are supported with the cpu resource`,
      ],
    ],
    [
      "requests.ephemeral-storage",
      "2Mi",
      [
        `${V}.resourceFieldRef.divisor: Invalid value: "requests.ephemeral-storage": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the local ephemeral storage resource`,
      ],
    ],
  ])("%s by %s", (resource, divisor, expected) =>
    expect(errors({ resourceFieldRef: { resource, divisor } })).toEqual(expected),
  );
  test.each([
    ["metadata.whoops", `error converting fieldPath: field label not supported: metadata.whoops`],
    ["metadata.name['a']", `error converting fieldPath: field label does not support subscript: metadata.name['a']`],
  ])("the field %s", (fieldPath, detail) =>
    expect(errors({ fieldRef: { fieldPath } })).toEqual([
      `${V}.fieldRef.fieldPath: Invalid value: ${JSON.stringify(fieldPath)}: ${detail}`,
    ]),
  );
  test("a field that is for volumes, and a key that is none", () => {
    expect(errors({ fieldRef: { fieldPath: "status.phase" } })).toEqual([
      expect.stringContaining(`${V}.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: `),
    ]);
    expect(errors({ fieldRef: { fieldPath: "metadata.labels['a~b']" } })).toEqual([
      expect.stringContaining(`${V}.fieldRef: Invalid value: "a~b": name part must`),
    ]);
  });
});

test("images of pods have no white space around them; those of templates may", () => {
  const template = { spec: pod({ restartPolicy: "Always" }, { image: " i:1 " }).spec };
  expect(createErrors("podtemplates", { metadata: { name: "t" }, template } as KubeObject)).toEqual([]);
  expect(createErrors("pods", pod({}, { image: " i:1 " }))).toEqual([
    'spec.containers[0].image: Invalid value: " i:1 ": must not have leading or trailing whitespace',
  ]);
});

test("gates are there once, and are told of at their place", () => {
  expect(createErrors("pods", pod({ schedulingGates: [{ name: "a" }, { name: "a" }] }))).toEqual([
    'spec.schedulingGates[1]: Duplicate value: "a"',
  ]);
  const opened = (next: Pod): void => void next.spec?.schedulingGates?.push({ name: "b" });
  expect(updateErrors("pods", pod({ schedulingGates: [{ name: "a" }] }), opened)).toEqual([
    "spec.schedulingGates[1].name: Forbidden: only deletion is allowed, but found new scheduling gate 'b'",
  ]);
  const gated = created("pods", pod({ schedulingGates: [{ name: "a" }] }));
  expect(gated.status?.conditions?.[0]?.lastTransitionTime).toBe("2026-01-01T00:00:00Z");
});

test("tolerations that compare are not for everybody, and kernel settings are one by either separator", () => {
  const toleration = { key: "a", operator: "Gt", value: "1" };
  expect(createErrors("pods", pod({ tolerations: [toleration] }))).toEqual([
    'spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"',
  ]);
  const named = (...names: string[]): string[] =>
    createErrors("pods", pod({ securityContext: { sysctls: names.map((name) => ({ name, value: "1" })) } }));
  expect(named("net/ipv4/conf/enp3s0.200/forwarding", "net/ipv4/conf/enp3s0/200/forwarding")).toEqual([]);
  expect(named("net/ipv4/conf/enp3s0.200/forwarding", "net.ipv4.conf.enp3s0/200.forwarding")).toEqual([
    'spec.securityContext.sysctls[1].name: Duplicate value: "net.ipv4.conf.enp3s0/200.forwarding"',
  ]);
});

describe("the status of a pod", () => {
  const errors = (before: PodStatus, after: PodStatus, spec: Partial<PodSpec> = {}): string[] => {
    const init = { name: "i", image: "i:1" };
    const stored = created("pods", pod({ restartPolicy: "Never", initContainers: [init], ...spec }));
    return statusErrors<Pod>("pods", { ...stored, status: before }, (next) => {
      next.status = after;
    });
  };
  const status = (name: string, parts: object) => ({
    name,
    image: "",
    imageID: "",
    ready: false,
    restartCount: 0,
    ...parts,
  });
  test("has init containers stay ended", () => {
    const ended = { initContainerStatuses: [status("i", { state: { terminated: { exitCode: 1 } } })] };
    const runs = { initContainerStatuses: [status("i", { state: { running: {} } })] };
    expect(errors(ended, runs)).toEqual([
      "status.initContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
    ]);
    expect(errors(ended, runs, { restartPolicy: "OnFailure" })).toEqual([]);
    const sidecar = { initContainers: [{ name: "i", image: "i:1", restartPolicy: "Always" }] };
    expect(errors(ended, runs, sidecar)).toEqual([]);
  });
  test("names users that there are", () => {
    const linux = { uid: -1, gid: 0, supplementalGroups: [2 ** 31] };
    const next = { containerStatuses: [status("c", { user: { linux } })] };
    const range = "must be between 0 and 2147483647, inclusive";
    const at = "status.containerStatuses[0].user.linux";
    expect(errors({}, next)).toEqual([
      `${at}.uid: Invalid value: -1: ${range}`,
      `${at}.supplementalGroups[0]: Invalid value: 2147483648: ${range}`,
    ]);
    expect(errors({}, next, { os: { name: "windows" } })).toEqual([
      `${at}: Forbidden: cannot be set for a windows pod`,
    ]);
  });
});

test("ephemeral containers have no resources and no paths in volumes, and static pods have none of them", () => {
  const container = {
    name: "e",
    image: "i:1",
    resources: { requests: { cpu: "1" } },
    volumeMounts: [{ name: "v", mountPath: "/v", subPath: "a", subPathExpr: "b" }],
  };
  const old = created("pods", pod({ volumes: [{ name: "v", emptyDir: {} }] }));
  const next = created("pods", { ...old, spec: { ...old.spec!, ephemeralContainers: [container] } });
  const E = "spec.ephemeralContainers[0]";
  const found = validateEphemeralContainersUpdate(next, old).map(fieldErrorText);
  expect(found).toEqual(
    expect.arrayContaining(
      ["resources", "volumeMounts[0].subPath", "volumeMounts[0].subPathExpr"].map(
        (name) => `${E}.${name}: Forbidden: cannot be set for an Ephemeral Container`,
      ),
    ),
  );
  const mirror = { ...old, metadata: { ...old.metadata, annotations: { "kubernetes.io/config.mirror": "1" } } };
  expect(validateEphemeralContainersUpdate(next, mirror).map(fieldErrorText)).toEqual([
    "[]: Forbidden: static pods do not support ephemeral containers",
  ]);
});

test("Endpoints name addresses and protocols that there are", () => {
  const subsets = [{ addresses: [{ ip: "" }], ports: [{ port: 1, protocol: "X", appProtocol: "~a" }] }];
  expect(createErrors("endpoints", { metadata: { name: "e" }, subsets } as KubeObject)).toEqual([
    expect.stringContaining('subsets[0].addresses[0].ip: Invalid value: "": must be a valid IP address, ('),
    'subsets[0].addresses[0].ip: Invalid value: "": must be a valid IP address',
    'subsets[0].ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
    expect.stringContaining('subsets[0].ports[0].appProtocol: Invalid value: "~a": name part must'),
  ]);
});

test("a Service's balancer has a class, its checks a port, and its addresses stay", () => {
  const service = { metadata: { name: "s" }, spec: { type: "LoadBalancer", ports: [{ port: 1 }] } };
  const local = { ...service.spec, externalTrafficPolicy: "Local", healthCheckNodePort: -1 };
  expect(
    createErrors("services", { ...service, spec: { ...local, loadBalancerClass: "a/b/c" } } as KubeObject),
  ).toEqual([
    expect.stringContaining('spec.loadBalancerClass: Invalid value: "a/b/c": a valid label key must'),
    "spec.healthCheckNodePort: Invalid value: -1: must be between 1 and 65535, inclusive",
  ]);
  const dual = {
    metadata: { name: "s" },
    spec: {
      ports: [{ port: 1 }],
      clusterIP: "10.0.0.1",
      clusterIPs: ["10.0.0.1", "fd00::1"],
      ipFamilies: ["IPv4", "IPv6"],
      ipFamilyPolicy: "RequireDualStack",
    },
  };
  const change = (parts: object): string[] =>
    updateErrors("services", dual as KubeObject, (next) => {
      Object.assign((next as unknown as { spec: object }).spec, parts);
    });
  expect(change({ clusterIPs: ["10.0.0.1"], ipFamilies: ["IPv4"] })).toEqual([
    `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be set to 'SingleStack' when releasing the secondary clusterIP`,
    `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be set to 'SingleStack' when releasing the secondary ipFamily`,
  ]);
  expect(change({ clusterIP: "", clusterIPs: undefined, ipFamilies: undefined })).toEqual([
    "spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset",
    "spec.ipFamilies[0]: Invalid value: null: primary ipFamily can not be unset",
  ]);
});

test("a claim's size is above zero, and does not go away", () => {
  const claim = (storage?: string) => ({
    metadata: { name: "c" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { ...(storage && { storage }) } } },
  });
  expect(createErrors("persistentvolumeclaims", claim("-1Gi"))).toEqual([
    'spec.resources[storage]: Invalid value: "-1Gi": must be greater than zero',
  ]);
  const lost = updateErrors("persistentvolumeclaims", claim("1Gi"), (next) => {
    next.spec.resources.requests = {};
  });
  expect(lost).toContain("spec.resources.requests.storage: Forbidden: field can not be less than status.capacity");
});
