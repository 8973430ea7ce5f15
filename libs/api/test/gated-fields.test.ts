// Fields of features by their state in v1.35: what is off is dropped, what is on is checked as upstream does.
import { deepClone, fieldErrorText, type KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import type {
  Container,
  ContainerStatus,
  CSIDriver,
  CronJob,
  Deployment,
  Lease,
  Node,
  PersistentVolumeClaim,
  Pod,
  PodSpec,
} from "../src/index.ts";
import { created, createErrors, kindNamed } from "./support/kind-cases.ts";

const CONTEXT = { nowMs: 0 };
const container = (parts: object = {}): Container => ({ name: "c", image: "i:1", ...parts });
const pod = (spec: object = {}, parts: object = {}): Pod & { spec: PodSpec } => ({
  metadata: { name: "p", labels: { app: "a", version: "1" } },
  spec: { containers: [container(parts)], ...spec },
});
const updated = <T extends KubeObject>(name: string, old: T, change: (object: T) => void): T => {
  const object = deepClone(old);
  change(object);
  kindNamed(name).strategy.prepareForUpdate(object, old, CONTEXT);
  return object;
};

describe("what belongs to features that are off", () => {
  const OFF = {
    workloadRef: { name: "w", podGroup: "g" },
    volumes: [
      {
        name: "v",
        projected: {
          sources: [
            { clusterTrustBundle: { name: "b", path: "p" } },
            { podCertificate: { signerName: "a/b", keyType: "ED25519", keyPath: "k" } },
            { secret: { name: "s" } },
          ],
        },
      },
    ],
  };

  test("is dropped of a new pod", () => {
    const { spec } = created("pods", pod(OFF, { lifecycle: { stopSignal: "SIGUSR1" } }));
    expect(spec).not.toHaveProperty("workloadRef");
    expect(spec.volumes?.[0]?.projected?.sources).toEqual([{}, {}, { secret: { name: "s" } }]);
    expect(spec.containers[0]).not.toHaveProperty("lifecycle");
  });

  test("leaves what stands beside it", () => {
    const preStop = { sleep: { seconds: 1 } };
    const { spec } = created("pods", pod({}, { lifecycle: { stopSignal: "SIGUSR1", preStop } }));
    expect(spec.containers[0]?.lifecycle).toEqual({ preStop });
  });

  test("stays in an object that has it", () => {
    const old = pod(OFF, { lifecycle: { stopSignal: "SIGUSR1" } });
    const now = updated("pods", old, (object) => (object.metadata = { ...object.metadata, labels: {} }));
    expect(now.spec).toEqual(old.spec);
  });

  test("is dropped of an update, and then nothing has changed", () => {
    const old = created("pods", pod());
    const now = updated("pods", old, (object) => Object.assign(object.spec, { workloadRef: OFF.workloadRef }));
    expect(now.spec).toEqual(old.spec);
    expect(now.metadata?.generation).toBe(1);
  });

  test("is dropped of templates of pods", () => {
    const template = { metadata: {}, spec: pod({}, { lifecycle: { stopSignal: "SIGUSR1" } }).spec };
    const deployment = created<Deployment>("deployments.apps", { spec: { selector: {}, template } });
    expect(deployment.spec?.template.spec?.containers[0]).not.toHaveProperty("lifecycle");
    const job = created<CronJob>("cronjobs.batch", {
      spec: { schedule: "* * * * *", jobTemplate: { spec: { template } } },
    });
    expect(job.spec?.jobTemplate.spec?.template.spec?.containers[0]).not.toHaveProperty("lifecycle");
    const now = updated("deployments.apps", deployment, (object) => {
      if (object.spec?.template.spec)
        object.spec.template.spec.containers[0] = container({ lifecycle: { stopSignal: "A" } });
    });
    expect(now.spec?.template.spec?.containers[0]).not.toHaveProperty("lifecycle");
  });

  test("is dropped of a pod's status", () => {
    const old = created("pods", pod());
    const now = deepClone(old) as Pod & { status: Record<string, unknown> };
    Object.assign(now.status, {
      resources: {},
      allocatedResources: {},
      extendedResourceClaimStatus: {},
      containerStatuses: [{ name: "c", allocatedResourcesStatus: [{ name: "x" }] }],
    });
    kindNamed("pods").strategy.prepareForStatusUpdate?.(now, old, CONTEXT);
    expect(now.status).toEqual({ phase: "Pending", qosClass: "BestEffort", containerStatuses: [{ name: "c" }] });
  });

  test("is dropped of leases, nodes and claims", () => {
    const lease = created<Lease>("leases.coordination.k8s.io", {
      spec: { holderIdentity: "h", strategy: "OldestEmulationVersion", preferredHolder: "x" },
    });
    expect(lease.spec).toEqual({ holderIdentity: "h" });
    const status = { declaredFeatures: ["A"], phase: "Running" } as Node["status"];
    expect(created<Node>("nodes", { status }).status).toEqual({ phase: "Running" });
    const spec = { dataSourceRef: { kind: "PersistentVolumeClaim", name: "x", namespace: "other" } };
    const claim = created<PersistentVolumeClaim>("persistentvolumeclaims", { spec });
    expect(claim.spec).not.toHaveProperty("dataSourceRef");
    expect(claim.spec).not.toHaveProperty("dataSource");
  });
});

test("only dataSourceRef names a source of any kind", () => {
  const source = { apiGroup: "a.b", kind: "Backup", name: "x" };
  const claim = (spec: object) => created<PersistentVolumeClaim>("persistentvolumeclaims", { spec: spec }).spec;
  expect(claim({ dataSource: source })).not.toHaveProperty("dataSource");
  expect(claim({ dataSourceRef: source })).toMatchObject({ dataSource: source, dataSourceRef: source });
  const snapshot = { apiGroup: "snapshot.storage.k8s.io", kind: "VolumeSnapshot", name: "x" };
  expect(claim({ dataSource: snapshot })).toMatchObject({ dataSource: snapshot, dataSourceRef: snapshot });
});

const RULE = { action: "Restart", exitCodes: { operator: "In", values: [42] } };
const EMPTY_DIR = [{ name: "v", emptyDir: {} }];
const file = (parts: object) => ({
  env: [{ name: "A", valueFrom: { fileKeyRef: { volumeName: "v", path: "f", key: "k", ...parts } } }],
});
const term = (parts: object) => ({
  affinity: {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        { topologyKey: "zone", labelSelector: { matchLabels: { app: "a" } }, ...parts },
      ],
    },
  },
});
const TERM = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]";

