// The Pod Security Standards: what labels ask for, what each level finds wrong and how it says so, and what admission does.
import { createMetrics } from "@coxswain/component-base/metrics";
import type { ObjectSource } from "../src/pipeline/extension.ts";
import { createPodSecurity } from "../src/admission/pod-security/pod-security.ts";
import { DEPLOYMENTS, NAMESPACES, type Pod, type PodSpec, PODS } from "@coxswain/api";
import type { KubeObject, ResourceRef } from "@coxswain/apimachinery";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluatedPods } from "../src/admission/pod-security/existing-pods.ts";
import { formatViolations, violationsOf } from "../src/admission/pod-security/evaluate.ts";
import { formatLevel, type Level, policyOf } from "../src/admission/pod-security/policy.ts";
import type { ApiResult } from "../src/pipeline/contract.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const label = (mode: string) => `pod-security.kubernetes.io/${mode}`;

describe("labels", () => {
  test.each<[Record<string, string>, string[]]>([
    [{}, ["privileged:latest", "privileged:latest", "privileged:latest"]],
    [{ [label("enforce")]: "baseline" }, ["baseline:latest", "baseline:latest", "baseline:latest"]],
    [
      { [label("enforce")]: "baseline", [label("enforce-version")]: "v1.30", [label("warn")]: "restricted" },
      ["baseline:v1.30", "baseline:v1.30", "restricted:latest"],
    ],
    [{ [label("warn")]: "baseline" }, ["privileged:latest", "privileged:latest", "baseline:latest"]],
    [
      { [label("enforce")]: "restricted", [label("warn")]: "privileged" },
      ["restricted:latest", "restricted:latest", "privileged:latest"],
    ],
  ])("%j", (labels, expected) => {
    const { policy, errors } = policyOf(labels);
    expect(errors).toEqual([]);
    expect([policy.enforce, policy.audit, policy.warn].map(formatLevel)).toEqual(expected);
  });

  test("that mean nothing are enforced as strictly as there is", () => {
    const { policy, errors } = policyOf({ [label("enforce")]: "soft", [label("warn-version")]: "1.30" });
    expect([policy.enforce, policy.warn].map(formatLevel)).toEqual(["restricted:latest", "privileged:latest"]);
    expect(errors).toMatchObject([
      {
        field: `metadata.labels[${label("enforce")}]`,
        detail: 'Invalid value: "soft": must be one of privileged, baseline, restricted',
      },
      {
        field: `metadata.labels[${label("warn-version")}]`,
        detail: 'Invalid value: "1.30": must be "latest" or "v1.x"',
      },
    ]);
  });
});

const GOOD = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  seccompProfile: { type: "RuntimeDefault" },
};
const one = (securityContext: object = {}, more: object = {}): PodSpec => ({
  containers: [{ name: "a", image: "i", securityContext: { ...GOOD, ...securityContext }, ...more }],
});
const found = (spec: PodSpec, level: Level, minor: number | "latest" = "latest", metadata = {}): string =>
  formatViolations(violationsOf({ level, minor }, metadata, spec));

