// Pepr: a module of ours is built by Pepr's own command, the manifests that it makes are applied, and the built module answers
// admission requests and watches from a process on loopback instead of from a pod.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { Agent, get } from "node:https";
import { createServer } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import type { ConfigMap, Secret } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually, type Kubectl } from "../../integration/cluster-fixture.ts";
import { clientEnv, clientPackages, realKubectl } from "./real-clients.ts";

const NS = "pepr-module";
const NAME = "pepr-lighthouse";

interface Webhooks extends KubeObject {
  webhooks: { clientConfig: { service?: { path: string }; url?: string; caBundle?: string } }[];
}

let k: Kubectl;
let folder: string;
let module: { readonly child: ChildProcess; text(): string } | undefined;

/** A port of 127.0.0.1 that nobody uses now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const pki = (file: string): string => path.join(path.dirname(inject("kubeconfig")), "pki", file);

/** Copies the module beside the packages that it needs, and runs `pepr build` on it. Resolves with the manifests it made. */
async function build(): Promise<KubeObject[]> {
  const packages = path.join(await clientPackages(), "node_modules");
  const source = path.join(import.meta.dirname, "pepr-module");
  folder = path.join(inject("clientHome"), "pepr-module");
  mkdirSync(folder);
  cpSync(path.join(source, "package.json"), path.join(folder, "package.json"));
  cpSync(path.join(source, "pepr.ts.txt"), path.join(folder, "pepr.ts"));
  cpSync(path.join(source, "tsconfig.module.json"), path.join(folder, "tsconfig.json"));
  symlinkSync(packages, path.join(folder, "node_modules"));
  const cli = path.join(packages, "pepr", "dist", "cli.js");
  await promisify(execFile)(process.execPath, [cli, "build"], { cwd: folder, env: clientEnv("pepr") });
  const manifest = path.join(folder, "dist", "pepr-module-lighthouse.yaml");
  const { items } = JSON.parse(await k.ok(["apply", "-f", manifest, "--dry-run=client", "-o", "json"])) as {
    items: KubeObject[];
  };
  return items;
}

/** Starts the built module and resolves once it says that it is healthy. */
async function startModule(apiPath: string): Promise<number> {
  const port = await freePort();
  const env = {
    ...clientEnv("pepr"),
    PORT: String(port),
    PEPR_MODE: "dev",
    PEPR_API_PATH: apiPath,
    SSL_CERT_PATH: pki("api-server.crt"),
    SSL_KEY_PATH: pki("api-server.key"),
  };
  const child = spawn(process.execPath, [path.join(folder, "dist", `${NAME}.js`)], { cwd: folder, env });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  module = { child, text: () => text };
  const agent = new Agent({ ca: readFileSync(pki("ca.crt")) });
  const healthy = (): Promise<boolean> =>
    new Promise((resolve, reject) => {
      get(`https://127.0.0.1:${port}/healthz`, { agent }, (answer) => {
        answer.resume();
        resolve(answer.statusCode === 200);
      }).once("error", (error) => reject(new Error(`${error.message}; the module said: ${text.slice(-2000)}`)));
    });
  await eventually(healthy, (ready) => ready);
  return port;
}

async function killModule(): Promise<void> {
  const { child } = module ?? {};
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill("SIGKILL");
  await ended;
}

/** The same configuration, but with the address of this machine in place of the Service's. */
function onLoopback(configuration: Webhooks, port: number): Webhooks {
  const caBundle = readFileSync(pki("ca.crt")).toString("base64");
  const webhooks = configuration.webhooks.map((webhook) => ({
    ...webhook,
    clientConfig: { url: `https://127.0.0.1:${port}${webhook.clientConfig.service?.path}`, caBundle },
  }));
  return { ...configuration, webhooks };
}

