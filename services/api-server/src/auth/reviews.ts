// Answers the review kinds: may this user do that, who am I, whose token is this. Nothing is stored; answers come from the
// same authorizer and authenticator that guard every request, so they cannot differ from what a request would meet.
import type {
  ResourceAttributes,
  SelfSubjectAccessReview,
  SelfSubjectReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  TokenReview,
} from "@coxswain/api";
import { aggregateText, StatusError, fieldInvalid, newBadRequest, newInvalid } from "@coxswain/apimachinery";
import type { KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Asker, AuthorizationAttributes, Authorizer } from "../pipeline/contract.ts";
import type { DocumentRequest } from "../pipeline/extension.ts";
import { type KnownRules, type RuleResolver } from "./authorizer-chain.ts";
import type { TokenAuthenticator } from "./token-authenticator.ts";

export interface ReviewDeps {
  readonly authorizer: Authorizer & RuleResolver;
  readonly tokens: TokenAuthenticator;
}

interface AccessSpec {
  resourceAttributes?: ResourceAttributes;
  nonResourceAttributes?: { path?: string; verb?: string };
}

const GROUP = "authorization.k8s.io";

interface SelectorAttributes {
  readonly rawSelector?: string;
  readonly requirements?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** As a request would have it. What cannot be written so narrows nothing, as upstream's authorizers take it. */
function selectorText({ rawSelector, requirements = [] }: SelectorAttributes): string {
  const terms = requirements.flatMap(({ key, operator, values = [] }) => {
    const [value = ""] = values;
    if (operator === "Exists") return [key];
    if (operator === "DoesNotExist") return [`!${key}`];
    if (operator !== "In" && operator !== "NotIn") return [];
    if (values.length === 1) return [`${key}${operator === "In" ? "=" : "!="}${value}`];
    return [`${key} ${operator === "In" ? "in" : "notin"} (${values.join(",")})`];
  });
  return rawSelector || terms.join(",");
}

function selectorsOf(
  resource: ResourceAttributes | undefined,
): Pick<AuthorizationAttributes, "fieldSelector" | "labelSelector"> {
  const { fieldSelector, labelSelector } = resource ?? {};
  return {
    ...(fieldSelector === undefined ? {} : { fieldSelector: selectorText(fieldSelector) }),
    ...(labelSelector === undefined ? {} : { labelSelector: selectorText(labelSelector) }),
  };
}

function attributesOf(kind: string, user: UserInfo, spec: AccessSpec): AuthorizationAttributes {
  const { resourceAttributes: resource, nonResourceAttributes: path } = spec;
  if ((resource === undefined) === (path === undefined)) {
    const error =
      resource === undefined
        ? fieldInvalid(
            "spec.resourceAttributes",
            null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
          )
        : fieldInvalid(
            "spec.nonResourceAttributes",
            path,
            "cannot be specified in combination with resourceAttributes",
          );
    throw newInvalid({ group: GROUP, kind }, "", [error]);
  }
  const base = { user, group: "", resource: "", subresource: "", namespace: "", name: "" };
  if (path !== undefined) return { ...base, verb: path.verb ?? "", path: path.path ?? "" };
  return {
    ...base,
    verb: resource?.verb ?? "",
    group: resource?.group ?? "",
    version: resource?.version ?? "",
    resource: resource?.resource ?? "",
    subresource: resource?.subresource ?? "",
    namespace: resource?.namespace ?? "",
    name: resource?.name ?? "",
    ...selectorsOf(resource),
  };
}

async function accessStatus(deps: ReviewDeps, attributes: AuthorizationAttributes, asker: Asker) {
  const { allowed, denied, reason, error } = await deps.authorizer.authorize(attributes, asker);
  return {
    allowed,
    ...(denied === true ? { denied } : {}),
    ...(reason === "" ? {} : { reason }),
    ...(error === undefined ? {} : { evaluationError: error }),
  };
}

function subjectOf(kind: string, spec: NonNullable<SubjectAccessReview["spec"]>): UserInfo {
  if ((spec.user ?? "") === "" && (spec.groups ?? []).length === 0) {
    const error = fieldInvalid("spec.user", "", "at least one of user or group must be specified");
    throw newInvalid({ group: GROUP, kind }, "", [error]);
  }
  const { user = "", groups = [], uid, extra } = spec;
  return { username: user, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) };
}