describe("the baseline forbids", () => {
  test.each<[PodSpec, string]>([
    [one(), ""],
    [{ containers: [{ name: "a", image: "i" }] }, ""],
    [
      { ...one(), hostNetwork: true, hostPID: true, hostIPC: false },
      "host namespaces (hostNetwork=true, hostPID=true)",
    ],
    [one({ privileged: true }), 'privileged (container "a" must not set securityContext.privileged=true)'],
    [
      one({ capabilities: { add: ["SYS_ADMIN", "CHOWN", "BPF"] } }),
      'non-default capabilities (container "a" must not include "BPF", "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      { ...one(), volumes: ["x", "y"].map((name) => ({ name, hostPath: { path: "/" } })) },
      'hostPath volumes (volumes "x", "y")',
    ],
    [
      {
        ...one(
          {},
          {
            ports: [
              { containerPort: 1, hostPort: 20 },
              { containerPort: 2, hostPort: 10 },
            ],
          },
        ),
      },
      'hostPort (container "a" uses hostPorts 10, 20)',
    ],
    [
      one({}, { livenessProbe: { httpGet: { host: "h.example", port: 1 } } }),
      'probe or lifecycle host (container "a" uses probe or lifecycle host "h.example")',
    ],
    [one({ procMount: "Unmasked" }), 'procMount (container "a" must not set securityContext.procMount to "Unmasked")'],
    [{ ...one({ procMount: "Unmasked" }), hostUsers: false }, ""],
    [
      { ...one({ seLinuxOptions: { type: "spc_t", user: "u" } }), securityContext: { seLinuxOptions: { role: "r" } } },
      'seLinuxOptions (pod and container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set)',
    ],
    [
      one({ seccompProfile: { type: "Unconfined" } }),
      'seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      {
        ...one(),
        securityContext: { sysctls: ["kernel.msgmax", "net.ipv4.tcp_rmem"].map((name) => ({ name, value: "1" })) },
      },
      "forbidden sysctls (kernel.msgmax)",
    ],
    [
      one({ windowsOptions: { hostProcess: true } }),
      'hostProcess (container "a" must not set securityContext.windowsOptions.hostProcess=true)',
    ],
    [
      { ...one(), securityContext: { appArmorProfile: { type: "Unconfined" } } },
      'forbidden AppArmor profile (pod must not set AppArmor profile type to "Unconfined")',
    ],
  ])("%j", (spec, expected) => {
    expect(found(spec, "baseline")).toBe(expected);
    expect(found(spec, "privileged")).toBe("");
  });

  test("less in older versions", () => {
    const spec = one({}, { readinessProbe: { tcpSocket: { host: "h", port: 1 } } });
    expect(found(spec, "baseline", 33)).toBe("");
    const sysctl = { ...one(), securityContext: { sysctls: [{ name: "net.ipv4.tcp_rmem", value: "1" }] } };
    expect(found(sysctl, "baseline", 31)).toBe("forbidden sysctls (net.ipv4.tcp_rmem)");
  });

  test("before 1.19, profiles of system calls in annotations alone", () => {
    const key = "seccomp.security.alpha.kubernetes.io";
    const annotations = { [`${key}/pod`]: "unconfined", [`container.${key}/a`]: "x", [`container.${key}/z`]: "x" };
    for (const level of ["baseline", "restricted"] as const) {
      expect(found(one(), level, 18, { annotations }), level).toBe(
        `seccompProfile (forbidden annotations container.${key}/a="x", ${key}/pod="unconfined")`,
      );
      expect(found(one(), level, 18, { annotations: { [`${key}/pod`]: "docker/default" } }), level).toBe("");
      expect(found(one(), level, 19, { annotations }), level).toBe("");
    }
    expect(found(one({ seccompProfile: { type: "Unconfined" } }), "baseline", 18)).toBe("");
  });

  test("profiles in annotations", () => {
    const annotations = { "container.apparmor.security.beta.kubernetes.io/a": "unconfined" };
    expect(found(one(), "baseline", "latest", { annotations })).toBe(
      'forbidden AppArmor profile (annotation "container.apparmor.security.beta.kubernetes.io/a" must not set AppArmor profile type to "unconfined")',
    );
  });
});

