// What turns createX(deps) into a process: flags, logger, metrics, ports, the services that every process has, and an orderly
// end. SIGTERM or SIGINT stops accepting, aborts the component, drains and exits 0 within ten seconds; a second signal exits
// at once; an error that nobody handled is logged and exits 1.
import { closeSync, writeSync } from "node:fs";
import { createRealEnv, isAbort, type Env } from "@coxswain/env";
import { Command, InvalidArgumentError } from "commander";
import type { BaseDeps, ComponentApp, GrpcService } from "./contract.ts";
import { createComponentService, createFaultsService, type ComponentInfo } from "./component-services.ts";
import { createDelegatedAuth, type AuthHook } from "./delegated-auth.ts";
import { createHealthService } from "./grpc-health.ts";
import { createReflectionServices } from "./grpc-reflection.ts";
import { createGrpcServer, type GrpcServer } from "./grpc-server.ts";
import { createHttpsServer, runChecks } from "./http-endpoints.ts";
import { listenOn } from "./listen.ts";
import { createLogger, isLogLevel, LOG_LEVELS, type LeveledLogger, type LogLevel } from "./logger.ts";
import { createMetrics, type MetricsRegistry } from "./metrics.ts";
import { loadTlsMaterial, type TlsMaterial } from "./tls-files.ts";

export const KUBERNETES_VERSION = "v1.35.2";

export interface CommonFlags {
  readonly listenAddress: string;
  readonly port: number;
  readonly grpcPort: number;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly tlsCertFile?: string;
  readonly tlsPrivateKeyFile?: string;
  /** host:port of the api-servers' gRPC ports. */
  readonly apiServer: readonly string[];
  /** host:port, or URLs. */
  readonly nats: readonly string[];
  readonly instance: string;
  readonly logLevel: LogLevel;
  readonly enableChaos: boolean;
}

export interface ProcessDeps<F> extends BaseDeps {
  readonly flags: CommonFlags & F;
  /** This process as a client. */
  readonly clientTls: TlsMaterial;
  /** This process as a server. */
  readonly servingTls: TlsMaterial;
  readonly logger: LeveledLogger;
  readonly metrics: MetricsRegistry;
  /** Replaces who may call this process; call it while creating. Default: certificates only, masters only. */
  setAuth(auth: AuthHook): void;
  /** The one in force; it follows setAuth. */
  readonly auth: AuthHook;
  /** What the component waits for before it runs, its ports being open already; call it while creating. */
  readonly waitFirst: (step: (signal: AbortSignal) => Promise<unknown>) => void;
}

export interface ComponentDefinition<F> {
  readonly name: string;
  readonly version: string;
  readonly defaultPort: number;
  readonly defaultGrpcPort: number;
  /** Adds the component's own flags. */
  flags?(command: Command): void;
  /** False where the component listens on --port itself. */
  readonly servesHttps?: boolean;
  create(deps: ProcessDeps<F>): ComponentApp | Promise<ComponentApp>;
}

const SHUTDOWN_MS = 8_000;
/** The checks cost no I/O, but many processes wake up for theirs on the processor that they all need to get ready. */
const READY_POLL_MS = 15;

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgumentError("must be in 0..65535");
  return port;
}

function parseLevel(text: string): LogLevel {
  if (!isLogLevel(text)) throw new InvalidArgumentError(`must be one of ${LOG_LEVELS.join(", ")}`);
  return text;
}

function append(text: string, before: readonly string[]): readonly string[] {
  return [...before, ...text.split(",").filter((item) => item !== "")];
}