const PODS: [string, Pod, string[]][] = [
  ["rules with a policy", pod({}, { restartPolicy: "Never", restartPolicyRules: [RULE] }), []],
  [
    "rules without a policy",
    pod({}, { restartPolicyRules: [RULE] }),
    ["spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"],
  ],
  [
    "an action that is off",
    pod({}, { restartPolicy: "Never", restartPolicyRules: [{ ...RULE, action: "RestartAllContainers" }] }),
    [
      'spec.containers[0].restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": supported values: "Restart"',
    ],
  ],
  [
    "a rule that says nothing of exit codes, and one of an unknown operator",
    pod(
      {},
      {
        restartPolicy: "Never",
        restartPolicyRules: [{ action: "Restart" }, { action: "Restart", exitCodes: { operator: "Gt", values: [1] } }],
      },
    ),
    [
      "spec.containers[0].restartPolicyRules[0].exitCodes: Required value: must be specified",
      'spec.containers[0].restartPolicyRules[1].exitCodes.operator: Unsupported value: "Gt": supported values: "In", "NotIn"',
    ],
  ],
  [
    "more rules than there may be",
    pod({}, { restartPolicy: "Never", restartPolicyRules: Array.from({ length: 21 }, () => RULE) }),
    ["spec.containers[0].restartPolicyRules: Too long: may not be more than 20 bytes"],
  ],
  [
    "rules of a sidecar",
    pod({ initContainers: [container({ name: "s", restartPolicy: "Always", restartPolicyRules: [RULE] })] }),
    [
      "spec.initContainers[0].restartPolicyRules: Forbidden: restartPolicyRules are not allowed for init containers with restart policy Always",
    ],
  ],
  [
    "rules of an init container",
    pod({ initContainers: [container({ name: "s", restartPolicy: "OnFailure", restartPolicyRules: [RULE] })] }),
    [],
  ],
  ["a variable out of a file", pod({ volumes: EMPTY_DIR }, file({})), []],
  [
    "a variable out of no file",
    pod({ volumes: EMPTY_DIR }, file({ path: "../x", key: "a=b" })),
    [
      `spec.containers[0].env[0].valueFrom.fileKeyRef.key: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`,
      `spec.containers[0].env[0].valueFrom.fileKeyRef.path: Invalid value: "../x": must not contain '..'`,
    ],
  ],
  [
    "a variable out of a volume that is not there",
    pod({}, file({})),
    ['spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: "v"'],
  ],
  [
    "a variable out of a volume that nobody writes",
    pod({ volumes: [{ name: "v", configMap: { name: "m" } }] }, file({})),
    [
      'spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Invalid value: "v": referenced volume must be of type emptyDir',
    ],
  ],
  [
    "a host name that is overridden where it may not be",
    pod({ hostnameOverride: "a".repeat(65), hostNetwork: true, setHostnameAsFQDN: true }),
    [
      "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
      "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
      "spec.hostnameOverride: Too long: may not be more than 64 bytes",
    ],
  ],
  [
    "users of its own beside namespaces of the node",
    pod(
      {
        hostUsers: false,
        hostNetwork: true,
        hostPID: true,
        hostIPC: true,
        volumes: [{ name: "v", persistentVolumeClaim: { claimName: "c" } }],
      },
      { volumeDevices: [{ name: "v", devicePath: "/d" }] },
    ),
    [
      "spec.hostNetwork: Forbidden: when `hostUsers` is false",
      "spec.HostPID: Forbidden: when `hostUsers` is false",
      "spec.HostIPC: Forbidden: when `hostUsers` is false",
      "spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false",
    ],
  ],
  [
    "all of /proc with the node's users",
    pod({}, { securityContext: { procMount: "Unmasked" } }),
    [
      'spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
    ],
  ],
  ["all of /proc", pod({ hostUsers: false }, { securityContext: { procMount: "Unmasked" } }), []],
  [
    "policies that nobody knows",
    pod({ securityContext: { supplementalGroupsPolicy: "X", seLinuxChangePolicy: "Y" } }),
    [
      'spec.securityContext.supplementalGroupsPolicy: Unsupported value: "X": supported values: "Merge", "Strict"',
      'spec.securityContext.seLinuxChangePolicy: Unsupported value: "Y": supported values: "MountOption", "Recursive"',
    ],
  ],
  [
    "a mount that is read-only only below",
    pod(
      { volumes: EMPTY_DIR },
      {
        volumeMounts: [
          { name: "v", mountPath: "/v", recursiveReadOnly: "Enabled", mountPropagation: "HostToContainer" },
        ],
      },
    ),
    [
      "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
      "spec.containers[0].volumeMounts.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified",
    ],
  ],
  [
    "a resize policy that cannot be",
    pod({ restartPolicy: "Never" }, { resizePolicy: [{ resourceName: "cpu", restartPolicy: "RestartContainer" }] }),
    [
      `spec.containers[0].resizePolicy: Invalid value: "RestartContainer": must be 'NotRequired' when \`restartPolicy\` is 'Never'`,
    ],
  ],
  [
    "a resize policy of something else, twice",
    pod(
      {},
      {
        resizePolicy: [
          { resourceName: "pods", restartPolicy: "NotRequired" },
          { resourceName: "pods", restartPolicy: "NotRequired" },
        ],
      },
    ),
    [
      'spec.containers[0].resizePolicy: Unsupported value: "pods": supported values: "cpu", "memory"',
      'spec.containers[0].resizePolicy[1]: Duplicate value: "pods"',
      'spec.containers[0].resizePolicy: Unsupported value: "pods": supported values: "cpu", "memory"',
    ],
  ],
  [
    "less for the pod than for its containers",
    pod(
      { resources: { requests: { cpu: "1" }, limits: { cpu: "2" } } },
      { resources: { requests: { cpu: "1500m" }, limits: { cpu: "3" } } },
    ),
    [
      'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m',
      'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ],
  ],
  [
    "resources that only containers have",
    pod({ resources: { requests: { "ephemeral-storage": "1Gi" } } }),
    [
      'spec.resources.requests[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"',
    ],
  ],
  [
    "search domains as resolvers take them",
    pod({ dnsConfig: { searches: [".", "_sip._tcp.abc_d.example.com."] } }),
    [],
  ],
  [
    "too many search domains, and no domain",
    pod({ dnsConfig: { searches: [...Array.from({ length: 32 }, (_, at) => `a${at}`), "a b"] } }),
    [
      expect.stringMatching(
        /^spec\.dnsConfig\.searches: Invalid value: .*: must not have more than 32 search paths$/,
      ) as string,
      expect.stringMatching(
        /^spec\.dnsConfig\.searches\[32\]: Invalid value: "a b": a lowercase RFC 1123 subdomain/,
      ) as string,
    ],
  ],
  ["keys of labels beside a selector", pod(term({ matchLabelKeys: ["version"] })), []],
  [
    "a key of a label in the selector, too",
    pod(term({ matchLabelKeys: ["version", "app"] })),
    [`${TERM}[1]: Invalid value: "app": exists in both matchLabelKeys and labelSelector`],
  ],
  [
    "a key that is to match and not to match",
    pod(term({ matchLabelKeys: ["other"], mismatchLabelKeys: ["other"] })),
    [`${TERM}.matchLabelKeys[0]: Invalid value: "other": exists in both matchLabelKeys and mismatchLabelKeys`],
  ],
  [
    "keys without a selector",
    pod(term({ labelSelector: undefined, mismatchLabelKeys: ["other"] })),
    [`${TERM}.mismatchLabelKeys: Forbidden: must not be specified when labelSelector is not set`],
  ],
];

test.each(PODS)("a pod with %s", (_, object, errors) => {
  expect(createErrors("pods", object)).toEqual(errors);
});

test("a container that its own rules run again may leave its end, whatever the pod's policy", () => {
  const kind = kindNamed("pods");
  const errors = (exitCode: number): string[] => {
    const old = created(
      "pods",
      pod({ restartPolicy: "Never" }, { restartPolicy: "Never", restartPolicyRules: [RULE] }),
    );
    old.status = { containerStatuses: [{ name: "c", state: { terminated: { exitCode } } }] as ContainerStatus[] };
    const now = deepClone(old);
    now.status = { containerStatuses: [{ name: "c", state: { running: {} } }] as ContainerStatus[] };
    return (kind.validateStatusUpdate?.(now, old) ?? []).map(fieldErrorText);
  };
  expect(errors(42)).toEqual([]);
  expect(errors(1)).toEqual([
    "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
  ]);
});

describe("resources of a whole pod", () => {
  test("are looked at where the pod has no containers", () => {
    for (const resources of [{}, { limits: { cpu: "1" } }]) {
      const bare = { metadata: { name: "p" }, spec: { resources } } as unknown as Pod;
      expect(createErrors("pods", bare)).toContain("spec.containers: Required value");
    }
  });

  test("default to what its containers ask for, then to its limits", () => {
    const sidecar = container({ name: "s", restartPolicy: "Always", resources: { requests: { cpu: "100m" } } });
    const spec = { initContainers: [sidecar], resources: { limits: { cpu: "2", memory: "1Gi" } } };
    const stored = created("pods", pod(spec, { resources: { requests: { cpu: "500m" } } }));
    expect(stored.spec.resources).toEqual({
      limits: { cpu: "2", memory: "1Gi" },
      requests: { cpu: "600m", memory: "1Gi" },
    });
    expect(stored.status?.qosClass).toBe("Burstable");
  });

  test("take over the huge pages of its containers", () => {
    const pages = { "hugepages-2Mi": "4Mi", memory: "1Gi" };
    const stored = created("pods", pod({ resources: { requests: { cpu: "1" } } }, { resources: { limits: pages } }));
    expect(stored.spec.resources).toEqual({
      limits: { "hugepages-2Mi": "4Mi" },
      requests: { cpu: "1", memory: "1Gi", "hugepages-2Mi": "4Mi" },
    });
  });

  test("are left alone where there are none", () => {
    const stored = created("pods", pod({}, { resources: { limits: { cpu: "1" } } }));
    expect(stored.spec).not.toHaveProperty("resources");
  });
});

test("who uses a volume whose driver is off is told so", () => {
  const { strategy } = kindNamed("pods");
  const volumes = [{ name: "v", gitRepo: { repository: "r" } }];
  expect(strategy.warnings?.(pod({ volumes }), undefined)).toEqual([
    "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
  ]);
});

test("a storage driver's tokens and period", () => {
  const driver = (spec: object): CSIDriver => ({ metadata: { name: "d" }, spec });
  expect(createErrors("csidrivers.storage.k8s.io", driver({ nodeAllocatableUpdatePeriodSeconds: 9 }))).toEqual([
    "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
  ]);
  expect(createErrors("csidrivers.storage.k8s.io", driver({ serviceAccountTokenInSecrets: true }))).toEqual([
    "spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
  ]);
  const { strategy } = kindNamed("csidrivers.storage.k8s.io");
  const warned = [
    "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes",
  ];
  const wants = driver({ tokenRequests: [{ audience: "a" }] });
  expect(strategy.warnings?.(wants, undefined)).toEqual(warned);
  expect(strategy.warnings?.(wants, wants)).toEqual([]);
  expect(
    strategy.warnings?.(driver({ serviceAccountTokenInSecrets: true, tokenRequests: [{ audience: "a" }] }), undefined),
  ).toEqual([]);
});
