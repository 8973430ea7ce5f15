// Names, addresses and packets on real nodes.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, type Thing } from "../rest-client.ts";
import type { SharedCluster } from "../shared-cluster.ts";
import { logOf, NODE, type Part, runToEnd, scriptPod, untilReady } from "./real-pods.ts";

const apiService = conformsShared("API service");

apiService("kubernetes Service has Endpoints and EndpointSlice for each API server", async ({ api }) => {
  const endpoints = await api.resource("v1", "endpoints", "default").get("kubernetes");
  const subset = at<{ addresses: { ip: string }[]; ports: { port: number }[] }>(endpoints, "subsets.0");
  const port = subset?.ports[0]?.port;
  expect(port).toBeGreaterThan(0);
  expect(subset?.ports).toEqual([{ name: "https", port, protocol: "TCP" }]);
  expect(subset?.addresses).toHaveLength(1);
  const { items } = await api
    .resource("discovery.k8s.io/v1", "endpointslices", "default")
    .list({ labelSelector: "kubernetes.io/service-name=kubernetes" });
  expect(items).toHaveLength(1);
  expect(items[0]).toMatchObject({ addressType: "IPv4", ports: [{ name: "https", port, protocol: "TCP" }] });
  const slice = at<Part[]>(items[0], "endpoints") ?? [];
  expect(slice).toHaveLength(1);
  expect(slice[0]).toMatchObject({ addresses: [subset?.addresses[0]?.ip], conditions: { ready: true } });
});

const LONG = { timeoutMs: 200_000 };
const HOSTNAME =
  "require('http').createServer((q,s)=>s.end(process.env.HOSTNAME)).listen(8080);const u=require('dgram').createSocket('udp4');u.on('message',(m,r)=>u.send(process.env.HOSTNAME,r.port,r.address));u.bind(8081)";

/** A pod that answers with its name: HTTP on 8080, UDP on 8081. */
async function server(
  c: SharedCluster,
  ns: string,
  name: string,
  labels: Record<string, string> = { app: "web" },
  more: Part = {},
): Promise<Thing> {
  const wish = scriptPod(
    "",
    {
      image: NODE,
      command: ["node", "-e", HOSTNAME],
      readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
      ...more,
    },
    {},
    { name, labels },
  );
  await c.api.resource("v1", "pods", ns).create(wish);
  return untilReady(c, ns, name);
}

/** A pod that asks: a function that runs a script of Node in it and resolves with what it printed. */
async function client(c: SharedCluster, ns: string, spec: Part = {}): Promise<(script: string) => Promise<string>> {
  await c.api
    .resource("v1", "pods", ns)
    .create(scriptPod("", { image: NODE, command: ["sleep", "3600"] }, spec, { name: "client" }));
  await untilReady(c, ns, "client");
  return async (script) => (await c.ok(["-n", ns, "exec", "client", "--", "node", "-e", script])).trim();
}

/** Asks by HTTP `times` times, one connection each; prints the answers or errors, by commas. */
const http = (host: string, port: number, times = 1): string =>
  `(async()=>{const seen=[];for(let i=0;i<${times};i++)seen.push(await new Promise((r)=>require('http').get({host:'${host}',port:${port},agent:false,timeout:3000},(s)=>{let t='';s.on('data',(d)=>t+=d);s.on('end',()=>r(t))}).on('error',(e)=>r(e.code)).on('timeout',function(){this.destroy();r('TIMEOUT')})));console.log(seen.join())})()`;
const udp = (host: string, port: number): string =>
  `const u=require('dgram').createSocket('udp4');u.on('message',(m)=>{console.log(String(m));process.exit()});u.send('x',${port},'${host}');setTimeout(()=>process.exit(),3000)`;
const resolve4 = (name: string): string =>
  `require('dns').promises.resolve4('${name}').then((a)=>console.log(a.join()),(e)=>console.log(e.code))`;
const lookup = (name: string): string =>
  `require('dns').promises.lookup('${name}').then((a)=>console.log(a.address),(e)=>console.log(e.code))`;

