// gRPC as a person meets it: `buf curl` with a certificate and no proto file, against every process that runs. The lines of
// docs/GRPC.md are run as they stand there.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { PODS, type Pod } from "@coxswain/api";
import { repositoryRoot } from "@coxswain/cluster";
import { serviceDefinition } from "@coxswain/protos";
import { startControlPlane, type ControlPlane } from "./control-plane-fixture.ts";

interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const OWN_SERVICES: Readonly<Record<string, readonly string[]>> = {
  "api-server/0": ["coxswain.api.v1.Aggregated", "coxswain.api.v1.Discovery", "coxswain.api.v1.Resources"],
  "scheduler/0": ["coxswain.scheduler.v1.Scheduler"],
  "controller-manager/0": ["coxswain.controller.v1.Controllers"],
  "kubelet/node-1": ["coxswain.kubelet.v1.Kubelet"],
  "kube-proxy/node-1": ["coxswain.proxy.v1.Proxy"],
};
const COMMON = ["coxswain.chaos.v1.Faults", "coxswain.component.v1.Component", "grpc.health.v1.Health"];
const PORTS: Readonly<Record<string, string>> = {
  "127.0.0.1:6444": "api-server/0",
  "127.0.0.1:10269": "scheduler/0",
  "127.0.0.1:10267": "controller-manager/0",
  "127.0.0.1:10260": "kubelet/node-1",
  "127.0.0.1:10266": "kube-proxy/node-1",
};

let plane: ControlPlane;
beforeAll(async () => {
  plane = await startControlPlane({
    nodes: 1,
    enableChaos: true,
    components: ["scheduler", "controller-manager", "kubelet", "kube-proxy"],
  });
  await startBoat();
});

/** The pod of the page's examples. */
async function startBoat(): Promise<void> {
  const client = plane.client();
  const metadata = { name: "boat", namespace: "default" };
  const spec = { containers: [{ name: "main", image: "example.test/boat:1" }] };
  // The first pods of a namespace wait for its service account.
  await vi.waitFor(() => client.create<Pod>(PODS, { apiVersion: "v1", kind: "Pod", metadata, spec }), 10_000);
  await vi.waitFor(async () => {
    const { status } = await client.get<Pod>(PODS, { namespace: "default", name: "boat" });
    expect(status?.phase).toBe("Running");
  }, 20_000);
}
afterAll(async () => {
  await plane[Symbol.asyncDispose]();
});

function run(command: string, args: readonly string[]): Promise<Answer> {
  const env = { ...process.env, PATH: `${path.dirname(process.execPath)}:${process.env["PATH"] ?? ""}` };
  return new Promise((resolve, reject) => {
    execFile(command, [...args], { cwd: repositoryRoot(), env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code === "string") reject(error);
      else resolve({ code: error === null ? 0 : (error.code as unknown as number), stdout, stderr });
    });
  });
}

/** `buf curl` as the cluster's admin; `method` is "" or a path as in "coxswain.api.v1.Resources/List". */
function curl(key: string, method: string, args: readonly string[] = []): Promise<Answer> {
  const { caFile, certFile, keyFile } = plane.certificate("admin");
  const identity = ["--cacert", caFile, "--cert", certFile, "--key", keyFile];
  const url = `https://${plane.process(key).grpc}/${method}`;
  return run("node_modules/.bin/buf", ["curl", "--protocol", "grpc", ...identity, ...args, url]);
}

/** Calls with a message and gives the JSON messages that came back; rejects, with what was printed, on a failure. */
async function call<T>(key: string, method: string, message: object = {}): Promise<T[]> {
  const { code, stdout, stderr } = await curl(key, method, ["-d", JSON.stringify(message)]);
  if (code !== 0) throw new Error(`${method}: exit ${code}: ${stderr}${stdout}`);
  return stdout
    .split(/(?<=^\})\n/m)
    .filter((text) => text.trim() !== "")
    .map((text) => JSON.parse(text) as T);
}

const RESOURCES = "coxswain.api.v1.Resources";
const configMaps = { version: "v1", resource: "configmaps", namespace: "default" };
const readable = { format: "FORMAT_READABLE" };
const base64 = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64");

interface ReadableObject {
  object: { readable: { metadata: { name: string; resourceVersion: string }; data?: Record<string, string> } };
}

describe.each(Object.keys(OWN_SERVICES))("%s", (key) => {
  test("lists its services through reflection", async () => {
    const { code, stdout } = await curl(key, "", ["--list-services"]);
    expect(code).toBe(0);
    const listed = stdout
      .trim()
      .split("\n")
      .filter((name) => !name.startsWith("grpc.reflection."));
    expect(listed.toSorted()).toEqual([...OWN_SERVICES[key]!, ...COMMON].toSorted());
  });

  test("is healthy, as a whole and service by service, and says who it is", async () => {
    for (const service of ["", ...OWN_SERVICES[key]!]) {
      expect(await call(key, "grpc.health.v1.Health/Check", { service })).toEqual([{ status: "SERVING" }]);
    }
    const [info] = await call<{ component: string; kubernetesVersion: string }>(
      key,
      "coxswain.component.v1.Component/GetInfo",
    );
    expect(info).toMatchObject({ component: key.split("/")[0], kubernetesVersion: "v1.35.2" });
    const [metrics] = await call<{ text: string }>(key, "coxswain.component.v1.Component/GetMetrics");
    expect(metrics!.text).toMatch(/^process_cpu_user_seconds_total /m);
    const [level] = await call(key, "coxswain.component.v1.Component/SetLogLevel", { level: "info" });
    expect(level).toEqual({ previous: "info" });
    await call(key, "coxswain.chaos.v1.Faults/List");
  });
});

