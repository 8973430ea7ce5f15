// A cluster's certificates stand up to openssl and to Node's TLS, name the right users, and are renewed in time.
import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type ConnectionOptions, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { certificateUser, verifiedCertificate } from "../src/credentials.ts";
import {
  certificateFiles,
  ensurePki,
  identityCoversNode,
  loadCertificate,
  makeKubeconfig,
  parseNodePack,
} from "../src/identity/index.ts";
import { loadTlsMaterial, serverTlsOptions } from "../src/tls-files.ts";

const env = createRealEnv();
const options = {
  nodes: ["node-1"],
  packs: [{ prefix: "sim-", first: 0, last: 4999 }],
  apiServerNames: ["198.18.0.5", "api.example"],
};
let dir = "";

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "coxswain-pki-"));
  await ensurePki(dir, options, env);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Minimal machines have no openssl; Node's own TLS then has to do. */
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const openssl = (...args: string[]): string => execFileSync("openssl", args, { encoding: "utf8", cwd: dir });

describe("a cluster's certificates", () => {
  test.skipIf(!hasOpenssl)("verify with openssl, each for its purpose", () => {
    expect(openssl("verify", "-purpose", "sslserver", "-CAfile", "ca.crt", "api-server.crt")).toContain("OK");
    for (const name of [
      "admin",
      "scheduler",
      "controller-manager",
      "kube-proxy",
      "kubelet-node-1",
      "api-server-client",
    ]) {
      expect(openssl("verify", "-purpose", "sslclient", "-CAfile", "ca.crt", `${name}.crt`)).toContain("OK");
    }
    expect(() => openssl("verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "api-server.crt")).toThrow(
      /unsuitable certificate purpose|unsupported certificate purpose/,
    );
  });

  test("name their users and groups", () => {
    const user = (name: string): unknown =>
      certificateUser(new X509Certificate(loadCertificate(dir, name).certPem).raw);
    expect(user("admin")).toMatchObject({
      username: "kubernetes-admin",
      groups: ["system:masters", "system:authenticated"],
    });
    expect(user("kubelet-node-1")).toMatchObject({
      username: "system:node:node-1",
      groups: ["system:nodes", "system:authenticated"],
    });
    expect(user("scheduler")).toMatchObject({ username: "system:kube-scheduler", groups: ["system:authenticated"] });
    expect(user("kubelet-pack-sim-0-4999")).toMatchObject({ username: "system:node-pack:sim-0-4999" });
  });

  test("carry the api-server's names", () => {
    const certificate = new X509Certificate(readFileSync(join(dir, "api-server.crt")));
    for (const host of ["kubernetes.default.svc", "localhost", "api.example"]) {
      expect(certificate.checkHost(host)).toBe(host);
    }
    for (const ip of ["127.0.0.1", "10.96.0.1", "198.18.0.5"]) expect(certificate.checkIP(ip)).toBe(ip);
  });

  test("are private, and stay as long as they fit", async () => {
    for (const name of ["ca.key", "admin.key", "sa.key"]) expect(statSync(join(dir, name)).mode & 0o777).toBe(0o600);
    expect(await ensurePki(dir, options, env)).toEqual({ made: [] });
    const grown = { ...options, nodes: ["node-1", "node-2"], serverNames: ["198.18.0.9"] };
    const { made } = await ensurePki(dir, grown, env);
    expect(made).toContain("kubelet-node-2");
    expect(made).toContain("scheduler");
    expect(made).not.toContain("ca");
    expect(made).not.toContain("admin");
  });

  test("can be made some first and the others later, under the same CA", async () => {
    const own = mkdtempSync(join(tmpdir(), "coxswain-pki-"));
    try {
      const first = await ensurePki(own, { only: ["etcd", "admin"] }, env);
      expect(first.made).toEqual(["ca", "sa", "admin", "etcd"]);
      const rest = await ensurePki(own, {}, env);
      expect(rest.made).toContain("scheduler");
      for (const name of first.made) expect(rest.made).not.toContain(name);
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
  });

  test("are renewed before they end, and a damaged one at once", async () => {
    const later = new VirtualEnv({ seed: 1, startMs: env.clock.now() + 340 * 86_400_000 });
    const own = mkdtempSync(join(tmpdir(), "coxswain-pki-"));
    try {
      await ensurePki(own, {}, env);
      writeFileSync(join(own, "scheduler.key"), readFileSync(join(own, "nats.key")));
      expect(await ensurePki(own, {}, env)).toEqual({ made: ["scheduler"] });
      const { made } = await ensurePki(own, {}, later);
      expect(made).toHaveLength(12);
      expect(made).not.toContain("ca");
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
  });
});

interface Seen {
  readonly certificate: Buffer | undefined;
  readonly cipher: string;
}

/** What a server that shares our TLS rule sees of a client. */
async function seenBy(material: ConnectionOptions): Promise<Seen> {
  const tls = loadTlsMaterial(certificateFiles(dir, "api-server"));
  const server = createServer(serverTlsOptions(tls));
  const seen = new Promise<Seen>((resolve) => {
    server.once("secureConnection", (socket: TLSSocket) => {
      resolve({ certificate: verifiedCertificate(socket), cipher: socket.getCipher().name });
      socket.end();
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: "127.0.0.1", ca: tls.ca, ...material });
  client.resume();
  const result = await seen;
  client.destroy();
  server.close();
  return result;
}

test("a connection is encrypted as upstream's are, whatever a client likes best", async () => {
  expect((await seenBy({})).cipher).toBe("TLS_AES_128_GCM_SHA256");
  const liked = { ciphers: "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256" };
  expect((await seenBy(liked)).cipher).toBe("TLS_AES_128_GCM_SHA256");
  expect((await seenBy({ ciphers: "TLS_AES_256_GCM_SHA384" })).cipher).toBe("TLS_AES_256_GCM_SHA384");
  expect((await seenBy({ maxVersion: "TLSv1.2" })).cipher).toMatch(/^ECDHE-.*GCM/);
});

describe("a client certificate", () => {
  test("counts when our CA signed it for clients", async () => {
    const { certPem, keyPem } = loadCertificate(dir, "admin");
    const { certificate } = await seenBy({ cert: certPem, key: keyPem });
    expect(certificate).toEqual(new X509Certificate(certPem).raw);
  });

  test("is optional", async () => {
    expect((await seenBy({})).certificate).toBeUndefined();
  });

  test("of another CA, or for servers only, counts as none", async () => {
    const other = mkdtempSync(join(tmpdir(), "coxswain-pki-"));
    try {
      await ensurePki(other, {}, env);
      const stranger = loadCertificate(other, "admin");
      expect((await seenBy({ cert: stranger.certPem, key: stranger.keyPem })).certificate).toBeUndefined();
    } finally {
      rmSync(other, { recursive: true, force: true });
    }
    const serving = loadCertificate(dir, "api-server");
    expect((await seenBy({ cert: serving.certPem, key: serving.keyPem })).certificate).toBeUndefined();
  });
});

test("a packed process covers its own nodes only", () => {
  const pack = "system:node-pack:sim-0-4999";
  expect(parseNodePack(pack)).toEqual({ prefix: "sim-", first: 0, last: 4999 });
  expect(identityCoversNode(pack, "sim-0")).toBe(true);
  expect(identityCoversNode(pack, "sim-4999")).toBe(true);
  for (const node of ["sim-5000", "sim-007", "sim-", "node-1", "sim-1x"])
    expect(identityCoversNode(pack, node)).toBe(false);
  expect(identityCoversNode("system:node:a", "a")).toBe(true);
  expect(identityCoversNode("system:node:a", "b")).toBe(false);
  expect(identityCoversNode("kubernetes-admin", "a")).toBe(false);
});

test("a kubeconfig embeds what a client needs", () => {
  const { caPem, certPem, keyPem } = loadCertificate(dir, "admin");
  const text = makeKubeconfig({ server: "https://127.0.0.1:6443", name: "default", caPem, certPem, keyPem });
  expect(text).toContain('server: "https://127.0.0.1:6443"');
  expect(text).toContain(`client-key-data: ${Buffer.from(keyPem).toString("base64")}`);
});
