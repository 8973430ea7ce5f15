// Who may call a gRPC server, how errors and limits reach clients, reflection for real tools, and an end without leftovers.
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRealEnv } from "@coxswain/env";
import { StatusError } from "@coxswain/apimachinery";
import { serviceDefinition } from "@coxswain/protos";
import { silentLogger, type GrpcService } from "../src/contract.ts";
import { certificateUser, type Authenticate } from "../src/credentials.ts";
import { channelOptions, channelTarget, createCredentials } from "../src/grpc-channel.ts";
import { createHealthService } from "../src/grpc-health.ts";
import { createReflectionServices } from "../src/grpc-reflection.ts";
import { createGrpcServer, type GrpcServer } from "../src/grpc-server.ts";
import { implementService } from "../src/grpc-service.ts";
import { statusFromServiceError, statusToServiceError } from "../src/grpc-status.ts";
import { certificateFiles, ensurePki } from "../src/identity/index.ts";
import { loadTlsMaterial, type TlsMaterial } from "../src/tls-files.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..", "..", "..");
const env = createRealEnv();
const dirs: string[] = [];
let server: GrpcServer;
let port = 0;
let ready = true;
const stop = new AbortController();
const clients: Client[] = [];

async function pki(): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "coxswain-grpc-"));
  dirs.push(dir);
  await ensurePki(dir, {}, env);
  return dir;
}

const controllers: GrpcService = implementService("coxswain.controller.v1.Controllers", {
  list: async (_request, { user }) => ({ leading: true, leader: user.username }),
  pause: async ({ name }) => {
    throw new StatusError("NotFound", 404, `controllers "${name}" not found`, { name, kind: "controllers" });
  },
  resume: async () => {
    throw new Error("boom");
  },
  step: (_request, { signal }) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => {
        aborted = true;
        reject(new Error("gone"));
      });
    }),
  getQueue: async () => ({ keys: [{ key: "x".repeat(6 << 20) }] }),
});
let aborted = false;

const authenticate: Authenticate = ({ certificate, bearerToken }) => {
  if (certificate !== undefined) return certificateUser(certificate);
  return bearerToken === "good" ? { username: "token-user", groups: [] } : undefined;
};

beforeAll(async () => {
  const dir = await pki();
  const names = ["coxswain.controller.v1.Controllers", "grpc.health.v1.Health"];
  const health = createHealthService({ services: names, ready: () => ready, timers: env.timers, signal: stop.signal });
  server = createGrpcServer({
    tls: loadTlsMaterial(certificateFiles(dir, "controller-manager")),
    services: [controllers],
    openServices: [health, ...createReflectionServices(names)],
    authenticate,
    authorize: async (user, { path }) => ({ allowed: user.username !== "system:kube-proxy" || path.endsWith("/List") }),
    timers: env.timers,
    logger: silentLogger,
  });
  port = await server.listen({ host: "127.0.0.1", port: 0 });
});

afterAll(async () => {
  for (const client of clients) client.close();
  stop.abort();
  await server.close(500);
  for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});

function clientOf(tls: Partial<TlsMaterial> = {}): Client {
  const { ca } = loadTlsMaterial(certificateFiles(dirs[0]!, "admin"));
  const target = { addresses: [`127.0.0.1:${port}`], tls: { ca, ...tls } };
  const client = new Client(channelTarget(target.addresses), createCredentials(target.tls), channelOptions(target));
  clients.push(client);
  return client;
}

interface CallOptions {
  readonly token?: string;
  readonly deadlineMs?: number;
  readonly request?: object;
}

function call(client: Client, service: string, method: string, options: CallOptions = {}): Promise<object> {
  const definition = serviceDefinition(service)[method]!;
  const metadata = new Metadata();
  if (options.token !== undefined) metadata.set("authorization", `Bearer ${options.token}`);
  const deadline = env.clock.now() + (options.deadlineMs ?? 5_000);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      options.request ?? {},
      metadata,
      { deadline },
      (error: ServiceError | null, value?: object) => {
        if (error === null && value !== undefined) resolve(value);
        else reject(statusFromServiceError(error));
      },
    );
  });
}

const list = (client: Client, options?: CallOptions): Promise<object> =>
  call(client, "coxswain.controller.v1.Controllers", "List", options);

describe("who may call", () => {
  test("a certificate of the cluster's CA names the user", async () => {
    const admin = clientOf(loadTlsMaterial(certificateFiles(dirs[0]!, "admin")));
    expect(await list(admin)).toMatchObject({ leader: "kubernetes-admin" });
  });

  test("nobody calls without credentials, or with a wrong token", async () => {
    await expect(list(clientOf())).rejects.toMatchObject({
      reason: "Unauthorized",
      code: 401,
      message: "Unauthorized",
    });
    await expect(list(clientOf(), { token: "bad" })).rejects.toMatchObject({ reason: "Unauthorized" });
  });

  test("a bearer token does, without a certificate", async () => {
    expect(await list(clientOf(), { token: "good" })).toMatchObject({ leader: "token-user" });
  });

  test("a certificate of another CA counts as none", async () => {
    const stranger = await pki();
    const { cert, key } = loadTlsMaterial(certificateFiles(stranger, "admin"));
    await expect(list(clientOf({ cert, key }))).rejects.toMatchObject({ reason: "Unauthorized" });
    expect(await list(clientOf({ cert, key }), { token: "good" })).toMatchObject({ leader: "token-user" });
  });

  test("authorization decides by path", async () => {
    const proxy = clientOf(loadTlsMaterial(certificateFiles(dirs[0]!, "kube-proxy")));
    expect(await list(proxy)).toMatchObject({ leader: "system:kube-proxy" });
    await expect(call(proxy, "coxswain.controller.v1.Controllers", "Pause")).rejects.toMatchObject({
      reason: "Forbidden",
      message: 'forbidden: User "system:kube-proxy" cannot post path "/coxswain.controller.v1.Controllers/Pause"',
    });
  });

  test("health is open to all, and tells the truth", async () => {
    const client = clientOf();
    const check = (service: string): Promise<object> =>
      call(client, "grpc.health.v1.Health", "Check", { request: { service } });
    expect(await check("")).toEqual({ status: "SERVING" });
    ready = false;
    expect(await check("coxswain.controller.v1.Controllers")).toEqual({ status: "NOT_SERVING" });
    ready = true;
    await expect(check("nope")).rejects.toMatchObject({ reason: "NotFound" });
  });
});

