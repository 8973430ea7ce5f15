// A pod's spec as the runtime hears it: names, DNS, ports, cgroups, security, environment.
import type { Container, Pod, Service } from "@coxswain/api";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { VirtualEnv } from "@coxswain/env";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseResolvConf, podDns } from "../src/pods/dns-config.ts";
import { ObjectCache } from "../src/pods/object-cache.ts";
import { oomScoreAdj } from "../src/pods/qos-resources.ts";
import {
  containerConfigOf,
  sandboxConfigOf,
  sandboxWarnings,
  type ContainerInput,
  type NodeRuntime,
} from "../src/pods/pod-runtime-config.ts";

type Spec = Partial<NonNullable<Pod["spec"]>>;

const NODE: NodeRuntime = {
  podLogsDir: "/var/log/pods",
  hostIp: "198.18.0.101",
  allocatable: { cpu: "2", memory: "4Gi" },
  clusterDomain: "cluster.local",
  linux: {
    cgroupRoot: "/coxswain-x/node-1",
    clusterDns: ["10.96.0.10"],
    hostDns: { servers: ["198.18.0.1"], searches: ["host.example"], options: ["timeout:1"] },
    memoryCapacityBytes: 4 * 2 ** 30,
  },
};
const { linux: _linux, ...SIMULATED } = NODE;

const podOf = (spec: Spec = {}): Pod => ({
  metadata: { name: "web-0", namespace: "shop", uid: "u-1", labels: { app: "web" }, annotations: { a: "1" } },
  spec: { containers: [{ name: "c", image: "x" }], ...spec },
});
const sandbox = (spec: Spec = {}, node = NODE) => sandboxConfigOf({ pod: podOf(spec), attempt: 1, node });

function objects(): ObjectCache {
  const env = new VirtualEnv({ seed: 1 });
  return new ObjectCache(createMemoryCluster({ env }).client(), env.clock);
}

function container(own: Partial<Container> = {}, spec: Spec = {}, more: Partial<ContainerInput> = {}) {
  const one: Container = { name: "c", image: "x", ...own };
  const pod = podOf({ containers: [one], ...spec });
  const base = { pod, container: one, kind: "main", attempt: 3, podIp: "10.244.1.2", node: NODE, objects: objects() };
  return containerConfigOf({ ...base, ...more });
}

describe("sandbox", () => {
  test("has the pod's name, logs, cgroup and security", () => {
    const config = sandbox({
      securityContext: { fsGroup: 7, supplementalGroups: [8, 7], sysctls: [{ name: "net.ipv4.tcp_rmem", value: "1" }] },
      shareProcessNamespace: true,
    });
    expect(config).toMatchObject({
      name: "web-0",
      attempt: 1,
      hostname: "web-0",
      logDirectory: "/var/log/pods/shop_web-0_u-1",
      linux: {
        cgroupParent: "/coxswain-x/node-1/besteffort/podu-1",
        pidMode: "POD",
        ipcMode: "POD",
        supplementalGroups: [7, 8],
        sysctls: { "net.ipv4.tcp_rmem": "1" },
        privileged: false,
      },
    });
  });

  test("nothing of it is for real where the runtime is not", () => {
    const config = sandbox({ hostNetwork: true }, SIMULATED);
    expect([config.linux, config.dns, config.portMappings]).toEqual([undefined, undefined, undefined]);
    expect(config.hostname).toBe("web-0");
  });

  test.each<[Spec, string]>([
    [{ hostname: "shop" }, "shop"],
    [{ hostname: "shop", subdomain: "web" }, "shop"],
    [{ hostname: "shop", subdomain: "web", setHostnameAsFQDN: true }, "shop.web.shop.svc.cluster.local"],
    [{ setHostnameAsFQDN: true }, "web-0"],
    [{ hostnameOverride: "a.b.c" }, "a.b.c"],
    [{ hostNetwork: true }, ""],
  ])("%j makes the host name %j", (spec, hostname) => {
    expect(sandbox(spec).hostname).toBe(hostname);
  });

  test("a long name is cut to what a label may have; a full name that is too long is refused", () => {
    const name = `${"x".repeat(62)}.-tail`;
    const long = { ...podOf(), metadata: { ...podOf().metadata, name } };
    expect(sandboxConfigOf({ pod: long, attempt: 0, node: NODE }).hostname).toBe("x".repeat(62));
    expect(() => sandbox({ hostname: "h".repeat(40), subdomain: "s", setHostnameAsFQDN: true })).toThrow(
      "failed to construct FQDN from pod hostname and cluster domain",
    );
  });

  test("maps the ports that are wanted on the node", () => {
    const ports = [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81 }];
    const sidecar = {
      name: "s",
      restartPolicy: "Always",
      ports: [{ containerPort: 53, hostPort: 53, protocol: "UDP" }],
    };
    const spec: Spec = { containers: [{ name: "c", ports }], initContainers: [sidecar] };
    expect(sandbox(spec).portMappings).toEqual([
      { protocol: "UDP", containerPort: 53, hostPort: 53, hostIp: "" },
      { protocol: "TCP", containerPort: 80, hostPort: 8080, hostIp: "" },
    ]);
    expect(sandbox({ ...spec, hostNetwork: true }).portMappings).toEqual([]);
  });
});

