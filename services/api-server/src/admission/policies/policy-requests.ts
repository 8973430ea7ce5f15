// Which invocations a request makes of the policies in force: one for each policy, binding and parameter. Guarantee: what is
// wrong with a policy or a binding is told as its error, and hinders no other.
import { aggregateText } from "@coxswain/apimachinery";
import type { KindDefinition } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { KindSource } from "../../extensions/kind-source.ts";
import type { AdmissionAttributes, ObjectSource } from "../../pipeline/extension.ts";
import { equivalentsOf, matchedKind, selectorsMatch, type Matching } from "../dynamic/request-matching.ts";
import { BudgetError, CONDITIONS_BUDGET, conditionRun, type PolicyValues } from "./policy-program.ts";
import { collectParams, inVersion, paramKindOf, type ParamReader } from "./policy-params.ts";
import { GROUP, type Binding, type BindingSpec, type Hook, type PolicySpec } from "./policy-source.ts";
import type { ValueDeps } from "./policy-values.ts";

export interface PolicyDeps extends ValueDeps {
  readonly kinds: () => KindSource;
}

export interface Invocation<P extends PolicySpec, B extends BindingSpec> {
  readonly hook: Hook<P, B>;
  readonly binding: Binding<B>;
  /** The version that the policy wants the object in. */
  readonly kind: KindDefinition;
  readonly params: KubeObject | null;
}

/** What hinders a policy, or a binding where one is to blame. */
export interface ConfigurationError<P extends PolicySpec, B extends BindingSpec> {
  readonly hook: Hook<P, B>;
  readonly binding: Binding<B> | undefined;
  readonly message: string;
}

const REVIEWS: ReadonlySet<string> = new Set(["authentication.k8s.io", "authorization.k8s.io"]);

/** A policy can hinder neither the change of policies nor the reviews that others ask who may do what. */
function isExempt({ group, resource, stored }: KindDefinition): boolean {
  if (REVIEWS.has(group)) return !stored;
  return group === GROUP && /^(mutating|validating)admissionpolic(ies|ybindings)$/.test(resource);
}

export type Outcome<P extends PolicySpec, B extends BindingSpec> =
  | { readonly invocation: Invocation<P, B> }
  | { readonly error: ConfigurationError<P, B> };

function reader(source: ObjectSource): ParamReader {
  return {
    get: (kind, namespace, name) => inVersion(kind, source.get(kind, namespace, name)),
    list: (kind, namespace) =>
      source.list(kind, kind.namespaced ? namespace : undefined).map((found) => inVersion(kind, found)!),
  };
}

/** In order of policies, bindings and parameters. */
export function invocationsOf<P extends PolicySpec, B extends BindingSpec>(
  deps: PolicyDeps,
  hooks: readonly Hook<P, B>[],
  attributes: AdmissionAttributes,
): Outcome<P, B>[] {
  if (hooks.length === 0 || isExempt(attributes.kind)) return [];
  const kinds = deps.kinds();
  const equivalents = equivalentsOf(attributes.kind, kinds);
  const matches = (matching: Matching): KindDefinition | undefined => {
    const found = matchedKind(matching, attributes, equivalents);
    return found !== undefined && selectorsMatch(matching, attributes, deps.source) ? found : undefined;
  };
  return hooks.flatMap((hook): Outcome<P, B>[] => {
    const kind = matches(hook.matching);
    if (kind === undefined) return [];
    let paramKind: KindDefinition | undefined;
    try {
      paramKind = paramKindOf(hook.spec.paramKind, (gvk) => kinds.kindForGvk(gvk));
    } catch (error) {
      const message = `failed to configure policy: ${(error as Error).message}`;
      return [{ error: { hook, binding: undefined, message } }];
    }
    return hook.bindings.flatMap((binding): Outcome<P, B>[] => {
      if (binding.matching !== undefined && !bindingMatches(binding.matching, matches)) return [];
      try {
        const found = collectParams(paramKind, binding.spec.paramRef, attributes.namespace, reader(deps.source));
        return found.map((params) => ({ invocation: { hook, binding, kind, params } }));
      } catch (error) {
        return [{ error: { hook, binding, message: `failed to configure binding: ${(error as Error).message}` } }];
      }
    });
  });
}

/** A binding without rules is for all that its policy is for, as far as its selectors go. */
function bindingMatches(matching: Matching, matches: (matching: Matching) => unknown): boolean {
  const everything = { operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"] };
  return matches(matching.rules.length > 0 ? matching : { ...matching, rules: [everything] }) !== undefined;
}

/** True, false, or why it cannot be told. A condition that is false decides, whatever becomes of the others. */
export type Verdict = boolean | { readonly failure: string };

export function judgeConditions(
  conditions: readonly { readonly name: string; readonly expression: string }[] | undefined,
  values: () => PolicyValues,
): Verdict {
  if (conditions === undefined || conditions.length === 0) return true;
  const run = conditionRun(values(), CONDITIONS_BUDGET);
  const failures: string[] = [];
  try {
    for (const { expression } of conditions) {
      const found = run.evaluate(expression);
      if ("failure" in found) failures.push(found.failure);
      else if (found.value === false) return false;
    }
  } catch (error) {
    if (!(error instanceof BudgetError)) throw error;
    return { failure: error.message };
  }
  if (failures.length === 0) return true;
  return { failure: aggregateText(failures) };
}
