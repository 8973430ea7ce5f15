// The api-server as a component: the core of app.ts with its fronts, health and an orderly end. main.ts gives it the real
// parts. It serves from the first moment: while etcd is away requests get 503 and readyz says why.
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { ComponentApp, Logger, Metrics } from "@coxswain/component-base";
import type { AuthHook } from "@coxswain/component-base/delegated-auth";
import type { ListenTarget } from "@coxswain/component-base/listen";
import { createTokenSigner } from "@coxswain/component-base/identity/service-account-tokens";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import { isAbort } from "@coxswain/env";
import type { Env } from "@coxswain/env";
import type { EventBus } from "@coxswain/event-bus";
import type { Storage } from "@coxswain/storage";
import { Aggregator } from "./aggregation/aggregator.ts";
import { createComponentProbes, type ComponentAddress } from "./aggregation/component-probes.ts";
import { publishProxyIdentity } from "./aggregation/proxy-identity.ts";
import { createWebhookCaller } from "./admission/dynamic/call-webhook.ts";
import { createApiServer } from "./app.ts";
import type { ApiServer } from "./app.ts";
import { createBootstrapPolicyRun } from "./auth/bootstrap-reconcile.ts";
import { impersonate, readImpersonation } from "./auth/impersonation.ts";
import type { Auditor } from "./audit/auditor.ts";
import { runLegacyTokenTracking } from "./auth/legacy-token-tracking.ts";
import { createLegacyTokenUse } from "./auth/legacy-token-use.ts";
import { ReloadMetrics } from "./auth/authorization-config/metrics.ts";
import { runAuthorizationReload, type AuthorizationFile } from "./auth/authorization-config/reload.ts";
import type { AuthorizerSettings } from "./auth/authorization-config/types.ts";
import type { AuthenticationRules } from "./auth/authentication-config/types.ts";
import { createIssuers } from "./auth/authentication-config/issuers.ts";
import type { StaticTokens } from "./auth/static-tokens.ts";
import type { OidcOptions } from "./auth/oidc.ts";
import { createSecurity } from "./auth/security.ts";
import type { Security } from "./auth/security.ts";
import type { FeatureGates } from "./features/feature-gates.ts";
import type { Served } from "./features/runtime-config.ts";
import { runIdentityLease, type IdentityLeaseDeps } from "./identity/identity-lease.ts";
import { FlowControl } from "./flow-control/flow-control.ts";
import { createFront } from "./rest/front.ts";
import type { Dial } from "./rest/proxy/proxy-transport.ts";
import { toKubernetesProtobuf } from "./rest/protobuf.ts";

export const DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local";
/** Upstream's 400 for reading and 200 for writing. */
const DEFAULT_MAX_IN_FLIGHT = 600;
const PROBE_MS = 1_000;
/** Calls that the pipeline authorizes itself, object by object. */
const PIPELINE_SERVICES = "/coxswain.api.v1.";

export interface ApiServerComponentDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly metricsText: () => Promise<string>;
  readonly storage: Storage;
  readonly bus: EventBus;
  readonly id: string;
  /** Its name among the api-servers of its machine, the same after a restart; where unset it writes no lease of its identity. */
  readonly instance?: string;
  readonly clientTls: TlsMaterial;
  /** How proxied requests reach pods and nodes; TCP unless given. */
  readonly dial?: Dial;
  readonly servingTls: TlsMaterial;
  readonly serviceAccountKeyFile: string;
  readonly serviceAccountIssuer?: string;
  /** False: bootstrap tokens are refused. */
  readonly bootstrapTokens?: boolean;
  readonly staticTokens?: StaticTokens;
  readonly oidc?: OidcOptions;
  readonly auditor?: Auditor;
  /** Seats of the whole server; 600 where unset, and 0 turns priority and fairness off. */
  readonly maxInFlight?: number;
  readonly listen: ListenTarget;
  /** Host or address under which clients reach this server. */
  readonly advertiseAddress: string;
  readonly anonymous: boolean;
  /** Of --authentication-config: issuers besides that of `oidc`, and who may call without credentials, over `anonymous`. */
  readonly authentication?: AuthenticationRules;
  /** Of --authorization-config. */
  readonly authorization?: AuthorizationFile;
  /** Of --authorization-mode; Node and RBAC decide where neither is set. */
  readonly authorizers?: readonly AuthorizerSettings[];
  readonly serviceCidr?: string;
  readonly nodePortRange?: string;
  /** Parts of the control plane that ComponentStatus tells of besides etcd. */
  readonly components?: readonly ComponentAddress[];
  /** False: nothing is kept in etcd. */
  readonly etcd?: boolean;
  /** Of --runtime-config and --feature-gates. */
  readonly served?: Served;
  readonly features?: FeatureGates;
  /** Built-in admission plugins to leave out. */
  readonly disabledAdmission?: readonly string[];
}