describe("DNS", () => {
  const cluster = {
    servers: ["10.96.0.10"],
    searches: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "host.example"],
    options: ["ndots:5"],
  };
  const host = NODE.linux?.hostDns;

  test.each<[Spec, unknown]>([
    [{}, cluster],
    [{ dnsPolicy: "ClusterFirst", hostNetwork: true }, host],
    [{ dnsPolicy: "ClusterFirstWithHostNet", hostNetwork: true }, cluster],
    [{ dnsPolicy: "Default" }, host],
    [
      { dnsPolicy: "None", dnsConfig: { nameservers: ["1.1.1.1"], searches: ["a.b"], options: [{ name: "edns0" }] } },
      { servers: ["1.1.1.1"], searches: ["a.b"], options: ["edns0"] },
    ],
    [
      { dnsConfig: { nameservers: ["10.96.0.10", "1.1.1.1"], options: [{ name: "ndots", value: "2" }] } },
      { ...cluster, servers: ["10.96.0.10", "1.1.1.1"], options: ["ndots:2"] },
    ],
  ])("%j", (spec, dns) => {
    expect(sandbox(spec).dns).toEqual(dns);
  });

  test("what goes beyond the limits is left out, with a warning", () => {
    const searches = Array.from({ length: 40 }, (_one, n) => `s${n}.example`);
    const pod = podOf({ dnsPolicy: "None", dnsConfig: { nameservers: ["1", "2", "3", "4"], searches } });
    const warnings = sandboxWarnings({ pod, attempt: 0, node: NODE }).map((one) => `${one.reason}: ${one.message}`);
    expect(warnings[0]).toBe(
      "DNSConfigForming: Nameserver limits were exceeded, some nameservers have been omitted, " +
        "the applied nameserver line is: 1 2 3",
    );
    expect(warnings[1]).toMatch(
      /^DNSConfigForming: Search Line limits were exceeded, .* is: s0\.example .* s31\.example$/,
    );
  });

  test("any pod's settings fit into a resolv.conf", () => {
    const text = fc.string({ minLength: 1, maxLength: 300, unit: fc.constantFrom("a", ".", "b") });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 40 }), fc.array(text, { maxLength: 6 }), (searches, nameservers) => {
        const pod = podOf({ dnsConfig: { searches, nameservers } });
        const { dns } = podDns(pod, { clusterDns: ["10.96.0.10"], clusterDomain: "cluster.local", host: cluster });
        expect(dns.servers.length).toBeLessThanOrEqual(3);
        expect(dns.searches.length).toBeLessThanOrEqual(32);
        expect(dns.searches.join(" ").length).toBeLessThanOrEqual(2048);
        expect(new Set(dns.searches).size).toBe(dns.searches.length);
      }),
    );
  });

  test("without cluster DNS a pod resolves as its node does, and hears of it", () => {
    const node = { clusterDns: [], clusterDomain: "cluster.local", host: cluster };
    const { dns, warnings } = podDns(podOf(), node);
    expect(dns).toEqual(cluster);
    expect(warnings[0]?.reason).toBe("MissingClusterDNS");
  });

  test("resolv.conf is read as resolvers read it", () => {
    const text =
      "# c\nnameserver 1.1.1.1\nnameserver 8.8.8.8 \nsearch a.\nsearch b.example. c\noptions ndots:2 edns0\n";
    expect(parseResolvConf(text)).toEqual({
      servers: ["1.1.1.1", "8.8.8.8"],
      searches: ["b.example", "c"],
      options: ["ndots:2", "edns0"],
    });
  });
});

