// A front with real TLS on loopback and identities of its own, over any pipeline.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request as undiciRequest } from "undici";
import { noMetrics, silentLogger, type Metrics } from "@coxswain/component-base";
import { makeKubeconfig } from "@coxswain/component-base/identity/kubeconfig";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { createTokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { TokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import { loadTlsMaterial } from "@coxswain/component-base/tls-files";
import { createRealEnv } from "@coxswain/env";
import type { Security } from "../../src/auth/security.ts";
import { createSecurity } from "../../src/auth/security.ts";
import type { Pipeline } from "../../src/pipeline/contract.ts";
import type { PipelineExtensions } from "../../src/pipeline/extension.ts";
import type { Front } from "../../src/rest/front.ts";
import { createFront } from "../../src/rest/front.ts";
import { toKubernetesProtobuf } from "../../src/rest/protobuf.ts";

export interface Answer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly bytes: Buffer;
  json(): Record<string, never>;
}

export interface TestFront {
  readonly url: string;
  readonly dir: string;
  readonly front: Front;
  readonly security: Security;
  readonly keys: TokenSigner;
  readonly kubeconfig: string;
  /** As the cluster admin, unless `as` names another certificate, or "" for none. */
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly as?: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function startTestFront(
  make: (extensions: PipelineExtensions) => Pipeline,
  metrics: Metrics = noMetrics,
): Promise<TestFront> {
  const env = createRealEnv();
  const dir = mkdtempSync(join(tmpdir(), "coxswain-front-"));
  await ensurePki(dir, { nodes: ["node-1"] }, env);
  const keys = createTokenSigner({
    issuer: "https://kubernetes.default.svc.cluster.local",
    keyPem: readFileSync(join(dir, "sa.key"), "utf8"),
    clock: env.clock,
    random: env.random,
  });
  const security = createSecurity({ env, logger: silentLogger, keys, anonymous: true });
  const pipeline = make(security.extensions);
  const front = createFront({
    env,
    logger: silentLogger,
    metrics,
    metricsText: async () => "# metrics\n",
    pipeline,
    authenticator: security.authenticator,
    authorizer: security.authorizer,
    keys,
    checks: () => ({ etcd: () => undefined }),
    protobuf: toKubernetesProtobuf,
    advertiseAddress: "127.0.0.1:6443",
    servingTls: loadTlsMaterial(certificateFiles(dir, "api-server")),
    clientTls: loadTlsMaterial(certificateFiles(dir, "api-server-client")),
  });
  const port = await front.rest.listen({ host: "127.0.0.1", port: 0 });
  const url = `https://127.0.0.1:${port}`;
  const agents = new Map<string, Agent>();
  const agentFor = (name: string): Agent => {
    const known = agents.get(name);
    if (known !== undefined) return known;
    const ca = readFileSync(join(dir, "ca.crt"));
    const files = certificateFiles(dir, name);
    const own = name === "" ? {} : { cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) };
    const agent = new Agent({ connect: { ca, ...own } });
    agents.set(name, agent);
    return agent;
  };
  const kubeconfig = join(dir, "kubeconfig");
  const admin = certificateFiles(dir, "admin");
  writeFileSync(
    kubeconfig,
    makeKubeconfig({
      server: url,
      caPem: readFileSync(admin.caFile, "utf8"),
      certPem: readFileSync(admin.certFile, "utf8"),
      keyPem: readFileSync(admin.keyFile, "utf8"),
      name: "test",
    }),
  );
  return {
    url,
    dir,
    front,
    security,
    keys,
    kubeconfig,
    async call(method, path, options = {}) {
      const answer = await undiciRequest(`${url}${path}`, {
        method: method as "GET",
        dispatcher: agentFor(options.as ?? "admin"),
        headers: options.headers ?? {},
        body: options.body ?? null,
      });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      const text = bytes.toString();
      return { code: answer.statusCode, headers: answer.headers, text, bytes, json: () => JSON.parse(text) as never };
    },
    async close() {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
      await front.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
