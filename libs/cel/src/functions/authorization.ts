// The authorizer variable: whether the user of a request may do something else too.
// https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
import { validateDns1123Label, validateDns1123Subdomain } from "@coxswain/apimachinery";
import type { Environment } from "@marcbachmann/cel-js";
import { celError, registerAll } from "./definition.ts";

export interface AuthorizationQuestion {
  /** Set where the question is not about the user of the request. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
  readonly verb: string;
  /** Set for what is no resource; the rest is empty then. */
  readonly path?: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

/** `error` where somebody could not be asked. */
export type AskAuthorizer = (question: AuthorizationQuestion) => {
  readonly allowed: boolean;
  readonly reason: string;
  readonly error?: string;
};

type Partly = Partial<AuthorizationQuestion>;

class Check {
  readonly ask: AskAuthorizer;
  readonly question: Partly;
  constructor(ask: AskAuthorizer, question: Partly) {
    this.ask = ask;
    this.question = question;
  }
}
class PathCheck extends Check {}
class GroupCheck extends Check {}
class ResourceCheck extends Check {}
/** The variable; `requestResource` asks about what the request is about. */
export class CelAuthorizer extends Check {
  readonly requestResource: ResourceCheck;
  constructor(ask: AskAuthorizer, question: Partly, requested: Partly) {
    super(ask, question);
    this.requestResource = new ResourceCheck(ask, { ...question, ...requested });
  }
}
class Decision {
  readonly allowed: boolean;
  readonly reason: string;
  readonly error: string | undefined;
  constructor(allowed: boolean, reason: string, error: string | undefined) {
    this.allowed = allowed;
    this.reason = reason;
    this.error = error;
  }
}

const NAME = "kubernetes.authorization.";
export const AUTHORIZER_TYPE = `${NAME}Authorizer`;
const EMPTY = { group: "", resource: "", subresource: "", namespace: "", name: "" };

function check({ ask, question }: Check, verb: string): Decision {
  const { allowed, reason, error } = ask({ ...EMPTY, ...question, verb });
  return new Decision(allowed, reason, error);
}

function required(what: string, text: string): string {
  if (text.trim() === "") throw celError(`${what} must not be empty`);
  return text;
}

function serviceAccount({ ask, requestResource }: CelAuthorizer, namespace: string, name: string): CelAuthorizer {
  if (validateDns1123Subdomain(name).length > 0) throw celError("Invalid service account name");
  if (validateDns1123Label(namespace).length > 0) throw celError("Invalid service account namespace");
  return new CelAuthorizer(ask, { serviceAccount: { namespace, name } }, requestResource.question);
}

export function registerAuthorization(environment: Environment): void {
  const [path, group, resource, decision] = ["PathCheck", "GroupCheck", "ResourceCheck", "Decision"].map(
    (name) => NAME + name,
  );
  environment.registerType(path!, { ctor: PathCheck } as never);
  environment.registerType(group!, { ctor: GroupCheck } as never);
  environment.registerType(resource!, { ctor: ResourceCheck } as never);
  environment.registerType(decision!, { ctor: Decision } as never);
  environment.registerType(AUTHORIZER_TYPE, { ctor: CelAuthorizer, fields: { requestResource: resource } } as never);
  const narrowed =
    (field: keyof AuthorizationQuestion) =>
    ({ ask, question }: Check, text: string): ResourceCheck =>
      new ResourceCheck(ask, { ...question, [field]: text });
  registerAll(environment, {
    [`${AUTHORIZER_TYPE}.path(string): ${path}`]: ({ ask, question }: Check, text: string) =>
      new PathCheck(ask, { ...question, path: required("path", text) }),
    [`${AUTHORIZER_TYPE}.group(string): ${group}`]: ({ ask, question }: Check, text: string) =>
      new GroupCheck(ask, { ...question, group: text }),
    [`${AUTHORIZER_TYPE}.serviceAccount(string, string): ${AUTHORIZER_TYPE}`]: serviceAccount,
    [`${group}.resource(string): ${resource}`]: ({ ask, question }: Check, text: string) =>
      new ResourceCheck(ask, { ...question, resource: required("resource", text) }),
    [`${resource}.subresource(string): ${resource}`]: narrowed("subresource"),
    [`${resource}.namespace(string): ${resource}`]: narrowed("namespace"),
    [`${resource}.name(string): ${resource}`]: narrowed("name"),
    [`${resource}.fieldSelector(string): ${resource}`]: narrowed("fieldSelector"),
    [`${resource}.labelSelector(string): ${resource}`]: narrowed("labelSelector"),
    [`${path}.check(string): ${decision}`]: check,
    [`${resource}.check(string): ${decision}`]: check,
    [`${decision}.allowed(): bool`]: ({ allowed }: Decision) => allowed,
    [`${decision}.reason(): string`]: ({ reason }: Decision) => reason,
    [`${decision}.errored(): bool`]: ({ error }: Decision) => error !== undefined,
    [`${decision}.error(): string`]: ({ error }: Decision) => error ?? "",
  });
}
