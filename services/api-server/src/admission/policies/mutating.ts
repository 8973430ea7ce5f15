// MutatingAdmissionPolicy: changes objects by the policies in force. Guarantees: mutations are made in order of policies,
// bindings and parameters, each on what the one before has left; who asks for it is called again where somebody has changed
// the object after it; what cannot be made refuses the request or not, as the policy says.
// https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
import type { MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding } from "@coxswain/api";
import {
  deepClone,
  deepEqual,
  newForbidden,
  StatusError,
  type KubeObject,
  type StatusReason,
} from "@coxswain/apimachinery";
import type { AdmissionAttributes, AdmissionPlugin } from "../../pipeline/extension.ts";
import { kindForGvk } from "@coxswain/api/scheme";
import { reviewObject } from "../dynamic/admission-review.ts";
import { attributesIn, inOwnVersion } from "../equivalent-forms.ts";
import { replaceObject } from "../replace-object.ts";
import { mutated, MutationError } from "./mutations.ts";
import { BudgetError } from "./policy-program.ts";
import { invocationsOf, judgeConditions, type Invocation, type PolicyDeps } from "./policy-requests.ts";
import { followPolicies, type Hook } from "./policy-source.ts";
import { RequestValues } from "./policy-values.ts";

type Spec = NonNullable<MutatingAdmissionPolicy["spec"]>;
type BindingOf = NonNullable<MutatingAdmissionPolicyBinding["spec"]>;
type Invoked = Invocation<Spec, BindingOf>;

const RESOURCES = { policies: "mutatingadmissionpolicies", bindings: "mutatingadmissionpolicybindings", patches: true };

interface PolicyError {
  readonly hook: Hook<Spec, BindingOf>;
  readonly binding: string | undefined;
  readonly message: string;
  readonly reason: StatusReason | undefined;
}

/** Which invocations are to be made again in the second round. */
class Again {
  #previous = new Set<string>();
  #due = new Set<string>();
  #left: KubeObject | undefined;

  /** Somebody has changed the object after those that were invoked before. */
  changed(): void {
    for (const key of this.#previous) this.#due.add(key);
    this.#previous = new Set();
  }

  /** What there was at the end of the round. */
  leave(object: KubeObject | undefined): void {
    this.#left = object === undefined ? undefined : deepClone(object);
  }

  enter(object: KubeObject | undefined): void {
    if (!deepEqual(this.#left, object)) this.changed();
  }

  invoked(key: string): void {
    this.#previous.add(key);
  }

  isDue(key: string): boolean {
    return this.#due.has(key);
  }
}

export function createMutatingPolicies(deps: PolicyDeps): AdmissionPlugin {
  const hooks = followPolicies<Spec, BindingOf>(deps.source, RESOURCES);
  const admit = (attributes: AdmissionAttributes): void | Promise<void> => {
    const now = hooks();
    return now.length > 0 ? mutate(deps, now, attributes) : undefined;
  };
  return { name: "MutatingAdmissionPolicy", dynamic: true, admit, admitDelete: admit };
}

const keyOf = ({ hook, binding, params }: Invoked): string =>
  JSON.stringify([hook.name, binding.name, params?.metadata?.namespace, params?.metadata?.name]);

/** Rejects with StatusError. */
async function mutate(
  deps: PolicyDeps,
  hooks: readonly Hook<Spec, BindingOf>[],
  attributes: AdmissionAttributes,
): Promise<void> {
  const { reinvocation } = attributes;
  const again = reinvocation?.kept(deps, () => new Again());
  if (reinvocation?.second === true) again?.enter(attributes.object);
  const errors: PolicyError[] = [];
  for (const outcome of invocationsOf(deps, hooks, attributes)) {
    if ("error" in outcome) {
      const { hook, binding, message } = outcome.error;
      errors.push({ hook, binding: binding?.name, message, reason: undefined });
      continue;
    }
    const { invocation } = outcome;
    const key = keyOf(invocation);
    const due = reinvocation?.second === true ? again!.isDue(key) : true;
    const { changed, failures } = await invoke(deps, invocation, attributes, due);
    const { hook, binding } = invocation;
    errors.push(...failures.map((message) => ({ hook, binding: binding.name, message, reason: "Invalid" as const })));
    if (changed) {
      again?.changed();
      reinvocation?.request();
    }
    if (due && hook.spec.reinvocationPolicy === "IfNeeded") again?.invoked(key);
  }
  again?.leave(attributes.object);
  const hindering = errors.filter(({ hook }) => hook.spec.failurePolicy !== "Ignore");
  if (hindering[0] !== undefined) throw denied(attributes, hindering);
}

/** Whether the object was changed, and what went wrong. */
async function invoke(
  deps: PolicyDeps,
  { hook, kind, params }: Invoked,
  attributes: AdmissionAttributes,
  due: boolean,
): Promise<{ changed: boolean; failures: string[] }> {
  const values = new RequestValues(deps, attributes);
  await values.prepare(kind);
  const verdict = await values.decided(() => judgeConditions(hook.spec.matchConditions, () => values.of(kind, params)));
  if (verdict === false) return { changed: false, failures: [] };
  if (verdict !== true) return { changed: false, failures: [verdict.failure] };
  const failures: string[] = [];
  let changed = false;
  const { objectKind } = attributes;
  const seenKind = (objectKind && kindForGvk(objectKind)) ?? kind;
  for (const mutation of due ? (hook.spec.mutations ?? []) : []) {
    const formed = await attributesIn(kind, attributes);
    const { object } = attributes;
    if (object === undefined || formed.object === undefined) break;
    // Each mutation sees what the one before has left, in variables too.
    const seen = new RequestValues(deps, formed);
    try {
      const before = deepClone(object);
      const next = await seen.decided(() => {
        const run = hook.program.start(seen.of(kind, params));
        return deepClone(mutated(mutation, seenKind, deepClone(reviewObject(kind, formed)!), run));
      });
      replaceObject(attributes, await inOwnVersion(kind, attributes, next));
      changed ||= !deepEqual(before, object);
    } catch (error) {
      if (!(error instanceof MutationError || error instanceof BudgetError)) throw error;
      failures.push(error.message);
    }
  }
  return { changed, failures };
}

function denied({ kind, name, object }: AdmissionAttributes, errors: readonly PolicyError[]): StatusError {
  const messages = errors.map(({ hook, binding, message }) =>
    binding === undefined
      ? `policy ${JSON.stringify(hook.name)} denied request: ${message}`
      : `policy '${hook.name}' with binding '${binding}' denied request: ${message}`,
  );
  const { details, reason, code } = newForbidden(kind, name || object?.metadata?.generateName || "Unknown", "");
  const causes = messages.map((message) => ({ message }));
  return new StatusError(errors[0]?.reason ?? reason, code, messages[0] ?? "", { ...details, causes });
}
