// The policies that bindings put in force, as this process's watch cache has them. Guarantees: a policy without a binding
// asks nobody anything; both sorts of order are by name; a policy is compiled once for each of its versions.
import type { MatchResources, ParamKind, ParamRef, Variable } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { VersionedObject } from "../../pipeline/contract.ts";
import type { ObjectSource } from "../../pipeline/extension.ts";
import type { Matching } from "../dynamic/request-matching.ts";
import { PolicyProgram } from "./policy-program.ts";

export const GROUP = "admissionregistration.k8s.io";

export interface PolicySpec {
  readonly failurePolicy?: string;
  readonly matchConstraints?: MatchResources;
  readonly matchConditions?: readonly { readonly name: string; readonly expression: string }[];
  readonly paramKind?: ParamKind;
  readonly variables?: readonly Variable[];
}

export interface BindingSpec {
  readonly policyName?: string;
  readonly paramRef?: ParamRef;
  readonly matchResources?: MatchResources;
}

export interface Binding<B extends BindingSpec> {
  readonly name: string;
  readonly spec: B;
  /** Undefined where the binding is for all that the policy is for. */
  readonly matching: Matching | undefined;
}

export interface Hook<P extends PolicySpec, B extends BindingSpec> {
  readonly name: string;
  readonly spec: P;
  readonly matching: Matching;
  readonly bindings: readonly Binding<B>[];
  readonly program: PolicyProgram;
}

/** Names of the resources: of the policies and of their bindings. */
export interface PolicyResources {
  readonly policies: string;
  readonly bindings: string;
  /** Whether the expressions may make objects and patches. */
  readonly patches: boolean;
}

function matchingOf(match: MatchResources | undefined): Matching {
  return {
    rules: match?.resourceRules ?? [],
    excluded: match?.excludeResourceRules ?? [],
    matchPolicy: match?.matchPolicy,
    namespaceSelector: match?.namespaceSelector,
    objectSelector: match?.objectSelector,
  };
}

const byName = (a: VersionedObject, b: VersionedObject): number => (a.name < b.name ? -1 : 1);
const specOf = ({ object }: VersionedObject): object => (object as KubeObject & { spec?: object }).spec ?? {};
const same = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((one, at) => one === b[at]);

/** Makes the list again when something has changed, come or gone: from the next request on. */
export function followPolicies<P extends PolicySpec, B extends BindingSpec>(
  source: ObjectSource,
  { policies, bindings, patches }: PolicyResources,
): () => readonly Hook<P, B>[] {
  const programs = new WeakMap<VersionedObject, PolicyProgram>();
  let seen: readonly VersionedObject[] = [];
  let hooks: readonly Hook<P, B>[] = [];
  const programFor = (policy: VersionedObject): PolicyProgram => {
    const known = programs.get(policy) ?? new PolicyProgram((specOf(policy) as P).variables ?? [], patches);
    programs.set(policy, known);
    return known;
  };
  return () => {
    const bound = source.list({ group: GROUP, resource: bindings });
    const known = bound.length === 0 ? [] : source.list({ group: GROUP, resource: policies });
    const now = [...known, ...bound];
    if (same(now, seen)) return hooks;
    seen = now;
    const all = bound.toSorted(byName).map((binding): Binding<B> => {
      const spec = specOf(binding) as B;
      const matching = spec.matchResources === undefined ? undefined : matchingOf(spec.matchResources);
      return { name: binding.name, spec, matching };
    });
    hooks = known
      .toSorted(byName)
      .map((policy): Hook<P, B> => {
        const spec = specOf(policy) as P;
        const own = all.filter((binding) => binding.spec.policyName === policy.name);
        const matching = matchingOf(spec.matchConstraints);
        return { name: policy.name, spec, matching, bindings: own, program: programFor(policy) };
      })
      .filter((hook) => hook.bindings.length > 0);
    return hooks;
  };
}
