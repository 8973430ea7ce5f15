// The node's own check of pods that were bound to it: what it refuses, with which reason and words.
import type { Container, Node, Pod } from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { amounts, planAdmission, type Refusal } from "../src/pods/admission.ts";

type Spec = Partial<NonNullable<Pod["spec"]>>;

const podOf = (spec: Spec, labels: Record<string, string> = {}): Pod => ({
  metadata: { name: "p", namespace: "default", labels },
  spec: { containers: [{ name: "c", image: "i" }], ...spec },
});
const NODE: Node = {
  metadata: { name: "node-1", labels: { "kubernetes.io/os": "linux", zone: "a", cores: "8" } },
  spec: {
    taints: [
      { key: "gone", effect: "NoExecute" },
      { key: "shy", value: "x", effect: "NoSchedule" },
    ],
  },
};
const TOLERANT: Spec = { tolerations: [{ key: "gone", operator: "Exists" }] };

function admit(
  spec: Spec,
  others: readonly Pod[] = [],
  more: { real?: boolean; node?: Node } = {},
): Refusal | undefined {
  const { real = true, node } = more;
  const allocatable = amounts({ cpu: "2", memory: "1Gi", pods: "3" });
  return planAdmission({ pod: podOf(spec), others, allocatable, node, real });
}

describe("what the runtime cannot give", () => {
  test.each<[Spec, string, string]>([
    [{ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } }, "SysctlForbidden", "not allowlisted"],
    [
      { hostNetwork: true, securityContext: { sysctls: [{ name: "net.ipv4.tcp_rmem", value: "1" }] } },
      "SysctlForbidden",
      "not allowed with host net enabled",
    ],
    [{ securityContext: { appArmorProfile: { type: "RuntimeDefault" } } }, "AppArmor", "Cannot enforce AppArmor"],
    [{ securityContext: { supplementalGroupsPolicy: "Strict" } }, "SupplementalGroupsPolicyNotSupported", "Strict"],
    [{ hostUsers: false }, "UnsupportedByRuntime", "hostUsers"],
    [{ resourceClaims: [{ name: "gpu" }] }, "UnsupportedByRuntime", "resourceClaims"],
    [
      { containers: [{ name: "c", lifecycle: { stopSignal: "SIGUSR1" } }] },
      "UnsupportedByRuntime",
      "lifecycle.stopSignal",
    ],
  ])("%j is refused by name", (spec, reason, message) => {
    const refusal = admit(spec);
    expect(refusal?.reason).toBe(reason);
    expect(refusal?.message).toContain(message);
    expect(admit(spec, [], { real: false })).toBeUndefined();
  });
});

test("a pod of another operating system", () => {
  expect(admit({ os: { name: "windows" } })).toEqual({
    reason: "PodOSNotSupported",
    message: "Failed to admit pod as the OS field doesn't match node OS",
  });
  expect(admit({ os: { name: "linux" } })).toBeUndefined();
  const pod = podOf({}, { "kubernetes.io/os": "windows" });
  const refusal = planAdmission({ pod, others: [], allocatable: { pods: 3 }, node: undefined, real: true });
  expect(refusal).toEqual({
    reason: "PodOSSelectorNodeLabelDoesNotMatch",
    message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
  });
});

describe("resources", () => {
  const asking = (requests: Record<string, string>): Spec => ({ containers: [{ name: "c", resources: { requests } }] });

  test("what does not fit beside the others", () => {
    const others = [podOf(asking({ cpu: "1500m" }))];
    expect(admit(asking({ cpu: "500m" }), others)).toBeUndefined();
    expect(admit(asking({ cpu: "501m" }), others)).toEqual({
      reason: "OutOfcpu",
      message: "Node didn't have enough resource: cpu, requested: 501, used: 1500, capacity: 2000",
    });
    expect(admit(asking({ memory: "2Gi" }))?.reason).toBe("OutOfmemory");
    expect(admit({}, [podOf({}), podOf({}), podOf({})])?.reason).toBe("OutOfpods");
  });

  test("what a pod asks for as a whole counts for its containers", () => {
    const whole = { ...asking({ cpu: "3" }), resources: { requests: { cpu: "1" } } };
    expect(admit(whole)).toBeUndefined();
    expect(admit({ ...whole, resources: { requests: { cpu: "3" } } })?.reason).toBe("OutOfcpu");
  });

  test("what this node has not heard of is somebody else's, unless it is the node's own kind", () => {
    expect(admit(asking({ "example.com/licence": "1" }))).toBeUndefined();
    expect(admit(asking({ "hugepages-2Mi": "2Mi" }))?.reason).toBe("OutOfhugepages-2Mi");
  });
});