describe("Resources", () => {
  test("List gives objects that a person can read", async () => {
    const target = { version: "v1", resource: "namespaces" };
    const parts = await call<{ items?: { readable: { kind: string; metadata: { name: string } } }[] }>(
      "api-server/0",
      `${RESOURCES}/List`,
      { target, ...readable },
    );
    const names = parts.flatMap(({ items }) => items ?? []).map((item) => item.readable.metadata.name);
    expect(names).toEqual(expect.arrayContaining(["default", "kube-node-lease", "kube-public", "kube-system"]));
  });

  test("Create, Get, Patch, Watch and Delete", async () => {
    const server = "api-server/0";
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "tide" }, data: { height: "low" } };
    const options = readable;
    const [made] = await call<ReadableObject>(server, `${RESOURCES}/Create`, {
      target: configMaps,
      object: { readable: body },
      options,
    });
    expect(made!.object.readable).toMatchObject(body);
    const target = { ...configMaps, name: "tide" };
    const [got] = await call<ReadableObject>(server, `${RESOURCES}/Get`, { target, ...readable });
    expect(got).toEqual(made);
    const [patched] = await call<ReadableObject>(server, `${RESOURCES}/Patch`, {
      target,
      patchType: "application/merge-patch+json",
      patch: base64({ data: { height: "high" } }),
      options,
    });
    expect(patched!.object.readable.data).toEqual({ height: "high" });
    const { resourceVersion } = made!.object.readable.metadata;
    const watched = await call<{ events: ({ type: string } & ReadableObject)[] }>(server, `${RESOURCES}/Watch`, {
      target: configMaps,
      fieldSelector: "metadata.name=tide",
      resourceVersion,
      timeoutSeconds: 1,
      ...readable,
    });
    const events = watched.flatMap((message) => message.events);
    expect(events.map(({ type, object }) => [type, object.readable.data])).toEqual([["MODIFIED", { height: "high" }]]);
    await call(server, `${RESOURCES}/Delete`, { target, options });
    const gone = await curl(server, `${RESOURCES}/Get`, ["-d", JSON.stringify({ target })]);
    // buf's exit code is the gRPC code, shifted by three bits: 5 is NOT_FOUND.
    expect(gone.code).toBe(5 << 3);
    expect(gone.stderr).toMatch(/configmaps \\?"tide\\?" not found/);
  });

  test("Discovery lists the resources and gives a schema", async () => {
    const [listed] = await call<{ resources: { resource: string; kind: string; verbs: string[] }[] }>(
      "api-server/0",
      "coxswain.api.v1.Discovery/ListResources",
    );
    expect(listed!.resources).toEqual(
      expect.arrayContaining([expect.objectContaining({ resource: "pods", kind: "Pod", shortNames: ["po"] })]),
    );
    const [answer] = await call<{ schema: { components: object } }>(
      "api-server/0",
      "coxswain.api.v1.Discovery/GetSchema",
      { group: "apps", version: "v1", kind: "Deployment" },
    );
    expect(JSON.stringify(answer!.schema.components)).toContain("maxSurge");
  });
});

const page = readFileSync(path.join(repositoryRoot(), "docs", "GRPC.md"), "utf8");

/** The commands of the page, each up to the next one, a comment, or an empty line. */
function documentedCommands(): string[] {
  return [...page.matchAll(/^buf_curl https[\s\S]*?(?=\n(?:buf_curl|#|\n|```))/gm)].map(([command]) => command);
}

/** What the page's table says of each service: its methods, and which of them stream. */
function documentedServices(): Map<string, string> {
  const rows = [...page.matchAll(/^\|[^|]*\|[^|]*\| `([\w.]+)`[^|]*\|([^|]*)\|$/gm)];
  return new Map(rows.map(([, service = "", methods = ""]) => [service, methods.trim()]));
}

/** As the page has it: "Get, List (stream), Batch (stream both ways)". */
function methodsOf(service: string): string {
  const told = Object.entries(serviceDefinition(service)).map(([name, { requestStream, responseStream }]) => {
    if (requestStream) return `${name} (stream both ways)`;
    return responseStream ? `${name} (stream)` : name;
  });
  return told.join(", ");
}

describe("docs/GRPC.md", () => {
  test("has every service with its methods", () => {
    const documented = documentedServices();
    const ours = [...Object.values(OWN_SERVICES).flat(), ...COMMON];
    expect([...documented.keys()].toSorted()).toEqual(ours.toSorted());
    for (const [service, methods] of documented) expect(methods, service).toBe(methodsOf(service));
  });

  test.each(documentedCommands())("%s", async (command) => {
    let script = command;
    for (const [address, key] of Object.entries(PORTS)) script = script.replace(address, plane.process(key).grpc);
    const pki = path.dirname(plane.certificate("admin").caFile);
    const setup = /^PKI=.*\n^buf_curl\(\) \{\n[\s\S]*?^\}$/m.exec(page)?.[0];
    expect(setup).toBeDefined();
    const shell = `set -euo pipefail\n${setup!.replace(/^PKI=.*$/m, `PKI=${pki}`)}\n${script}`;
    const { code, stdout, stderr } = await run("bash", ["-c", shell]);
    expect(`${code} ${stderr}`).toBe("0 ");
    expect(() => JSON.parse(`[${stdout.replaceAll(/^\}\n(?=\{)/gm, "},")}]`) as unknown).not.toThrow();
  });
});
