// Authorizers in order, as one. Guarantees: members of system:masters may do everything and nobody is asked of them; the first
// authorizer to allow or to forbid decides; where none does, nothing is allowed and all reasons are told; the answer is there at
// once unless one that is asked has to ask somebody outside.
// https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-allowed-or-denied
import type { PolicyRule } from "@coxswain/api";
import { aggregateText } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import type { Asker, AuthorizationAttributes, AuthorizationDecision, Authorizer } from "../pipeline/contract.ts";

export const MASTERS_GROUP = "system:masters";

export const ALLOWED: AuthorizationDecision = { allowed: true, reason: "" };
export const NO_OPINION: AuthorizationDecision = { allowed: false, reason: "" };
export const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/** What a user may do, as far as authorizers can tell. */
export interface KnownRules {
  readonly rules: readonly PolicyRule[];
  /** Why there may be more. */
  readonly unknown: readonly string[];
}

export interface RuleResolver {
  /** The namespace is "" for rules that hold cluster-wide alone. */
  rulesFor(user: UserInfo, namespace: string): KnownRules;
}

/** One that is neither allowed nor `denied` is for the next to decide. */
export interface ChainLink extends Authorizer, RuleResolver {
  /** As in Webhook. */
  readonly type: string;
  readonly name: string;
  close?(): void;
}

/** How often an authorizer has decided. */
export interface DecisionCount {
  readonly type: string;
  readonly name: string;
  allowed: number;
  denied: number;
}

interface Question {
  readonly attributes: AuthorizationAttributes;
  readonly asker: Asker | undefined;
}

export class AuthorizerChain implements Authorizer, RuleResolver {
  readonly #links: readonly ChainLink[];
  /** In the order of the authorizers. */
  readonly counts: readonly DecisionCount[];

  constructor(links: readonly ChainLink[]) {
    this.#links = links;
    this.counts = links.map(({ type, name }) => ({ type, name, allowed: 0, denied: 0 }));
  }

  authorize(
    attributes: AuthorizationAttributes,
    asker?: Asker,
  ): AuthorizationDecision | Promise<AuthorizationDecision> {
    if (attributes.user.groups.includes(MASTERS_GROUP)) return ALLOWED;
    return this.#ask(0, { attributes, asker }, [], []);
  }

  rulesFor(user: UserInfo, namespace: string): KnownRules {
    const known = this.#links.map((link) => link.rulesFor(user, namespace));
    return { rules: known.flatMap(({ rules }) => rules), unknown: known.flatMap(({ unknown }) => unknown) };
  }

  close(): void {
    for (const link of this.#links) link.close?.();
  }

  #ask(
    from: number,
    question: Question,
    reasons: string[],
    errors: string[],
  ): AuthorizationDecision | Promise<AuthorizationDecision> {
    for (let at = from; at < this.#links.length; at++) {
      const decision = this.#links[at]!.authorize(question.attributes, question.asker);
      if (decision instanceof Promise) {
        return decision.then((made) =>
          this.#settles(at, made, reasons, errors) ? made : this.#ask(at + 1, question, reasons, errors),
        );
      }
      if (this.#settles(at, decision, reasons, errors)) return decision;
    }
    if (reasons.length === 0 && errors.length === 0) return NO_OPINION;
    const error = errors.length === 0 ? {} : { error: aggregateText(errors) };
    return { allowed: false, reason: reasons.join("\n"), ...error };
  }

  #settles(at: number, { allowed, denied, reason, error }: AuthorizationDecision, reasons: string[], errors: string[]) {
    if (allowed) this.counts[at]!.allowed++;
    else if (denied === true) this.counts[at]!.denied++;
    if (allowed || denied === true) return true;
    if (reason !== "") reasons.push(reason);
    if (error !== undefined) errors.push(error);
    return false;
  }
}

const NOTHING: KnownRules = { rules: [], unknown: [] };

export const alwaysAllow: ChainLink = {
  type: "AlwaysAllow",
  name: "alwaysallow",
  authorize: () => ALLOWED,
  rulesFor: () => ({ rules: EVERYTHING, unknown: [] }),
};

const FORBIDDEN: AuthorizationDecision = { allowed: false, reason: "Everything is forbidden." };

/** It lets the next one decide, as upstream's does. */
export const alwaysDeny: ChainLink = {
  type: "AlwaysDeny",
  name: "alwaysdeny",
  authorize: () => FORBIDDEN,
  rulesFor: () => NOTHING,
};
