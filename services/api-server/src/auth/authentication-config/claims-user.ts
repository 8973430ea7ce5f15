// The user that the verified claims of a token stand for, by the mappings of its authenticator. Pure.
import { newUnauthorized, type StatusError } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { AUTHENTICATED_GROUP } from "../identity.ts";
import type { ClaimPrograms } from "./claim-programs.ts";
import type { ClaimSource, JwtAuthenticator } from "./types.ts";

type Claims = Readonly<Record<string, unknown>>;

const refuse = (why: string): StatusError => newUnauthorized(`oidc: ${why}`);

/** @throws StatusError Unauthorized */
export function claimsUser(claims: Claims, authenticator: JwtAuthenticator, programs: ClaimPrograms): UserInfo {
  const mapper = new Mapper(claims, authenticator, programs);
  const username = mapper.username();
  const groups = mapper.groups();
  const uid = mapper.uid();
  const extra = mapper.extra();
  mapper.checkClaims();
  const user = { username, uid: uid ?? "", groups, extra };
  for (const { expression, message } of authenticator.userRules) {
    if (mapper.ask(expression, "user", user, "user info validation rule") === true) continue;
    throw refuse(
      `error evaluating user info validation rule: ${message || `validation expression '${expression}' failed`}`,
    );
  }
  return {
    username,
    groups: [...groups, AUTHENTICATED_GROUP],
    ...(uid === undefined ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}

class Mapper {
  readonly #claims: Claims;
  readonly #authenticator: JwtAuthenticator;
  readonly #programs: ClaimPrograms;

  constructor(claims: Claims, authenticator: JwtAuthenticator, programs: ClaimPrograms) {
    this.#claims = claims;
    this.#authenticator = authenticator;
    this.#programs = programs;
  }

  ask(expression: string, of: "claims" | "user", json: unknown, what: string): unknown {
    try {
      return this.#programs.value(expression, of, json);
    } catch (error) {
      throw refuse(`error evaluating ${what}: ${(error as Error).message}`);
    }
  }

  username(): string {
    const { claim = "", expression, prefix = "" } = this.#authenticator.mappings.username;
    if (expression !== undefined) {
      const name = this.ask(expression, "claims", this.#claims, "username claim expression");
      if (typeof name !== "string")
        throw refuse("error evaluating username claim expression: username claim expression must return a string");
      if (name === "") throw refuse("empty username via CEL expression is not allowed");
      return name;
    }
    const name = this.#claims[claim];
    if (typeof name !== "string") throw refuse(`parse username claims "${claim}": claim not present`);
    const proved = this.#claims["email_verified"];
    if (claim === "email" && proved !== undefined && proved !== true) throw refuse("email not verified");
    return prefix + name;
  }

  groups(): string[] {
    const source = this.#authenticator.mappings.groups;
    if (source === undefined) return [];
    const given = this.#valueOf(source, "group");
    return textsOf(given, `groups claim "${source.claim ?? source.expression}"`).map(
      (group) => (source.prefix ?? "") + group,
    );
  }

  uid(): string | undefined {
    const source = this.#authenticator.mappings.uid;
    if (source === undefined) return undefined;
    const uid = this.#valueOf(source, "uid");
    if (source.claim !== undefined && uid === undefined)
      throw refuse(`parse uid claim "${source.claim}": claim not present`);
    if (typeof uid !== "string")
      throw refuse("error evaluating uid claim expression: uid claim expression must return a string");
    return uid;
  }

  /** Keys without a value are left out. */
  extra(): Record<string, string[]> {
    const extra: Record<string, string[]> = {};
    const { jti } = this.#claims;
    if (typeof jti === "string" && jti !== "") extra["authentication.kubernetes.io/credential-id"] = [`JTI=${jti}`];
    for (const { key, expression } of this.#authenticator.mappings.extra) {
      const values = textsOf(this.ask(expression, "claims", this.#claims, "extra claim expression"), `extra "${key}"`);
      const told = values.filter((value) => value !== "");
      if (told.length > 0) extra[key] = told;
    }
    return extra;
  }

  checkClaims(): void {
    for (const { claim, requiredValue, expression, message } of this.#authenticator.claimRules) {
      if (expression !== undefined) {
        if (this.ask(expression, "claims", this.#claims, "claim validation expression") === true) continue;
        const why = message || `validation expression '${expression}' failed`;
        throw refuse(`error evaluating claim validation expression: ${why}`);
      }
      if (claim === undefined) continue;
      const value = this.#claims[claim];
      if (value === undefined) throw refuse(`required claim ${claim} not present in ID token`);
      if (value !== requiredValue) {
        throw refuse(
          `required claim ${claim} value does not match. Got = ${JSON.stringify(value)}, want = ${requiredValue}`,
        );
      }
    }
  }

  #valueOf({ claim, expression }: ClaimSource, what: string): unknown {
    if (expression !== undefined) return this.ask(expression, "claims", this.#claims, `${what} claim expression`);
    return this.#claims[claim ?? ""];
  }
}

/** One text, or many; none where there is nothing. */
function textsOf(value: unknown, what: string): string[] {
  if (value === undefined || value === null) return [];
  const list: unknown[] = Array.isArray(value) ? value : [value];
  if (list.some((one) => typeof one !== "string"))
    throw refuse(`parse ${what}: neither a string nor a list of strings`);
  return list as string[];
}