const ipOf = (pod: Thing): string => at<string>(pod, "status.podIP") ?? "";
const answers = (ask: () => Promise<string>, wanted: string): Promise<string> =>
  eventually(ask, (said) => said === wanted, 60_000);
/** Waits until so many names answer in turn. */
const spread = async (ask: () => Promise<string>, ...wanted: string[]): Promise<void> => {
  await eventually(ask, (said) => [...new Set(said.split(","))].toSorted().join() === wanted.toSorted().join(), 60_000);
};

const podNetwork = conformsShared("pod network");

podNetwork(
  "pod to pod UDP",
  async (c) => {
    const ns = await c.namespace("net");
    const run = await client(c, ns, { nodeSelector: { "kubernetes.io/hostname": "node-1" } });
    const target = await server(c, ns, "server");
    await answers(() => run(udp(ipOf(target), 8081)), "server");
  },
  LONG,
);

for (const protocol of ["HTTP", "UDP"] as const) {
  podNetwork(
    `node to pod ${protocol}`,
    async (c) => {
      const ns = await c.namespace("net");
      const run = await client(c, ns, { hostNetwork: true });
      const target = await server(c, ns, "server");
      await answers(() => run(protocol === "HTTP" ? http(ipOf(target), 8080) : udp(ipOf(target), 8081)), "server");
    },
    LONG,
  );
}

const proxy = conformsShared("service proxy");
const service = async (c: SharedCluster, ns: string, name: string, spec: Part): Promise<Thing> =>
  c.api
    .resource("v1", "services", ns)
    .create({ metadata: { name }, spec: { ports: [{ port: 80, targetPort: 8080 }], ...spec } });
const clusterIp = (thing: Thing): string => at<string>(thing, "spec.clusterIP") ?? "";
const nodeIp = async (c: SharedCluster): Promise<string> =>
  at<{ type: string; address: string }[]>(await c.api.resource("v1", "nodes").get("node-1"), "status.addresses")?.find(
    (one) => one.type === "InternalIP",
  )?.address ?? "";

proxy(
  "endpoints and traffic follow two pods",
  async (c) => {
    const ns = await c.namespace("net");
    const ip = clusterIp(await service(c, ns, "web", { selector: { app: "web" } }));
    const run = await client(c, ns);
    const ask = (): Promise<string> => run(http(ip, 80, 20));
    await server(c, ns, "one");
    await spread(ask, "one");
    await server(c, ns, "two");
    await spread(ask, "one", "two");
    const pods = c.api.resource("v1", "pods", ns);
    await pods.delete("one", { gracePeriodSeconds: 0 });
    await spread(ask, "two");
    await pods.delete("two", { gracePeriodSeconds: 0 });
    await spread(ask, "ECONNREFUSED");
  },
  LONG,
);

for (const type of ["ClusterIP", "NodePort"] as const) {
  const sticky = async (c: SharedCluster, sessionAffinity: string) => {
    const ns = await c.namespace("net");
    const made = await service(c, ns, "web", { type, sessionAffinity, selector: { app: "web" } });
    const run = await client(c, ns);
    for (const name of ["one", "two", "three"]) await server(c, ns, name);
    const [host, port] =
      type === "ClusterIP" ? [clusterIp(made), 80] : [await nodeIp(c), at<number>(made, "spec.ports.0.nodePort") ?? 0];
    const services = c.api.resource("v1", "services", ns);
    return { ask: () => run(http(host, port, 15)), services };
  };
  const one = (ask: () => Promise<string>): Promise<string> =>
    eventually(ask, (said) => new Set(said.split(",")).size === 1 && !/E[A-Z]{4}/.test(said), 60_000);
  proxy(
    `ClientIP affinity on ${type}`,
    async (c) => {
      const { ask } = await sticky(c, "ClientIP");
      const first = await one(ask);
      expect(await ask()).toBe(first);
    },
    LONG,
  );
  proxy(
    `switch ClientIP affinity on ${type}`,
    async (c) => {
      const { ask, services } = await sticky(c, "None");
      await spread(ask, "one", "two", "three");
      await services.patch("web", { spec: { sessionAffinity: "ClientIP" } });
      await one(ask);
      await services.patch("web", { spec: { sessionAffinity: "None" } });
      await spread(ask, "one", "two", "three");
    },
    LONG,
  );
}

