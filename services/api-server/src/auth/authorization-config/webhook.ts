// An authorizer outside of the process, asked by SubjectAccessReviews. Guarantees: an answer is remembered no longer than the
// configuration says; what may be better in a moment is asked up to five times; where it cannot be asked, the failure policy
// decides; it is asked only of what its match conditions name.
// https://kubernetes.io/docs/reference/access-authn-authz/webhook/
import { aggregateText, isJsonObject, jsonOrNothing, RecentMap } from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import { readAtMost } from "@coxswain/component-base/read-at-most";
import { isAbort, type Env } from "@coxswain/env";
import { Agent, request } from "undici";
import { readKubeconfig, type KubeconfigTarget } from "../../kubeconfig.ts";
import type { Asker, AuthorizationAttributes, AuthorizationDecision } from "../../pipeline/contract.ts";
import { NO_OPINION, type ChainLink } from "../authorizer-chain.ts";
import { MatchConditions } from "./match-conditions.ts";
import type { AuthorizationMetrics } from "./metrics.ts";
import { reviewSpecOf, type ReviewSpec } from "./review-spec.ts";
import type { WebhookSettings } from "./types.ts";

export interface WebhookDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly metrics: AuthorizationMetrics;
}

const MAX_CACHED = 8_192;
/** What a caller chooses is not remembered where it is larger. */
const MAX_CACHED_BYTES = 10_000;
const ATTEMPTS = 5;
const FIRST_DELAY_MS = 500;
const DELAY_FACTOR = 1.5;
const DELAY_JITTER = 0.2;
const MAX_ANSWER_BYTES = 3 * 1024 * 1024;

interface ReviewStatus {
  readonly allowed: boolean;
  readonly denied: boolean;
  readonly reason: string;
}

type AskResult = "canceled" | "timeout" | "error";

/** A try that failed. */
class AskError extends Error {
  override readonly name = "AskError";
  readonly result: AskResult;
  readonly again: boolean;
  constructor(message: string, result: AskResult, again: boolean) {
    super(message);
    this.result = result;
    this.again = again;
  }
}

/** @throws KubeconfigError, and Error where a file cannot be read */
export function createWebhookAuthorizer(deps: WebhookDeps, name: string, settings: WebhookSettings): ChainLink {
  const { env, logger, metrics } = deps;
  const target = readKubeconfig(settings.kubeconfigFile);
  const agent = new Agent({ connect: target.tls });
  const conditions = new MatchConditions(settings.conditions);
  const answers = new RecentMap<string, { readonly status: ReviewStatus; readonly untilMs: number }>(MAX_CACHED);
  const failed = (error: string): AuthorizationDecision => ({
    ...NO_OPINION,
    ...(settings.failurePolicy === "Deny" ? { denied: true } : {}),
    error,
  });

  const askOnce = async (body: string, asker: Asker | undefined): Promise<ReviewStatus> => {
    const startedMs = env.clock.monotonic();
    let result = "success";
    try {
      return await post({ env, agent, target, settings }, body, asker?.signal);
    } catch (error) {
      result = error instanceof AskError ? error.result : "error";
      throw error;
    } finally {
      metrics.asked(name, result, (env.clock.monotonic() - startedMs) / 1_000);
    }
  };

  const ask = async (
    spec: ReviewSpec,
    question: string,
    cached: boolean,
    asker: Asker | undefined,
  ): Promise<AuthorizationDecision> => {
    const body = reviewText(spec, settings.reviewVersion);
    for (let attempt = 1, delayMs = FIRST_DELAY_MS; ; attempt++, delayMs *= DELAY_FACTOR) {
      try {
        const status = await askOnce(body, asker);
        const ttlMs = status.allowed ? settings.authorizedTtlMs : settings.unauthorizedTtlMs;
        if (cached && ttlMs > 0) answers.set(question, { status, untilMs: env.clock.monotonic() + ttlMs });
        return decisionOf(status);
      } catch (error) {
        if (!(error instanceof AskError)) throw error;
        const gone = asker?.signal.aborted === true;
        if (!gone && error.again && attempt < ATTEMPTS) {
          const waited = env.timers.sleep(delayMs * (1 + env.random.float() * DELAY_JITTER), asker?.signal);
          await waited.catch(passAbort);
          continue;
        }
        // Nobody waits for the decision: the next authorizer is not asked, and nothing is done.
        if (gone) return { allowed: false, denied: true, reason: "", error: error.message };
        logger.error({ authorizer: name, error: error.message }, "Failed to make webhook authorizer request");
        if (settings.failurePolicy === "NoOpinion") metrics.failedOpen(name, error.result);
        return failed(error.message);
      }
    }
  };

  const matches = (spec: ReviewSpec): AuthorizationDecision | undefined => {
    if (conditions.empty) return undefined;
    const startedMs = env.clock.monotonic();
    const match = conditions.match(spec);
    metrics.matched(name, (env.clock.monotonic() - startedMs) / 1_000, match);
    if (match === true) return undefined;
    return match === false ? NO_OPINION : failed(aggregateText(match.failures));
  };

  return {
    type: "Webhook",
    name,
    authorize(attributes, asker) {
      const spec = reviewSpecOf(attributes);
      const unasked = matches(spec);
      if (unasked !== undefined) return unasked;
      const question = JSON.stringify(spec);
      const known = answers.get(question);
      if (known !== undefined && known.untilMs > env.clock.monotonic()) return decisionOf(known.status);
      return ask(spec, question, isCacheable(attributes), asker).catch((error: unknown) => {
        logger.error({ authorizer: name, error: String(error) }, "a webhook authorizer failed");
        return failed(String(error));
      });
    },
    rulesFor: () => ({ rules: [], unknown: ["webhook authorizer does not support user rule resolution"] }),
    close: () => void agent.close(),
  };
}