beforeAll(async () => {
  k = await realKubectl();
  await k.ok(["create", "namespace", NS]);
  const made = await build();
  const of = (kind: string): KubeObject[] => made.filter((object) => object.kind === kind);
  const apply = (...objects: object[]): Promise<string> =>
    k.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
  await apply(...of("Namespace"), ...of("ClusterRole"), ...of("ClusterRoleBinding"), ...of("ServiceAccount"));
  await apply(...of("Role"), ...of("RoleBinding"), ...of("Secret"), ...of("Service"));
  await k.apply(readFileSync(path.join(import.meta.dirname, "pepr-module", "store.json"), "utf8"));
  await k.ok(["wait", "--for=condition=Established", "crd/peprstores.pepr.dev", "--timeout=30s"]);
  const secret = await k.get<Secret>(["-n", "pepr-system", "secret", `${NAME}-api-path`]);
  const port = await startModule(Buffer.from(secret.data?.["value"] ?? "", "base64").toString());
  for (const kind of ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"])
    await apply(...of(kind).map((configuration) => onLoopback(configuration as Webhooks, port)));
});
afterAll(async () => {
  const kinds = "mutatingwebhookconfiguration,validatingwebhookconfiguration,clusterrole,clusterrolebinding";
  await k?.kubectl(["delete", kinds, NAME, "--ignore-not-found"]);
  await killModule();
  await k?.kubectl(["delete", "namespace", NS, "pepr-system", "--wait=false"]);
  await k?.kubectl(["delete", "crd", "peprstores.pepr.dev", "--ignore-not-found", "--wait=false"]);
});

const configMap = (name: string, labels: Record<string, string> = {}): string =>
  JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: NS, labels } });

describe("a Pepr module", () => {
  test("changes what is created, and its warnings reach the user", async () => {
    const { code, stderr } = await k.kubectl(["create", "-f", "-"], configMap("lit"));
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^Warning: it is bright$/m)]);
    const { metadata } = await k.get<ConfigMap>(["-n", NS, "configmap", "lit"]);
    expect(metadata?.labels).toEqual({ lit: "yes" });
    expect(metadata?.annotations).toMatchObject({ "lighthouse.pepr.dev/lamp": "succeeded" });
  });

  test("refuses what it does not like, on create, on update and in a dry run", async () => {
    const words = new RegExp(`admission webhook "${NAME}\\.pepr\\.dev" denied the request: no darkness here`);
    for (const flags of [[], ["--dry-run=server"]])
      expect((await k.kubectl(["create", "-f", "-", ...flags], configMap("night", { dark: "yes" }))).stderr).toMatch(
        words,
      );
    await k.ok(["create", "-f", "-"], configMap("day"));
    expect((await k.kubectl(["-n", NS, "label", "configmap", "day", "dark=yes"])).stderr).toMatch(words);
    await k.ok(["create", "-n", "default", "-f", "-", "--dry-run=server"], configMap("x").replace(NS, "default"));
  });

  test("watches, applies what follows, and keeps what it saw in its store", async () => {
    await k.ok(["-n", NS, "create", "secret", "generic", "seen"]);
    const { metadata } = await k.get<Secret>(["-n", NS, "secret", "seen"]);
    const witness = await eventually(
      () => k.get<ConfigMap>(["-n", NS, "configmap", "witness"]),
      ({ data }) => data !== undefined,
    );
    expect(witness.data).toEqual({ uid: metadata?.uid });
    await eventually(
      () => k.get<KubeObject & { data?: object }>(["-n", "pepr-system", "peprstore", `${NAME}-store`]),
      ({ data }) => JSON.stringify(data ?? {}).includes(metadata?.uid ?? "?"),
    );
  });

  test("that is gone takes no request with it, as its failure policy says", async () => {
    await killModule();
    expect((await k.kubectl(["create", "-f", "-"], configMap("late"))).stderr).toMatch(
      new RegExp(`Internal error occurred: failed calling webhook "${NAME}\\.pepr\\.dev": failed to call webhook: `),
    );
  });
});