describe("container", () => {
  test("has command and arguments with variables, labels, log and resources", async () => {
    const config = await container({
      command: ["$(BIN)", "$$(BIN)", "$(NONE)"],
      env: [
        { name: "BIN", value: "/bin/x" },
        { name: "ALL", value: "$(BIN):$(LATER)" },
        { name: "LATER", value: "1" },
      ],
      resources: { requests: { cpu: "250m" }, limits: { cpu: "1", memory: "64Mi" } },
    });
    expect(config).toMatchObject({
      attempt: 3,
      logPath: "c/3.log",
      command: ["/bin/x", "$(BIN)", "$(NONE)"],
      labels: { "io.kubernetes.container.name": "c", "io.kubernetes.pod.uid": "u-1" },
      resources: { cpuMillis: 250, cpuLimitMillis: 1000, memoryLimitBytes: 2 ** 26 },
      mounts: [],
    });
    expect(config.env).toContainEqual({ name: "ALL", value: "/bin/x:$(LATER)" });
  });

  test("its security is the pod's, overridden by its own", async () => {
    const config = await container(
      {
        securityContext: {
          runAsUser: 2000,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] },
        },
      },
      {
        securityContext: {
          runAsUser: 1000,
          runAsGroup: 3000,
          fsGroup: 4000,
          seccompProfile: { type: "RuntimeDefault" },
        },
      },
    );
    expect(config.linux).toMatchObject({
      runAsUser: 2000,
      runAsGroup: 3000,
      supplementalGroups: [4000],
      noNewPrivs: true,
      readonlyRootfs: true,
      addCapabilities: ["NET_ADMIN"],
      dropCapabilities: ["ALL"],
      seccomp: { type: "RuntimeDefault" },
      pidMode: "CONTAINER",
      oomScoreAdj: 1000,
    });
    expect(config.linux?.maskedPaths).toContain("/proc/kcore");
    expect(config.linux?.readonlyPaths).toContain("/proc/sys");
  });

  test("a privileged one sees everything; an unmasked one all of /proc", async () => {
    const privileged = await container({ securityContext: { privileged: true } });
    expect(privileged.linux).toMatchObject({ privileged: true, maskedPaths: [], seccomp: { type: "Unconfined" } });
    expect((await container({ securityContext: { procMount: "Unmasked" } })).linux?.maskedPaths).toEqual([]);
  });

  const where = '(pod: "web-0_shop(u-1)", container: c)';
  test.each([
    [{ uid: 0 }, {}, `container has runAsNonRoot and image will run as root ${where}`],
    [{ uid: 0 }, { runAsUser: 0 }, `container's runAsUser breaks non-root policy ${where}`],
    [
      { username: "nginx" },
      {},
      `container has runAsNonRoot and image has non-numeric user (nginx), cannot verify user is non-root ${where}`,
    ],
  ])("runAsNonRoot with an image of %j and %j", async (user, securityContext, message) => {
    const made = container(
      { securityContext },
      { securityContext: { runAsNonRoot: true } },
      { imageUser: () => Promise.resolve(user) },
    );
    await expect(made).rejects.toThrow(message);
  });

  test.each([
    [{ uid: 7 }, { runAsUser: 7, runAsGroup: 9 }],
    [{ username: "nginx" }, { runAsUserName: "nginx", runAsGroup: 9 }],
  ])("a group without a user is the group of the image's user %j", async (user, linux) => {
    const spec: Spec = { securityContext: { runAsGroup: 9 } };
    const config = await container({}, spec, { imageUser: () => Promise.resolve(user) });
    expect(config.linux).toMatchObject(linux);
    expect(sandbox(spec).linux?.runAsGroup).toBeUndefined();
  });

  test("runAsNonRoot lets others run, and asks nothing of images that may be anybody's", async () => {
    const imageUser = (): Promise<never> => Promise.reject(new Error("asked"));
    await expect(container({}, {}, { imageUser })).resolves.toBeDefined();
    const nonRoot: Spec = { securityContext: { runAsNonRoot: true } };
    await expect(container({}, nonRoot, { imageUser: () => Promise.resolve({ uid: 101 }) })).resolves.toBeDefined();
    await expect(container({ securityContext: { runAsUser: 5 } }, nonRoot)).resolves.toBeDefined();
  });
});