/** Parses command-line arguments (without node and script). Exits with usage where they are wrong. */
export function parseFlags<F>(
  definition: Pick<ComponentDefinition<F>, "name" | "version" | "defaultPort" | "defaultGrpcPort" | "flags">,
  args: readonly string[],
): CommonFlags & F {
  const command = new Command(definition.name)
    .version(definition.version)
    .option("--listen-address <address>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "HTTPS port for health and metrics", parsePort, definition.defaultPort)
    .option("--grpc-port <port>", "gRPC port", parsePort, definition.defaultGrpcPort)
    .requiredOption("--ca-file <file>", "the cluster's CA")
    .requiredOption("--cert-file <file>", "this component's certificate")
    .requiredOption("--key-file <file>", "its key")
    .option("--tls-cert-file <file>", "certificate to serve with (default: --cert-file)")
    .option("--tls-private-key-file <file>", "its key (default: --key-file)")
    .option("--api-server <host:port>", "gRPC address of an api-server; repeatable", append, [])
    .option("--nats <host:port>", "address of a NATS server; repeatable", append, [])
    .option("--instance <name>", "name of this instance", "0")
    .option("--log-level <level>", "least level to log", parseLevel, "info")
    .option("--enable-chaos", "let callers inject faults", false);
  definition.flags?.(command);
  command.parse(args, { from: "user" });
  return command.opts<CommonFlags & F>();
}

function servingFiles(flags: CommonFlags): { caFile: string; certFile: string; keyFile: string } {
  return {
    caFile: flags.caFile,
    certFile: flags.tlsCertFile ?? flags.certFile,
    keyFile: flags.tlsPrivateKeyFile ?? flags.keyFile,
  };
}

type FirstSteps = ((signal: AbortSignal) => Promise<unknown>)[];

function makeDeps<F>(
  definition: ComponentDefinition<F>,
  env: Env,
  flags: CommonFlags & F,
  first: FirstSteps,
): ProcessDeps<F> {
  const logger = createLogger({
    level: flags.logLevel,
    bindings: { component: definition.name, instance: flags.instance },
  });
  let auth = createDelegatedAuth();
  return {
    env,
    flags,
    logger,
    metrics: createMetrics(),
    clientTls: loadTlsMaterial(flags),
    servingTls: loadTlsMaterial(servingFiles(flags)),
    setAuth: (given) => {
      auth = given;
    },
    auth: {
      authenticate: (credentials) => auth.authenticate(credentials),
      authorize: (user, request) => auth.authorize(user, request),
    },
    waitFirst: (step) => void first.push(step),
  };
}

export interface Serving {
  readonly grpcPort: number;
  /** Undefined where the component serves --port itself. */
  readonly httpsPort: number | undefined;
  close(): Promise<void>;
}

type Definition = Pick<ComponentDefinition<unknown>, "name" | "version" | "servesHttps">;

/** The component's gRPC services and those that every process has. */
function makeGrpcServer(
  definition: Definition,
  deps: ProcessDeps<unknown>,
  app: ComponentApp,
  stopping: AbortSignal,
): GrpcServer {
  const { env, flags, logger, metrics } = deps;
  const info: ComponentInfo = {
    component: definition.name,
    instance: flags.instance,
    version: definition.version,
    kubernetesVersion: KUBERNETES_VERSION,
    pid: process.pid,
    startedMs: env.clock.now(),
  };
  const services: GrpcService[] = [...app.grpcServices, createComponentService({ info, app, logger, metrics })];
  if (flags.enableChaos) services.push(createFaultsService(env));
  const names = [...services.map((item) => item.service), "grpc.health.v1.Health"];
  const health = createHealthService({
    services: names,
    ready: () => !stopping.aborted && runChecks("readyz", app.checks, false).ok,
    timers: env.timers,
    signal: stopping,
  });
  return createGrpcServer({
    tls: deps.servingTls,
    services,
    openServices: [health, ...createReflectionServices(names)],
    authenticate: deps.auth.authenticate,
    authorize: deps.auth.authorize,
    timers: env.timers,
    logger,
  });
}

/** Opens a component's ports. `stopping` makes it not ready and ends health watches. */
export async function serveComponent(
  definition: Definition,
  deps: ProcessDeps<unknown>,
  app: ComponentApp,
  stopping: AbortSignal,
): Promise<Serving> {
  const { flags } = deps;
  const grpc = makeGrpcServer(definition, deps, app, stopping);
  const grpcPort = await grpc.listen({ host: flags.listenAddress, port: flags.grpcPort });
  if (definition.servesHttps === false) return { grpcPort, httpsPort: undefined, close: () => grpc.close(1_000) };

  const checks = { ...app.checks, shutdown: () => (stopping.aborted ? "shutting down" : undefined) };
  const https = createHttpsServer(deps.servingTls, { checks, metrics: deps.metrics, auth: deps.auth });
  const httpsPort = await listenOn(https, { host: flags.listenAddress, port: flags.port });
  return {
    grpcPort,
    httpsPort,
    close: async () => {
      const closed = new Promise<void>((resolve) => https.close(() => resolve()));
      https.closeIdleConnections();
      await grpc.close(1_000);
      https.closeAllConnections();
      await closed;
    },
  };
}

/** A signal that aborts on the first SIGTERM or SIGINT; the second ends the process at once. */
function stopSignal(logger: LeveledLogger): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1);
      logger.info({ signal: name }, "stopping");
      controller.abort();
    });
  }
  return controller.signal;
}

