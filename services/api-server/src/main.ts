// The api-server's process: reads flags, makes the real parts and runs the component.
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { Logger } from "@coxswain/component-base";
import { runComponent } from "@coxswain/component-base/process";
import { createMemoryBus, createNatsBus } from "@coxswain/event-bus";
import { createEtcdStorage, createMemoryStorage } from "@coxswain/storage";
import { InvalidArgumentError, type Command } from "commander";
import { parseComponentAddress, type ComponentAddress } from "./aggregation/component-probes.ts";
import { addAuditFlags, makeAuditor, type AuditFlags } from "./audit/flags.ts";
import { encryptingStorage } from "./encryption/encrypting-storage.ts";
import { parseEncryptionConfiguration } from "./encryption/configuration.ts";
import { parseAuthenticationConfiguration } from "./auth/authentication-config/configuration.ts";
import type { AuthenticationRules } from "./auth/authentication-config/types.ts";
import { parseAuthorizationConfiguration } from "./auth/authorization-config/configuration.ts";
import { addAuthorizationFlags, authorizersOf, type AuthorizationFlags } from "./auth/authorization-config/flags.ts";
import type { AuthorizationFile } from "./auth/authorization-config/reload.ts";
import type { OidcOptions } from "./auth/oidc.ts";
import { parseTokenFile, type StaticTokens } from "./auth/static-tokens.ts";
import { parseFeatureGates } from "./features/feature-gates.ts";
import { parseRuntimeConfig } from "./features/runtime-config.ts";
import { createApiServerComponent, DEFAULT_ISSUER } from "./component.ts";

interface Flags extends AuditFlags, AuthorizationFlags {
  readonly etcd: readonly string[];
  readonly etcdCaFile?: string;
  readonly etcdCertFile?: string;
  readonly etcdKeyFile?: string;
  readonly etcdPrefix?: string;
  readonly storage: "etcd" | "memory";
  readonly groupCommit: boolean;
  readonly serviceAccountKeyFile: string;
  readonly serviceAccountIssuer: string;
  readonly advertiseAddress: string;
  readonly anonymousAuth: boolean;
  readonly serviceClusterIpRange: string;
  readonly serviceNodePortRange: string;
  readonly disableAdmissionPlugins: readonly string[];
  readonly runtimeConfig: readonly string[];
  readonly featureGates: readonly string[];
  readonly restFd?: number;
  readonly component: readonly ComponentAddress[];
  readonly encryptionProviderConfig?: string;
  readonly enableBootstrapTokenAuth: boolean;
  readonly tokenAuthFile?: string;
  readonly authenticationConfig?: string;
  readonly oidcIssuerUrl?: string;
  readonly oidcClientId?: string;
  readonly oidcUsernameClaim: string;
  readonly oidcUsernamePrefix?: string;
  readonly oidcGroupsClaim?: string;
  readonly oidcGroupsPrefix?: string;
  readonly oidcCaFile?: string;
  readonly oidcSigningAlgs: readonly string[];
  readonly oidcRequiredClaim: readonly string[];
  readonly maxRequestsInflight: number;
  readonly maxMutatingRequestsInflight: number;
  readonly enablePriorityAndFairness: boolean;
}

/** @throws Error where flags of an issuer come without one, or a claim has no value */
function oidcOptions(flags: Flags): OidcOptions | undefined {
  if (flags.oidcIssuerUrl === undefined) {
    if (flags.oidcClientId === undefined) return undefined;
    throw new Error("oidc-issuer-url and oidc-client-id should be specified together");
  }
  const pairs = flags.oidcRequiredClaim.map((text) => {
    const at = text.indexOf("=");
    if (at < 1) throw new Error(`--oidc-required-claim: Invalid value: "${text}": must be key=value`);
    return [text.slice(0, at), text.slice(at + 1)] as const;
  });
  const { oidcUsernamePrefix, oidcGroupsClaim, oidcGroupsPrefix, oidcCaFile, oidcSigningAlgs } = flags;
  return {
    issuerUrl: flags.oidcIssuerUrl,
    clientId: flags.oidcClientId ?? "",
    usernameClaim: flags.oidcUsernameClaim,
    ...(oidcUsernamePrefix === undefined ? {} : { usernamePrefix: oidcUsernamePrefix }),
    ...(oidcGroupsClaim === undefined ? {} : { groupsClaim: oidcGroupsClaim }),
    ...(oidcGroupsPrefix === undefined ? {} : { groupsPrefix: oidcGroupsPrefix }),
    ...(oidcCaFile === undefined ? {} : { caPem: readFileSync(oidcCaFile, "utf8") }),
    ...(oidcSigningAlgs.length === 0 ? {} : { signingAlgs: oidcSigningAlgs }),
    requiredClaims: Object.fromEntries(pairs),
  };
}