describe("quality of service", () => {
  const resources = (memory: string): Container["resources"] => ({ requests: { memory } });
  const capacity = 2 ** 30;

  test.each<[Spec, number]>([
    [{ containers: [{ name: "c" }] }, 1000],
    [{ containers: [{ name: "c", resources: resources("512Mi") }] }, 500],
    [{ containers: [{ name: "c", resources: resources("1Ki") }] }, 999],
    [{ containers: [{ name: "c", resources: resources("1Gi") }] }, 3],
    [{ containers: [{ name: "c", resources: { limits: { cpu: "1", memory: "1Gi" } } }] }, -997],
    [{ containers: [{ name: "c" }], priorityClassName: "system-node-critical" }, -997],
  ])("%j has the score %d", (spec, score) => {
    const pod = podOf(spec);
    expect(oomScoreAdj(pod, pod.spec?.containers[0] ?? { name: "c" }, capacity)).toBe(score);
  });

  test("a sidecar does not go before the containers that it serves", () => {
    const sidecar: Container = { name: "s", restartPolicy: "Always" };
    const pod = podOf({ initContainers: [sidecar], containers: [{ name: "c", resources: resources("512Mi") }] });
    expect(oomScoreAdj(pod, sidecar, capacity)).toBe(500);
  });

  test.each([
    ["Guaranteed", "/coxswain-x/node-1/podu-1"],
    ["Burstable", "/coxswain-x/node-1/burstable/podu-1"],
    ["BestEffort", "/coxswain-x/node-1/besteffort/podu-1"],
  ])("%s pods are in %s", (qosClass, cgroup) => {
    const pod = { ...podOf(), status: { qosClass } };
    expect(sandboxConfigOf({ pod, attempt: 0, node: NODE }).linux?.cgroupParent).toBe(cgroup);
  });
});

