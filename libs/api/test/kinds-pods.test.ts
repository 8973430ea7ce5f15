// What is refused of pods besides their volumes: annotations that mean something, security of one operating system, and what may
// become of a pod that waits behind a gate, or that runs. In upstream's words and field paths.
import { describe, expect, test } from "vitest";
import type { NodeSelectorTerm, Pod, PodSpec, PodStatus } from "../src/index.ts";
import { created, createErrors, kindNamed, updateErrors } from "./support/kind-cases.ts";
import { deepClone, fieldErrorText } from "@coxswain/apimachinery";

type Changes = Partial<PodSpec>;

const pod = (changes: Changes = {}, container: object = {}, annotations?: Record<string, string>): Pod => ({
  metadata: { name: "web", namespace: "default", ...(annotations === undefined ? {} : { annotations }) },
  spec: { containers: [{ name: "main", image: "nginx", ...container }], ...changes },
});

const S = "spec.securityContext";
const C = "spec.containers[0].securityContext";
test.each<[string, Changes, object, string[]]>([
  [
    "shared processes beside those of the node",
    { hostPID: true, shareProcessNamespace: true },
    {},
    [`${S}.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled`],
  ],
  [
    "sysctls of namespaces that are the node's",
    {
      hostNetwork: true,
      hostIPC: true,
      securityContext: {
        sysctls: [
          { name: "net/ipv4/ip_forward", value: "1" },
          { name: "kernel.shmmax", value: "1" },
          { name: "fs.mqueue.msg_max", value: "1" },
          { name: "kernel.other", value: "1" },
        ],
      },
    },
    {},
    [
      `${S}.sysctls[0].name: Invalid value: "net/ipv4/ip_forward": may not be specified when 'hostNetwork' is true`,
      `${S}.sysctls[1].name: Invalid value: "kernel.shmmax": may not be specified when 'hostIPC' is true`,
      `${S}.sysctls[2].name: Invalid value: "fs.mqueue.msg_max": may not be specified when 'hostIPC' is true`,
    ],
  ],
  [
    "seccomp profiles of no type, that go up, and that are not asked for",
    { securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "../up" } } },
    { securityContext: { seccompProfile: { type: "RuntimeDefault", localhostProfile: "p" } } },
    [
      `${C}.seccompProfile.localhostProfile: Invalid value: {"type":"RuntimeDefault","localhostProfile":"p"}: can only be set when seccomp type is Localhost`,
      `${S}.seccompProfile.localhostProfile: Invalid value: "../up": must not contain '..'`,
    ],
  ],
  [
    "AppArmor profiles",
    { securityContext: { appArmorProfile: { type: "Localhost" } } },
    { securityContext: { appArmorProfile: { type: "Some" } } },
    [
      `${C}.appArmorProfile.type: Unsupported value: "Some": supported values: "Localhost", "RuntimeDefault", "Unconfined"`,
      `${S}.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost`,
    ],
  ],
  [
    "more AppArmor profiles",
    { securityContext: { appArmorProfile: { type: "Localhost", localhostProfile: " p" } } },
    { securityContext: { appArmorProfile: { type: "Unconfined", localhostProfile: "p" } } },
    [
      `${C}.appArmorProfile.localhostProfile: Invalid value: "p": can only be set when AppArmor type is Localhost`,
      `${S}.appArmorProfile.localhostProfile: Invalid value: " p": must not be padded with whitespace`,
    ],
  ],
  ["no name of a system", { os: {} as PodSpec["os"] & object }, {}, ["spec.os.name: Required value"]],
  [
    "options of Windows on Linux",
    { os: { name: "linux" }, securityContext: { windowsOptions: {} } },
    { securityContext: { windowsOptions: {} } },
    [
      `${S}.windowsOptions: Forbidden: windows options cannot be set for a linux pod`,
      `${C}.windowsOptions: Forbidden: windows options cannot be set for a linux pod`,
    ],
  ],
  [
    "options of Linux on Windows",
    { os: { name: "windows" }, hostPID: true, securityContext: { runAsUser: 1, fsGroup: 2 } },
    { securityContext: { privileged: false, capabilities: {} } },
    [
      `${S}.fsGroup: Forbidden: cannot be set for a windows pod`,
      `${S}.runAsUser: Forbidden: cannot be set for a windows pod`,
      "spec.hostPID: Forbidden: cannot be set for a windows pod",
      `${C}.capabilities: Forbidden: cannot be set for a windows pod`,
      `${C}.privileged: Forbidden: cannot be set for a windows pod`,
    ],
  ],
  [
    "names of users on Windows",
    { securityContext: { windowsOptions: { runAsUserName: "a\\b\\c", gmsaCredentialSpec: "" } } },
    { securityContext: { windowsOptions: { runAsUserName: '?"\\. ', gmsaCredentialSpecName: "X" } } },
    [
      expect.stringContaining(`${C}.windowsOptions.gmsaCredentialSpecName: Invalid value: "X": a lowercase RFC 1123`),
      `${C}.windowsOptions.runAsUserName: Invalid value: "?\\"\\\\. ": runAsUserName's Domain doesn't match the NetBios nor the DNS format`,
      `${C}.windowsOptions.runAsUserName: Invalid value: "?\\"\\\\. ": runAsUserName's User cannot contain only periods or spaces`,
      `${S}.windowsOptions.gmsaCredentialSpec: Invalid value: "": gmsaCredentialSpec cannot be an empty string`,
      `${S}.windowsOptions.runAsUserName: Invalid value: "a\\\\b\\\\c": runAsUserName cannot contain more than one backslash`,
    ],
  ],
  [
    "a container that is a process of its host, in a pod that is not",
    { initContainers: [{ name: "init", image: "x" }] },
    { securityContext: { windowsOptions: { hostProcess: true } } },
    [
      'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be HostProcess containers',
      "spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers",
    ],
  ],
  [
    "one port of the host twice in an init container",
    {
      initContainers: [
        {
          name: "init",
          image: "x",
          ports: [
            { containerPort: 1, hostPort: 80 },
            { containerPort: 2, hostPort: 80 },
          ],
        },
      ],
    },
    {},
    ['spec.initContainers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
  ],
  [
    "a token of nobody",
    { volumes: [{ name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }] },
    {},
    [
      "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
    ],
  ],
])("a pod with %s", (_, changes, container, errors) => {
  expect(createErrors("pods", pod(changes, container))).toEqual(errors);
});

