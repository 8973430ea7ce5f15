// A whole api-server on loopback: real TLS, REST and gRPC, memory storage.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryRoot } from "@coxswain/cluster";
import { ensureKubectl } from "@coxswain/cluster/external-programs";
import { noMetrics, silentLogger } from "@coxswain/component-base";
import { createGrpcServer } from "@coxswain/component-base/grpc-server";
import { makeKubeconfig } from "@coxswain/component-base/identity/kubeconfig";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { loadTlsMaterial } from "@coxswain/component-base/tls-files";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv } from "@coxswain/env";
import type { Env } from "@coxswain/env";
import { createMemoryBus } from "@coxswain/event-bus";
import { createMemoryStorage } from "@coxswain/storage";
import type { MemoryStorage } from "@coxswain/storage";
import { createApiServerComponent } from "../../src/component.ts";
import type { ApiServerComponent, ApiServerComponentDeps } from "../../src/component.ts";

const TOOLS_DIR = join(repositoryRoot(), ".tools");

export interface TestServer {
  readonly env: Env;
  readonly dir: string;
  readonly url: string;
  readonly grpcAddress: string;
  readonly kubeconfig: string;
  readonly component: ApiServerComponent;
  readonly storage: MemoryStorage;
  tls(name: string): TlsMaterial;
  close(): Promise<void>;
}

export async function startTestServer(
  disabledAdmission: readonly string[] = [],
  more: Partial<ApiServerComponentDeps> = {},
): Promise<TestServer> {
  const env = createRealEnv();
  const dir = mkdtempSync(join(tmpdir(), "coxswain-server-"));
  await ensurePki(dir, { nodes: ["node-1"], apiServerNames: ["flunders.shop.svc"] }, env);
  const tls = (name: string): TlsMaterial => loadTlsMaterial(certificateFiles(dir, name));
  const storage = createMemoryStorage({ env });
  const component = createApiServerComponent({
    env,
    logger: silentLogger,
    metrics: noMetrics,
    metricsText: async () => "",
    storage,
    bus: createMemoryBus({ env }),
    id: "test",
    clientTls: tls("api-server-client"),
    servingTls: tls("api-server"),
    serviceAccountKeyFile: join(dir, "sa.key"),
    listen: { host: "127.0.0.1", port: 0 },
    advertiseAddress: "127.0.0.1",
    anonymous: true,
    disabledAdmission,
    ...more,
  });
  const grpc = createGrpcServer({
    tls: tls("api-server"),
    services: component.app.grpcServices,
    ...component.auth,
    timers: env.timers,
    logger: silentLogger,
  });
  const grpcPort = await grpc.listen({ host: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const running = component.app.run(stop.signal);
  const url = `https://127.0.0.1:${await component.restPort}`;
  const admin = certificateFiles(dir, "admin");
  const kubeconfig = join(dir, "kubeconfig");
  const [caPem, certPem, keyPem] = [admin.caFile, admin.certFile, admin.keyFile].map((file) =>
    readFileSync(file, "utf8"),
  );
  const parts = { caPem: caPem ?? "", certPem: certPem ?? "", keyPem: keyPem ?? "" };
  writeFileSync(kubeconfig, makeKubeconfig({ server: url, ...parts, name: "test" }));
  const deadline = env.clock.monotonic() + 10_000;
  const unready = (): boolean => Object.values(component.app.checks).some((check) => check() !== undefined);
  while (unready()) {
    if (env.clock.monotonic() > deadline) throw new Error("the test server does not become ready");
    await env.timers.sleep(10);
  }
  return {
    env,
    dir,
    url,
    grpcAddress: `127.0.0.1:${grpcPort}`,
    kubeconfig,
    component,
    storage,
    tls,
    async close() {
      stop.abort();
      await Promise.all([running, grpc.close(100)]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export interface KubectlResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Gets the pinned kubectl where it is not here yet, which takes a while: for beforeAll. */
export async function prepareKubectl(): Promise<void> {
  await ensureKubectl(TOOLS_DIR, (line) => process.stderr.write(`${line}\n`));
}

/** Runs the real kubectl against the server; `input` is its stdin, and `hear` all that it has said whenever that is more. */
export async function kubectl(
  server: TestServer,
  args: readonly string[],
  input = "",
  hear: (said: string, stop: () => void) => void = () => {},
): Promise<KubectlResult> {
  const common = [`--kubeconfig=${server.kubeconfig}`, `--cache-dir=${join(server.dir, "cache")}`];
  const program = await ensureKubectl(TOOLS_DIR, () => {});
  return await new Promise((resolve) => {
    const child = execFile(
      program,
      [...common, ...args],
      { timeout: 30_000, maxBuffer: 1 << 24 },
      (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
      },
    );
    let said = "";
    child.stdout?.on("data", (text: string) => {
      said += text;
      hear(said, () => child.kill());
    });
    child.stdin?.end(input);
  });
}
