// What upstream warns of when objects are written: things that no longer work, that contradict each other, or that are renamed.
import { deepClone, type KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type { Container, CronJob, Deployment, Job, PersistentVolumeSpec, PodSpec, StatefulSet } from "../src/index.ts";
import { created, kindNamed } from "./support/kind-cases.ts";

/** Of a create, or of what `change` makes of the created object. */
function warnings<T extends KubeObject>(name: string, object: T, change?: (next: T) => void): string[] {
  const kind = kindNamed(name);
  const old = created(name, object);
  if (change === undefined) return kind.strategy.warnings?.(old, undefined) ?? [];
  const next = deepClone(old);
  change(next);
  kind.strategy.prepareForUpdate(next, old, { nowMs: 0 });
  return kind.strategy.warnings?.(next, old) ?? [];
}

const spec = (changes: Partial<PodSpec> = {}, container: Partial<Container> = {}): PodSpec => ({
  containers: [{ name: "main", image: "nginx", ...container }],
  ...changes,
});
const pod = (podSpec: PodSpec, annotations: Record<string, string> = {}) => ({
  metadata: { name: "web", namespace: "default", annotations },
  spec: podSpec,
});

const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution";

test.each<[string, PodSpec, Record<string, string>, string[]]>([
  ["nothing", spec(), {}, []],
  [
    "old labels of nodes",
    spec({
      nodeSelector: { "beta.kubernetes.io/os": "linux", "failure-domain.beta.kubernetes.io/zone": "a" },
      affinity: {
        nodeAffinity: {
          [REQUIRED]: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: "node-role.kubernetes.io/master", operator: "Exists" }] }],
          },
          [PREFERRED]: [
            { weight: 1, preference: { matchExpressions: [{ key: "a", operator: "In", values: ["no value"] }] } },
          ],
        },
      },
      topologySpreadConstraints: [
        { maxSkew: 1, topologyKey: "beta.kubernetes.io/arch", whenUnsatisfiable: "ScheduleAnyway" },
      ],
    }),
    {},
    [
      'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
      'spec.nodeSelector[failure-domain.beta.kubernetes.io/zone]: deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
      `spec.affinity.nodeAffinity.${REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: node-role.kubernetes.io/master is use "node-role.kubernetes.io/control-plane" instead`,
      expect.stringContaining(
        `spec.affinity.nodeAffinity.${PREFERRED}[0].preference.matchExpressions[0].values[0]: no value is invalid, a valid label`,
      ),
      'spec.topologySpreadConstraints[0].topologyKey: beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead',
      "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
    ],
  ],
  [
    "affinity to no pods",
    spec({
      affinity: {
        podAffinity: { [REQUIRED]: [{ topologyKey: "a" }] },
        podAntiAffinity: { [PREFERRED]: [{ weight: 1, podAffinityTerm: { topologyKey: "a" } }] },
      },
    }),
    {},
    [
      `spec.affinity.podAffinity.${REQUIRED}[0].labelSelector: a null labelSelector results in matching no pod`,
      `spec.affinity.podAntiAffinity.${PREFERRED}[0].podAffinityTerm.labelSelector: a null labelSelector results in matching no pod`,
    ],
  ],
  [
    "annotations that are fields by now",
    spec(),
    {
      "scheduler.alpha.kubernetes.io/critical-pod": "",
      "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
      "container.apparmor.security.beta.kubernetes.io/main": "unconfined",
    },
    [
      'metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead',
      'metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use the "seccompProfile" field instead',
      'metadata.annotations[container.apparmor.security.beta.kubernetes.io/main]: deprecated since v1.30; use the "appArmorProfile" field instead',
    ],
  ],
  [
    "volumes",
    spec({
      volumes: [
        { name: "a", rbd: { monitors: ["m"], image: "i" } },
        { name: "b", storageos: { volumeName: "v" } },
        {
          name: "c",
          configMap: {
            name: "cm",
            items: [
              { key: "k", path: "dir" },
              { key: "l", path: "dir/file" },
            ],
          },
        },
        {
          name: "d",
          projected: {
            sources: [
              { secret: { name: "s", items: [{ key: "k", path: "token" }] } },
              {},
              { serviceAccountToken: { path: "token" } },
            ],
          },
        },
      ],
    }),
    {},
    [
      "spec.volumes[0].rbd: deprecated in v1.28, non-functional in v1.31+",
      "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
      'volume "c" (ConfigMap "cm"): overlapping paths: "dir/file" with "dir"',
      'volume "d" (Projected) has no sources provided',
      'volume "d" (Projected): overlapping paths: "token" (ServiceAccountToken) with "token" (Secret "s")',
    ],
  ],
  [
    "things twice",
    spec(
      {
        hostAliases: [{ ip: "10.0.0.1" }, { ip: "10.0.0.1" }],
        imagePullSecrets: [{ name: "a" }, { name: "a" }],
      },
      {
        env: [
          { name: "A", value: "1" },
          { name: "A", value: "$(A)2" },
          { name: "A", value: "3" },
        ],
      },
    ),
    {},
    [
      'spec.hostAliases[1].ip: duplicate ip "10.0.0.1"',
      'spec.imagePullSecrets[1].name: duplicate name "a"',
      'spec.containers[0].env[2]: hides previous definition of "A", which may be dropped when using apply',
    ],
  ],
  [
    "parts of bytes",
    spec({}, { resources: { requests: { memory: "100m", cpu: "100m" } } }),
    {},
    ['spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer'],
  ],
  [
    "ports",
    spec(
      {},
      {
        ports: [
          { name: "web", containerPort: 80, hostIP: "10.0.0.1" },
          { containerPort: 80, hostIP: "10.0.0.1" },
          { name: "web", containerPort: 81, hostPort: 81 },
          { containerPort: 81 },
          { containerPort: 81, hostPort: 81, hostIP: "10.0.0.1" },
        ],
      },
    ),
    {},
    [
      "spec.containers[0].ports[0]: hostIP set without hostPort: {Name:web HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
      "spec.containers[0].ports[1]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
      "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
      "spec.containers[0].ports[3]: overlapping port definition with spec.containers[0].ports[2]",
      "spec.containers[0].ports[4]: dangerously ambiguous port definition with spec.containers[0].ports[2]",
      "spec.containers[0].ports[4]: overlapping port definition with spec.containers[0].ports[3]",
      'spec.containers[0].ports[2]: duplicate port name "web" with spec.containers[0].ports[0], services and probes that select ports by name will use spec.containers[0].ports[0]',
    ],
  ],
])("a pod that has %s", (_, podSpec, annotations, texts) => {
  expect(warnings("pods", pod(podSpec, annotations))).toEqual(texts);
});

