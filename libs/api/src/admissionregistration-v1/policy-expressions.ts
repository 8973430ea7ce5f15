// The expressions of admission policies: what they can speak of, and what is wrong with them. Guarantees: variables see only
// those that stand before them; what an expression gives must be of the type that its place wants, known when it is compiled.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#validation-expression
import { AUTHORIZER_TYPE, CelScope, type CelType } from "@coxswain/cel";
import type { Variable } from "../types.gen.ts";

const DYNAMIC: CelType = { is: "dyn" };
const TEXT: CelType = { is: "string" };
const TEXTS: CelType = { is: "list", items: TEXT };
const TIME: CelType = { is: "timestamp" };
const TEXT_MAP: CelType = { is: "map", values: TEXT };

const object = (name: string, fields: Readonly<Record<string, CelType>>): CelType => ({
  is: "object",
  name: `kubernetes.${name}`,
  fields,
});

const KIND = object("GroupVersionKind", { group: TEXT, version: TEXT, kind: TEXT });
const RESOURCE = object("GroupVersionResource", { group: TEXT, version: TEXT, resource: TEXT });

const REQUEST = object("AdmissionRequest", {
  kind: KIND,
  resource: RESOURCE,
  subResource: TEXT,
  requestKind: KIND,
  requestResource: RESOURCE,
  requestSubResource: TEXT,
  name: TEXT,
  namespace: TEXT,
  operation: TEXT,
  userInfo: object("UserInfo", { username: TEXT, uid: TEXT, groups: TEXTS, extra: { is: "map", values: TEXTS } }),
  dryRun: { is: "bool" },
  options: DYNAMIC,
});

const NAMESPACE = object("Namespace", {
  metadata: object("NamespaceMetadata", {
    name: TEXT,
    generateName: TEXT,
    namespace: TEXT,
    labels: TEXT_MAP,
    annotations: TEXT_MAP,
    UID: TEXT,
    creationTimestamp: TIME,
    deletionGracePeriodSeconds: { is: "int" },
    deletionTimestamp: TIME,
    generation: { is: "int" },
    resourceVersion: TEXT,
    finalizers: TEXTS,
  }),
  spec: object("NamespaceSpec", { finalizers: TEXTS }),
  status: object("NamespaceStatus", {
    conditions: {
      is: "list",
      items: object("NamespaceCondition", {
        status: TEXT,
        type: TEXT,
        lastTransitionTime: TIME,
        message: TEXT,
        reason: TEXT,
      }),
    },
    phase: TEXT,
  }),
});

const AUTHORIZER: CelType = { is: "declared", name: AUTHORIZER_TYPE };

/** What an expression can speak of besides the request. */
export interface ExpressionPlace {
  readonly params: boolean;
  readonly authorizer: boolean;
  /** Whether it may make objects and patches. */
  readonly patches?: boolean;
  /** Types of what is dynamic otherwise. */
  readonly types?: { readonly object: CelType; readonly params?: CelType };
}

/** An outcome of a check: undefined where all is well. */
export type Issue = string | undefined;

function scopeOf(place: ExpressionPlace, variables: Readonly<Record<string, CelType>> | undefined): CelScope {
  const { types, params, authorizer, patches = false } = place;
  const subject = types?.object ?? DYNAMIC;
  return new CelScope(
    {
      object: subject,
      oldObject: subject,
      request: REQUEST,
      namespaceObject: NAMESPACE,
      ...(params ? { params: types?.params ?? DYNAMIC } : {}),
      ...(authorizer ? { authorizer: AUTHORIZER } : {}),
      ...(variables === undefined ? {} : { variables: object("variables", variables) }),
    },
    { patches },
  );
}

/** What is wrong with an expression in `scope`. `wanted` are the types that it may give; undefined: types are looked at only. */
function issueIn(scope: CelScope, expression: string, wanted: readonly string[] | undefined): Issue {
  const compiled = scope.compile(expression);
  if ("issue" in compiled) return wanted === undefined ? compiled.issue : `compilation failed: ${compiled.issue}`;
  const { typeText } = compiled.program;
  const type = typeText === "null" ? "null_type" : typeText;
  if (wanted === undefined || wanted.includes(type)) return undefined;
  const choice = wanted.length === 1 ? wanted[0] : `one of [${wanted.join(" ")}]`;
  return `must evaluate to ${choice} but got ${type}`;
}

/** Checks expressions that may use a policy's variables. Made once for a policy; scopes are made when they are needed. */
export class PolicyExpressions {
  readonly #place: ExpressionPlace;
  readonly #types: Record<string, CelType> = {};
  readonly #scopes = new Map<boolean, CelScope>();
  /** By the variable's place in the list. */
  readonly variableIssues: readonly Issue[];

  constructor(place: ExpressionPlace, variables: readonly Pick<Variable, "name" | "expression">[]) {
    this.#place = place;
    this.variableIssues = variables.map(({ name, expression }) => {
      // What lacks a part is told elsewhere.
      const compiled = scopeOf(place, { ...this.#types }).compile(expression ?? "");
      const known = "program" in compiled;
      this.#types[name ?? ""] = known ? { is: "declared", name: compiled.program.type } : DYNAMIC;
      return known ? undefined : `compilation failed: ${compiled.issue}`;
    });
  }

  check(expression: string, wanted: readonly string[] | undefined, authorizer = this.#place.authorizer): Issue {
    let scope = this.#scopes.get(authorizer);
    if (scope === undefined) {
      scope = scopeOf({ ...this.#place, authorizer }, this.#types);
      this.#scopes.set(authorizer, scope);
    }
    return issueIn(scope, expression, wanted);
  }
}

const conditionScopes = new Map<boolean, CelScope>();

/** A match condition knows no variables. */
export function conditionIssue(expression: string, params: boolean): Issue {
  let scope = conditionScopes.get(params);
  if (scope === undefined) {
    scope = scopeOf({ params, authorizer: true }, undefined);
    conditionScopes.set(params, scope);
  }
  return issueIn(scope, expression, ["bool"]);
}
