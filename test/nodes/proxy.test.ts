// Through the api-server's proxy to real pods, Services and nodes, by the real kubectl: `get --raw` and `kubectl proxy`.
import { createInterface } from "node:readline";
import type { Pod } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const SERVER = `
const { createServer } = require("node:http");
createServer((request, response) => {
  if (request.url === "/old") response.writeHead(302, { location: "/new?from=old" }).end();
  else response.end(process.env.HOSTNAME + " " + request.method + " " + request.url + "\\n");
}).listen(8080);
`;

let shared: TestCluster;
let podIp = "";

const web = (name: string, nodeName: string): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels: { app: "web" } },
  spec: {
    nodeName,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "server",
        image: "coxswain.local/node:24",
        command: ["node", "-e", SERVER],
        ports: [{ containerPort: 8080 }],
        readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
      },
    ],
  },
});

beforeAll(async () => {
  shared = await testCluster({ runtime: "containerd", nodes: 2, egress: "none", name: "proxy" });
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "shop" },
    spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  };
  const items = [web("web-1", "node-1"), web("web-2", "node-2"), service];
  await shared.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  await shared.ok(["wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=90s"]);
  const pod = await shared.get<Pod>(["pod", "web-1"]);
  podIp = pod.status?.podIP ?? "";
});
afterAll(async () => {
  await shared?.[Symbol.asyncDispose]();
});

const raw = (path: string) => shared.kubectl(["get", "--raw", `/api/v1/${path}`]);

describe("kubectl get --raw", () => {
  test("a pod on either node, by its port and by the first that it declares", async () => {
    const pods = "namespaces/default/pods";
    expect(await raw(`${pods}/web-1:8080/proxy/tide?high=1`)).toMatchObject({ stdout: "web-1 GET /tide?high=1\n" });
    expect(await raw(`${pods}/web-2/proxy/`)).toMatchObject({ stdout: "web-2 GET /\n" });
  });

  test("a Service, by its port's number and name", async () => {
    const shop = async (port: string): Promise<string> => {
      const { stdout } = await raw(`namespaces/default/services/shop:${port}/proxy/basket`);
      return stdout;
    };
    for (const port of ["80", "http"]) {
      await eventually(
        () => shop(port),
        (said) => /^web-[12] GET \/basket\n$/.test(said),
      );
    }
  });

  test("a node's kubelet", async () => {
    expect(await raw("nodes/node-2/proxy/healthz")).toMatchObject({ code: 0 });
    const { items } = JSON.parse((await raw("nodes/node-2/proxy/pods")).stdout) as { items: Pod[] };
    expect(items.map(({ metadata }) => metadata?.name)).toContain("web-2");
  });

  test("where nobody listens", async () => {
    const { code, stderr } = await raw("namespaces/default/pods/web-1:81/proxy/");
    expect(code).toBe(1);
    expect(stderr).toContain(`error trying to reach service: dial tcp ${podIp}:81: connect: connection refused`);
  });
});

test("kubectl proxy: a redirect of the pod leads back to it", async () => {
  const child = shared.start(["proxy", "--port=0"]);
  try {
    const address = await new Promise<string>((resolve) => {
      createInterface(child.stdout).on("line", (line) => resolve(/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? ""));
    });
    const base = `http://${address}/api/v1/namespaces/default/pods/web-1/proxy`;
    const answer = await fetch(`${base}/old`);
    expect(answer.url).toBe(`${base}/new?from=old`);
    expect(await answer.text()).toBe("web-1 GET /new?from=old\n");
    const posted = await fetch(`${base}/basket`, { method: "POST", body: "oars" });
    expect(await posted.text()).toBe("web-1 POST /basket\n");
  } finally {
    child.kill();
  }
});
