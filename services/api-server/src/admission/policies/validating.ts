// ValidatingAdmissionPolicy: judges requests by the policies in force. Guarantees: the first refusal is told, in order of
// policies and bindings; what cannot be evaluated refuses or lets pass as the policy says; warnings and audit annotations
// are given for what is not refused.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
import type { ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, Validation } from "@coxswain/api";
import { newForbidden, StatusError, type StatusReason } from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin } from "../../pipeline/extension.ts";
import { BudgetError, INVOCATION_BUDGET, type ExpressionRun } from "./policy-program.ts";
import { invocationsOf, judgeConditions, type Invocation, type PolicyDeps } from "./policy-requests.ts";
import { followPolicies, type Binding, type Hook } from "./policy-source.ts";
import { RequestValues } from "./policy-values.ts";

type Spec = NonNullable<ValidatingAdmissionPolicy["spec"]>;
type BindingOf = NonNullable<ValidatingAdmissionPolicyBinding["spec"]>;
type PolicyHook = Hook<Spec, BindingOf>;

const RESOURCES = {
  policies: "validatingadmissionpolicies",
  bindings: "validatingadmissionpolicybindings",
  patches: false,
};
const CODES: Readonly<Record<string, number>> = {
  Forbidden: 403,
  Unauthorized: 401,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};
const FAILURE_ANNOTATION = "validation.policy.admission.k8s.io/validation_failure";
const MAX_MESSAGE_BYTES = 5 * 1024;
const MAX_ANNOTATION_BYTES = 10 * 1024;

/** A rule that does not hold, or that could not be asked. */
interface Refusal {
  readonly message: string;
  readonly reason: string | undefined;
  readonly index: number;
}

interface Denial extends Pick<Refusal, "message" | "reason"> {
  readonly policy: string;
  readonly binding: string | undefined;
}

/** Annotations of one policy: each value once. */
type Annotations = Map<string, string[]>;

export function createValidatingPolicies(deps: PolicyDeps): AdmissionPlugin {
  const hooks = followPolicies<Spec, BindingOf>(deps.source, RESOURCES);
  return {
    name: "ValidatingAdmissionPolicy",
    dynamic: true,
    validate(attributes) {
      const now = hooks();
      return now.length > 0 ? judge(deps, now, attributes) : undefined;
    },
  };
}

/** Rejects with StatusError of the first refusal. */
async function judge(deps: PolicyDeps, hooks: readonly PolicyHook[], attributes: AdmissionAttributes): Promise<void> {
  const values = new RequestValues(deps, attributes);
  const denials: Denial[] = [];
  const annotations = new Map<string, Annotations>();
  for (const outcome of invocationsOf(deps, hooks, attributes)) {
    if ("error" in outcome) {
      const { hook, binding, message } = outcome.error;
      const denial = { policy: hook.name, binding: binding?.name, message, reason: undefined };
      if (hook.spec.failurePolicy !== "Ignore") denials.push(denial);
      continue;
    }
    const { hook, binding, kind } = outcome.invocation;
    await values.prepare(kind);
    const judged = new PolicyJudgement(outcome.invocation, values);
    for (const refusal of await values.decided(() => judged.refusals()))
      denials.push(...actOn(refusal, hook, binding, attributes));
    const published = annotations.get(hook.name) ?? new Map<string, string[]>();
    const { texts, wrong } = await values.decided(() => judged.annotations(published));
    annotations.set(hook.name, texts);
    for (const message of wrong) {
      denials.push({ policy: hook.name, binding: binding.name, message, reason: undefined });
    }
  }
  for (const [policy, published] of annotations) {
    for (const [key, texts] of published) attributes.annotate?.(`${policy}/${key}`, texts.join(", "));
  }
  if (denials[0] !== undefined) throw denied(attributes, denials[0]);
}

function actOn(
  { message, reason, index }: Refusal,
  hook: PolicyHook,
  binding: Binding<BindingOf>,
  attributes: AdmissionAttributes,
): Denial[] {
  const actions = binding.spec.validationActions ?? [];
  if (actions.includes("Audit")) {
    const failure = {
      message,
      policy: hook.name,
      binding: binding.name,
      expressionIndex: index,
      validationActions: actions,
    };
    attributes.annotate?.(FAILURE_ANNOTATION, JSON.stringify([failure]));
  }
  if (actions.includes("Warn")) {
    attributes.warn?.(
      `Validation failed for ValidatingAdmissionPolicy '${hook.name}' with binding '${binding.name}': ${message}`,
    );
  }
  return actions.includes("Deny") ? [{ policy: hook.name, binding: binding.name, message, reason }] : [];
}