describe("the node", () => {
  const required = (...terms: object[]): Spec => ({
    ...TOLERANT,
    affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
  });
  const label = (key: string, operator: string, ...values: string[]): object => ({
    matchExpressions: [{ key, operator, values }],
  });

  test.each<[Spec, boolean]>([
    [TOLERANT, true],
    [{ ...TOLERANT, nodeSelector: { zone: "a" } }, true],
    [{ ...TOLERANT, nodeSelector: { zone: "a", disk: "ssd" } }, false],
    [required(label("zone", "In", "b"), label("zone", "In", "a")), true],
    [required(label("zone", "NotIn", "a")), false],
    [required(label("disk", "NotIn", "ssd")), true],
    [required(label("disk", "DoesNotExist")), true],
    [required(label("disk", "Exists")), false],
    [required(label("cores", "Gt", "7")), true],
    [required(label("cores", "Lt", "8")), false],
    [required(label("zone", "Gt", "7")), false],
    [required({ matchFields: [{ key: "metadata.name", operator: "In", values: ["node-1"] }] }), true],
    [required({ matchFields: [{ key: "metadata.name", operator: "In", values: ["node-2"] }] }), false],
    [required({}), false],
  ])("%j: %s", (spec, fits) => {
    const refusal = admit(spec, [], { node: NODE });
    expect(refusal).toEqual(
      fits
        ? undefined
        : {
            reason: "NodeAffinity",
            message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
          },
    );
  });

  test("taints that end pods are not tolerated by silence", () => {
    const refusal = {
      reason: "TaintToleration",
      message: "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
    };
    expect(admit({}, [], { node: NODE })).toEqual(refusal);
    expect(admit({ tolerations: [{ key: "gone", value: "x" }] }, [], { node: NODE })).toEqual(refusal);
    expect(
      admit({ tolerations: [{ key: "gone", effect: "NoSchedule", operator: "Exists" }] }, [], { node: NODE }),
    ).toEqual(refusal);
    expect(admit({ tolerations: [{ operator: "Exists" }] }, [], { node: NODE })).toBeUndefined();
    expect(admit({ tolerations: [{ key: "gone", effect: "NoExecute" }] }, [], { node: NODE })).toBeUndefined();
  });
});

describe("ports of the node", () => {
  const using = (hostPort: number, more: object = {}): Spec => ({
    containers: [{ name: "c", ports: [{ containerPort: 80, hostPort, ...more }] }],
  });
  const side: Container = { name: "s", restartPolicy: "Always", ports: [{ containerPort: 80, hostPort: 8080 }] };

  test.each<[Spec, Spec, boolean]>([
    [using(8080), using(8080), false],
    [using(8080), using(8081), true],
    [using(8080), using(8080, { protocol: "UDP" }), true],
    [using(8080, { hostIP: "10.0.0.1" }), using(8080, { hostIP: "10.0.0.2" }), true],
    [using(8080, { hostIP: "10.0.0.1" }), using(8080, { hostIP: "0.0.0.0" }), false],
    [{ initContainers: [side] }, using(8080), false],
    [{ initContainers: [{ ...side, restartPolicy: undefined }] }, using(8080), true],
  ])("%j beside %j: %s", (other, spec, fits) => {
    const refusal = admit(spec, [podOf(other)]);
    const message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    expect(refusal).toEqual(fits ? undefined : { reason: "NodePorts", message });
  });
});