proxy(
  "TCP and UDP on one port number",
  async (c) => {
    const ns = await c.namespace("net");
    const ports = [
      { name: "tcp", port: 81, protocol: "TCP", targetPort: 8080 },
      { name: "udp", port: 81, protocol: "UDP", targetPort: 8081 },
    ];
    const ip = clusterIp(await service(c, ns, "web", { selector: { app: "web" }, ports }));
    await server(c, ns, "one");
    const run = await client(c, ns);
    await answers(() => run(http(ip, 81)), "one");
    await answers(() => run(udp(ip, 81)), "one");
  },
  LONG,
);

for (const [behaviour, other] of [
  ["selectorless Service, slices with different IPs", "ips"],
  ["selectorless Service, slices with different ports", "ports"],
] as const) {
  proxy(
    behaviour,
    async (c) => {
      const ns = await c.namespace("net");
      const ip = clusterIp(await service(c, ns, "web", { ports: [{ name: "example", port: 80, protocol: "TCP" }] }));
      const one = await server(c, ns, "one");
      const second =
        "require('http').createServer((q,s)=>s.end('second')).listen(8080);require('http').createServer((q,s)=>s.end('second')).listen(9090)";
      const two = await server(c, ns, "two", {}, { command: ["node", "-e", second] });
      const slices = c.api.resource("discovery.k8s.io/v1", "endpointslices", ns);
      const slice = (name: string, address: string, port: number): Promise<Thing> =>
        slices.create({
          metadata: {
            name,
            labels: { "kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "e2e-test" },
          },
          addressType: "IPv4",
          endpoints: [{ addresses: [address] }],
          ports: [{ name: "example", port, protocol: "TCP" }],
        });
      await slice("one", ipOf(one), 8080);
      await slice("two", ipOf(two), other === "ips" ? 8080 : 9090);
      const run = await client(c, ns);
      await spread(() => run(http(ip, 80, 20)), "one", "second");
    },
    LONG,
  );
}

for (const [behaviour, to] of [
  ["ExternalName to ClusterIP reachable", "ClusterIP"],
  ["ExternalName to NodePort reachable", "NodePort"],
] as const) {
  proxy(
    behaviour,
    async (c) => {
      const ns = await c.namespace("net");
      const services = c.api.resource("v1", "services", ns);
      await services.create({
        metadata: { name: "web" },
        spec: { type: "ExternalName", externalName: "foo.example.com" },
      });
      await server(c, ns, "one");
      const now = await services.get("web");
      const ports = [{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }];
      const changed = await services.replace({ ...now, spec: { type: to, selector: { app: "web" }, ports } });
      const run = await client(c, ns);
      await answers(() => run(http(clusterIp(changed), 80)), "one");
      if (to === "ClusterIP") return;
      const host = await nodeIp(c);
      await answers(() => run(http(host, at<number>(changed, "spec.ports.0.nodePort") ?? 0)), "one");
    },
    LONG,
  );
}

proxy(
  "ClusterIP to ExternalName (needs DNS)",
  async (c) => {
    const ns = await c.namespace("net");
    await service(c, ns, "target", { selector: { app: "web" } });
    await server(c, ns, "one");
    const made = await service(c, ns, "web", {});
    const spec = { type: "ExternalName", externalName: `target.${ns}.svc.cluster.local` };
    await c.api.resource("v1", "services", ns).replace({ ...made, spec });
    const run = await client(c, ns);
    await answers(() => run(http("web", 80)), "one");
  },
  LONG,
);

const dns = conformsShared("DNS");

dns(
  "partially qualified names via search path",
  async (c) => {
    const ns = await c.namespace("dns");
    const ip = clusterIp(await service(c, ns, "web", { selector: { app: "web" } }));
    const run = await client(c, ns);
    for (const name of ["web", `web.${ns}`, `web.${ns}.svc`, `web.${ns}.svc.cluster.local`])
      await answers(() => run(lookup(name)), ip);
  },
  LONG,
);

dns(
  "pod hostname under headless service",
  async (c) => {
    const ns = await c.namespace("dns");
    await service(c, ns, "headless", { clusterIP: "None", selector: { app: "web" } });
    const wish = scriptPod(
      "sleep 3600",
      {},
      { hostname: "one", subdomain: "headless" },
      { name: "pod", labels: { app: "web" } },
    );
    await c.api.resource("v1", "pods", ns).create(wish);
    const target = await untilReady(c, ns, "pod");
    const run = await client(c, ns);
    await answers(() => run(resolve4(`one.headless.${ns}.svc.cluster.local`)), ipOf(target));
  },
  LONG,
);

dns(
  "pod subdomain under headless service",
  async (c) => {
    const ns = await c.namespace("dns");
    await service(c, ns, "headless", { clusterIP: "None", selector: { app: "web" } });
    const spec = { hostname: "one", subdomain: "headless" };
    await c.api
      .resource("v1", "pods", ns)
      .create(scriptPod("hostname -f; sleep 3600", {}, spec, { name: "pod", labels: { app: "web" } }));
    const target = await untilReady(c, ns, "pod");
    // A container runs before its command has said anything.
    await expect.poll(() => logOf(c, ns, "pod")).toBe(`one.headless.${ns}.svc.cluster.local\n`);
    const run = await client(c, ns);
    await answers(() => run(resolve4(`headless.${ns}.svc.cluster.local`)), ipOf(target));
  },
  LONG,
);

dns(
  "/etc/hosts entries of the pod itself",
  async (c) => {
    const ns = await c.namespace("dns");
    const script = 'grep "^$IP" /etc/hosts | tr "\\t" " "; hostname';
    const env = [{ name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } }];
    const log = await runToEnd(c, ns, scriptPod(script, { env }, { hostname: "dns-querier", subdomain: "dns-test" }));
    expect(log).toMatch(
      new RegExp(`^\\S+ dns-querier\\.dns-test\\.${ns}\\.svc\\.cluster\\.local dns-querier\\ndns-querier\\n$`),
    );
  },
  LONG,
);