describe("annotations", () => {
  const A = "metadata.annotations";
  test.each<[string, Record<string, string>, object, string[]]>([
    [
      "a mirror of no node",
      { "kubernetes.io/config.mirror": "x" },
      {},
      [`${A}[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set`],
    ],
    ...["abc", "05", "+1", "2147483648"].map((text): [string, Record<string, string>, object, string[]] => [
      `a cost of ${text}`,
      { "controller.kubernetes.io/pod-deletion-cost": text },
      {},
      [`${A}[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "${text}": must be a 32bit integer`],
    ]),
    ["a good cost", { "controller.kubernetes.io/pod-deletion-cost": "-100" }, {}, []],
    [
      "seccomp of nothing known",
      { "seccomp.security.alpha.kubernetes.io/pod": "some" },
      {},
      [`${A}.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "some": must be a valid seccomp profile`],
    ],
    [
      "seccomp that its field contradicts",
      { "container.seccomp.security.alpha.kubernetes.io/main": "localhost/a" },
      { securityContext: { seccompProfile: { type: "Localhost", localhostProfile: "b" } } },
      [`${C}.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field must match`],
    ],
    [
      "AppArmor of no container, and of no profile",
      { "container.apparmor.security.beta.kubernetes.io/other": "some" },
      {},
      [
        `${A}[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "other": container not found`,
        `${A}[container.apparmor.security.beta.kubernetes.io/other]: Invalid value: "some": invalid AppArmor profile name: "some"`,
      ],
    ],
    [
      "AppArmor that its field contradicts",
      { "container.apparmor.security.beta.kubernetes.io/main": "unconfined" },
      { securityContext: { appArmorProfile: { type: "RuntimeDefault" } } },
      [`${C}.appArmorProfile.type: Forbidden: apparmor type in annotation and field must match`],
    ],
  ])("%s", (_, annotations, container, errors) => {
    expect(createErrors("pods", pod({}, container, annotations))).toEqual(errors);
  });

  test("say the same as fields of AppArmor from then on", () => {
    const annotations = { "container.apparmor.security.beta.kubernetes.io/main": "localhost/p" };
    const stored = created("pods", pod({}, {}, annotations));
    expect(stored.spec?.containers[0]?.securityContext).toEqual({
      appArmorProfile: { type: "Localhost", localhostProfile: "p" },
    });
  });

  test("that mean something stay as they are", () => {
    const key = "container.apparmor.security.beta.kubernetes.io/main";
    const change = (from: Record<string, string>, to: Record<string, string>) =>
      updateErrors("pods", pod({ nodeName: "n" }, {}, from), (next) => (next.metadata!.annotations = to));
    expect(change({ [key]: "unconfined", own: "1" }, { own: "2" })).toEqual([
      `${A}[${key}]: Forbidden: may not remove or update AppArmor annotations`,
    ]);
    expect(change({}, { "kubernetes.io/config.mirror": "x" })).toEqual([
      `${A}[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation`,
    ]);
  });
});

