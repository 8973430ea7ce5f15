// kubernetes-mcp-server: a Go program built on client-go (its protobuf, discovery, dynamic and server-side apply clients), spoken to
// over its standard input as a model would.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually, type Kubectl } from "../../integration/cluster-fixture.ts";
import { clientEnv, clientPackages, realKubectl } from "./real-clients.ts";

const PACKAGE = "kubernetes-mcp-server-linux-amd64";
const NS = "mcp";
// Its npm package carries a program for this platform alone.
const runs = process.platform === "linux" && process.arch === "x64";

interface Answer {
  readonly id?: number;
  readonly result?: { content?: { text?: string }[]; isError?: boolean; tools?: { name: string }[] };
  readonly error?: { message: string };
}

/** JSON-RPC, a message a line. */
class McpClient {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #text = "";
  #id = 0;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.#child = spawn(program, args, { env });
    this.#child.stdout.on("data", (chunk: Buffer) => this.#read(chunk.toString()));
    this.#child.once("close", () => {
      for (const settle of this.#waiting.values()) settle({ error: { message: "the server ended" } });
    });
  }

  #read(chunk: string): void {
    const lines = (this.#text + chunk).split("\n");
    this.#text = lines.pop() ?? "";
    for (const line of lines) {
      const answer = JSON.parse(line) as Answer;
      if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
    }
  }

  async call(method: string, params: object): Promise<NonNullable<Answer["result"]>> {
    const id = ++this.#id;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`);
    const { result, error } = await answered;
    this.#waiting.delete(id);
    if (result === undefined) throw new Error(`${method}: ${error?.message}`);
    return result;
  }

  notify(method: string): void {
    this.#child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", method })}\n`);
  }

  /** The text of a tool's answer, and whether it says that it failed. */
  async tool(name: string, args: object = {}): Promise<{ text: string; failed: boolean }> {
    const { content = [], isError } = await this.call("tools/call", { name, arguments: args });
    return { text: content.map(({ text }) => text ?? "").join("\n"), failed: isError === true };
  }

  close(): void {
    this.#child.kill();
  }
}

describe.runIf(runs)("kubernetes-mcp-server", () => {
  let k: Kubectl;
  let mcp: McpClient;
  const ask = async (name: string, args: object = {}): Promise<string> => {
    const { text, failed } = await mcp.tool(name, { namespace: NS, ...args });
    if (failed) throw new Error(`${name}: ${text}`);
    return text;
  };

  beforeAll(async () => {
    k = await realKubectl();
    const program = path.join(await clientPackages(), "node_modules", PACKAGE, "bin", PACKAGE);
    if (!existsSync(program)) throw new Error(`npm installed no ${PACKAGE}`);
    await k.ok(["create", "namespace", NS]);
    const args = ["--kubeconfig", inject("kubeconfig"), "--toolsets", "core,config,helm"];
    mcp = new McpClient(program, args, clientEnv("mcp"));
    await mcp.call("initialize", {
      protocolVersion: "2025-03-26",
      capabilities: {},
      clientInfo: { name: "test", version: "1" },
    });
    mcp.notify("notifications/initialized");
  });
  afterAll(async () => {
    mcp?.close();
    await k?.kubectl(["delete", "namespace", NS, "--wait=false"]);
  });

  test("finds the cluster and offers its tools", async () => {
    const { tools = [] } = await mcp.call("tools/list", {});
    expect(tools.map(({ name }) => name)).toEqual(expect.arrayContaining(["pods_exec", "resources_create_or_update"]));
    expect(await ask("configuration_view")).toMatch(/current-context: /);
    expect(await ask("namespaces_list")).toMatch(/^v1 +Namespace +mcp +Active /m);
  });

  test("runs a pod, reads its log, executes in it and removes it", async () => {
    expect(await ask("pods_run", { name: "one", image: "example.test/one:v1", port: 80 })).toMatch(
      /kind: Pod[\s\S]*kind: Service/,
    );
    await eventually(
      () => ask("pods_get", { name: "one" }),
      (text) => /phase: Running/.test(text),
    );
    expect(await ask("pods_list_in_namespace")).toMatch(/^mcp +v1 +Pod +one +1\/1 +Running /m);
    expect(await ask("pods_list", { fieldSelector: "status.phase=Running,metadata.name=one" })).toMatch(/ one /);
    expect(await ask("pods_log", { name: "one", tail: 5 })).toMatch(/simulated: container one /);
    expect(await ask("pods_exec", { name: "one", command: ["echo", "ahoy"] })).toMatch(/^ahoy$/m);
    expect(await ask("events_list")).toMatch(/Reason: Scheduled/);
    await ask("pods_delete", { name: "one" });
    const gone = await mcp.tool("pods_get", { namespace: NS, name: "ghost" });
    expect(gone).toEqual({ failed: true, text: expect.stringMatching(/pods "ghost" not found/) });
  });

  test("applies, reads, lists, scales and deletes objects of any kind", async () => {
    const labels = { app: "web" };
    const deployment = {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "web", namespace: NS },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "example.test/c:v1" }] } },
      },
    };
    const web = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
    await ask("resources_create_or_update", { resource: JSON.stringify(deployment) });
    expect(await ask("resources_get", web)).toMatch(/kind: Deployment[\s\S]*image: example\.test\/c:v1/);
    expect(await ask("resources_list", { apiVersion: "apps/v1", kind: "Deployment" })).toMatch(
      / Deployment +web +\d\/1 /,
    );
    // It reads, changes and writes, once: while the controller still writes its status, that may be a conflict.
    await k.ok(["-n", NS, "rollout", "status", "deployment/web", "--timeout=60s"]);
    expect(await ask("resources_scale", { ...web, scale: 2 })).toMatch(/kind: Scale[\s\S]*replicas: 2/);
    const applied = await k.get<{ metadata: { managedFields: { manager: string; operation: string }[] } }>([
      "-n",
      NS,
      "deployment",
      "web",
      "--show-managed-fields",
    ]);
    expect(applied.metadata.managedFields).toContainEqual(
      expect.objectContaining({ manager: "kubernetes-mcp-server", operation: "Apply" }),
    );
    await ask("resources_delete", web);
    const bad = { ...deployment, spec: { ...deployment.spec, replicas: -1 } };
    const refused = await mcp.tool("resources_create_or_update", { resource: JSON.stringify(bad) });
    expect(refused).toEqual({ failed: true, text: expect.stringMatching(/spec\.replicas: Invalid value: -1/) });
  });

  test("reads a node's statistics and installs a chart", async () => {
    expect(JSON.parse(await ask("nodes_stats_summary", { name: "node-1" }))).toMatchObject({
      node: { nodeName: "node-1" },
    });
    const chart = path.join(import.meta.dirname, "charts", "harbour", "charts", "buoy");
    await ask("helm_install", { chart, name: "buoy" });
    expect(await ask("helm_list")).toMatch(/name: buoy[\s\S]*status: deployed/);
    expect(await ask("helm_uninstall", { name: "buoy" })).toMatch(/Uninstalled release buoy/);
  });
});
