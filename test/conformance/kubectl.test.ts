// The real kubectl, command by command, as conformance uses it.
import { request as httpRequest } from "node:http";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { at } from "./rest-client.ts";
import { pod, readyPods, replicationController, workload } from "./workload.ts";

const kubectl = conformsShared("kubectl");

kubectl("api-versions lists v1", async ({ ok }) => {
  expect((await ok(["api-versions"])).split("\n")).toContain("v1");
});

kubectl("version prints client and server", async ({ ok }) => {
  const said = await ok(["version"]);
  expect(said).toMatch(/^Client Version: v\d/m);
  expect(said).toMatch(/^Server Version: v1\.35\./m);
});

kubectl("describe rc/pod/service/node/namespace", async (c) => {
  const ns = await c.namespace("describe");
  await c.api.resource("v1", "replicationcontrollers", ns).create(replicationController("agnhost", "agnhost", 1));
  await c.api.resource("v1", "services", ns).create({
    metadata: { name: "agnhost", labels: { app: "agnhost" } },
    spec: { selector: { app: "agnhost" }, ports: [{ port: 6379, targetPort: 6379 }] },
  });
  const [made] = await readyPods(c.api, ns, "app=agnhost", 1);
  const name = made?.metadata.name ?? "";
  const describe = async (args: readonly string[], ...wanted: RegExp[]): Promise<void> => {
    const said = await c.ok(["-n", ns, "describe", ...args]);
    for (const line of wanted) expect(said).toMatch(line);
  };
  await describe(
    ["pod", name],
    new RegExp(`^Name: +${name}$`, "m"),
    new RegExp(`^Namespace: +${ns}$`, "m"),
    /^Node: +node-\d/m,
    /^Labels: +app=agnhost$/m,
    /^Status: +Running$/m,
    /^IP: +\d/m,
    /^Controlled By: +ReplicationController\/agnhost$/m,
    /Image: +example\.test\/pause:1/,
    /State: +Running/,
    /QoS Class: +BestEffort/,
  );
  await describe(
    ["rc", "agnhost"],
    /^Name: +agnhost$/m,
    /^Selector: +app=agnhost$/m,
    /^Replicas: +1 current \/ 1 desired$/m,
    /^Pods Status: +1 Running \/ 0 Waiting \/ 0 Succeeded \/ 0 Failed$/m,
    /Pod Template:\n +Labels: +app=agnhost/,
    /SuccessfulCreate +(\d+\w|<unknown>).* +replication-controller +Created pod: agnhost-/,
  );
  await describe(
    ["service", "agnhost"],
    /^Name: +agnhost$/m,
    /^Selector: +app=agnhost$/m,
    /^Type: +ClusterIP$/m,
    /^IP: +10\.96\./m,
    /^Port: +<unset> +6379\/TCP$/m,
    /^Endpoints: +10\.244\.\d+\.\d+:6379$/m,
    /^Session Affinity: +None$/m,
  );
  await describe(["node", "node-1"], /^Name: +node-1$/m, /^Conditions:$/m, /^Allocatable:$/m, /^Non-terminated Pods:/m);
  await describe(["namespace", ns], new RegExp(`^Name: +${ns}$`, "m"), /^Status: +Active$/m, /^No resource quota\.$/m);
});

kubectl("diff finds changed Deployment image", async (c) => {
  const ns = await c.namespace("diff");
  const manifest = (image: string): string =>
    JSON.stringify({
      apiVersion: "apps/v1",
      kind: "Deployment",
      ...workload("httpd", "httpd", {}, { containers: [{ name: "httpd", image }] }),
    });
  await c.ok(["-n", ns, "create", "-f", "-"], manifest("example.test/httpd:1"));
  const changed = await c.kubectl(["-n", ns, "diff", "-f", "-"], manifest("example.test/busybox:1"));
  expect(changed.code).toBe(1);
  expect(changed.stdout).toMatch(/^- +- image: example\.test\/httpd:1$/m);
  expect(changed.stdout).toMatch(/^\+ +- image: example\.test\/busybox:1$/m);
});

kubectl("server-side dry-run leaves image unchanged", async (c) => {
  const ns = await c.namespace("dry-run");
  await c.ok([
    "-n",
    ns,
    "run",
    "httpd",
    "--image=example.test/httpd:1",
    "--pod-running-timeout=2m0s",
    "--labels=run=httpd",
  ]);
  const patch = '{"spec":{"containers":[{"name":"httpd","image":"example.test/busybox:1"}]}}';
  await c.ok(["-n", ns, "patch", "pod", "httpd", "-p", patch, "--dry-run=server"]);
  expect(at(await c.api.resource("v1", "pods", ns).get("httpd"), "spec.containers.0.image")).toBe(
    "example.test/httpd:1",
  );
});

kubectl("label added, selected and removed", async (c) => {
  const ns = await c.namespace("label");
  await c.api.resource("v1", "pods", ns).create(pod("pause", { name: "pause" }));
  await readyPods(c.api, ns, "name=pause", 1);
  await c.ok(["-n", ns, "label", "pods", "pause", "testing-label=testing-label-value"]);
  expect(await c.ok(["-n", ns, "get", "pod", "pause", "-L", "testing-label"])).toContain("testing-label-value");
  expect(await c.ok(["-n", ns, "get", "pods", "-l", "testing-label=testing-label-value", "-o", "name"])).toBe(
    "pod/pause\n",
  );
  await c.ok(["-n", ns, "label", "pods", "pause", "testing-label-"]);
  expect(await c.ok(["-n", ns, "get", "pod", "pause", "-L", "testing-label"])).not.toContain("testing-label-value");
});

kubectl("replace swaps pod image", async (c) => {
  const ns = await c.namespace("replace");
  await c.ok(["-n", ns, "run", "httpd", "--image=example.test/httpd:1", "--labels=run=httpd"]);
  await readyPods(c.api, ns, "run=httpd", 1);
  const now = await c.ok(["-n", ns, "get", "pod", "httpd", "-o", "json"]);
  await c.ok(["-n", ns, "replace", "-f", "-"], now.replaceAll("example.test/httpd:1", "example.test/busybox:1"));
  expect(at(await c.api.resource("v1", "pods", ns).get("httpd"), "spec.containers.0.image")).toBe(
    "example.test/busybox:1",
  );
});

kubectl("proxy on a unix socket", async (c) => {
  const folder = mkdtempSync(path.join(tmpdir(), "cox-proxy-"));
  const socketPath = path.join(folder, "test");
  const proxy = c.start(["proxy", `--unix-socket=${socketPath}`]);
  const ask = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = httpRequest({ socketPath, path: "/api/", headers: { host: "localhost" } }, (answer) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () => resolve(text));
      });
      asked.on("error", reject);
      asked.end();
    });
  try {
    const text = await eventually(ask, (said) => said !== "");
    expect(JSON.parse(text)).toMatchObject({ kind: "APIVersions", versions: ["v1"] });
  } finally {
    proxy.kill();
    rmSync(folder, { recursive: true, force: true });
  }
});
