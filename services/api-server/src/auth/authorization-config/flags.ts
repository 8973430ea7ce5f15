// --authorization-mode and what belongs to it: who decides, for those who have no AuthorizationConfiguration. Every mistake is told
// in upstream's words, all at once.
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#using-flags-for-your-authorization-module
import { aggregateText, GoDurationError, parseGoDuration } from "@coxswain/apimachinery";
import { InvalidArgumentError, type Command } from "commander";
import { AuthorizationConfigError } from "./configuration.ts";
import { DEFAULT_AUTHORIZERS, type AuthorizerSettings, type BuiltInType } from "./types.ts";

export interface AuthorizationFlags {
  readonly authorizationConfig?: string;
  readonly authorizationMode?: readonly string[];
  readonly authorizationPolicyFile?: string;
  readonly authorizationWebhookConfigFile?: string;
  readonly authorizationWebhookVersion?: string;
  /** ms, like the next one. */
  readonly authorizationWebhookCacheAuthorizedTtl?: number;
  readonly authorizationWebhookCacheUnauthorizedTtl?: number;
}

const MODES = ["AlwaysAllow", "AlwaysDeny", "ABAC", "Webhook", "RBAC", "Node"];
const AUTHORIZED_TTL_MS = 300_000;
const UNAUTHORIZED_TTL_MS = 30_000;
/** What the flags say nothing of. */
const WEBHOOK = { name: "default", timeoutMs: 30_000, failurePolicy: "NoOpinion", conditions: [] } as const;

function duration(text: string): number {
  try {
    return parseGoDuration(text);
  } catch (error) {
    if (error instanceof GoDurationError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

export function addAuthorizationFlags(command: Command): void {
  const list = (text: string, before: readonly string[] = []): readonly string[] => [
    ...before,
    ...text.split(",").filter((mode) => mode !== ""),
  ];
  command
    .option(
      "--authorization-config <file>",
      "AuthorizationConfiguration: who decides, in which order (default: Node, RBAC)",
    )
    .option("--authorization-mode <modes>", `who decides, in order: of ${MODES.join(", ")}; ABAC is refused`, list)
    .option("--authorization-policy-file <file>", "policies of the mode ABAC")
    .option("--authorization-webhook-config-file <file>", "kubeconfig of the webhook of the mode Webhook")
    .option("--authorization-webhook-version <version>", "of the reviews that it is sent: v1beta1 (default) or v1")
    .option("--authorization-webhook-cache-authorized-ttl <time>", "how long its yes is remembered (5m)", duration)
    .option("--authorization-webhook-cache-unauthorized-ttl <time>", "and its no (30s)", duration);
}

/** Undefined where the flags say nothing. @throws AuthorizationConfigError */
export function authorizersOf(flags: AuthorizationFlags): readonly AuthorizerSettings[] | undefined {
  const { authorizationMode, authorizationPolicyFile, authorizationWebhookConfigFile } = flags;
  const said = [
    authorizationMode,
    authorizationWebhookConfigFile,
    flags.authorizationWebhookVersion,
    flags.authorizationWebhookCacheAuthorizedTtl,
    flags.authorizationWebhookCacheUnauthorizedTtl,
  ].some((value) => value !== undefined);
  if (flags.authorizationConfig !== undefined) {
    if (!said) return undefined;
    throw new AuthorizationConfigError(
      "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined",
    );
  }
  if (!said && authorizationPolicyFile === undefined) return undefined;
  const modes = authorizationMode?.length ? authorizationMode : DEFAULT_AUTHORIZERS.map(({ type }) => type);
  const errors = modes.flatMap((mode) => modeErrors(mode, flags));
  if (authorizationPolicyFile !== undefined && !modes.includes("ABAC")) {
    errors.push("cannot specify --authorization-policy-file without mode ABAC");
  }
  if (authorizationWebhookConfigFile !== undefined && !modes.includes("Webhook")) {
    errors.push("cannot specify --authorization-webhook-config-file without mode Webhook");
  }
  if (new Set(modes).size !== modes.length) {
    const listed = modes.map((mode) => JSON.stringify(mode)).join(" ");
    errors.push(`authorization-mode [${listed}] has mode specified more than once`);
  }
  if (errors.length > 0) throw new AuthorizationConfigError(aggregateText(errors));
  return modes.map((mode) => settingsOf(mode, flags));
}

function modeErrors(mode: string, flags: AuthorizationFlags): string[] {
  if (!MODES.includes(mode)) return [`authorization-mode ${JSON.stringify(mode)} is not a valid mode`];
  if (mode === "ABAC") {
    const without = flags.authorizationPolicyFile === undefined;
    return [
      without
        ? "authorization-mode ABAC's authorization policy file not passed"
        : "authorization-mode ABAC is not supported",
    ];
  }
  if (mode !== "Webhook") return [];
  if (flags.authorizationWebhookConfigFile === undefined) {
    return ["authorization-mode Webhook's authorization config file not passed"];
  }
  const version = flags.authorizationWebhookVersion ?? "v1beta1";
  if (version === "v1" || version === "v1beta1") return [];
  return [`unsupported webhook authorizer version ${JSON.stringify(version)}, supported versions are "v1", "v1beta1"`];
}

function settingsOf(mode: string, flags: AuthorizationFlags): AuthorizerSettings {
  if (mode !== "Webhook") return { type: mode as BuiltInType, name: mode.toLowerCase() };
  const { name, ...fixed } = WEBHOOK;
  return {
    type: mode,
    name,
    webhook: {
      ...fixed,
      authorizedTtlMs: flags.authorizationWebhookCacheAuthorizedTtl ?? AUTHORIZED_TTL_MS,
      unauthorizedTtlMs: flags.authorizationWebhookCacheUnauthorizedTtl ?? UNAUTHORIZED_TTL_MS,
      reviewVersion: flags.authorizationWebhookVersion === "v1" ? "v1" : "v1beta1",
      kubeconfigFile: flags.authorizationWebhookConfigFile ?? "",
    },
  };
}
