// What is done about an authorizer's decision: a 403 in upstream's words, or a 500 where it could not be made. At once where the
// authorizer decides at once.
import { newForbidden, newInternalError } from "@coxswain/apimachinery";
import type { StatusError } from "@coxswain/apimachinery";
import type { Asker, AuthorizationAttributes, AuthorizationDecision, Authorizer } from "../pipeline/contract.ts";

/** As in `User "x" cannot list resource "pods" in API group "" in the namespace "default"`. */
export function denialOf(attributes: AuthorizationAttributes): string {
  const who = `User ${JSON.stringify(attributes.user.username)} cannot ${attributes.verb}`;
  if (attributes.path !== undefined) return `${who} path ${JSON.stringify(attributes.path)}`;
  const resource =
    attributes.subresource === "" ? attributes.resource : `${attributes.resource}/${attributes.subresource}`;
  const where =
    attributes.namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(attributes.namespace)}`;
  return `${who} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(attributes.group)} ${where}`;
}

/** The 403 for a request that is not allowed, or the 500 where somebody could not be asked. */
export function refusal(attributes: AuthorizationAttributes, { reason, error }: AuthorizationDecision): StatusError {
  if (error !== undefined) return newInternalError(new Error(error));
  const text = reason === "" ? denialOf(attributes) : `${denialOf(attributes)}: ${reason}`;
  if (attributes.path !== undefined) return newForbidden({ group: "", resource: "" }, "", text);
  return newForbidden({ group: attributes.group, resource: attributes.resource }, attributes.name, text);
}

/** Says something of the request in the audit log. */
export type Annotate = (key: string, value: string) => void;

const DECISION = "authorization.k8s.io/decision";
const REASON = "authorization.k8s.io/reason";

function conclude(attributes: AuthorizationAttributes, decision: AuthorizationDecision, annotate?: Annotate): void {
  const { allowed, error, reason } = decision;
  if (annotate !== undefined) {
    if (allowed || error === undefined) annotate(DECISION, allowed ? "allow" : "forbid");
    annotate(REASON, allowed || error === undefined ? reason : "internal error");
  }
  if (!allowed) throw refusal(attributes, decision);
}

/** Throws, or rejects with, StatusError where `attributes` are not allowed. */
export function demand(
  authorizer: Authorizer,
  attributes: AuthorizationAttributes,
  annotate?: Annotate,
  asker?: Asker,
): void | Promise<void> {
  const decision = authorizer.authorize(attributes, asker);
  if (decision instanceof Promise) return decision.then((made) => conclude(attributes, made, annotate));
  conclude(attributes, decision, annotate);
}
