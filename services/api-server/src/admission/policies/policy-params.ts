// The parameters that a binding gives a policy. Pure, given the objects that are there.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
import type { KindDefinition, ParamKind, ParamRef } from "@coxswain/api";
import { labelSelectorAsSelector, parseApiVersion, type KubeObject } from "@coxswain/apimachinery";
import type { VersionedObject } from "../../pipeline/contract.ts";

/** Objects of a kind, in its version; a namespace of undefined stands for all. */
export interface ParamReader {
  get(kind: KindDefinition, namespace: string, name: string): KubeObject | undefined;
  list(kind: KindDefinition, namespace: string): readonly KubeObject[];
}

/** Undefined where nothing of that name is served. */
export type FindKind = (gvk: { group: string; version: string; kind: string }) => KindDefinition | undefined;

/** @throws Error where the policy itself is at fault */
export function paramKindOf(paramKind: ParamKind | undefined, find: FindKind): KindDefinition | undefined {
  if (paramKind === undefined) return undefined;
  const { group, version } = parseApiVersion(paramKind.apiVersion ?? "");
  const kind = paramKind.kind ?? "";
  const found = find({ group, version, kind });
  if (found !== undefined) return found;
  throw new Error(`failed to find resource referenced by paramKind: '${group}/${version}, Kind=${kind}'`);
}

/**
 * One invocation for each: null for a policy that takes none. None where the binding lets requests pass without.
 * @throws Error where the binding is at fault
 */
export function collectParams(
  kind: KindDefinition | undefined,
  ref: ParamRef | undefined,
  namespace: string,
  reader: ParamReader,
): (KubeObject | null)[] {
  if (kind === undefined || ref === undefined) return [null];
  const where = paramNamespace(kind, ref, namespace);
  let found: readonly KubeObject[];
  if (ref.name) {
    const one = reader.get(kind, where, ref.name);
    found = one === undefined ? [] : [one];
  } else {
    const selector = labelSelectorAsSelector(ref.selector ?? {});
    found = reader.list(kind, where).filter(({ metadata }) => selector.matches(metadata?.labels));
  }
  if (found.length === 0 && ref.parameterNotFoundAction === "Deny") {
    throw new Error("no params found for policy binding with `Deny` parameterNotFoundAction");
  }
  return [...found];
}

function paramNamespace(kind: KindDefinition, ref: ParamRef, namespace: string): string {
  if (!kind.namespaced) {
    if (ref.namespace) throw new Error("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
    return "";
  }
  const where = ref.namespace || namespace;
  if (where !== "") return where;
  throw new Error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
}

/** What a cache holds, in the version of `kind`. */
export function inVersion(kind: KindDefinition, found: VersionedObject | undefined): KubeObject | undefined {
  if (found === undefined) return undefined;
  const cached = found as VersionedObject & { as?(kind: KindDefinition): VersionedObject };
  return (cached.as?.(kind) ?? found).object;
}