dns(
  "ExternalName CNAME, change, then ClusterIP A",
  async (c) => {
    const ns = await c.namespace("dns");
    const services = c.api.resource("v1", "services", ns);
    await services.create({
      metadata: { name: "out" },
      spec: { type: "ExternalName", externalName: "foo.example.com" },
    });
    const run = await client(c, ns);
    const name = `out.${ns}.svc.cluster.local`;
    const cname = `require('dns').promises.resolveCname('${name}').then((a)=>console.log(a.join()),(e)=>console.log(e.code))`;
    await answers(() => run(cname), "foo.example.com");
    await services.patch("out", { spec: { externalName: "bar.example.com" } });
    await answers(() => run(cname), "bar.example.com");
    const changed = await services.patch("out", {
      spec: { type: "ClusterIP", externalName: null, ports: [{ port: 80, name: "http", protocol: "TCP" }] },
    });
    await answers(() => run(resolve4(name)), clusterIp(changed));
  },
  LONG,
);

dns(
  "dnsPolicy None with own nameserver and search",
  async (c) => {
    const ns = await c.namespace("dns");
    const dnsConfig = { nameservers: ["1.1.1.1"], searches: ["resolv.conf.local"] };
    const log = await runToEnd(c, ns, scriptPod("cat /etc/resolv.conf", {}, { dnsPolicy: "None", dnsConfig }));
    expect(log.trim().split("\n").toSorted()).toEqual(["nameserver 1.1.1.1", "search resolv.conf.local"]);
  },
  LONG,
);