const labels = { app: "web" };
const template = { metadata: { labels }, spec: spec({ nodeSelector: { "beta.kubernetes.io/os": "linux" } }) };
const OLD_OS = 'nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead';

describe("templates of pods", () => {
  const deployment: Deployment = {
    metadata: { name: "not.a.label", namespace: "default" },
    spec: { selector: { matchLabels: labels }, template },
  };
  test("warn when their object is made, and when its spec changes", () => {
    const name =
      "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]";
    expect(warnings("deployments.apps", deployment)).toEqual([
      expect.stringContaining(name.split("[")[0]!),
      `spec.template.spec.${OLD_OS}`,
    ]);
    expect(warnings("deployments.apps", deployment, (next) => (next.spec!.replicas = 3))).toEqual([
      `spec.template.spec.${OLD_OS}`,
    ]);
    expect(warnings("deployments.apps", deployment, (next) => (next.metadata!.labels = { a: "b" }))).toEqual([]);
  });

  test("stand in CronJobs, PodTemplates and StatefulSets, too", () => {
    const jobTemplate = { spec: { template: { spec: { ...template.spec, restartPolicy: "Never" } } } };
    const cronJob: CronJob = {
      metadata: { name: "c", namespace: "default" },
      spec: { schedule: "TZ=UTC * * * * *", jobTemplate },
    };
    expect(warnings("cronjobs.batch", cronJob)).toEqual([`spec.jobTemplate.spec.template.spec.${OLD_OS}`]);
    expect(warnings("cronjobs.batch", cronJob, () => {})).toEqual([
      expect.stringMatching(/^cannot use TZ or CRON_TZ in spec\.spec\.schedule, use timeZone instead, see /),
    ]);
    expect(warnings("podtemplates", { metadata: { name: "t" }, template })).toEqual([`template.spec.${OLD_OS}`]);
    const set: StatefulSet = {
      metadata: { name: "s", namespace: "default" },
      spec: {
        serviceName: "s",
        selector: { matchLabels: labels },
        template: { ...template, spec: spec() },
        revisionHistoryLimit: -1,
        volumeClaimTemplates: [
          { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "100m" } } } },
        ],
      },
    };
    expect(warnings("statefulsets.apps", set)).toEqual([
      'spec.volumeClaimTemplates[0].resources.requests[storage]: fractional byte value "100m" is invalid, must be an integer',
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
    ]);
  });

  test("of Jobs of very many pods are hard to keep track of", () => {
    const job: Job = {
      metadata: { name: "j", namespace: "default" },
      spec: {
        completionMode: "Indexed",
        completions: 100_001,
        parallelism: 10_001,
        template: { spec: spec({ restartPolicy: "Never" }) },
      },
    };
    expect(warnings("jobs.batch", job)).toEqual([
      "spec: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail",
    ]);
  });
});

test("volumes, claims, quotas and runtime classes", () => {
  const beta = { "volume.beta.kubernetes.io/storage-class": "slow", "volume.beta.kubernetes.io/mount-options": "ro" };
  const volume: PersistentVolumeSpec = {
    persistentVolumeReclaimPolicy: "Recycle",
    rbd: { monitors: ["m"], image: "i" },
    quobyte: { registry: "a:1", volume: "v" },
  };
  const old =
    'metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead';
  expect(
    warnings("persistentvolumes", { metadata: { name: "v", annotations: beta }, spec: volume } as KubeObject),
  ).toEqual([
    old,
    'metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use "mountOptions" attribute instead',
    "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
    "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
  ]);
  const claim = { metadata: { name: "c", annotations: beta }, spec: { resources: { requests: { storage: "1m" } } } };
  expect(warnings("persistentvolumeclaims", claim as KubeObject)).toEqual([
    old,
    'spec.resources.requests[storage]: fractional byte value "1m" is invalid, must be an integer',
  ]);
  const hard = { cpu: "2", "limits.cpu": "1", "requests.memory": "1Gi", "limits.memory": "2Gi" };
  expect(warnings("resourcequotas", { metadata: { name: "q" }, spec: { hard } } as KubeObject)).toEqual([
    "ResourceQuota cpu (2) should be less than limits.cpu (1)",
  ]);
  const scheduling = { nodeSelector: { "beta.kubernetes.io/arch": "amd64" } };
  expect(
    warnings("runtimeclasses.node.k8s.io", { metadata: { name: "r" }, handler: "h", scheduling } as KubeObject),
  ).toEqual(['scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/arch" instead']);
});
