// @dot-i/k8s-operator: an operator of ours on it, as a process of its own, with a definition, a status, a finalizer and a restart.
import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";
import type { ConfigMap } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type Kubectl } from "../../integration/cluster-fixture.ts";
import { clientEnv, clientPackages, realKubectl } from "./real-clients.ts";

const NS = "operator";
const CRD = "ropes.operator.example.test";

let k: Kubectl;
let operator: ChildProcess | undefined;
let text = "";

/** Starts the operator, and again where it ends by itself, as its Deployment would: it does when its definition is not served yet. */
async function startOperator(): Promise<void> {
  const programs = path.join(import.meta.dirname, "programs");
  const args = [path.join(programs, "rope-operator.ts"), await clientPackages(), path.join(programs, "ropes.yaml")];
  const env = clientEnv("operator");
  const start = (): void => {
    const child = spawn(process.execPath, ["--no-deprecation", ...args], { env });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    child.once("close", () => operator === child && start());
    operator = child;
  };
  text = "";
  start();
  await eventually(
    async () => text,
    (seen) => seen.includes("watching"),
  );
}

async function stopOperator(): Promise<void> {
  const child = operator;
  operator = undefined;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.kill();
  await ended;
}

const rope = (name: string, metres: number): string =>
  JSON.stringify({
    apiVersion: "operator.example.test/v1",
    kind: "Rope",
    metadata: { name, namespace: NS },
    spec: { metres },
  });
interface Rope extends KubeObject {
  readonly status?: { readonly map?: string };
}
const statusIs = (name: string, map: string): Promise<Rope> =>
  eventually(
    () => k.get<Rope>(["-n", NS, "rope", name]),
    ({ status }) => status?.map === map,
  );
const mapOf = (name: string): Promise<ConfigMap> => k.get<ConfigMap>(["-n", NS, "configmap", `${name}-rope`]);

beforeAll(async () => {
  k = await realKubectl();
  await k.ok(["create", "namespace", NS]);
  await startOperator();
});
afterAll(async () => {
  await k?.kubectl(["delete", "crd", CRD, "--ignore-not-found", "--timeout=30s"]);
  await stopOperator();
  await k?.kubectl(["delete", "namespace", NS, "--wait=false"]);
});

describe("an operator", () => {
  test("registers its definition and acts on what is made and changed", async () => {
    await k.apply(rope("main", 10));
    const { metadata } = await statusIs("main", "10");
    expect(metadata?.finalizers).toEqual(["ropes.example.test/map"]);
    expect((await mapOf("main")).data).toEqual({ metres: "10" });
    await k.apply(rope("main", 12));
    await statusIs("main", "12");
    expect((await mapOf("main")).data).toEqual({ metres: "12" });
    expect(await k.ok(["-n", NS, "get", "ropes"])).toMatch(/^NAME +MAP\nmain +12\n$/);
  });

  test("does, once it is back, what was asked for while it was away", async () => {
    await stopOperator();
    await k.apply(rope("main", 14));
    await k.apply(rope("spare", 1));
    await startOperator();
    await statusIs("main", "14");
    await statusIs("spare", "1");
  });

  test("cleans up before its objects go", async () => {
    await k.ok(["-n", NS, "delete", "rope", "main", "--timeout=30s"]);
    expect((await k.kubectl(["-n", NS, "get", "configmap", "main-rope"])).stderr).toMatch(/NotFound/);
    await eventually(
      async () => text,
      (seen) => seen.includes("DELETED main"),
    );
  });
});
