// The AuthenticationConfiguration of --authentication-config: whose tokens are taken and what users they stand for, and which paths
// callers without credentials reach. Pure. Every mistake in the file is told with its path.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration
import {
  childPath,
  fieldDuplicate,
  fieldErrorText,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  indexPath,
  isJsonObject,
  type FieldError,
} from "@coxswain/apimachinery";
import { parse as parseYaml } from "yaml";
import { ClaimPrograms } from "./claim-programs.ts";
import type {
  AnonymousRules,
  AuthenticationRules,
  ClaimMappings,
  ClaimRule,
  ClaimSource,
  Issuer,
  JwtAuthenticator,
  UserRule,
} from "./types.ts";

export class AuthenticationConfigError extends Error {
  override readonly name = "AuthenticationConfigError";
}

const GROUP = "apiserver.config.k8s.io";
const VERSIONS = ["v1", "v1beta1", "v1alpha1"].map((version) => `${GROUP}/${version}`);
const MAX_ISSUERS = 64;

type Raw = Readonly<Record<string, unknown>>;

/** `ownIssuers`: of the cluster's own tokens, which no other may claim to be. @throws AuthenticationConfigError */
export function parseAuthenticationConfiguration(text: string, ownIssuers: readonly string[]): AuthenticationRules {
  let parsed: unknown;
  try {
    parsed = parseYaml(text);
  } catch (error) {
    throw new AuthenticationConfigError(`authentication configuration: ${(error as Error).message}`);
  }
  if (!isJsonObject(parsed) || parsed["kind"] !== "AuthenticationConfiguration" || !isVersion(parsed["apiVersion"])) {
    throw new AuthenticationConfigError(
      `authentication configuration: must be an AuthenticationConfiguration of ${VERSIONS.join(", ")}`,
    );
  }
  const reader = new Reader(ownIssuers);
  const rules = reader.rules(parsed);
  if (reader.errors.length > 0) {
    throw new AuthenticationConfigError(reader.errors.map((error) => fieldErrorText(error)).join(", "));
  }
  return rules;
}

const isVersion = (version: unknown): boolean => typeof version === "string" && VERSIONS.includes(version);

class Reader {
  readonly errors: FieldError[] = [];
  readonly #ownIssuers: readonly string[];
  readonly #programs = new ClaimPrograms();

  constructor(ownIssuers: readonly string[]) {
    this.#ownIssuers = ownIssuers;
  }

