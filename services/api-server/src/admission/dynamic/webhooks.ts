// MutatingAdmissionWebhook and ValidatingAdmissionWebhook: asks the webhooks that are registered for a request. Guarantees: they
// are asked by name of their configuration, one after the other where they may change the object and all at once where not; what
// one of them does wrong is an error with its name, or passed over where its failurePolicy says so; a refusal always holds.
import type { KindDefinition, MutatingWebhook, ValidatingWebhook } from "@coxswain/api";
import {
  applyJsonPatch,
  deepClone,
  deepEqual,
  newBadRequest,
  newInternalError,
  newTimeout,
  type KubeObject,
} from "@coxswain/apimachinery";
import type { Logger } from "@coxswain/component-base";
import type { Random } from "@coxswain/env";
import type { KindSource } from "../../extensions/kind-source.ts";
import type { VersionedObject } from "../../pipeline/contract.ts";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../../pipeline/extension.ts";
import {
  reviewObject,
  denial,
  readReview,
  reviewOf,
  reviewRequest,
  reviewVersion,
  type ReviewAnswer,
} from "./admission-review.ts";
import { judgeConditions } from "../policies/policy-requests.ts";
import { RequestValues, type ValueDeps } from "../policies/policy-values.ts";
import { attributesIn, inOwnVersion, needsConversion } from "../equivalent-forms.ts";
import { replaceObject } from "../replace-object.ts";
import { equivalentsOf, isExempt, matchedKind, selectorsMatch, type Matching } from "./request-matching.ts";

type Webhook = ValidatingWebhook & Pick<MutatingWebhook, "reinvocationPolicy">;
type ClientConfig = NonNullable<Webhook["clientConfig"]>;

/** Sends a review to a webhook and resolves with the answer's body. Rejects with Error, in the words of an HTTP client. */
export type CallWebhook = (
  config: ClientConfig,
  review: object,
  timeoutMs: number,
  signal: AbortSignal,
) => Promise<string>;

export interface WebhookDeps extends ValueDeps {
  readonly logger: Logger;
  readonly random: Random;
  readonly kinds: () => KindSource;
  readonly call: CallWebhook;
}

const GROUP = "admissionregistration.k8s.io";
const DEFAULT_TIMEOUT_S = 10;

interface Registered {
  readonly webhook: Webhook;
  readonly matching: Matching;
}

/** A webhook that is to be asked about a request. */
interface Invocation {
  readonly webhook: Webhook;
  readonly kind: KindDefinition;
}

/** A webhook that was asked, and what it left. */
interface Seen {
  readonly invocation: Invocation;
  readonly left: KubeObject | undefined;
}

/** What went wrong with a webhook, as the user hears it. */
class CallError extends Error {
  override readonly name = "CallError";
}

function registered(configurations: readonly VersionedObject[]): Registered[] {
  return configurations
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ object }) => (object as { webhooks?: Webhook[] }).webhooks ?? [])
    .map((webhook) => ({
      webhook,
      matching: {
        rules: webhook.rules ?? [],
        matchPolicy: webhook.matchPolicy,
        namespaceSelector: webhook.namespaceSelector,
        objectSelector: webhook.objectSelector,
      },
    }));
}

/** Makes the list again when a configuration has changed, come or gone: from the next request on. */
function follow(source: ObjectSource, resource: string): () => readonly Registered[] {
  let of: readonly VersionedObject[] = [];
  let known: readonly Registered[] = [];
  return () => {
    const now = source.list({ group: GROUP, resource });
    const same = now.length === of.length && now.every((one, at) => one === of[at]);
    if (!same) [of, known] = [now, registered(now)];
    return known;
  };
}

class Dispatcher {
  readonly #deps: WebhookDeps;
  readonly #mutating: boolean;
  readonly #registered: () => readonly Registered[];