test("claims that are made for a pod have names of their own, and nobody else uses them", () => {
  const volumeClaimTemplate = { spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1" } } } };
  const long = "p".repeat(250);
  const bad = pod({
    volumes: [
      { name: "data", ephemeral: { volumeClaimTemplate } },
      { name: "same", persistentVolumeClaim: { claimName: `${long}-data` } },
    ],
  });
  bad.metadata!.name = long;
  expect(createErrors("pods", bad)).toEqual([
    `spec.volumes[0].name: Invalid value: "data": PVC name "${long}-data": must be no more than 253 characters`,
    `spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "${long}-data": must not reference a PVC that gets created for an ephemeral volume`,
  ]);
});

describe("a gated pod", () => {
  const REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution";
  const asking = (...keys: string[]): NodeSelectorTerm => ({
    matchExpressions: keys.map((key) => ({ key, operator: "Exists" })),
  });
  const terms = (...list: NodeSelectorTerm[]): Changes => ({
    affinity: { nodeAffinity: { [REQUIRED]: { nodeSelectorTerms: list } } },
  });
  const gated = (changes: Changes) => pod({ schedulingGates: [{ name: "a/b" }], ...changes });
  const at = `spec.affinity.nodeAffinity.${REQUIRED}.nodeSelectorTerms`;
  test.each<[string, Changes, Changes, string[]]>([
    ["gets nodes to choose from", {}, terms(asking("a")), []],
    ["gets fewer", terms(asking("a")), terms(asking("a", "b")), []],
    [
      "gets no more",
      terms(asking("a")),
      terms(asking("a"), asking("b")),
      [expect.stringContaining(`${at}: Invalid value: `)],
    ],
    [
      "gets no others",
      terms(asking("a")),
      terms(asking("b")),
      [
        `${at}[0]: Invalid value: {"matchExpressions":[{"key":"b","operator":"Exists"}]}: only additions are allowed (no mutations or deletions)`,
      ],
    ],
  ])("%s", (_, before, after, errors) => {
    expect(updateErrors("pods", gated(before), (next) => Object.assign(next.spec!, after))).toEqual(errors);
  });
});

describe("a status", () => {
  const statusErrors = (before: PodStatus, after: PodStatus, changes: Changes = {}): string[] => {
    const old = { ...created("pods", pod(changes)), status: { qosClass: "BestEffort", ...before } };
    const next = deepClone(old);
    next.status = { qosClass: "BestEffort", ...after };
    return (kindNamed("pods").validateStatusUpdate?.(next, old) ?? []).map(fieldErrorText);
  };
  test("has conditions with names, and one address of each family", () => {
    expect(
      statusErrors(
        { podIPs: [{ ip: "old" }] },
        {
          conditions: [{ type: "no name", status: "True" }],
          podIPs: [{ ip: "old" }, { ip: "new" }],
          hostIP: "10.0.0.1",
          hostIPs: [{ ip: "10.0.0.2" }, { ip: "10.0.0.3" }],
        },
      ),
    ).toEqual([
      expect.stringContaining('status.conditions[0].Type: Invalid value: "no name": name part must consist of'),
      'status.podIPs[1]: Invalid value: "new": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
      'status.podIPs: Invalid value: [{"ip":"old"},{"ip":"new"}]: may specify no more than one IP for each IP family',
      'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`',
      'status.hostIPs: Invalid value: [{"ip":"10.0.0.2"},{"ip":"10.0.0.3"}]: may specify no more than one IP for each IP family',
    ]);
    expect(statusErrors({}, { podIPs: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }] })).toEqual([]);
  });
  test("nominates no node for a pod that has one", () => {
    expect(statusErrors({}, { nominatedNodeName: "b" }, { nodeName: "a" })).toEqual([
      "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node",
    ]);
    expect(statusErrors({}, { nominatedNodeName: "b" })).toEqual([]);
  });
  test("brings no ephemeral container back", () => {
    const ended = { name: "debug", state: { terminated: { exitCode: 0 } } };
    const list = (state: object) => [{ ready: false, image: "", imageID: "", restartCount: 0, ...ended, ...state }];
    const before = { ephemeralContainerStatuses: list({}) } as PodStatus;
    const after = { ephemeralContainerStatuses: list({ state: { running: {} } }) } as PodStatus;
    expect(statusErrors(before, after)).toEqual([
      "status.ephemeralContainerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
    ]);
  });
});