/** @throws Error where the file and flags say the same, AuthenticationConfigError where it is none */
function authenticationRules(flags: Flags): AuthenticationRules | undefined {
  if (flags.authenticationConfig === undefined) return undefined;
  if (flags.oidcIssuerUrl !== undefined || flags.oidcClientId !== undefined) {
    throw new Error("authentication-config file and oidc-* flags are mutually exclusive");
  }
  const rules = parseAuthenticationConfiguration(readFileSync(flags.authenticationConfig, "utf8"), [
    flags.serviceAccountIssuer,
  ]);
  if (rules.anonymous !== undefined && !flags.anonymousAuth) {
    throw new Error(
      "--anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file",
    );
  }
  return rules;
}

/** @throws Error where the file is none */
function staticTokens(file: string | undefined, logger: Logger): StaticTokens | undefined {
  if (file === undefined) return undefined;
  return parseTokenFile(readFileSync(file, "utf8"), file, (message) => logger.warn({}, message));
}

/** @throws AuthorizationConfigError where the file is none */
function authorizationFile(file: string | undefined): AuthorizationFile | undefined {
  if (file === undefined) return undefined;
  const text = readFileSync(file, "utf8");
  return { text, authorizers: parseAuthorizationConfiguration(text), read: () => readFile(file, "utf8") };
}

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError("must be a whole number, at least 0");
  return Number(text);
}

/** As Go reads one. */
function truth(text: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw new InvalidArgumentError("must be true or false");
}

function storageKind(text: string): Flags["storage"] {
  if (text === "etcd" || text === "memory") return text;
  throw new InvalidArgumentError("must be etcd or memory");
}

