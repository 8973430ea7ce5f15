// Profile `nodes` of the true docker-compose.yml, in an engine of the suite's own: two nodes that run real containers
// without the privileged flag. Pods reach each other through Services by address and name, every part of a node can be
// lost and comes back, and `down` leaves nothing.
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { repositoryRoot } from "@coxswain/cluster";
import { eventually } from "../integration/cluster-fixture.ts";
import { ComposeProject } from "./compose-project.ts";
import { startPrivateDocker, type PrivateDocker } from "./private-docker.ts";
import { provide } from "./provisions.ts";
import { buildStandins } from "./standin-images.ts";

/** A pod that answers with its node's name. */
const webOn = (node: string): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: `web-${node}`, labels: { app: "web" } },
  spec: {
    nodeSelector: { "kubernetes.io/hostname": node },
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "main",
        image: "coxswain.local/busybox:1",
        command: ["sh", "-c", "mkdir -p /www && echo $NODE >/www/index.html && exec httpd -f -p 8080 -h /www"],
        env: [{ name: "NODE", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } }],
        readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
        resources: { requests: { cpu: "10m", memory: "16Mi" } },
      },
    ],
  },
});

const service = (name: string): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name },
  spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
});

const apply = (...objects: readonly object[]): Promise<string> =>
  project.kubectl(["apply", "-f", "-"], objects.map((object) => JSON.stringify(object)).join("\n---\n"));

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly nodeName: string };
  readonly status: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly containerID?: string; readonly restartCount: number }[];
  };
}

let docker: PrivateDocker;
let project: ComposeProject;
beforeAll(async () => {
  const provisions = await provide(path.join(repositoryRoot(), ".tools", "compose"));
  const plugin = "plugin" in provisions.composeV2 ? provisions.composeV2.plugin : undefined;
  docker = await startPrivateDocker({ packages: provisions.packages, composePlugin: plugin });
  await buildStandins(docker, provisions.sources);
  project = await ComposeProject.create(docker, plugin === undefined ? "1.29" : "2", "nodes");
  await project.build();
  await project.up();
  await project.fetchCredentials();
});
afterAll(async () => {
  await docker[Symbol.asyncDispose]();
});

async function pods(): Promise<ReadonlyMap<string, Pod>> {
  const list = JSON.parse(await project.kubectl(["get", "pods", "-l", "app=web", "-o", "json"])) as { items: Pod[] };
  return new Map(list.items.map((pod) => [pod.spec.nodeName, pod]));
}

const isReady = (pod: Pod | undefined): boolean =>
  pod?.status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;

const containerOf = (pod: Pod | undefined): string => pod?.status.containerStatuses?.[0]?.containerID ?? "";

/** Asks `host` from within the pod on `node` until each node's pod has answered. */
async function reachesBoth(node: string, host: string): Promise<void> {
  const pod = (await pods()).get(node)?.metadata.name ?? "";
  const seen = new Set<string>();
  const ask = async (): Promise<number> => {
    const command = `for i in 1 2 3 4 5 6 7 8; do timeout 3 wget -q -O - http://${host}/ || exit 1; done`;
    for (const line of (await project.kubectl(["exec", pod, "--", "sh", "-c", command])).trim().split("\n"))
      seen.add(line);
    return seen.size;
  };
  await eventually(ask, (count) => count === 2, 60_000);
  expect([...seen].toSorted()).toEqual(["node-1", "node-2"]);
}

