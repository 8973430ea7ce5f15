// Addresses and node ports belong to one Service at a time, whoever asks at once and at whichever api-server.
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { IP_ADDRESSES, SERVICE_CIDRS, SERVICES, type IPAddress, type Service, type ServiceCIDR } from "@coxswain/api";
import type { ResourceClient } from "@coxswain/client";
import { startTestServer, type TestServer } from "./test-server.ts";

let first: TestServer;
let second: TestServer;

beforeAll(async () => {
  // 14 addresses, 24 ports: collisions are the rule.
  const small = { serviceCidr: "10.96.0.0/27", nodePortRange: "30000-30039" };
  first = await startTestServer(small);
  second = await startTestServer({ ...small, store: first.store });
});

afterAll(async () => {
  await first.stop();
  await second.stop();
});

const service = (name: string, spec: Service["spec"] = {}): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "default" },
  spec: { ports: [{ port: 80 }], ...spec },
});

const clear = async (client: ResourceClient): Promise<void> => {
  for (const { metadata } of (await client.list<Service>(SERVICES, { namespace: "default" })).items) {
    if (metadata!.name !== "kubernetes") await client.delete(SERVICES, { namespace: "default", name: metadata!.name! });
  }
};

describe("service allocation", () => {
  test("is never double, and all of the range can be used", async () => {
    const names = Array.from({ length: 40 }, (_, index) => `s${index}`);
    const outcomes = await Promise.all(
      names.map((name, index) =>
        (index % 2 === 0 ? first : second).client
          .create(SERVICES, service(name, { type: "NodePort" }))
          .catch((error: Error) => error.message),
      ),
    );
    const made = outcomes.filter((each) => typeof each !== "string");
    const ips = made.map(({ spec }) => spec!.clusterIP!);
    const ports = made.map(({ spec }) => spec!.ports![0]!.nodePort!);
    expect(new Set(ips).size).toBe(ips.length);
    expect(new Set(ports).size).toBe(ports.length);
    // 30 addresses, one of them the kubernetes Service's.
    expect(made).toHaveLength(29);
    expect(outcomes.find((each) => typeof each === "string")).toContain(
      "failed to allocate a serviceIP: range is full",
    );
    await clear(first.client);
    const again = await second.client.create(SERVICES, service("again", { clusterIP: ips[0] }));
    expect(again.spec?.clusterIP).toBe(ips[0]);
    await clear(first.client);
  });

  test("honours what is asked for, and refuses what is taken or out of range", async () => {
    const { client } = first;
    await client.create(
      SERVICES,
      service("one", { type: "NodePort", clusterIP: "10.96.0.9", ports: [{ port: 80, nodePort: 30007 }] }),
    );
    await expect(client.create(SERVICES, service("two", { clusterIP: "10.96.0.9" }))).rejects.toThrow(
      'Service "two" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: provided IP is already allocated',
    );
    // However it is written.
    await expect(client.create(SERVICES, service("two", { clusterIP: "010.096.0.009" }))).rejects.toThrow(
      "failed to allocate IP 010.096.0.009: provided IP is already allocated",
    );
    const padded = await client.create(SERVICES, service("padded", { clusterIP: "10.96.000.011" }));
    expect(padded.spec?.clusterIPs).toEqual(["10.96.000.011"]);
    await vi.waitFor(async () => {
      const { metadata } = await client.get<IPAddress>(IP_ADDRESSES, { name: "10.96.0.11" });
      expect(metadata?.labels?.["ipaddress.kubernetes.io/ip-family"]).toBe("IPv4");
    });
    const taken = service("three", { type: "NodePort", ports: [{ port: 80, nodePort: 30007 }] });
    await expect(second.client.create(SERVICES, taken)).rejects.toThrow(
      'Service "three" is invalid: spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated',
    );
    const outside = service("four", { type: "NodePort", ports: [{ port: 80, nodePort: 8080 }] });
    await expect(client.create(SERVICES, outside)).rejects.toThrow(
      "provided port is not in the valid range. The range of valid ports is 30000-30039",
    );
    await clear(client);
  });

  test("follows the type, and keeps what an update leaves out", async () => {
    const { client } = first;
    const target = { namespace: "default", name: "t" };
    const made = await client.create(SERVICES, service("t", { type: "NodePort" }));
    const port = made.spec!.ports![0]!.nodePort!;
    const replaced = await client.update(SERVICES, service("t", { type: "NodePort", ports: [{ port: 80 }] }));
    expect(replaced.spec?.clusterIP).toBe(made.spec?.clusterIP);
    expect(replaced.spec?.ports?.[0]?.nodePort).toBe(port);
    const plain = await client.patch<Service>(SERVICES, target, "application/strategic-merge-patch+json", {
      spec: { type: "ClusterIP" },
    });
    expect(plain.spec?.ports?.[0]?.nodePort).toBeUndefined();
    const reused = await client.create(
      SERVICES,
      service("u", { type: "NodePort", ports: [{ port: 80, nodePort: port }] }),
    );
    expect(reused.spec?.ports?.[0]?.nodePort).toBe(port);
    const headless = await client.create(SERVICES, service("h", { clusterIP: "None", selector: { app: "h" } }));
    expect(headless.spec).toMatchObject({ clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4"] });
    await clear(client);
  });

  test("a load balancer keeps its node ports where none are allocated any more, and loses those that are taken out", async () => {
    const made = await first.client.create(SERVICES, service("lb", { type: "LoadBalancer" }));
    const nodePort = made.spec!.ports![0]!.nodePort!;
    const spec = { ...made.spec, allocateLoadBalancerNodePorts: false };
    const kept = await first.client.update(SERVICES, { ...made, spec });
    expect(kept.spec?.ports?.[0]?.nodePort).toBe(nodePort);
    const without: Service["spec"] = { ...kept.spec, ports: [{ port: 80 }] };
    const gone = await first.client.update(SERVICES, { ...kept, spec: without });
    expect(gone.spec?.ports?.[0]).not.toHaveProperty("nodePort");
    await clear(first.client);
  });

  test("families that the cluster does not have are refused, and free where there are neither addresses nor pods", async () => {
    const { client } = first;
    const families = (policy: string, ...ipFamilies: string[]): Promise<unknown> =>
      client.create(SERVICES, service("f", { ipFamilyPolicy: policy, ipFamilies }));
    await expect(families("SingleStack", "IPv4", "IPv6")).rejects.toThrow(
      `Service "f" is invalid: spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified`,
    );
    await expect(families("PreferDualStack", "IPv4", "IPv6")).rejects.toThrow(
      'spec.ipFamilies[1]: Invalid value: "IPv6": not configured on this cluster',
    );
    await expect(families("SingleStack", "IPv6")).rejects.toThrow(
      'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
    );
    const free = await client.create(SERVICES, service("free", { clusterIP: "None" }));
    expect(free.spec).toMatchObject({ ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv4", "IPv6"] });
    const same = await client.update(SERVICES, free);
    expect(same.spec).toMatchObject({ ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv4", "IPv6"] });
    const single = { ...same, spec: { ...same.spec, ipFamilyPolicy: "SingleStack" } };
    expect((await client.update(SERVICES, single)).spec).toMatchObject({ ipFamilies: ["IPv4"] });
    await clear(client);
  });

  test("addresses and families that do not fit each other or the cluster are refused before anything is given", async () => {
    const { client } = first;
    const refused = (spec: Service["spec"]): Promise<string> =>
      client.create(SERVICES, service("r", spec)).then(
        () => "made",
        (error: Error) => error.message.replace('Service "r" is invalid: ', ""),
      );
    const dual = ["10.96.0.11", "2000::1"];
    const shown = '["10.96.0.11","2000::1"]';
    expect(await refused({ clusterIP: dual[0], clusterIPs: dual })).toBe(
      `[spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified, ` +
        `spec.clusterIPs[1]: Invalid value: ${shown}: IPv6 is not configured on this cluster]`,
    );
    expect(await refused({ clusterIP: dual[0], clusterIPs: dual, ipFamilyPolicy: "PreferDualStack" })).toBe(
      `spec.clusterIPs[1]: Invalid value: ${shown}: IPv6 is not configured on this cluster`,
    );
    expect(await refused({ clusterIP: "2000::1" })).toBe(
      'spec.clusterIPs[0]: Invalid value: ["2000::1"]: IPv6 is not configured on this cluster',
    );
    expect(await refused({ clusterIP: "2000::1", ipFamilies: ["IPv4"] })).toBe(
      'spec.clusterIPs[0]: Invalid value: "2000::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
    );
    expect(await refused({ clusterIPs: ["10.96.0.11"] })).toBe(
      'spec.clusterIPs: Invalid value: ["10.96.0.11"]: must be empty when `clusterIP` is not specified',
    );
    expect(await refused({ clusterIP: "x" })).toBe(
      'spec.clusterIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
    );
    expect(await refused({ ipFamilies: ["IPv5"] })).toBe(
      'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
    );
    expect(await refused({ ipFamilies: ["IPv4", "IPv4"] })).toBe('spec.ipFamilies[1]: Duplicate value: "IPv4"');
    expect(await refused({ type: "ExternalName", externalName: "a.example", clusterIP: "10.96.0.11" })).toBe(
      "spec.clusterIPs: Forbidden: may not be set for ExternalName services",
    );
  });

  test("an address that is changed is named as such, whichever field it was changed by", async () => {
    const { client } = first;
    await client.create(SERVICES, service("c", { clusterIP: "10.96.0.11" }));
    await expect(client.update(SERVICES, service("c", { clusterIP: "10.96.0.12" }))).rejects.toThrow(
      'spec.clusterIPs[0]: Invalid value: ["10.96.0.12"]: may not change once set',
    );
    await expect(client.update(SERVICES, service("c", { clusterIPs: ["10.96.0.12"] }))).rejects.toThrow(
      'spec.clusterIPs: Invalid value: ["10.96.0.12"]: first value must match `clusterIP`',
    );
    await clear(client);
  });

  test("a second family is released by policy only", async () => {
    const { client } = first;
    const free = await client.create(SERVICES, service("free", { clusterIP: "None" }));
    const fewer: Service["spec"] = { ...free.spec, ipFamilies: ["IPv4"] };
    await expect(client.update(SERVICES, { ...free, spec: fewer })).rejects.toThrow(
      `spec.ipFamilyPolicy: Invalid value: "RequireDualStack": must be 'SingleStack' to release the secondary IP family`,
    );
    await clear(client);
  });

  test("a port keeps its node port by its name, and a new Service's protocols of one port share theirs", async () => {
    const { client } = first;
    const ports = (...list: NonNullable<Service["spec"]>["ports"] & object): Service["spec"] => ({
      type: "NodePort",
      ports: list,
    });
    await client.create(SERVICES, service("n", ports({ name: "p", port: 80, nodePort: 30004 })));
    const moved = await client.update(SERVICES, service("n", ports({ name: "p", port: 8080, protocol: "UDP" })));
    expect(moved.spec?.ports?.[0]?.nodePort).toBe(30004);
    const renamed = await client.update(SERVICES, service("n", ports({ name: "q", port: 8080, protocol: "UDP" })));
    expect(renamed.spec?.ports?.[0]?.nodePort).not.toBe(30004);
    const udp = { name: "udp", port: 53, protocol: "UDP" };
    const drawn = await client.create(SERVICES, service("dns", ports(udp, { name: "tcp", port: 53 })));
    expect(drawn.spec?.ports?.[0]?.nodePort).toBe(drawn.spec?.ports?.[1]?.nodePort);
    const asked = await client.create(
      SERVICES,
      service("asked", ports(udp, { name: "tcp", port: 53, nodePort: 30005 })),
    );
    expect(asked.spec?.ports?.map((port) => port.nodePort)).toEqual([30005, 30005]);
    await clear(client);
  });

  test("a health check has a port to itself", async () => {
    const { client } = first;
    const local = (nodePort: number, healthCheckNodePort?: number): Service =>
      service("hc", {
        type: "LoadBalancer",
        externalTrafficPolicy: "Local",
        healthCheckNodePort,
        ports: [{ port: 80, nodePort }],
      });
    await expect(client.create(SERVICES, local(30006, 30006))).rejects.toThrow(
      "failed to allocate requested HealthCheck NodePort 30006: provided port is already allocated",
    );
    await expect(client.create(SERVICES, local(30006, 3))).rejects.toMatchObject({
      reason: "Unknown",
      code: 400,
    });
    await client.create(SERVICES, local(30006, 30007));
    await expect(client.update(SERVICES, local(30007))).rejects.toThrow(
      "spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated",
    );
    await clear(client);
  });

  test("a dry run takes nothing", async () => {
    const { client } = first;
    await client.create(SERVICES, service("dry", { clusterIP: "10.96.0.11" }), { dryRun: true });
    const real = await client.create(SERVICES, service("real", { clusterIP: "10.96.0.11" }));
    expect(real.spec?.clusterIP).toBe("10.96.0.11");
    await clear(client);
  });
});

describe("ranges and addresses as objects", () => {
  const parents = async (): Promise<Record<string, string>> => {
    const { items } = await first.client.list<IPAddress>(IP_ADDRESSES);
    return Object.fromEntries(
      items.map(({ metadata, spec }) => [
        metadata?.name ?? "",
        `${spec?.parentRef?.namespace}/${spec?.parentRef?.name}`,
      ]),
    );
  };

  test("every address of a Service has its IPAddress, which comes back and goes with the Service", async () => {
    const { client } = first;
    await vi.waitUntil(async () => (await parents())["10.96.0.1"] === "default/kubernetes");
    await client.create(SERVICES, service("shown", { clusterIP: "10.96.0.12" }));
    await vi.waitUntil(async () => (await parents())["10.96.0.12"] === "default/shown");
    await client.delete(IP_ADDRESSES, { name: "10.96.0.12" });
    await vi.waitUntil(async () => (await parents())["10.96.0.12"] === "default/shown");
    await clear(client);
    await vi.waitUntil(async () => Object.keys(await parents()).length === 1);
  });

  test("an IPAddress of somebody's own keeps its address from Services", async () => {
    const { client } = first;
    const parentRef = { resource: "things", group: "example.com", name: "mine" };
    const own = { apiVersion: "networking.k8s.io/v1", kind: "IPAddress", metadata: { name: "10.96.0.13" } };
    await client.create<IPAddress>(IP_ADDRESSES, { ...own, spec: { parentRef } });
    await vi.waitUntil(async () => (await parents())["10.96.0.13"] !== undefined);
    await expect(client.create(SERVICES, service("taken", { clusterIP: "10.96.0.13" }))).rejects.toThrow(
      "failed to allocate IP 10.96.0.13: provided IP is already allocated",
    );
    await client.delete(IP_ADDRESSES, { name: "10.96.0.13" });
    await vi.waitUntil(async () => {
      const made = await client.create(SERVICES, service("free", { clusterIP: "10.96.0.13" })).catch(() => undefined);
      return made !== undefined;
    });
    await clear(client);
  });

  test("a further ServiceCIDR gives addresses once it is ready", async () => {
    const { client } = first;
    const [kubernetes] = (await client.list<ServiceCIDR>(SERVICE_CIDRS)).items;
    expect(kubernetes).toMatchObject({
      metadata: { name: "kubernetes" },
      spec: { cidrs: ["10.96.0.0/27"] },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
    const object = { apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", metadata: { name: "more" } };
    const made = await client.create<ServiceCIDR>(SERVICE_CIDRS, { ...object, spec: { cidrs: ["10.97.0.0/28"] } });
    await expect(client.create(SERVICES, service("early", { clusterIP: "10.97.0.3" }))).rejects.toThrow(
      "failed to allocate IP 10.97.0.3: the provided network does not match the current range",
    );
    const lastTransitionTime = "2026-01-01T00:00:00Z";
    const conditions = [{ type: "Ready", status: "True", reason: "", message: "", lastTransitionTime }];
    await client.update(SERVICE_CIDRS, { ...made, status: { conditions } }, { subresource: "status" });
    await vi.waitUntil(async () => {
      const late = await client.create(SERVICES, service("late", { clusterIP: "10.97.0.3" })).catch(() => undefined);
      return late !== undefined;
    });
    await client.delete(SERVICE_CIDRS, { name: "more" });
    await clear(client);
  });
});