function exitOnStrayErrors(logger: LeveledLogger): void {
  const die = (error: unknown): void => {
    logger.error({ err: error }, "unhandled error");
    process.exit(1);
  };
  process.on("uncaughtException", die);
  process.on("unhandledRejection", die);
}

/** Runs the component until it is told to stop, and ends the process. Never rejects. */
export async function runComponent<F>(
  definition: ComponentDefinition<F>,
  args: readonly string[] = process.argv.slice(2),
): Promise<void> {
  const env = createRealEnv();
  const first: FirstSteps = [];
  const deps = makeDeps(definition, env, parseFlags(definition, args), first);
  const { logger } = deps;
  exitOnStrayErrors(logger);
  const stopping = stopSignal(logger);
  try {
    const app = await definition.create(deps);
    const serving = await serveComponent(definition, deps, app, stopping);
    logger.info({ grpcPort: serving.grpcPort, port: serving.httpsPort, pid: process.pid }, "serving");
    tellReady(env, app, stopping);
    const run: ComponentApp["run"] = async (signal) => {
      for (const step of first) await step(signal);
      await app.run(signal);
    };
    process.exit(await runUntilStopped(run, serving, deps, stopping));
  } catch (error) {
    logger.error({ err: error }, "failed to start");
    process.exit(1);
  }
}

/**
 * Writes a line to the descriptor in COXSWAIN_READY_FD, where it is set, once the component is ready: whoever started the
 * process need not ask it until then.
 */
function tellReady(env: Env, app: ComponentApp, stopping: AbortSignal): void {
  const fd = Number(process.env["COXSWAIN_READY_FD"] ?? Number.NaN);
  delete process.env["COXSWAIN_READY_FD"];
  if (!Number.isInteger(fd)) return;
  const tell = (): void => {
    if (stopping.aborted) return;
    if (!runChecks("readyz", app.checks, false).ok) {
      env.timers.setTimeout(tell, READY_POLL_MS);
      return;
    }
    try {
      writeSync(fd, "ready\n");
      closeSync(fd);
    } catch (error) {
      // Nobody listens any more.
      if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
    }
  };
  tell();
}

/** Returns the exit code. */
async function runUntilStopped(
  run: ComponentApp["run"],
  serving: Serving,
  deps: BaseDeps,
  stopping: AbortSignal,
): Promise<number> {
  const { env, logger } = deps;
  const ran = run(stopping).then(
    () => (stopping.aborted ? 0 : 1),
    (error: unknown) => {
      if (stopping.aborted && isAbort(error)) return 0;
      logger.error({ err: error }, "component failed");
      return 1;
    },
  );
  const stopped = new Promise<void>((resolve) => {
    stopping.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([ran, stopped]);
  if (!stopping.aborted) logger.error({}, "component ended by itself");
  const drained = Promise.all([ran, serving.close()]).then(([code]) => code);
  const late = env.timers.sleep(SHUTDOWN_MS).then(() => {
    logger.warn({ afterMs: SHUTDOWN_MS }, "not drained in time");
    return stopping.aborted ? 0 : 1;
  });
  return Promise.race([drained, late]);
}