export interface ApiServerComponent {
  readonly app: ComponentApp;
  /** Who may call the gRPC port. */
  readonly auth: AuthHook;
  readonly server: ApiServer;
  /** The REST port, once run() listens. */
  readonly restPort: Promise<number>;
}

function grpcAuth(security: Security): AuthHook {
  return {
    async authenticate(credentials) {
      const user = await security.authenticator.authenticate(credentials);
      const wanted = readImpersonation(credentials.impersonation ?? []);
      return wanted === undefined ? user : impersonate(user, wanted, security.authorizer);
    },
    authorize: async (user, { verb, path }) => {
      if (path.startsWith(PIPELINE_SERVICES)) return { allowed: true };
      const base = { group: "", resource: "", subresource: "", namespace: "", name: "" };
      const { allowed } = await security.authorizer.authorize({ ...base, user, verb, path });
      return { allowed };
    },
  };
}

function authorizationReload(
  { env, logger, metrics, id, authorization }: ApiServerComponentDeps,
  security: Security,
  signal: AbortSignal,
): Promise<void>[] {
  if (authorization === undefined) return [];
  const apply = security.reauthorize.bind(security);
  const told = new ReloadMetrics(metrics, id);
  return [runAuthorizationReload({ env, logger, metrics: told, file: authorization, apply }, signal)];
}

function isAdvertisable(address: string): boolean {
  return isIP(address) !== 0 && !address.startsWith("127.") && address !== "::1" && address !== "0.0.0.0";
}

function factsOf(server: ApiServer): Record<string, string> {
  return Object.fromEntries(Object.entries(server.facts()).map(([name, value]) => [name, String(value)]));
}

/** Asks storage for a sign of life, again and again, so that the check can answer at once. */
function createStorageProbe(env: Env, storage: Storage) {
  let problem: string | undefined = "etcd has not answered yet";
  return {
    check: () => problem,
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        try {
          await storage.ping();
          problem = undefined;
        } catch (error) {
          problem = `etcd cannot be reached: ${String(error)}`;
        }
        try {
          await env.timers.sleep(PROBE_MS, signal);
        } catch (error) {
          if (!isAbort(error)) throw error;
        }
      }
    },
  };
}

function identityLease(
  instance: string | undefined,
  deps: Omit<IdentityLeaseDeps, "hostname" | "id">,
  signal: AbortSignal,
): Promise<void>[] {
  if (instance === undefined) return [];
  const machine = hostname();
  return [runIdentityLease({ ...deps, id: `${machine}_${instance}`, hostname: machine }, signal)];
}