function component(text: string, before: readonly ComponentAddress[]): readonly ComponentAddress[] {
  try {
    return [...before, parseComponentAddress(text)];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function addFlags(command: Command): void {
  const list = (text: string, before: readonly string[]): readonly string[] => [...before, ...text.split(",")];
  command
    .option(
      "--etcd <host:port>",
      "address of an etcd member, or unix:/path; http:// and unix: mean plain text; repeatable",
      list,
      [],
    )
    .option("--etcd-ca-file <file>", "CA of etcd (default: --ca-file)")
    .option("--etcd-cert-file <file>", "certificate for etcd (default: --cert-file)")
    .option("--etcd-key-file <file>", "its key (default: --key-file)")
    .option("--etcd-prefix <prefix>", "in front of every key")
    .option("--storage <kind>", "etcd, or memory for a server that forgets everything", storageKind, "etcd")
    .option("--no-group-commit", "one etcd transaction a write, for comparison")
    .requiredOption("--service-account-key-file <file>", "private key that signs service-account tokens")
    .option("--service-account-issuer <url>", "issuer of service-account tokens", DEFAULT_ISSUER)
    .option("--advertise-address <address>", "address under which clients reach this server", "127.0.0.1")
    .option(
      "--anonymous-auth [boolean]",
      "let callers without credentials in, who may do what they are given rights to",
      truth,
      true,
    )
    .option("--no-anonymous-auth", "the same as --anonymous-auth=false")
    .option("--service-cluster-ip-range <cidr>", "addresses for Services", "10.96.0.0/16")
    .option("--service-node-port-range <from-to>", "ports for NodePort Services", "30000-32767")
    .option("--disable-admission-plugins <names>", "built-in admission plugins to leave out", list, [])
    .option("--runtime-config <key=true|false>", "versions of the API to serve or not: api/all, apps/v1, …", list, [])
    .option("--feature-gates <name=true|false>", "features to turn on or off", list, [])
    .option("--encryption-provider-config <file>", "EncryptionConfiguration: what lies encrypted in etcd, and how")
    .option("--enable-bootstrap-token-auth [boolean]", "take bootstrap tokens of kube-system", truth, true)
    .option("--token-auth-file <file>", "CSV of tokens: token, user name, user id and, quoted, groups")
    .option("--authentication-config <file>", "AuthenticationConfiguration: issuers of tokens, and anonymous callers")
    .option("--oidc-issuer-url <url>", "an OpenID issuer whose tokens are taken; https only")
    .option("--oidc-client-id <id>", "the audience that its tokens must have")
    .option("--oidc-username-claim <claim>", "the claim that names the user", "sub")
    .option("--oidc-username-prefix <prefix>", "in front of its users' names (default: the issuer and #; - for none)")
    .option("--oidc-groups-claim <claim>", "the claim that names groups")
    .option("--oidc-groups-prefix <prefix>", "in front of its groups' names")
    .option("--oidc-ca-file <file>", "CA of the issuer (default: the machine's)")
    .option("--oidc-signing-algs <names>", "algorithms that are taken (default: RS256)", list, [])
    .option("--oidc-required-claim <key=value>", "a claim that its tokens must have; repeatable", list, [])
    .option("--enable-priority-and-fairness [boolean]", "queue and refuse requests by FlowSchemas", truth, true)
    .option("--max-requests-inflight <count>", "with the next: the seats that priority levels share", count, 400)
    .option("--max-mutating-requests-inflight <count>", "see above", count, 200)
    .option("--component <name=host:port>", "a part that ComponentStatus tells of; repeatable", component, [])
    .option("--rest-fd <fd>", "inherited listening socket for the REST API, in place of --port", Number);
  addAuthorizationFlags(command);
  addAuditFlags(command);
}

void runComponent<Flags>({
  name: "api-server",
  version: "0.1.0",
  defaultPort: 6443,
  defaultGrpcPort: 6444,
  servesHttps: false,
  flags: addFlags,
  create(deps) {
    const { env, logger, metrics, flags, clientTls, servingTls } = deps;
    const id = `${hostname()}_${flags.instance}_${env.random.uuid()}`;
    const endpoints = flags.etcd.length === 0 ? ["127.0.0.1:2379"] : flags.etcd;
    const plain = endpoints.some((endpoint) => /^(http:\/\/|unix:)/.test(endpoint));
    const pem = (file: string | undefined, fallback: string | Buffer): Buffer =>
      file === undefined ? Buffer.from(fallback) : readFileSync(file);
    const tls = {
      ca: pem(flags.etcdCaFile, clientTls.ca),
      cert: pem(flags.etcdCertFile, clientTls.cert),
      key: pem(flags.etcdKeyFile, clientTls.key),
    };
    const rules =
      flags.encryptionProviderConfig === undefined
        ? []
        : parseEncryptionConfiguration(readFileSync(flags.encryptionProviderConfig, "utf8"));
    const plainStorage =
      flags.storage === "memory"
        ? // Later than all that an earlier run has counted: who still knows a version of that is told that it is too old.
          createMemoryStorage({ env, firstRevision: BigInt(env.clock.now()) })
        : createEtcdStorage({
            env,
            logger,
            endpoints,
            groupCommit: flags.groupCommit,
            ...(plain ? {} : { tls }),
            ...(flags.etcdPrefix === undefined ? {} : { prefix: flags.etcdPrefix }),
          });
    // Without a configuration too: what somebody else has encrypted is refused, not served.
    const storage = encryptingStorage(plainStorage, rules, env.random);
    const bus =
      flags.nats.length === 0
        ? createMemoryBus({ env })
        : createNatsBus({ env, logger, servers: flags.nats, tls: clientTls, name: `api-server ${flags.instance}` });
    const oidc = oidcOptions(flags);
    const tokens = staticTokens(flags.tokenAuthFile, logger);
    const authentication = authenticationRules(flags);
    const authorizers = authorizersOf(flags);
    const authorization = authorizationFile(flags.authorizationConfig);
    const auditor = makeAuditor(flags, env, logger);
    const component = createApiServerComponent({
      env,
      logger,
      metrics,
      metricsText: () => metrics.text(),
      storage,
      bus,
      id,
      instance: flags.instance,
      clientTls,
      servingTls,
      serviceAccountKeyFile: flags.serviceAccountKeyFile,
      serviceAccountIssuer: flags.serviceAccountIssuer,
      bootstrapTokens: flags.enableBootstrapTokenAuth,
      ...(tokens === undefined ? {} : { staticTokens: tokens }),
      ...(oidc === undefined ? {} : { oidc }),
      ...(authentication === undefined ? {} : { authentication }),
      ...(authorization === undefined ? {} : { authorization }),
      ...(authorizers === undefined ? {} : { authorizers }),
      ...(auditor === undefined ? {} : { auditor }),
      maxInFlight: flags.enablePriorityAndFairness ? flags.maxRequestsInflight + flags.maxMutatingRequestsInflight : 0,
      listen: flags.restFd === undefined ? { host: flags.listenAddress, port: flags.port } : { fd: flags.restFd },
      advertiseAddress: flags.advertiseAddress,
      anonymous: flags.anonymousAuth,
      serviceCidr: flags.serviceClusterIpRange,
      nodePortRange: flags.serviceNodePortRange,
      disabledAdmission: flags.disableAdmissionPlugins,
      served: parseRuntimeConfig(flags.runtimeConfig),
      features: parseFeatureGates(flags.featureGates),
      components: flags.component,
      etcd: flags.storage === "etcd",
    });
    deps.setAuth(component.auth);
    return component.app;
  },
});