  constructor(deps: WebhookDeps, mutating: boolean) {
    this.#deps = deps;
    this.#mutating = mutating;
    this.#registered = follow(
      deps.source,
      mutating ? "mutatingwebhookconfigurations" : "validatingwebhookconfigurations",
    );
  }

  /** Those whose rules and selectors are for the request, in order. */
  matching(attributes: AdmissionAttributes): Invocation[] {
    const all = this.#registered();
    if (all.length === 0 || isExempt(attributes.kind)) return [];
    const equivalents = equivalentsOf(attributes.kind, this.#deps.kinds());
    return all.flatMap(({ webhook, matching }) => {
      const kind = matchedKind(matching, attributes, equivalents);
      return kind !== undefined && selectorsMatch(matching, attributes, this.#deps.source) ? [{ webhook, kind }] : [];
    });
  }

  /** Undefined where the webhook was passed over. Rejects with StatusError for its refusal, and for its failure. */
  async ask({ webhook, kind }: Invocation, attributes: AdmissionAttributes): Promise<ReviewAnswer | undefined> {
    const { name } = webhook;
    const ignore = webhook.failurePolicy === "Ignore";
    try {
      const answer = await this.#call(webhook, kind, attributes);
      for (const warning of answer?.warnings ?? []) attributes.warn?.(warning);
      if (answer !== undefined && !answer.allowed) throw denial(name, answer.status);
      return answer;
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      // Nobody waits for the answer: nothing more is done for it, whatever the policy says.
      if (attributes.request.signal.aborted) throw newTimeout("request did not complete within requested timeout");
      const failed = `failed calling webhook ${JSON.stringify(name)}: ${error.message}`;
      if (!ignore) throw newInternalError(new Error(failed));
      this.#deps.logger.warn({ webhook: name, error: error.message }, "a webhook failed and was passed over");
      return undefined;
    }
  }

  async #call(
    webhook: Webhook,
    kind: KindDefinition,
    attributes: AdmissionAttributes,
  ): Promise<ReviewAnswer | undefined> {
    const uid = this.#deps.random.uuid();
    const formed = needsConversion(attributes.kind, kind) ? await attributesIn(kind, attributes) : attributes;
    const request = reviewRequest(uid, kind, formed);
    const values = new RequestValues(this.#deps, formed);
    const verdict = await values.decided(() => judgeConditions(webhook.matchConditions, () => values.of(kind, null)));
    if (verdict === false) return undefined;
    if (verdict !== true) throw new CallError(`match conditions: ${verdict.failure}`);
    if (attributes.dryRun && !["None", "NoneOnDryRun"].includes(webhook.sideEffects ?? "")) {
      throw newBadRequest(`admission webhook ${JSON.stringify(webhook.name)} does not support dry run`);
    }
    const version = reviewVersion(webhook.admissionReviewVersions);
    if (version === undefined)
      throw new CallError("webhook does not accept known AdmissionReview versions (v1, v1beta1)");
    const timeoutMs = (webhook.timeoutSeconds ?? DEFAULT_TIMEOUT_S) * 1_000;
    try {
      const { signal } = attributes.request;
      const said = await this.#deps.call(webhook.clientConfig, reviewOf(version, request), timeoutMs, signal);
      return readReview(said, version, uid, this.#mutating);
    } catch (error) {
      throw new CallError(`failed to call webhook: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Puts the patched state in the place of the object, which others hold too. */
async function patchInPlace(
  webhook: Webhook,
  kind: KindDefinition,
  attributes: AdmissionAttributes,
  patch: unknown[],
): Promise<void> {
  const seen = reviewObject(kind, await attributesIn(kind, attributes));
  if (seen === null) return;
  try {
    const next = applyJsonPatch(deepClone(seen), patch) as KubeObject;
    replaceObject(attributes, await inOwnVersion(kind, attributes, next));
  } catch (error) {
    throw newInternalError(
      new Error(
        `failed calling webhook ${JSON.stringify(webhook.name)}: applying its patch: ${(error as Error).message}`,
      ),
    );
  }
}

export function createMutatingWebhooks(deps: WebhookDeps): AdmissionPlugin {
  const dispatcher = new Dispatcher(deps, true);

  /** Whether the object was changed. */
  const invoke = async (invocation: Invocation, attributes: AdmissionAttributes): Promise<void> => {
    const answer = await dispatcher.ask(invocation, attributes);
    if (answer?.patch !== undefined && answer.patch.length > 0) {
      await patchInPlace(invocation.webhook, invocation.kind, attributes, answer.patch);
    }
  };

  const first = async (attributes: AdmissionAttributes, seen: Seen[]): Promise<void> => {
    // Labels may change on the way: each webhook is matched when its turn comes.
    for (const candidate of dispatcher.matching(attributes)) {
      const invocation = dispatcher.matching(attributes).find(({ webhook }) => webhook === candidate.webhook);
      if (invocation === undefined) continue;
      const before = attributes.object === undefined ? undefined : deepClone(attributes.object);
      await invoke(invocation, attributes);
      seen.push({ invocation, left: attributes.object === undefined ? undefined : deepClone(attributes.object) });
      if (!deepEqual(before, attributes.object)) attributes.reinvocation?.request();
    }
  };
  const admit = async (attributes: AdmissionAttributes): Promise<void> => {
    const seen = attributes.reinvocation?.kept(dispatcher, (): Seen[] => []) ?? [];
    if (attributes.reinvocation?.second !== true) return await first(attributes, seen);
    for (const { invocation, left } of seen) {
      const changedSince = !deepEqual(left, attributes.object);
      if (invocation.webhook.reinvocationPolicy === "IfNeeded" && changedSince) await invoke(invocation, attributes);
    }
  };
  return {
    name: "MutatingAdmissionWebhook",
    dynamic: true,
    admit: (attributes) => (dispatcher.matching(attributes).length === 0 ? undefined : admit(attributes)),
    admitDelete: (attributes) => (dispatcher.matching(attributes).length === 0 ? undefined : admit(attributes)),
  };
}

export function createValidatingWebhooks(deps: WebhookDeps): AdmissionPlugin {
  const dispatcher = new Dispatcher(deps, false);
  return {
    name: "ValidatingAdmissionWebhook",
    dynamic: true,
    validate(attributes) {
      const matching = dispatcher.matching(attributes);
      if (matching.length === 0) return undefined;
      return askAll(dispatcher, matching, attributes);
    },
  };
}

/** The first refusal, in the webhooks' order. */
async function askAll(
  dispatcher: Dispatcher,
  matching: readonly Invocation[],
  attributes: AdmissionAttributes,
): Promise<void> {
  const outcomes = await Promise.allSettled(matching.map((invocation) => dispatcher.ask(invocation, attributes)));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