  rules(config: Raw): AuthenticationRules {
    this.#known(config, ["apiVersion", "kind", "jwt", "anonymous"], "");
    const list = this.#list(config["jwt"], "jwt");
    if (list.length > MAX_ISSUERS) this.errors.push(fieldTooMany("jwt", list.length, MAX_ISSUERS));
    const jwt = list.map((one, index) => this.#authenticator(one, indexPath("jwt", index)));
    this.#distinct(
      jwt.map(({ issuer }) => issuer.url),
      (index) => `jwt[${index}].issuer.url`,
    );
    this.#distinct(
      jwt.map(({ issuer }) => issuer.discoveryURL),
      (index) => `jwt[${index}].issuer.discoveryURL`,
    );
    const anonymous =
      config["anonymous"] === undefined ? undefined : this.#anonymous(this.#object(config["anonymous"], "anonymous"));
    return { jwt, ...(anonymous === undefined ? {} : { anonymous }) };
  }

  #anonymous(raw: Raw): AnonymousRules {
    this.#known(raw, ["enabled", "conditions"], "anonymous");
    const enabled = raw["enabled"] === true;
    const list = this.#list(raw["conditions"], "anonymous.conditions");
    const paths = list.map((one, index) => this.#text(one, "path", indexPath("anonymous.conditions", index)) ?? "");
    if (!enabled && paths.length > 0) {
      const detail = "enabled should be set to true when conditions are defined";
      this.errors.push(fieldInvalid("anonymous.conditions", list, detail));
    }
    return { enabled, ...(paths.length === 0 ? {} : { paths }) };
  }

  #authenticator(raw: Raw, path: string): JwtAuthenticator {
    this.#known(raw, ["issuer", "claimValidationRules", "claimMappings", "userValidationRules"], path);
    const rules = childPath(path, "claimValidationRules");
    const users = childPath(path, "userValidationRules");
    const claimRules = this.#list(raw["claimValidationRules"], rules).map((one, at) =>
      this.#claimRule(one, indexPath(rules, at)),
    );
    const userRules = this.#list(raw["userValidationRules"], users).map((one, at) =>
      this.#userRule(one, indexPath(users, at)),
    );
    this.#distinct(
      claimRules.map(({ claim }) => claim),
      (at) => `${indexPath(rules, at)}.claim`,
    );
    this.#distinct(
      claimRules.map(({ expression }) => expression),
      (at) => `${indexPath(rules, at)}.expression`,
    );
    this.#distinct(
      userRules.map(({ expression }) => expression || undefined),
      (at) => `${indexPath(users, at)}.expression`,
    );
    const result: JwtAuthenticator = {
      issuer: this.#issuer(this.#object(raw["issuer"], childPath(path, "issuer")), childPath(path, "issuer")),
      claimRules,
      mappings: this.#mappings(
        this.#object(raw["claimMappings"], childPath(path, "claimMappings")),
        childPath(path, "claimMappings"),
      ),
      userRules,
    };
    this.#checkEmail(result, path);
    return result;
  }

  #issuer(raw: Raw, path: string): Issuer {
    const at = (name: string): string => childPath(path, name);
    this.#known(raw, ["url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy"], path);
    const url = this.#text(raw, "url", path) ?? "";
    if (url === "") this.errors.push(fieldRequired(at("url"), ""));
    else this.#url(url, at("url"));
    const discoveryURL = this.#text(raw, "discoveryURL", path) || undefined;
    if (discoveryURL !== undefined) {
      if (discoveryURL.replace(/\/$/, "") === url.replace(/\/$/, "")) {
        this.errors.push(fieldInvalid(at("discoveryURL"), discoveryURL, "discoveryURL must be different from URL"));
      }
      this.#url(discoveryURL, at("discoveryURL"));
    }
    const audiences = this.#audiences(raw, path);
    const ca = this.#text(raw, "certificateAuthority", path) || undefined;
    return {
      url,
      audiences,
      ...(discoveryURL === undefined ? {} : { discoveryURL }),
      ...(ca === undefined ? {} : { certificateAuthority: ca }),
    };
  }

  #url(text: string, path: string): void {
    if (this.#ownIssuers.includes(text)) {
      const detail = `URL must not overlap with disallowed issuers: [${this.#ownIssuers.join(" ")}]`;
      this.errors.push(fieldInvalid(path, text, detail));
    }
    if (!URL.canParse(text)) {
      this.errors.push(fieldInvalid(path, text, "must be a URL"));
      return;
    }
    const url = new URL(text);
    const refuse = (detail: string): void => void this.errors.push(fieldInvalid(path, text, detail));
    if (url.protocol !== "https:") refuse("URL scheme must be https");
    if (url.username !== "" || url.password !== "") refuse("URL must not contain a username or password");
    if (url.search !== "") refuse("URL must not contain a query");
    if (url.hash !== "") refuse("URL must not contain a fragment");
  }

  #audiences(raw: Raw, path: string): readonly string[] {
    const at = childPath(path, "audiences");
    const given = raw["audiences"];
    const audiences = Array.isArray(given) ? given.map(String) : [];
    if (audiences.length === 0) this.errors.push(fieldRequired(at, `at least one ${at} is required`));
    for (const [index, one] of audiences.entries())
      if (one === "") this.errors.push(fieldRequired(indexPath(at, index), ""));
    this.#distinct(audiences, (index) => indexPath(at, index));
    const policy = this.#text(raw, "audienceMatchPolicy", path) ?? "";
    const where = childPath(path, "audienceMatchPolicy");
    if (audiences.length > 1 && policy !== "MatchAny") {
      this.errors.push(fieldInvalid(where, policy, "audienceMatchPolicy must be MatchAny for multiple audiences"));
    } else if (policy !== "" && policy !== "MatchAny") {
      const detail = "audienceMatchPolicy must be empty or MatchAny for single audience";
      this.errors.push(fieldInvalid(where, policy, detail));
    }
    return audiences;
  }

  #claimRule(raw: Raw, path: string): ClaimRule {
    this.#known(raw, ["claim", "requiredValue", "expression", "message"], path);
    const [claim, expression] = [
      this.#text(raw, "claim", path) || undefined,
      this.#text(raw, "expression", path) || undefined,
    ];
    const [message, requiredValue] = [
      this.#text(raw, "message", path) ?? "",
      this.#text(raw, "requiredValue", path) ?? "",
    ];
    if (claim !== undefined && expression !== undefined) {
      this.errors.push(fieldInvalid(path, claim, "claim and expression can't both be set"));
    } else if (claim === undefined && expression === undefined) {
      this.errors.push(fieldRequired(path, "claim or expression is required"));
    } else if (claim !== undefined && message !== "") {
      this.errors.push(fieldInvalid(childPath(path, "message"), message, "may not be specified when claim is set"));
    } else if (expression !== undefined) {
      if (requiredValue !== "") {
        const detail = "may not be specified when expression is set";
        this.errors.push(fieldInvalid(childPath(path, "requiredValue"), requiredValue, detail));
      }
      this.#compiles(expression, "claims", "bool", childPath(path, "expression"));
    }
    return {
      requiredValue,
      message,
      ...(claim === undefined ? {} : { claim }),
      ...(expression === undefined ? {} : { expression }),
    };
  }

  #userRule(raw: Raw, path: string): UserRule {
    this.#known(raw, ["expression", "message"], path);
    const expression = this.#text(raw, "expression", path) ?? "";
    if (expression === "") this.errors.push(fieldRequired(childPath(path, "expression"), ""));
    else this.#compiles(expression, "user", "bool", childPath(path, "expression"));
    return { expression, message: this.#text(raw, "message", path) ?? "" };
  }

  #mappings(raw: Raw, path: string): ClaimMappings {
    this.#known(raw, ["username", "groups", "uid", "extra"], path);
    const at = (name: string): string => childPath(path, name);
    const username = this.#source(this.#object(raw["username"], at("username")), true, at("username"));
    if (username === undefined) this.errors.push(fieldRequired(at("username"), "claim or expression is required"));
    const groups = this.#source(this.#object(raw["groups"], at("groups")), true, at("groups"));
    const uid = this.#source(this.#object(raw["uid"], at("uid")), false, at("uid"));
    const extra = this.#list(raw["extra"], at("extra")).map((one, index) => {
      const here = indexPath(at("extra"), index);
      this.#known(one, ["key", "valueExpression"], here);
      const key = this.#text(one, "key", here) ?? "";
      this.#extraKey(key, childPath(here, "key"));
      const expression = this.#text(one, "valueExpression", here) ?? "";
      if (expression === "") this.errors.push(fieldRequired(childPath(here, "valueExpression"), ""));
      else this.#compiles(expression, "claims", "text", childPath(here, "valueExpression"));
      return { key, expression };
    });
    this.#distinct(
      extra.map(({ key }) => key),
      (index) => childPath(indexPath(at("extra"), index), "key"),
    );
    return {
      username: username ?? {},
      extra,
      ...(groups === undefined ? {} : { groups }),
      ...(uid === undefined ? {} : { uid }),
    };
  }

  #source(raw: Raw, prefixed: boolean, path: string): ClaimSource | undefined {
    this.#known(raw, ["claim", "expression", ...(prefixed ? ["prefix"] : [])], path);
    const [claim, expression] = [
      this.#text(raw, "claim", path) || undefined,
      this.#text(raw, "expression", path) || undefined,
    ];
    const prefix = this.#text(raw, "prefix", path);
    if (claim !== undefined && expression !== undefined) {
      this.errors.push(fieldInvalid(path, "", "claim and expression can't both be set"));
    } else if (expression !== undefined) {
      if (prefix !== undefined) {
        this.errors.push(
          fieldInvalid(childPath(path, "prefix"), prefix, "may not be specified when expression is set"),
        );
      }
      this.#compiles(expression, "claims", path.endsWith("groups") ? "text" : "string", childPath(path, "expression"));
    } else if (claim !== undefined && prefixed && prefix === undefined) {
      const detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
      this.errors.push(fieldRequired(childPath(path, "prefix"), detail));
    }
    if (claim === undefined && expression === undefined) return undefined;
    return {
      ...(claim === undefined ? {} : { claim }),
      ...(expression === undefined ? {} : { expression }),
      ...(prefix === undefined ? {} : { prefix }),
    };
  }

  #extraKey(key: string, path: string): void {
    const refuse = (detail: string): void => void this.errors.push(fieldInvalid(path, key, detail));
    if (!/^[^/]+\/./.test(key)) refuse('must be a domain-prefixed path (such as "acme.io/foo")');
    if (key !== key.toLowerCase()) refuse("must be lowercase");
    if (/(^|\.)(k8s|kubernetes)\.io\//.test(key)) {
      refuse("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    }
  }

  /** Whoever goes by an address asks whether its owner has proved it. */
  #checkEmail({ mappings, claimRules }: JwtAuthenticator, path: string): void {
    const expression = mappings.username.expression ?? "";
    if (!/\bclaims\.email\b/.test(expression)) return;
    const all = [
      expression,
      ...mappings.extra.map((one) => one.expression),
      ...claimRules.map((one) => one.expression ?? ""),
    ];
    if (all.some((text) => text.includes("claims.email_verified"))) return;
    const detail =
      "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";
    this.errors.push(fieldInvalid(childPath(path, "claimMappings", "username", "expression"), expression, detail));
  }

  #compiles(expression: string, of: "claims" | "user", want: "bool" | "string" | "text", path: string): void {
    const issue = this.#programs.issue(expression, of, want);
    if (issue !== undefined) this.errors.push(fieldInvalid(path, expression, issue));
  }

  #distinct(values: readonly (string | undefined)[], path: (index: number) => string): void {
    for (const [index, value] of values.entries()) {
      if (value !== undefined && values.indexOf(value) < index) this.errors.push(fieldDuplicate(path(index), value));
    }
  }

  #known(raw: Raw, names: readonly string[], path: string): void {
    for (const name of Object.keys(raw)) {
      if (!names.includes(name)) this.errors.push(fieldNotSupported(childPath(path, name), name, names));
    }
  }

  #text(raw: Raw, name: string, path: string): string | undefined {
    const value = raw[name];
    if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
    this.errors.push(fieldInvalid(childPath(path, name), value, "must be a string"));
    return undefined;
  }

  #object(value: unknown, path: string): Raw {
    if (value === undefined || value === null) return {};
    if (isJsonObject(value)) return value;
    this.errors.push(fieldInvalid(path, value, "must be an object"));
    return {};
  }

  #list(value: unknown, path: string): Raw[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((one, index) => this.#object(one, indexPath(path, index)));
    this.errors.push(fieldInvalid(path, value, "must be a list"));
    return [];
  }
}