conformsShared("hostPort")(
  "same hostPort with different IP/protocol all reachable",
  async (c) => {
    const ns = await c.namespace("net");
    const host = await nodeIp(c);
    const spec = { nodeSelector: { "kubernetes.io/hostname": "node-1" } };
    const listening = (name: string, hostIP: string, protocol: string): Part =>
      scriptPod(
        "",
        {
          image: NODE,
          command: ["node", "-e", HOSTNAME],
          ports: [{ hostPort: 54323, containerPort: protocol === "TCP" ? 8080 : 8081, protocol, hostIP }],
        },
        spec,
        { name },
      );
    const pods = c.api.resource("v1", "pods", ns);
    await pods.create(listening("loopback", "127.0.0.1", "TCP"));
    await pods.create(listening("outer", host, "TCP"));
    await pods.create(listening("datagrams", host, "UDP"));
    for (const name of ["loopback", "outer", "datagrams"]) await untilReady(c, ns, name);
    const run = await client(c, ns, { ...spec, hostNetwork: true });
    await answers(() => run(http("127.0.0.1", 54323)), "loopback");
    await answers(() => run(http(host, 54323)), "outer");
    await answers(() => run(udp(host, 54323)), "datagrams");
    for (const name of ["loopback", "outer", "datagrams"]) await pods.delete(name, { gracePeriodSeconds: 0 });
  },
  LONG,
);

const apiProxy = conformsShared("API proxy");
const ECHO =
  "const f=(w)=>(q,s)=>{s.setHeader('content-type','application/json');s.end(JSON.stringify({method:q.method,path:q.url,where:w}))};require('http').createServer(f('one')).listen(8080);require('http').createServer(f('two')).listen(9090)";

async function echo(c: SharedCluster): Promise<string> {
  const ns = await c.namespace("proxy");
  await server(
    c,
    ns,
    "agnhost",
    { app: "echo" },
    {
      command: ["node", "-e", ECHO],
      ports: [
        { name: "one", containerPort: 8080 },
        { name: "two", containerPort: 9090 },
      ],
    },
  );
  const ports = [
    { name: "portname1", port: 80, targetPort: "one" },
    { name: "portname2", port: 81, targetPort: 9090 },
  ];
  await service(c, ns, "test-service", { selector: { app: "echo" }, ports });
  await eventually(
    () => c.api.send("GET", `/api/v1/namespaces/${ns}/services/test-service:portname1/proxy/`),
    ({ code }) => code === 200,
    60_000,
  );
  return ns;
}

apiProxy(
  "pod/service proxy for every HTTP verb",
  async (c) => {
    const ns = await echo(c);
    for (const target of ["pods/agnhost:8080", "services/test-service:80"]) {
      for (const method of ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]) {
        for (const path of ["", "some/path/with/METHOD?x=y"]) {
          const answer = await c.api.send(method, `/api/v1/namespaces/${ns}/${target}/proxy/${path}`);
          expect(answer.code, `${method} ${target}`).toBe(200);
          if (method !== "HEAD") expect(JSON.parse(answer.text)).toEqual({ method, path: `/${path}`, where: "one" });
        }
      }
    }
  },
  LONG,
);

apiProxy(
  "proxy via named/numbered http(s) ports of pod and service",
  async (c) => {
    const ns = await echo(c);
    for (const [target, where] of [
      ["pods/agnhost:8080", "one"],
      ["pods/http:agnhost:9090", "two"],
      ["services/test-service:portname1", "one"],
      ["services/http:test-service:portname2", "two"],
      ["services/test-service:81", "two"],
      ["services/http:test-service:80", "one"],
    ] as const) {
      const answer = await c.api.send("GET", `/api/v1/namespaces/${ns}/${target}/proxy/x`);
      expect([answer.code, JSON.parse(answer.text)]).toEqual([200, { method: "GET", path: "/x", where }]);
    }
  },
  LONG,
);
