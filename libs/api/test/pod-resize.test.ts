// pods/resize: what may change of a pod that runs, and what the rest is told.
import { deepClone, fieldErrorText } from "@coxswain/apimachinery";
import { expect, test } from "vitest";
import { type Container, type Pod, preparePodResize, validatePodResize } from "../src/index.ts";
import { created } from "./support/kind-cases.ts";

const container = (name: string, requests: object, limits: object = {}): Container =>
  ({ name, image: "example.test/c:v1", resources: { requests, limits } }) as Container;

const stored = (more: object = {}): Pod =>
  created<Pod>("pods", {
    metadata: { name: "p", namespace: "default", labels: { a: "b" } },
    spec: {
      containers: [
        container("a", { cpu: "100m", memory: "64Mi" }, { cpu: "200m", memory: "64Mi" }),
        container("b", { cpu: "10m" }),
      ],
      initContainers: [
        container("first", { cpu: "10m" }),
        { ...container("side", { cpu: "10m" }), restartPolicy: "Always" },
      ],
      ...more,
    },
  });

function resize(change: (pod: Pod) => void, old = stored()): { pod: Pod; errors: string[] } {
  const pod = deepClone(old);
  change(pod);
  preparePodResize(pod, old);
  return { pod, errors: validatePodResize(pod, old).map(fieldErrorText) };
}

const requests = (pod: Pod, index = 0): Record<string, string> => pod.spec!.containers[index]!.resources!.requests!;

test("CPU and memory of containers and sidecars change, and the generation counts", () => {
  const { pod, errors } = resize((next) => {
    requests(next)["cpu"] = "150m";
    next.spec!.containers[0]!.resources!.limits!["memory"] = "128Mi";
    next.spec!.initContainers![1]!.resources!.requests!["cpu"] = "20m";
    next.metadata!.labels = { a: "changed" };
    next.spec!.containers[0]!.image = "example.test/other:v1";
  });
  expect(errors).toEqual([]);
  expect(requests(pod)).toEqual({ cpu: "150m", memory: "64Mi" });
  expect(pod.metadata).toMatchObject({ generation: 2, labels: { a: "b" } });
  expect(pod.spec?.containers[0]?.image).toBe("example.test/c:v1");
  expect(resize(() => undefined).pod.metadata?.generation).toBe(1);
});

test.each<[string, (pod: Pod) => void, string[]]>([
  [
    "a request that goes",
    (pod) => delete requests(pod)["memory"],
    ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
  ],
  [
    "a limit that goes",
    (pod) => delete pod.spec!.containers[0]!.resources!.limits!["cpu"],
    ["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"],
  ],
  [
    "a request above its limit",
    (pod) => (requests(pod)["cpu"] = "500m"),
    ['spec.containers[0].resources.requests: Invalid value: "500m": must be less than or equal to cpu limit of 200m'],
  ],
  [
    "another resource",
    (pod) => (requests(pod)["ephemeral-storage"] = "1Gi"),
    ["spec: Forbidden: only cpu and memory resources are mutable"],
  ],
  [
    "another order",
    (pod) => pod.spec!.containers.reverse(),
    [
      "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
      "spec.containers[1].name: Forbidden: containers may not be renamed or reordered on resize",
    ],
  ],
  [
    "one container less",
    (pod) => pod.spec!.containers.pop(),
    ["spec.containers: Forbidden: containers may not be added or removed on resize"],
  ],
  [
    "an init container that passes",
    (pod) => (pod.spec!.initContainers![0]!.resources!.requests!["cpu"] = "20m"),
    ["spec: Forbidden: resources for non-sidecar init containers are immutable"],
  ],
  [
    "the policy",
    (pod) => (pod.spec!.containers[0]!.resizePolicy = [{ resourceName: "cpu", restartPolicy: "RestartContainer" }]),
    ["spec: Forbidden: only cpu and memory resources are mutable"],
  ],
])("refused: %s", (_, change, errors) => expect(resize(change).errors).toEqual(errors));

test("the class of service stays", () => {
  const old = stored({
    containers: [container("a", { cpu: "100m", memory: "64Mi" }, { cpu: "200m", memory: "64Mi" })],
    initContainers: [],
  });
  expect(resize((pod) => (requests(pod)["cpu"] = "200m"), old).errors).toEqual([
    'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing',
  ]);
});

test("neither static pods nor pods on nodes that cannot do it", () => {
  const mirror = stored();
  mirror.metadata!.annotations = { "kubernetes.io/config.mirror": "x" };
  expect(resize(() => undefined, mirror).errors).toEqual(["[]: Forbidden: static pods cannot be resized"]);
  const old = stored();
  old.status!.containerStatuses = [
    { name: "a", image: "", imageID: "", ready: true, restartCount: 0, state: { running: {} } },
  ];
  expect(resize(() => undefined, old).errors).toEqual([
    "spec: Forbidden: Pod running on node without support for resize",
  ]);
});

test("what a pod asks for as a whole cannot be changed in place, nor can its containers be", () => {
  const whole = (cpu: string): Pod => {
    const pod = stored();
    pod.spec!.resources = { requests: { cpu } };
    return pod;
  };
  const refused =
    "[]: Forbidden: resize of pods with pod-level resources is forbidden when InPlacePodLevelResourcesVerticalScalingEnabled feature gate is disabled";
  const bigger = (next: Pod) => void (next.spec!.resources = { requests: { cpu: "3" } });
  expect(resize(bigger, whole("2")).errors).toContain(refused);
  expect(resize(bigger).errors).toContain(refused);
  expect(resize(() => undefined, whole("2")).errors).toContain(refused);
});