/** What waited is over: who looks next sees why. */
function passAbort(error: unknown): void {
  if (!isAbort(error)) throw error;
}

function isCacheable(attributes: AuthorizationAttributes): boolean {
  const { namespace, verb, group, version = "", resource, subresource, name, path = "" } = attributes;
  const length = [namespace, verb, group, version, resource, subresource, name, path].reduce(
    (sum, text) => sum + Buffer.byteLength(text),
    0,
  );
  return length < MAX_CACHED_BYTES;
}

function decisionOf({ allowed, denied, reason }: ReviewStatus): AuthorizationDecision {
  if (!denied) return { allowed, reason };
  const error = "webhook subject access review returned both allow and deny response";
  return { allowed: false, denied, reason, ...(allowed ? { error } : {}) };
}

/** v1beta1 calls the groups `group`. */
function reviewText({ groups, ...spec }: ReviewSpec, version: WebhookSettings["reviewVersion"]): string {
  const grouped = groups === undefined ? spec : { ...spec, [version === "v1" ? "groups" : "group"]: groups };
  return JSON.stringify({
    kind: "SubjectAccessReview",
    apiVersion: `authorization.k8s.io/${version}`,
    metadata: {},
    spec: grouped,
    status: { allowed: false },
  });
}

interface PostDeps {
  readonly env: Env;
  readonly agent: Agent;
  readonly target: KubeconfigTarget;
  readonly settings: WebhookSettings;
}

/** @throws AskError */
async function post(
  { env, agent, target, settings }: PostDeps,
  body: string,
  gone: AbortSignal | undefined,
): Promise<ReviewStatus> {
  const { url, authorization } = target;
  const late = new AbortController();
  const timer = env.timers.setTimeout(() => late.abort(), settings.timeoutMs);
  let code: number;
  let headers: Readonly<Record<string, unknown>>;
  let said: string;
  try {
    const answer = await request(url, {
      dispatcher: agent,
      method: "POST",
      signal: gone === undefined ? late.signal : AbortSignal.any([late.signal, gone]),
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        "user-agent": "coxswain-api-server",
        ...(authorization === undefined ? {} : { authorization }),
      },
      body,
    });
    ({ statusCode: code, headers } = answer);
    said = (await readAtMost(answer.body, MAX_ANSWER_BYTES)).toString("utf8");
  } catch (error) {
    const place = `Post ${JSON.stringify(url)}`;
    if (gone?.aborted === true) throw new AskError(`${place}: context canceled`, "canceled", false);
    if (late.signal.aborted) throw new AskError(`${place}: context deadline exceeded`, "timeout", false);
    const { code: cause, message } = error as NodeJS.ErrnoException;
    const again = cause === "ECONNRESET" || cause === "UND_ERR_SOCKET";
    throw new AskError(`${place}: ${cause === "ECONNREFUSED" ? "connection refused" : message}`, "error", again);
  } finally {
    env.timers.clear(timer);
  }
  if (code < 200 || code > 299) throw refused(code, headers, said);
  return readAnswer(said, settings.reviewVersion);
}

/** What is over in a moment is asked again: too many requests, internal errors, and what says itself when to come back. */
function refused(code: number, headers: Readonly<Record<string, unknown>>, said: string): AskError {
  const again = [429, 500, 504].includes(code) || headers["retry-after"] !== undefined;
  const told = statusMessage(said);
  const message =
    told ??
    `an error on the server (${JSON.stringify(said.trim() || "unknown")}) has prevented the request from succeeding`;
  return new AskError(message, code === 504 ? "timeout" : "error", again);
}

function statusMessage(said: string): string | undefined {
  const parsed = jsonOrNothing(said);
  const message = isJsonObject(parsed) && parsed["kind"] === "Status" ? parsed["message"] : undefined;
  return typeof message === "string" && message !== "" ? message : undefined;
}

/** @throws AskError where it is no review of the version that was asked for */
function readAnswer(said: string, version: WebhookSettings["reviewVersion"]): ReviewStatus {
  const parsed = jsonOrNothing(said);
  const [kind, apiVersion] = ["SubjectAccessReview", `authorization.k8s.io/${version}`];
  if (!isJsonObject(parsed)) throw new AskError("the webhook's answer is no JSON object", "error", false);
  const [gotKind, gotVersion] = [parsed["kind"] ?? kind, parsed["apiVersion"] ?? apiVersion];
  if (gotKind !== kind || gotVersion !== apiVersion) {
    const got = `${JSON.stringify(gotKind)} of ${JSON.stringify(gotVersion)}`;
    throw new AskError(`the webhook answered with ${got} in place of a ${kind} of ${apiVersion}`, "error", false);
  }
  const status = isJsonObject(parsed["status"]) ? parsed["status"] : {};
  const reason = status["reason"];
  return {
    allowed: status["allowed"] === true,
    denied: status["denied"] === true,
    reason: typeof reason === "string" ? reason : "",
  };
}