describe("errors and limits", () => {
  const admin = (): Client => clientOf(loadTlsMaterial(certificateFiles(dirs[0]!, "admin")));
  const controllersCall = (method: string, options?: CallOptions): Promise<object> =>
    call(admin(), "coxswain.controller.v1.Controllers", method, options);

  test("a StatusError arrives whole, any other error as InternalError", async () => {
    await expect(controllersCall("Pause", { request: { name: "x" } })).rejects.toMatchObject({
      reason: "NotFound",
      code: 404,
      details: { name: "x", kind: "controllers" },
    });
    await expect(controllersCall("Resume")).rejects.toMatchObject({
      reason: "InternalError",
      message: "Internal error occurred: boom",
    });
  });

  test("a deadline is a Timeout here and an abort there", async () => {
    const client = admin();
    const controllers = "coxswain.controller.v1.Controllers";
    // Over a connection that is there, the call begins well before its time is up.
    await call(client, controllers, "GetQueue");
    await expect(call(client, controllers, "Step", { deadlineMs: 1_000 })).rejects.toMatchObject({ reason: "Timeout" });
    await expect.poll(() => aborted).toBe(true);
  });

  test("answers may be large, requests may not", async () => {
    expect(await controllersCall("GetQueue")).toMatchObject({ keys: [{ requeues: 0 }] });
    await expect(controllersCall("Pause", { request: { name: "x".repeat(5 << 20) } })).rejects.toMatchObject({
      reason: "RequestEntityTooLarge",
    });
  });

  test("a Status that is too large for a trailer loses its causes", () => {
    const causes = Array.from({ length: 2_000 }, (_, index) => ({ field: `spec.containers[${index}].image` }));
    const sent = statusToServiceError(new StatusError("Invalid", 422, "no", { name: "p", causes }));
    const got = statusFromServiceError(sent) as StatusError;
    expect(got).toMatchObject({ reason: "Invalid", code: 422, message: "no", details: { name: "p" } });
    expect(got.details.causes).toBeUndefined();
  });
});

describe("buf curl with nothing but certificates", () => {
  const buf = async (method: string, ...more: string[]): Promise<string> => {
    const files = certificateFiles(dirs[0]!, "admin");
    const tlsFlags = ["--cacert", files.caFile, "--cert", files.certFile, "--key", files.keyFile];
    const { stdout } = await run(
      join(root, "node_modules", ".bin", "buf"),
      ["curl", "--protocol", "grpc", ...tlsFlags, ...more, `https://127.0.0.1:${port}${method}`],
      { cwd: tmpdir() },
    );
    return stdout;
  };

  test("calls a method through reflection", async () => {
    const answer = JSON.parse(await buf("/coxswain.controller.v1.Controllers/List")) as unknown;
    expect(answer).toEqual({ leading: true, leader: "kubernetes-admin" });
  });

  test("lists services and methods, with both versions of reflection", async () => {
    expect(await buf("", "--list-methods")).toContain("coxswain.controller.v1.Controllers/GetQueue");
    for (const version of ["grpc-v1", "grpc-v1alpha"]) {
      const services = await buf("", "--list-services", "--reflect-protocol", version);
      expect(services).toContain("coxswain.controller.v1.Controllers");
    }
  });
});

test("close ends open streams and sockets within its grace", async () => {
  const before = process.getActiveResourcesInfo().length;
  const tls = loadTlsMaterial(certificateFiles(dirs[0]!, "controller-manager"));
  const forever = new AbortController();
  const health = createHealthService({ services: [], ready: () => true, timers: env.timers, signal: forever.signal });
  const own = createGrpcServer({
    tls,
    services: [],
    openServices: [health],
    authenticate,
    timers: env.timers,
    logger: silentLogger,
  });
  const ownPort = await own.listen({ host: "127.0.0.1", port: 0 });
  const client = new Client(`127.0.0.1:${ownPort}`, credentials.createSsl(Buffer.from(tls.ca)));
  const watch = serviceDefinition("grpc.health.v1.Health")["Watch"]!;
  const stream = client.makeServerStreamRequest(watch.path, watch.requestSerialize, watch.responseDeserialize, {});
  const ended = new Promise<ServiceError>((resolve) => stream.once("error", resolve));
  await new Promise((resolve) => stream.once("data", resolve));
  await own.close(100);
  expect(await ended).toMatchObject({ code: expect.any(Number) as number });
  client.close();
  await expect.poll(() => process.getActiveResourcesInfo().length).toBeLessThanOrEqual(before);
  expect(new X509Certificate(tls.cert).subject).toBe("CN=system:kube-controller-manager");
});