function rulesStatus({ rules, unknown }: KnownRules): SelfSubjectRulesReview["status"] {
  const orStar = (list: string[] | undefined): Record<"apiGroups", string[]> | object =>
    list === undefined ? {} : { apiGroups: list };
  return {
    resourceRules: rules
      .filter((rule) => (rule.resources ?? []).length > 0)
      .map((rule) => ({
        verbs: rule.verbs,
        ...orStar(rule.apiGroups),
        resources: rule.resources ?? [],
        ...(rule.resourceNames === undefined ? {} : { resourceNames: rule.resourceNames }),
      })),
    nonResourceRules: rules
      .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
      .map((rule) => ({ verbs: rule.verbs, nonResourceURLs: rule.nonResourceURLs ?? [] })),
    incomplete: unknown.length > 0,
    ...(unknown.length === 0 ? {} : { evaluationError: aggregateText(unknown) }),
  };
}

function plainUser(user: UserInfo): NonNullable<NonNullable<SelfSubjectReview["status"]>["userInfo"]> {
  const extra = Object.fromEntries(Object.entries(user.extra ?? {}).map(([key, values]) => [key, [...values]]));
  return {
    username: user.username,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: [...user.groups],
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

async function tokenReview(deps: ReviewDeps, review: TokenReview): Promise<TokenReview> {
  const token = review.spec.token ?? "";
  if (token === "") {
    throw newBadRequest("token is required for TokenReview in authentication");
  }
  const asked = review.spec.audiences?.length ? review.spec.audiences : undefined;
  try {
    const { user, audiences } = await deps.tokens.authenticate(token, asked);
    return { ...review, status: { authenticated: true, user: plainUser(user), audiences: [...audiences] } };
  } catch (error) {
    const message = error instanceof Error ? error.message : "token is not valid";
    return { ...review, status: { authenticated: false, user: {}, error: message } };
  }
}

/** Answers a create of any review kind with the review and its status filled in. */
export function createReviews(deps: ReviewDeps): (input: DocumentRequest) => Promise<KubeObject> {
  return async ({ body: sent, kind, request }) => {
    // A body without a spec is a body with an empty one.
    const body = kind.kind === "SelfSubjectReview" ? sent : withSpec(sent);
    const errors = kind.group === GROUP ? kind.validateCreate(body) : [];
    if (errors.length > 0) throw newInvalid({ group: GROUP, kind: kind.kind }, "", errors);
    switch (kind.kind) {
      case "SelfSubjectAccessReview": {
        const review = body as SelfSubjectAccessReview;
        return {
          ...review,
          status: await accessStatus(deps, attributesOf(kind.kind, request.user, review.spec), request),
        } as KubeObject;
      }
      case "LocalSubjectAccessReview":
      case "SubjectAccessReview": {
        const review = body as SubjectAccessReview;
        const subject = subjectOf(kind.kind, review.spec);
        if (kind.kind === "LocalSubjectAccessReview") checkLocal(review, request.namespace);
        return {
          ...review,
          status: await accessStatus(deps, attributesOf(kind.kind, subject, review.spec), request),
        } as KubeObject;
      }
      case "SelfSubjectRulesReview": {
        const review = body as SelfSubjectRulesReview;
        const namespace = review.spec.namespace ?? "";
        if (namespace === "") throw newBadRequest("no namespace on request");
        return { ...review, status: rulesStatus(deps.authorizer.rulesFor(request.user, namespace)) } as KubeObject;
      }
      case "SelfSubjectReview":
        return { ...(body as SelfSubjectReview), status: { userInfo: plainUser(request.user) } } as KubeObject;
      case "TokenReview":
        return tokenReview(deps, body as TokenReview);
      default:
        throw new StatusError("MethodNotAllowed", 405, `${kind.kind} cannot be answered`);
    }
  };
}

function withSpec(body: KubeObject): KubeObject & { spec: object } {
  const { spec } = body as { spec?: object | null };
  return { ...body, spec: spec ?? {} };
}

function checkLocal(review: SubjectAccessReview, namespace: string): void {
  const asked = review.spec.resourceAttributes?.namespace ?? "";
  if (asked === namespace) return;
  const error = fieldInvalid("spec.resourceAttributes.namespace", asked, "must match metadata.namespace");
  throw newInvalid({ group: GROUP, kind: "LocalSubjectAccessReview" }, "", [error]);
}