function denied(attributes: AdmissionAttributes, { policy, binding, message, reason }: Denial): StatusError {
  const { kind, object, name } = attributes;
  const by = binding === undefined ? "" : ` with binding '${binding}'`;
  const text = `ValidatingAdmissionPolicy '${policy}'${by} denied request: ${message}`;
  const what = name || object?.metadata?.generateName || "Unknown";
  const error = newForbidden(kind, what, text);
  const said = (reason ?? "Invalid") as StatusReason;
  return new StatusError(said, CODES[said] ?? 422, error.message, { ...error.details, causes: [{ message: text }] });
}

/** A policy, with a binding's parameter, on a request. */
class PolicyJudgement {
  readonly #invocation: Invocation<Spec, BindingOf>;
  readonly #values: RequestValues;
  #applies = true;

  constructor(invocation: Invocation<Spec, BindingOf>, values: RequestValues) {
    this.#invocation = invocation;
    this.#values = values;
  }

  get #ignores(): boolean {
    return this.#invocation.hook.spec.failurePolicy === "Ignore";
  }

  #start(budget: number): ExpressionRun {
    const { hook, kind, params } = this.#invocation;
    return hook.program.start(this.#values.of(kind, params), budget);
  }

  refusals(): Refusal[] {
    const { hook, kind, params } = this.#invocation;
    const verdict = judgeConditions(hook.spec.matchConditions, () => this.#values.of(kind, params));
    this.#applies = verdict === true;
    if (verdict === false) return [];
    if (verdict !== true) return this.#failed(verdict.failure, 0);
    const run = this.#start(INVOCATION_BUDGET);
    try {
      const results = (hook.spec.validations ?? []).map((each) => ({ each, found: run.evaluate(each.expression) }));
      return results.flatMap(({ each, found }, index) => {
        if ("failure" in found) return this.#failed(found.failure, index);
        if (found.value === true) return [];
        return [{ message: messageOf(each, run), reason: each.reason, index }];
      });
    } catch (error) {
      if (!(error instanceof BudgetError)) throw error;
      return this.#failed(error.message, 0);
    }
  }

  #failed(message: string, index: number): Refusal[] {
    return this.#ignores ? [] : [{ message, reason: undefined, index }];
  }

  /** What is to be published after this policy, and what went wrong in a way that refuses. */
  annotations(before: Annotations): { readonly texts: Annotations; readonly wrong: string[] } {
    const published: Annotations = new Map(before);
    return { texts: published, wrong: this.#annotate(published) };
  }

  #annotate(published: Annotations): string[] {
    const annotations = this.#invocation.hook.spec.auditAnnotations ?? [];
    if (!this.#applies || annotations.length === 0) return [];
    const run = this.#start(INVOCATION_BUDGET);
    const wrong: string[] = [];
    for (const { key, valueExpression } of annotations) {
      let found: ReturnType<ExpressionRun["evaluate"]>;
      try {
        found = run.evaluate(valueExpression);
      } catch (error) {
        if (!(error instanceof BudgetError)) throw error;
        return this.#ignores ? wrong : [...wrong, error.message];
      }
      if ("failure" in found) {
        if (!this.#ignores) wrong.push(found.failure);
        continue;
      }
      const text = typeof found.value === "string" ? found.value.trim() : "";
      const texts = published.get(key) ?? [];
      const kept = Buffer.from(text).subarray(0, MAX_ANNOTATION_BYTES).toString("utf8");
      if (kept !== "" && !texts.includes(kept)) published.set(key, [...texts, kept]);
    }
    return wrong;
  }
}

/** What the expression for it gives, where that is of use; else the message, else the expression that failed. */
function messageOf({ expression, message, messageExpression }: Validation, run: ExpressionRun): string {
  const fallback = message?.trim() || `failed expression: ${expression.trim()}`;
  if (!messageExpression) return fallback;
  const found = run.evaluate(messageExpression);
  const text = "value" in found && typeof found.value === "string" ? found.value.trim() : "";
  const usable = text !== "" && !text.includes("\n") && Buffer.byteLength(text) <= MAX_MESSAGE_BYTES;
  return usable ? text : fallback;
}
