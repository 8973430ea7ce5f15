// The plan names every process once, gives each its own ports and certificates, and packs many nodes into few processes.
import { describe, expect, test } from "vitest";
import { clusterPaths, clusterSpec, SpecError } from "../src/cluster-spec.ts";
import { podAddressing } from "../src/process-flags.ts";
import { planProcesses } from "../src/process-plan.ts";
import { controlMembers, nodeGroups, planSlots, slotKey, type ProcessPorts } from "../src/process-slots.ts";
import { loopbackSite, type Site } from "../src/site.ts";

function plan(
  wish: Parameters<typeof clusterSpec>[0],
  site?: (ports: ReadonlyMap<string, ProcessPorts>) => Site,
): ReturnType<typeof planProcesses> {
  const spec = clusterSpec(wish);
  let port = 20_000;
  const ports = new Map<string, ProcessPorts>(
    planSlots(spec).map((slot) => [slotKey(slot.component, slot.instance), { main: port++, grpc: port++ }]),
  );
  return planProcesses({
    spec,
    paths: clusterPaths(spec.name, "/x"),
    ports,
    ...(site === undefined ? {} : { site: site(ports) }),
    binaries: { node: "node", dist: "/dist", etcd: "etcd", natsServer: "nats-server" },
  });
}

describe("planProcesses", () => {
  test("a small cluster has a kubelet and a kube-proxy a node", () => {
    const names = plan({ nodes: 2, apiServers: 2 }).map((one) => slotKey(one.component, one.instance));
    expect(names).toEqual([
      "etcd/0",
      "nats/0",
      "api-server/0",
      "api-server/1",
      "scheduler/0",
      "controller-manager/0",
      "metrics-server/0",
      "kubelet/node-1",
      "kubelet/node-2",
      "kube-proxy/node-1",
      "kube-proxy/node-2",
    ]);
  });

  test("every component but the api-server knows all api-servers", () => {
    const scheduler = plan({ apiServers: 3 }).find((one) => one.component === "scheduler");
    expect(scheduler?.args.filter((arg) => arg.startsWith("--api-server=")).length).toBe(3);
  });

  test("nats-server collects its garbage seldom, and below a limit", () => {
    const given = plan({}).filter((one) => one.env !== undefined);
    expect(given.map(({ component, env }) => [component, env])).toEqual([
      ["nats", { GOGC: "400", GOMEMLIMIT: "512MiB" }],
    ]);
  });

  test("who has thousands of requests on their way collects garbage seldom", () => {
    const flag = "--max-semi-space-size=64";
    const given = plan({}).filter(({ args }) => args.includes(flag));
    expect(given.map(({ component, args }) => [component, args[0]])).toEqual([
      ["api-server", flag],
      ["scheduler", flag],
    ]);
  });

  test("each api-server gets the flags that are its own, and no other process does", () => {
    const flag = "--encryption-provider-config=/etc/coxswain/encryption.yaml";
    const processes = plan({ apiServers: 2, apiServerFlags: [flag] });
    const having = processes.filter((one) => one.args.includes(flag)).map((one) => one.component);
    expect(having).toEqual(["api-server", "api-server"]);
    expect(() => clusterSpec({ apiServerFlags: ["audit"] })).toThrow('--api-server-flag: Invalid value: "audit"');
    expect(() => clusterSpec({ apiServerFlags: ["--port=1"] })).toThrow("the cluster decides that itself");
  });

  test("an autoscaled cluster is planned with all nodes that it may get, each under its provider ID", () => {
    const processes = plan({ name: "blue", nodes: 1, autoscale: { min: 0, max: 7 }, autoscalerFlags: ["--v=4"] });
    const kubelets = processes.filter((one) => one.component === "kubelet");
    expect(kubelets.map((one) => one.node)).toEqual([1, 2, 3, 4, 5, 6, 7].map((number) => `node-${number}`));
    expect(kubelets[6]?.args).toContain("--provider-id=coxswain://blue/node-7");
    const autoscaler = processes.find((one) => one.component === "cluster-autoscaler");
    expect(autoscaler?.args).toEqual(
      expect.arrayContaining(["--cloud-provider=externalgrpc", "--cloud-config=/x/blue/cloud-config.yaml", "--v=4"]),
    );
    expect(autoscaler?.args.filter((arg) => arg.startsWith("--scheduler="))).toHaveLength(1);
    const plain = plan({ nodes: 1 });
    expect(plain.some((one) => one.component === "cluster-autoscaler")).toBe(false);
    expect(plain.flatMap((one) => one.args).some((arg) => arg.startsWith("--provider-id"))).toBe(false);
  });

  test.each<[Parameters<typeof clusterSpec>[0], string]>([
    [{ autoscale: { min: 3, max: 2 } }, '--autoscale: Invalid value: "3:2"'],
    [{ autoscale: { min: 0, max: 101 } }, '--autoscale: Invalid value: "0:101"'],
    [{ autoscale: { min: 0.5, max: 2 } }, '--autoscale: Invalid value: "0.5:2"'],
    [{ nodes: 5, autoscale: { min: 1, max: 4 } }, '--nodes: Invalid value: "5": must be in 1..4 (--autoscale)'],
    [{ autoscalerFlags: ["--v=4"] }, "--autoscaler-flag: Forbidden: may not be specified without --autoscale"],
    [{ autoscale: { min: 1, max: 4 }, autoscalerFlags: ["--cloud-config=/x"] }, "the cluster decides that itself"],
  ])("refuses %j", (wish, message) => {
    expect(() => clusterSpec(wish)).toThrow(message);
  });

  test("an api-server meets etcd at a socket in the cluster's folder, and by TLS where each has a network of its own", () => {
    const flags = (sockets: boolean) => {
      const processes = plan({ nodes: 0 }, (ports) => ({ ...loopbackSite(ports), sockets }));
      const args = (component: string, prefix: string): string[] =>
        processes.find((one) => one.component === component)!.args.filter((arg) => arg.startsWith(prefix));
      return [...args("etcd", "--listen-client-urls="), ...args("api-server", "--etcd=")];
    };
    expect(flags(true)).toEqual([
      "--listen-client-urls=https://127.0.0.1:20000,unix://etcd:0",
      "--etcd=unix:/x/default/etcd:0",
    ]);
    expect(flags(false)).toEqual(["--listen-client-urls=https://127.0.0.1:20000", "--etcd=127.0.0.1:20000"]);
  });

  test("a cluster in memory has no etcd, and its api-server is told so", () => {
    const processes = plan({ nodes: 1, storage: "memory" });
    expect(processes.map(({ component }) => component)).not.toContain("etcd");
    const [api] = processes.filter(({ component }) => component === "api-server");
    expect(api?.args).toContain("--storage=memory");
    expect(api?.args.some((arg) => arg.startsWith("--etcd="))).toBe(false);
    const [kept] = plan({ nodes: 1 }).filter(({ component }) => component === "api-server");
    expect(kept?.args).toContain("--storage=etcd");
  });

  test("each scheduler gets the flags that are its own", () => {
    const flag = "--config=/etc/coxswain/scheduler.yaml";
    const processes = plan({ schedulers: 2, schedulerFlags: [flag] });
    const having = processes.filter((one) => one.args.includes(flag)).map((one) => one.component);
    expect(having).toEqual(["scheduler", "scheduler"]);
    expect(() => clusterSpec({ schedulerFlags: ["config"] })).toThrow('--scheduler-flag: Invalid value: "config"');
  });

  test("each kubelet gets the flags that are its own", () => {
    const flag = "--image-gc-high-threshold=70";
    const having = plan({ nodes: 2, kubeletFlags: [flag] }).filter((one) => one.args.includes(flag));
    expect(having.map((one) => one.component)).toEqual(["kubelet", "kubelet"]);
    expect(() => clusterSpec({ kubeletFlags: ["x"] })).toThrow('--kubelet-flag: Invalid value: "x"');
  });

  test("a node's kubelet shows the node's own certificate", () => {
    const kubelet = plan({ nodes: 1 }).find((one) => one.component === "kubelet");
    expect(kubelet?.args).toContain("--cert-file=/x/default/pki/kubelet-node-1.crt");
    const packed = plan({ nodes: 50 }).find((one) => one.component === "kubelet");
    expect(packed?.args).toContain("--cert-file=/x/default/pki/kubelet-pack-node-1-50.crt");
    expect(packed?.args).toContain("--nodes=node-[1-50]");
  });

  test("many nodes share processes", () => {
    const groups = (nodes: number): string[] => nodeGroups({ nodes, runtime: "simulated" });
    expect(groups(5)).toHaveLength(5);
    expect(groups(6)).toEqual(["node-[1-6]"]);
    expect(groups(5001)).toEqual(["node-[1-5000]", "node-[5001-5001]"]);
    expect(groups(0)).toEqual([]);
    expect(nodeGroups({ nodes: 100, runtime: "containerd" })).toHaveLength(100);
  });

  test("few nodes share processes where they were asked to", () => {
    const kubelets = plan({ nodes: 3, packNodes: true }).filter((one) => one.component === "kubelet");
    expect(kubelets.map(({ instance, node }) => [instance, node])).toEqual([["pack-1", "node-[1-3]"]]);
    expect(kubelets[0]?.args).toContain("--cert-file=/x/default/pki/kubelet-pack-node-1-3.crt");
    expect(() => clusterSpec({ packNodes: true, runtime: "containerd" })).toThrow(
      "--pack-nodes: Forbidden: a process serves one real node only",
    );
    expect(() => clusterSpec({ packNodes: true, autoscale: { min: 1, max: 3 } })).toThrow(
      "--pack-nodes: Forbidden: may not be specified with --autoscale",
    );
  });

  test("nodes have a way out, and the DNS asks outside, only where the cluster was started so", () => {
    const command = (name: string) => ({ command: name, args: [] });
    const real = (ports: ReadonlyMap<string, ProcessPorts>): Site => ({
      ...loopbackSite(ports),
      containerd: command,
      egress: (member) => command(`way-out-of-${member}`),
      imagePuller: ({ args }) => ({ command: "puller", args }),
    });
    const facts = (egress: "none" | "images" | "nat") => {
      const processes = plan({ runtime: "containerd", nodes: 1, egress }, real);
      const flag = (component: string, prefix: string): string | undefined =>
        processes.find((one) => one.component === component)?.args.find((arg) => arg.startsWith(prefix));
      return {
        waysOut: processes.filter((one) => one.component === "egress").map((one) => one.command),
        puller: flag("image-puller", "--cache-dir="),
        upstream: flag("cluster-dns", "--upstream="),
      };
    };
    const puller = "--cache-dir=/x/default/image-blobs";
    expect(facts("none")).toEqual({ waysOut: [], puller: undefined, upstream: undefined });
    expect(facts("images")).toEqual({ waysOut: [], puller, upstream: undefined });
    const waysOut = ["way-out-of-cluster-dns-0", "way-out-of-node-1"];
    expect(facts("nat")).toEqual({ waysOut, puller, upstream: "--upstream=10.0.2.3" });
    expect(controlMembers(clusterSpec({ runtime: "containerd", egress: "nat" }))).toEqual([
      "gateway-0",
      "etcd-0",
      "nats-0",
      "api-server-0",
      "scheduler-0",
      "controller-manager-0",
      "cluster-dns-0",
      "metrics-server-0",
    ]);
  });
});

