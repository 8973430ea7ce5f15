// Who writes an admission policy, or a binding of one, that takes parameters must be allowed to read them: its expressions and
// messages could show them. Wording as upstream. Guarantees: an update that leaves what names the parameters as it was is not asked
// about.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
import type { ParamKind, ParamRef } from "@coxswain/api";
import { fieldForbidden, newInvalid, parseApiVersion, type KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { MASTERS_GROUP } from "../auth/authorizer-chain.ts";
import type { KindSource } from "../extensions/kind-source.ts";
import type { Authorizer } from "../pipeline/contract.ts";
import type { AdmissionAttributes, AdmissionPlugin, ObjectSource } from "../pipeline/extension.ts";

const GROUP = "admissionregistration.k8s.io";
/** The policies that bindings are of, by the resource of the bindings. */
const BOUND: Readonly<Record<string, string>> = {
  validatingadmissionpolicybindings: "validatingadmissionpolicies",
  mutatingadmissionpolicybindings: "mutatingadmissionpolicies",
};

type Policy = KubeObject & { spec?: { paramKind?: ParamKind } };
type Binding = KubeObject & { spec?: { policyName?: string; paramRef?: ParamRef } };

interface Deps {
  readonly source: ObjectSource;
  readonly authorizer: Authorizer | undefined;
  readonly kinds: () => KindSource;
}

/** What a parameter kind stands for; all there is, where nobody knows. */
interface Target {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly unresolved: boolean;
}

const ANYTHING: Target = { group: "*", version: "*", resource: "*", unresolved: false };

function targetOf({ apiVersion = "", kind = "" }: ParamKind, kinds: KindSource): Target {
  const { group, version } = parseApiVersion(apiVersion);
  const found = kinds.kindForGvk({ group, version, kind });
  return { group, version, resource: found?.resource ?? "*", unresolved: found === undefined };
}

/** As Go prints the struct. */
function shown({ username, uid = "", groups, extra = {} }: UserInfo): string {
  const lists = Object.entries(extra).map(([key, values]) => `${key}:[${values.join(" ")}]`);
  return `&{${username} ${uid} [${groups.join(" ")}] map[${lists.join(" ")}]}`;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

function refuse({ kind, name }: AdmissionAttributes, field: string, detail: string): never {
  throw newInvalid(kind, name, [fieldForbidden(field, detail)]);
}

/** Without an authorizer everything is allowed. */
export function createPolicyPermissions({ source, authorizer, kinds }: Deps): AdmissionPlugin {
  const may = async (
    attributes: AdmissionAttributes,
    verb: string,
    { group, version, resource }: Target,
    namespace: string,
    name: string,
  ): Promise<boolean> => {
    const { user } = attributes.request;
    const asked = { user, verb, group, version, resource, subresource: "", namespace, name };
    return (await authorizer!.authorize(asked, attributes.request)).allowed;
  };

  const checkPolicy = async (attributes: AdmissionAttributes): Promise<void> => {
    const [now, before]: (Policy | undefined)[] = [attributes.object, attributes.old];
    const paramKind = now?.spec?.paramKind;
    if (paramKind === undefined || same(paramKind, before?.spec?.paramKind)) return;
    if (await may(attributes, "get", targetOf(paramKind, kinds()), "*", "*")) return;
    const what = `(kind=${paramKind.kind ?? ""}, apiVersion=${paramKind.apiVersion ?? ""})`;
    const user = shown(attributes.request.user);
    const detail = `user ${user} must have "get" permission on all objects of the referenced paramKind ${what}`;
    refuse(attributes, "spec.paramKind", detail);
  };

  const checkBinding = async (attributes: AdmissionAttributes): Promise<void> => {
    const [now, old]: (Binding | undefined)[] = [attributes.object, attributes.old];
    const { policyName = "", paramRef } = now?.spec ?? {};
    const before = old?.spec;
    if (paramRef === undefined) return;
    if (same(paramRef, before?.paramRef) && policyName === before?.policyName) return;
    const resource = BOUND[attributes.kind.resource] ?? "";
    const policy: Policy | undefined = source.get({ group: GROUP, resource }, "", policyName)?.object;
    const paramKind = policy?.spec?.paramKind;
    const target = paramKind === undefined ? ANYTHING : targetOf(paramKind, kinds());
    const verb = paramRef.name ? "get" : "list";
    if (await may(attributes, verb, target, paramRef.namespace ?? "", paramRef.name ?? "")) return;
    const user = shown(attributes.request.user);
    const all = `user ${user} does not have "${verb}" permission for all groups, versions and resources`;
    const minimum = "to determine minimum required permissions and";
    if (policy === undefined)
      refuse(attributes, "spec.paramRef", `unable to get policy ${policyName} ${minimum} ${all}`);
    if (target.unresolved) {
      const what = `&{${paramKind?.apiVersion ?? ""} ${paramKind?.kind ?? ""}}`;
      refuse(attributes, "spec.paramRef", `unable to resolve paramKind ${what} ${minimum} ${all}`);
    }
    const detail = `user ${user} does not have "${verb}" permission on the object referenced by paramRef`;
    refuse(attributes, "spec.paramRef", detail);
  };

  return {
    name: "PolicyParamPermissions",
    validate(attributes) {
      const { kind, operation, subresource, object, request } = attributes;
      if (authorizer === undefined || object === undefined || kind.group !== GROUP || subresource !== "")
        return undefined;
      if ((operation !== "CREATE" && operation !== "UPDATE") || request.user.groups.includes(MASTERS_GROUP))
        return undefined;
      if (BOUND[kind.resource] !== undefined) return checkBinding(attributes);
      return Object.values(BOUND).includes(kind.resource) ? checkPolicy(attributes) : undefined;
    },
  };
}