/** Nothing is opened until app.run(). Throws where the service-account key cannot be read. */
export function createApiServerComponent(deps: ApiServerComponentDeps): ApiServerComponent {
  const { env, logger, metrics, storage, bus, listen } = deps;
  const keys = createTokenSigner({
    issuer: deps.serviceAccountIssuer ?? DEFAULT_ISSUER,
    keyPem: readFileSync(deps.serviceAccountKeyFile, "utf8"),
    clock: env.clock,
    random: env.random,
  });
  const oidc = createIssuers(deps);
  const { enabled: anonymous = deps.anonymous, paths: anonymousPaths } = deps.authentication?.anonymous ?? {};
  const { authorizers = deps.authorizers } = deps.authorization ?? {};
  const security = createSecurity({
    env,
    keys,
    anonymous,
    ...(anonymousPaths === undefined ? {} : { anonymousPaths }),
    bootstrapTokens: deps.bootstrapTokens ?? true,
    ...(deps.staticTokens === undefined ? {} : { staticTokens: deps.staticTokens }),
    logger,
    metrics,
    ...(authorizers === undefined ? {} : { authorizers }),
    ...(oidc === undefined ? {} : { oidc }),
    legacyTokens: createLegacyTokenUse({ clock: env.clock, logger, client: () => server.loopback }),
  });
  const port = "port" in listen ? listen.port : 6443;
  const server = createApiServer({
    env,
    logger,
    metrics,
    storage,
    bus,
    id: deps.id,
    ...security.extensions,
    components: createComponentProbes({
      env,
      storage,
      etcd: deps.etcd ?? true,
      components: deps.components ?? [],
      clientTls: deps.clientTls,
      ...(deps.dial === undefined ? {} : { dial: deps.dial }),
    }),
    ...(deps.serviceCidr === undefined ? {} : { serviceCidr: deps.serviceCidr }),
    ...(deps.nodePortRange === undefined ? {} : { nodePortRange: deps.nodePortRange }),
    disabledAdmission: deps.disabledAdmission ?? [],
    ...(deps.served === undefined ? {} : { served: deps.served }),
    ...(deps.features === undefined ? {} : { features: deps.features }),
    webhooks: (source) =>
      createWebhookCaller({
        env,
        source,
        clientTls: deps.clientTls,
        ...(deps.dial === undefined ? {} : { dial: deps.dial }),
      }),
    // Endpoints must not name loopback: pods would reach themselves.
    ...(isAdvertisable(deps.advertiseAddress) ? { advertisedAddresses: [{ ip: deps.advertiseAddress, port }] } : {}),
  });
  const aggregator = new Aggregator({
    env,
    logger,
    source: server.source,
    client: server.loopback,
    clientTls: deps.clientTls,
    ...(deps.dial === undefined ? {} : { dial: deps.dial }),
    leading: () => server.facts().publisher,
  });
  const serverLimit = deps.maxInFlight ?? DEFAULT_MAX_IN_FLIGHT;
  const flow = serverLimit === 0 ? undefined : new FlowControl({ env, metrics, source: server.source, serverLimit });
  const policy = createBootstrapPolicyRun({ pipeline: server.pipeline, logger, env });
  const probe = createStorageProbe(env, storage);
  const checks: ComponentApp["checks"] = {
    "live-loop": () => undefined,
    etcd: probe.check,
    "watch-cache": () => server.ready(),
    "poststarthook/rbac/bootstrap-roles": policy.check,
  };
  const front = createFront({
    env,
    logger,
    metrics,
    metricsText() {
      flow?.measure();
      security.measure();
      return deps.metricsText();
    },
    ...(flow === undefined ? {} : { flow: { control: flow, source: server.source } }),
    pipeline: server.pipeline,
    kinds: server.kinds,
    aggregated: aggregator,
    authenticator: security.authenticator,
    authorizer: security.authorizer,
    keys,
    checks: () => checks,
    protobuf: toKubernetesProtobuf,
    advertiseAddress: `${deps.advertiseAddress}:${port}`,
    servingTls: deps.servingTls,
    clientTls: deps.clientTls,
    ...(deps.auditor === undefined ? {} : { auditor: deps.auditor }),
    ...(deps.dial === undefined ? {} : { dial: deps.dial }),
  });
  const listening = Promise.withResolvers<number>();
  const run = async (signal: AbortSignal): Promise<void> => {
    const restPort = await front.rest.listen(listen);
    listening.resolve(restPort);
    logger.info({ restPort }, "serving the Kubernetes API");
    const core = new AbortController();
    const stopped = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
    flow?.run(core.signal);
    const working = Promise.all([
      server.run(core.signal),
      policy.run(core.signal),
      probe.run(core.signal),
      aggregator.run(core.signal),
      ...authorizationReload(deps, security, core.signal),
      runLegacyTokenTracking({ env, logger, client: server.loopback, source: server.source }, core.signal),
      ...identityLease(deps.instance, { env, logger, client: server.loopback, source: server.source }, core.signal),
      publishProxyIdentity({ env, logger, client: server.loopback, clientTls: deps.clientTls }, core.signal),
    ]);
    await Promise.race([working, stopped]);
    // Requests that are under way still need the core, so the fronts close first.
    await front.close();
    core.abort();
    await working;
    security.close();
    await Promise.all([storage.close(), bus.close(), oidc?.close(), deps.auditor?.close()]);
  };
  return {
    app: {
      grpcServices: front.grpcServices,
      checks,
      leader: () => server.facts().publisher,
      facts: () => factsOf(server),
      run,
    },
    auth: grpcAuth(security),
    server,
    restPort: listening.promise,
  };
}