describe("environment", () => {
  const service = (name: string, namespace: string, spec: object): Service => ({ metadata: { name, namespace }, spec });
  const all = [
    service("kubernetes", "default", { clusterIP: "10.96.0.1", ports: [{ name: "https", port: 443 }] }),
    service("my-db", "shop", {
      clusterIP: "10.96.0.7",
      ports: [
        { port: 53, protocol: "UDP" },
        { name: "t", port: 9 },
      ],
    }),
    service("headless", "shop", { clusterIP: "None", ports: [{ port: 1 }] }),
    service("elsewhere", "other", { clusterIP: "10.96.0.9", ports: [{ port: 1 }] }),
  ];
  const services = {
    hasSynced: () => true,
    list: (namespace: string) => all.filter((one) => one.metadata?.namespace === namespace),
  };
  const variables = async (own: Partial<Container>, spec: Spec = {}): Promise<Record<string, string>> => {
    const { env } = await container(own, spec, { services });
    return Object.fromEntries(env.map((one) => [one.name, one.value]));
  };

  test("tells of the Services of the namespace, and of kubernetes", async () => {
    expect(await variables({})).toEqual({
      KUBERNETES_SERVICE_HOST: "10.96.0.1",
      KUBERNETES_SERVICE_PORT: "443",
      KUBERNETES_SERVICE_PORT_HTTPS: "443",
      KUBERNETES_PORT: "tcp://10.96.0.1:443",
      KUBERNETES_PORT_443_TCP: "tcp://10.96.0.1:443",
      KUBERNETES_PORT_443_TCP_PROTO: "tcp",
      KUBERNETES_PORT_443_TCP_PORT: "443",
      KUBERNETES_PORT_443_TCP_ADDR: "10.96.0.1",
      MY_DB_SERVICE_HOST: "10.96.0.7",
      MY_DB_SERVICE_PORT: "53",
      MY_DB_SERVICE_PORT_T: "9",
      MY_DB_PORT: "udp://10.96.0.7:53",
      MY_DB_PORT_53_UDP: "udp://10.96.0.7:53",
      MY_DB_PORT_53_UDP_PROTO: "udp",
      MY_DB_PORT_53_UDP_PORT: "53",
      MY_DB_PORT_53_UDP_ADDR: "10.96.0.7",
      MY_DB_PORT_9_TCP: "tcp://10.96.0.7:9",
      MY_DB_PORT_9_TCP_PROTO: "tcp",
      MY_DB_PORT_9_TCP_PORT: "9",
      MY_DB_PORT_9_TCP_ADDR: "10.96.0.7",
    });
  });

  test("without links only kubernetes is left; the pod's own variables hold, and may use the others", async () => {
    const env = [
      { name: "KUBERNETES_SERVICE_PORT", value: "1" },
      { name: "URL", value: "https://$(KUBERNETES_SERVICE_HOST)" },
    ];
    const found = await variables({ env }, { enableServiceLinks: false });
    expect(found["MY_DB_SERVICE_HOST"]).toBeUndefined();
    expect(found["KUBERNETES_SERVICE_PORT"]).toBe("1");
    expect(found["URL"]).toBe("https://10.96.0.1");
  });

  test("no container is made before the Services are known", async () => {
    const early = { ...services, hasSynced: () => false };
    await expect(container({}, {}, { services: early })).rejects.toThrow(
      "services have not yet been read at least once, cannot construct envvars",
    );
  });

  test("tells of addresses and resources", async () => {
    const fieldRef = (fieldPath: string) => ({
      name: fieldPath.replace(".", "_"),
      valueFrom: { fieldRef: { fieldPath } },
    });
    const resource = { name: "MEM", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } };
    const env = [fieldRef("status.podIPs"), fieldRef("status.hostIPs"), fieldRef("metadata.uid"), resource];
    expect(await variables({ env }, { enableServiceLinks: false })).toMatchObject({
      status_podIPs: "10.244.1.2",
      status_hostIPs: "198.18.0.101",
      metadata_uid: "u-1",
      MEM: "4096",
    });
    const onHost = await variables({ env }, { hostNetwork: true });
    expect(onHost["status_podIPs"]).toBe("198.18.0.101");
  });

  test("a source that is not supported is refused by name", async () => {
    const valueFrom = { fileKeyRef: { volumeName: "v", path: "p", key: "k" } };
    await expect(variables({ env: [{ name: "A", valueFrom }] })).rejects.toThrow("source fileKeyRef is not supported");
  });
});