describe("the restricted level asks for", () => {
  const bare: PodSpec = { initContainers: [{ name: "b", image: "i" }], containers: [{ name: "a", image: "i" }] };
  test.each<[PodSpec, string]>([
    [one(), ""],
    [
      bare,
      'allowPrivilegeEscalation != false (containers "b", "a" must set securityContext.allowPrivilegeEscalation=false), ' +
        'unrestricted capabilities (containers "b", "a" must set securityContext.capabilities.drop=["ALL"]), ' +
        'runAsNonRoot != true (pod or containers "b", "a" must set securityContext.runAsNonRoot=true), ' +
        'seccompProfile (pod or containers "b", "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    ],
    [
      one({ capabilities: { add: ["CHOWN", "NET_BIND_SERVICE"] } }),
      'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN" in securityContext.capabilities.add)',
    ],
    [
      {
        ...one(),
        volumes: [
          { name: "v", hostPath: { path: "/" } },
          { name: "w", emptyDir: {} },
        ],
      },
      'restricted volume types (volume "v" uses restricted volume type "hostPath")',
    ],
    [
      { ...one({ runAsNonRoot: undefined, runAsUser: 0 }), securityContext: { runAsNonRoot: false } },
      "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false), " +
        'runAsUser=0 (container "a" must not set runAsUser=0)',
    ],
    [{ ...one({ runAsNonRoot: false, runAsUser: 0 }), hostUsers: false }, ""],
    [
      { ...one({ procMount: "Unmasked" }), hostUsers: false },
      'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
    ],
  ])("%j", (spec, expected) => expect(found(spec, "restricted")).toBe(expected));

  test("nothing that Windows lacks", () => {
    expect(
      found({ ...one(), ...bare, os: { name: "windows" }, securityContext: { runAsNonRoot: true } }, "restricted"),
    ).toBe("");
  });
});

test("pods that are there are told of once a reason", () => {
  const pods = ["c", "a", "b"].map((name): Pod => ({ metadata: { name }, spec: { ...one(), hostPID: name !== "b" } }));
  pods.push({ metadata: { name: "d" }, spec: one({ privileged: true }) });
  expect(evaluatedPods("n", { level: "baseline", minor: "latest" }, pods)).toEqual([
    'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
    "a (and 1 other pod): host namespaces",
    "d: privileged",
  ]);
});

test("audits hear of what is refused, and all judgements are counted", async () => {
  const metrics = createMetrics();
  const labels = { [label("enforce")]: "baseline", [label("audit")]: "restricted", [label("audit-version")]: "v1.30" };
  const source = { get: () => ({ object: { metadata: { labels } } }), list: () => [] } as unknown as ObjectSource;
  const plugin = createPodSecurity(source, async () => undefined, metrics);
  const said: string[] = [];
  const judge = (resource: string, object: object): unknown =>
    plugin.validate?.({
      operation: "CREATE",
      kind: { group: resource === "pods" ? "" : "apps", resource },
      subresource: "",
      namespace: "n",
      name: "x",
      object,
      annotate: (key: string, value: string) => said.push(`${key}: ${value}`),
    } as never);
  await judge("pods", { spec: one() });
  await expect(judge("pods", { spec: { ...one(), hostPID: true } })).rejects.toThrow("violates PodSecurity");
  await judge("deployments", { spec: { template: { spec: { ...one(), hostPID: true } } } });
  const enforced = "pod-security.kubernetes.io/enforce-policy: baseline:latest";
  const violations =
    'pod-security.kubernetes.io/audit-violations: would violate PodSecurity "restricted:v1.30": host namespaces (hostPID=true)';
  expect(said).toEqual([enforced, enforced, violations, violations]);
  const counted = (await metrics.text())
    .split("\n")
    .filter((line) => line.startsWith("pod_security_evaluations_total{"));
  const labelled = (decision: string, level: string, version: string, mode: string, resource: string): string =>
    `pod_security_evaluations_total{decision="${decision}",policy_level="${level}",policy_version="${version}",mode="${mode}",request_operation="create",resource="${resource}",subresource=""} 1`;
  expect(counted).toEqual([
    labelled("allow", "baseline", "latest", "enforce", "pod"),
    labelled("deny", "baseline", "latest", "enforce", "pod"),
    labelled("deny", "restricted", "v1.30", "audit", "pod"),
    labelled("deny", "restricted", "v1.30", "audit", "controller"),
    // What is enforced of pods is what is warned of, where nothing else is said.
    labelled("deny", "baseline", "latest", "warn", "controller"),
  ]);
});

describe("admission", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
    const labels = { [label("enforce")]: "baseline", [label("warn")]: "restricted" };
    await server.client.create(NAMESPACES, { apiVersion: "v1", kind: "Namespace", metadata: { name: "held", labels } });
  });
  afterAll(() => server.stop());

  const send = async (ref: ResourceRef, verb: "create" | "update", object: KubeObject): Promise<ApiResult> =>
    await server.api.pipeline.handle({
      user: { username: "admin", groups: ["system:masters"] },
      verb,
      group: ref.group,
      version: ref.version,
      resource: ref.resource,
      subresource: "",
      namespace: object.metadata?.namespace ?? "",
      name: verb === "create" ? "" : (object.metadata?.name ?? ""),
      body: Buffer.from(JSON.stringify(object)),
      contentType: "application/json",
      options: {},
      signal: AbortSignal.any([]),
    });
  const pod = (name: string, spec: PodSpec): KubeObject =>
    ({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace: "held" }, spec }) as KubeObject;

  test("refuses what breaks the enforced level", async () => {
    await expect(send(PODS, "create", pod("bad", { ...one(), hostPID: true }))).rejects.toMatchObject({
      code: 403,
      message: 'pods "bad" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostPID=true)',
    });
  });

  test("warns of what breaks the other one", async () => {
    const warning =
      'would violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false)';
    const spec = one({ allowPrivilegeEscalation: undefined });
    expect(await send(PODS, "create", pod("warned", spec))).toMatchObject({ code: 201, warnings: [warning] });
    const template = { metadata: { labels: { app: "w" } }, spec: { ...spec, hostPID: false } };
    const workload = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "w", namespace: "held" },
      spec: { selector: { matchLabels: { app: "w" } }, template },
    };
    expect(await send(DEPLOYMENTS, "create", workload)).toMatchObject({ code: 201, warnings: [warning] });
  });

  test("refuses labels that mean nothing, and tells of pods that a stricter level would not let in", async () => {
    const labelled = (name: string, level: string): KubeObject => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: { [label("enforce")]: level } },
    });
    await expect(send(NAMESPACES, "create", labelled("odd", "soft"))).rejects.toMatchObject({ reason: "Invalid" });
    await server.client.create(NAMESPACES, labelled("loose", "privileged"));
    const running = { ...pod("old", { ...one(), hostIPC: true }), metadata: { name: "old", namespace: "loose" } };
    await send(PODS, "create", running);
    while (server.api.source.list(PODS, "loose").length === 0) {
      await new Promise((resolve) => server.env.timers.defer(() => resolve(undefined)));
    }
    expect(await send(NAMESPACES, "update", labelled("loose", "baseline"))).toMatchObject({
      warnings: [
        'existing pods in namespace "loose" violate the new PodSecurity enforce level "baseline:latest"',
        "old: host namespaces",
      ],
    });
  });
});
