// What a request is to the expressions of policies and match conditions: objects in the version that the policy wants, the
// request itself, the namespace, and who may ask what. Guarantee: each is made once for a request and a version.
import type { KindDefinition } from "@coxswain/api";
import { CelAuthorizer, dynamicValue, type AuthorizationQuestion } from "@coxswain/cel";
import type { KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Asker, AuthorizationAttributes, AuthorizationDecision, Authorizer } from "../../pipeline/contract.ts";
import type { AdmissionAttributes, ObjectSource } from "../../pipeline/extension.ts";
import { reviewObject, reviewOld, reviewRequest } from "../dynamic/admission-review.ts";
import { namespaceOf } from "../dynamic/request-matching.ts";
import { attributesIn, needsConversion } from "../equivalent-forms.ts";
import type { PolicyValues } from "./policy-program.ts";

export interface ValueDeps {
  readonly source: ObjectSource;
  /** Absent: everything is allowed. */
  readonly authorizer: Authorizer | undefined;
}

const NAMESPACE_META = [
  "name",
  "generateName",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "labels",
  "annotations",
  "finalizers",
];

/** The namespace without what is no business of policies; null for what is in none, as a Namespace itself. */
function namespaceValue(attributes: AdmissionAttributes, source: ObjectSource): unknown {
  const { kind } = attributes;
  if (kind.group === "" && kind.resource === "namespaces") return null;
  const found: (KubeObject & { spec?: object; status?: object }) | undefined = namespaceOf(attributes, source);
  if (found === undefined) return null;
  const meta = Object.entries(found.metadata ?? {}).filter(([name]) => NAMESPACE_META.includes(name));
  return dynamicValue({ metadata: Object.fromEntries(meta), spec: found.spec ?? {}, status: found.status ?? {} });
}

function serviceAccountUser({ namespace, name }: { namespace: string; name: string }): UserInfo {
  const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
  return { username: `system:serviceaccount:${namespace}:${name}`, groups };
}

const UNKNOWN: AuthorizationDecision = { allowed: false, reason: "" };

/**
 * What expressions ask the authorizer. Expressions do not wait: where the authorizer has to ask somebody outside, they are
 * evaluated to no avail, and once more when the answer is there.
 */
class Checks {
  readonly #authorizer: Authorizer | undefined;
  readonly #asker: Asker;
  readonly #answers = new Map<string, AuthorizationDecision>();
  #open = new Map<string, Promise<AuthorizationDecision>>();

  constructor(authorizer: Authorizer | undefined, asker: Asker) {
    this.#authorizer = authorizer;
    this.#asker = asker;
  }

  ask(attributes: AuthorizationAttributes): AuthorizationDecision {
    if (this.#authorizer === undefined) return { allowed: true, reason: "" };
    const question = this.#answers.size + this.#open.size === 0 ? "" : JSON.stringify(attributes);
    const known = this.#answers.get(question);
    if (known !== undefined) return known;
    if (this.#open.has(question)) return UNKNOWN;
    const decision = this.#authorizer.authorize(attributes, this.#asker);
    if (!(decision instanceof Promise)) return decision;
    this.#open.set(question || JSON.stringify(attributes), decision);
    return UNKNOWN;
  }

  async decided<T>(work: () => T): Promise<T> {
    for (;;) {
      let outcome: { readonly value: T } | { readonly error: unknown };
      try {
        outcome = { value: work() };
      } catch (error) {
        outcome = { error };
      }
      if (this.#open.size === 0) {
        if ("error" in outcome) throw outcome.error;
        return outcome.value;
      }
      const open = this.#open;
      this.#open = new Map();
      for (const [question, decision] of open) this.#answers.set(question, await decision);
    }
  }
}

/** The authorizer variable for the user of the request. */
function authorizerValue(attributes: AdmissionAttributes, checks: Checks): CelAuthorizer {
  const { request, kind, subresource, namespace, name } = attributes;
  const ask = (question: AuthorizationQuestion): AuthorizationDecision => {
    const { serviceAccount, verb, path, group, resource } = question;
    const user = serviceAccount === undefined ? request.user : serviceAccountUser(serviceAccount);
    const about = { group, resource, subresource: question.subresource, namespace: question.namespace };
    const asked = { user, verb, version: "*", ...about, name: question.name };
    return checks.ask(path === undefined ? asked : { ...asked, path });
  };
  return new CelAuthorizer(ask, {}, { group: kind.group, resource: kind.resource, subresource, namespace, name });
}

/** The values of a request, by the version that is asked for. */
export class RequestValues {
  readonly #deps: ValueDeps;
  readonly #attributes: AdmissionAttributes;
  readonly #checks: Checks;
  readonly #converted = new Map<KindDefinition, AdmissionAttributes>();
  readonly #old = new Map<KindDefinition, unknown>();
  readonly #requests = new Map<KindDefinition, unknown>();
  #common: Pick<PolicyValues, "namespaceObject" | "authorizer"> | undefined;

  constructor(deps: ValueDeps, attributes: AdmissionAttributes) {
    this.#deps = deps;
    this.#attributes = attributes;
    this.#checks = new Checks(deps.authorizer, attributes.request);
  }

  /**
   * The outcome of `work`, which evaluates expressions and changes nothing: it is done again where it asks the authorizer what
   * that cannot say at once. Rejects with what `work` throws.
   */
  decided<T>(work: () => T): Promise<T> {
    return this.#checks.decided(work);
  }

  /** Has the objects converted, where `kind` is a version that a webhook makes. Rejects with StatusError. */
  async prepare(kind: KindDefinition): Promise<void> {
    if (!needsConversion(this.#attributes.kind, kind) || this.#converted.has(kind)) return;
    this.#converted.set(kind, await attributesIn(kind, this.#attributes));
  }

  /** `params` is null for a policy that takes none. The object is looked at anew each time: it may have been changed. */
  of(kind: KindDefinition, params: KubeObject | null): PolicyValues {
    const attributes = this.#converted.get(kind) ?? this.#attributes;
    this.#common ??= {
      namespaceObject: namespaceValue(attributes, this.#deps.source),
      authorizer: authorizerValue(attributes, this.#checks),
    };
    return {
      ...this.#common,
      object: dynamicValue(reviewObject(kind, attributes)),
      oldObject: once(this.#old, kind, () => dynamicValue(reviewOld(kind, attributes))),
      request: once(this.#requests, kind, () => requestValue(kind, attributes)),
      params: dynamicValue(params),
    };
  }
}

function once<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  if (!known.has(key)) known.set(key, make());
  return known.get(key) as V;
}

/** Objects are variables of their own, and a request of this process has no id. */
function requestValue(kind: KindDefinition, attributes: AdmissionAttributes): unknown {
  const {
    uid: _uid,
    object: _object,
    oldObject: _old,
    ...request
  } = reviewRequest("", kind, attributes) as Record<string, unknown>;
  return dynamicValue(request);
}