const clusterIp = (): Promise<string> => project.kubectl(["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);

/** Ends the first process of the service's container as a crash would; resolves when the engine has started it again. */
async function crash(service: string): Promise<void> {
  const before = await project.state(service);
  await docker.ok(["sh", "-c", `kill -9 ${before.pid}`]);
  await eventually(
    () => project.state(service),
    (now) => now.restarts > before.restarts && now.startedAt !== before.startedAt,
  );
}

/** Waits until the pod on `node` has another container than `before`, and serves. */
async function startedAnew(node: string, before: Pod | undefined): Promise<void> {
  const anew = (pod: Pod | undefined): boolean => isReady(pod) && containerOf(pod) !== containerOf(before);
  await eventually(pods, (all) => anew(all.get(node)), 90_000);
}

test("two nodes register with containerd, and no container is privileged", async () => {
  await project.kubectl(["wait", "--for=condition=Ready", "node", "--all", "--timeout=60s"]);
  const runtimes = 'jsonpath={range .items[*]}{.metadata.name} {.status.nodeInfo.containerRuntimeVersion}{"\\n"}{end}';
  const nodes = (await project.kubectl(["get", "nodes", "-o", runtimes])).trim().split("\n");
  expect(nodes.map((line) => line.replace(/\/\/.*/, ""))).toEqual(["node-1 containerd:", "node-2 containerd:"]);
  for (const service of project.services) {
    const { id } = await project.state(service);
    expect((await docker.ok(["docker", "inspect", "-f", "{{.HostConfig.Privileged}}", id])).trim(), service).toBe(
      "false",
    );
  }
});

test("a pod runs on each node, and answers through the Service's address and name from either", async () => {
  // It is made by a controller, which may come after the nodes.
  await project.kubectl(["wait", "--for=create", "serviceaccount/default", "--timeout=60s"]);
  await apply(webOn("node-1"), webOn("node-2"), service("web"));
  await project.kubectl(["wait", "--for=condition=Ready", "pods", "-l", "app=web", "--timeout=90s"]);
  const running = await pods();
  expect(running.get("node-1")?.status.podIP).toMatch(/^10\.244\.1\./);
  expect(running.get("node-2")?.status.podIP).toMatch(/^10\.244\.2\./);
  const address = await clusterIp();
  for (const node of ["node-1", "node-2"]) {
    await reachesBoth(node, address);
    await reachesBoth(node, "web");
    await reachesBoth(node, "web.default.svc.cluster.local");
  }
});

test("containerd crashes: its pods do not notice", async () => {
  const before = (await pods()).get("node-1");
  const { pid } = await project.state("containerd-1");
  const find = ["sh", "-c", `pgrep -P ${pid} -x containerd`];
  const containerd = (await docker.ok(find)).trim();
  await docker.ok(["sh", "-c", `kill -9 ${containerd}`]);
  await eventually(
    () => docker.ok(find),
    (now) => now.trim() !== "" && now.trim() !== containerd,
  );
  await reachesBoth("node-1", await clusterIp());
  const after = (await pods()).get("node-1");
  expect(containerOf(after)).toBe(containerOf(before));
  expect((await project.state("containerd-1")).restarts).toBe(0);
});

test("the container of containerd crashes: the engine starts it again, and the pods start anew", async () => {
  const before = (await pods()).get("node-1");
  await crash("containerd-1");
  await startedAnew("node-1", before);
  expect((await pods()).get("node-1")?.metadata.uid).toBe(before?.metadata.uid);
  await project.healthy();
  await reachesBoth("node-2", await clusterIp());
  await reachesBoth("node-1", "web");
});

test("kube-proxy is killed: its rules stay, and it takes up changes once it is back", async () => {
  await project.kill("kube-proxy-1");
  await reachesBoth("node-1", await clusterIp());
  await apply(service("other"));
  await project.up();
  await reachesBoth("node-1", "other");
});

test("a node is killed and started again with `up -d`: its pod comes back", async () => {
  const before = (await pods()).get("node-1");
  await project.kill("node-1");
  const down = ["containerd-1", "kubelet-1", "kube-proxy-1"];
  for (const service of down)
    await eventually(
      () => project.state(service),
      (now) => now.status !== "running",
    );
  await project.up();
  await startedAnew("node-1", before);
  await reachesBoth("node-1", "web");
  await reachesBoth("node-2", "web");
});

test("`down --volumes` leaves nothing", async () => {
  await project.down({ volumes: true });
  const label = ["--quiet", "--filter", `label=com.docker.compose.project=${project.name}`];
  for (const kind of [
    ["ps", "--all"],
    ["volume", "ls"],
    ["network", "ls"],
  ])
    expect(await docker.ok(["docker", ...kind, ...label]), kind.join(" ")).toBe("");
  const links = (await docker.ok(["ip", "-brief", "link"])).trim().split("\n");
  expect(links.filter((line) => !/^(lo|docker0)\s/.test(line))).toEqual([]);
  const shims = await docker.run(["pgrep", "-af", "containerd-shim|kubelet.mjs|httpd"]);
  expect(shims.stdout).toBe("");
  const own = `*/${path.basename(docker.folder)}/*`;
  const cgroups = await docker.ok(["find", "/sys/fs/cgroup", "-type", "d", "-path", own, "-name", "pod*"]);
  expect(cgroups).toBe("");
});