test("every node of the largest cluster has a range of pod addresses of its own", () => {
  for (const nodes of [1, 256, 257, 8_000]) {
    const { clusterCidr, nodeMask } = podAddressing(nodes);
    expect(2 ** (nodeMask - Number(clusterCidr.split("/")[1]))).toBeGreaterThanOrEqual(nodes);
    expect(2 ** (32 - nodeMask) - 2).toBeGreaterThanOrEqual(110);
  }
});

describe("clusterSpec", () => {
  test.each([
    [{ name: "Bad" }, "--name"],
    [{ nodes: -1 }, "--nodes"],
    [{ nodes: 1.5 }, "--nodes"],
    [{ apiServers: 0 }, "--api-servers"],
    [{ storage: "disk" as never }, "--storage"],
    [{ storage: "memory" as const, apiServers: 2 }, "--api-servers"],
    [{ storage: "memory" as const, apiServers: 2 }, "--storage memory"],
    [{ apiServerFlags: ["--storage=memory"] }, "--api-server-flag"],
    [{ runtime: "docker" as never }, "--runtime"],
    [{ runtime: "containerd" as const, nodes: 101 }, "--nodes"],
    [{ egress: "nat" as const }, "--egress"],
    [{ runtime: "containerd" as const, egress: "all" as never }, "--egress"],
    [{ proxyMode: "ipvs" as never }, "ip_vs"],
    [{ runtime: "containerd" as const, proxyMode: "ipvs" as never }, 'use "nftables"'],
  ])("refuses %o by the option's name", (wish, option) => {
    expect(() => clusterSpec(wish)).toThrow(SpecError);
    expect(() => clusterSpec(wish)).toThrow(option);
  });
});
