// Users of an OpenID Connect issuer. Guarantees: only tokens that the issuer's present keys signed, for our client, in their
// time, are taken; keys are fetched over TLS from the issuer alone, and again when a token names one that is not known, at
// most every ten seconds; a user name of an issuer cannot be mistaken for another's, and never begins with system:.
// https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens
import { newUnauthorized, StatusError } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import { readAtMost } from "@coxswain/component-base/read-at-most";
import type { Clock } from "@coxswain/env";
import { createLocalJWKSet, decodeJwt, errors, jwtVerify, type JSONWebKeySet, type JWTPayload } from "jose";
import { Agent, request } from "undici";
import { AUTHENTICATED_GROUP } from "./identity.ts";

export interface OidcOptions {
  /** https, no query. */
  readonly issuerUrl: string;
  readonly clientId: string;
  /** "sub" where unset. */
  readonly usernameClaim?: string;
  /** "-": none; unset: the issuer and "#", and none for the claim email. */
  readonly usernamePrefix?: string;
  readonly groupsClaim?: string;
  readonly groupsPrefix?: string;
  /** PEM; the machine's own authorities where unset. */
  readonly caPem?: string;
  /** RS256 where unset. */
  readonly signingAlgs?: readonly string[];
  readonly requiredClaims?: Readonly<Record<string, string>>;
}

export interface OidcAuthenticator {
  /** True where the token says that it is of the issuer. */
  claims(token: string): boolean;
  /** Rejects with StatusError Unauthorized. */
  authenticate(token: string): Promise<UserInfo>;
  close(): Promise<void>;
}

const ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];
const REFETCH_MS = 10_000;
const FETCH_MS = 10_000;
const MAX_DOCUMENT_BYTES = 1 << 20;

export class OidcConfigError extends Error {
  override readonly name = "OidcConfigError";
}

/** @throws OidcConfigError */
function checkOptions(options: OidcOptions): void {
  let url: URL;
  try {
    url = new URL(options.issuerUrl);
  } catch (cause) {
    throw new OidcConfigError(`oidc-issuer-url: ${JSON.stringify(options.issuerUrl)} is not a URL`, { cause });
  }
  if (url.protocol !== "https:") throw new OidcConfigError("oidc-issuer-url: URL scheme must be https");
  if (url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new OidcConfigError("oidc-issuer-url: URL must not contain a username, a query or a fragment");
  }
  if (options.clientId === "") throw new OidcConfigError("oidc-client-id: oidc-issuer-url needs it");
  for (const name of options.signingAlgs ?? []) {
    if (!ALGORITHMS.includes(name))
      throw new OidcConfigError(`oidc-signing-algs: unsupported signing algorithm ${name}`);
  }
}

/** Nothing is fetched before the first token. Throws OidcConfigError. */
export function createOidcAuthenticator(options: OidcOptions, clock: Clock): OidcAuthenticator {
  checkOptions(options);
  const { issuerUrl, clientId, caPem, signingAlgs } = options;
  return createIssuerAuthenticator(
    {
      issuerUrl,
      audiences: [clientId],
      algorithms: signingAlgs ?? ["RS256"],
      userOf: (claims) => userOf(claims, options),
      ...(caPem === undefined ? {} : { caPem }),
    },
    clock,
  );
}

export interface IssuerOptions {
  readonly issuerUrl: string;
  /** Where its configuration is, if not below its URL. */
  readonly discoveryUrl?: string;
  /** A token is for one of them. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly caPem?: string;
  /** The user that verified claims stand for. Throws StatusError Unauthorized. */
  readonly userOf: (claims: JWTPayload) => UserInfo;
}

/** The tokens of several issuers. */
export function anyIssuer(issuers: readonly OidcAuthenticator[]): OidcAuthenticator {
  const whose = (token: string): OidcAuthenticator | undefined => issuers.find((issuer) => issuer.claims(token));
  return {
    claims: (token) => whose(token) !== undefined,
    async authenticate(token) {
      const issuer = whose(token);
      if (issuer === undefined) throw newUnauthorized();
      return await issuer.authenticate(token);
    },
    close: async () => void (await Promise.all(issuers.map((issuer) => issuer.close()))),
  };
}

export const SIGNING_ALGORITHMS: readonly string[] = ALGORITHMS;

/** Nothing is fetched before the first token. */
export function createIssuerAuthenticator(options: IssuerOptions, clock: Clock): OidcAuthenticator {
  const agent = new Agent({ connect: options.caPem === undefined ? {} : { ca: options.caPem } });
  const keys = new IssuerKeys(options, agent, clock);
  const algorithms = [...options.algorithms];
  const verify = async (token: string, set: JSONWebKeySet): Promise<JWTPayload> => {
    const { payload } = await jwtVerify(token, createLocalJWKSet(set), {
      issuer: options.issuerUrl,
      audience: [...options.audiences],
      algorithms,
      currentDate: new Date(clock.now()),
      requiredClaims: ["exp"],
    });
    return payload;
  };
  return {
    claims(token) {
      try {
        return decodeJwt(token).iss === options.issuerUrl;
      } catch (error) {
        if (error instanceof errors.JWTInvalid) return false;
        throw error;
      }
    },
    async authenticate(token) {
      try {
        return options.userOf(await verify(token, await keys.current()));
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw refused(error);
      }
      try {
        return options.userOf(await verify(token, await keys.refreshed()));
      } catch (error) {
        throw refused(error);
      }
    },
    close: () => agent.close(),
  };
}

function refused(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new StatusError("Unauthorized", 401, `oidc: verify token: ${why}`, {}, { cause: error });
}

/** The user that verified claims stand for. Pure. @throws StatusError Unauthorized */
export function userOf(claims: JWTPayload, options: OidcOptions): UserInfo {
  const claim = options.usernameClaim ?? "sub";
  const name = claims[claim];
  if (typeof name !== "string" || name === "") {
    throw newUnauthorized(`oidc: parse username claims "${claim}": claim not present`);
  }
  if (claim === "email" && claims["email_verified"] !== undefined && claims["email_verified"] !== true) {
    throw newUnauthorized("oidc: email not verified");
  }
  for (const [key, value] of Object.entries(options.requiredClaims ?? {})) {
    if (claims[key] === value) continue;
    throw newUnauthorized(
      claims[key] === undefined
        ? `oidc: required claim ${key} not present in ID token`
        : `oidc: required claim ${key} value does not match. Got = ${JSON.stringify(claims[key])}, want = ${value}`,
    );
  }
  const prefix = options.usernamePrefix ?? (claim === "email" ? "" : `${options.issuerUrl}#`);
  const username = `${prefix === "-" ? "" : prefix}${name}`;
  if (username.startsWith("system:")) throw newUnauthorized("oidc: username must not begin with system:");
  return { username, groups: [...groupsOf(claims, options), AUTHENTICATED_GROUP] };
}

function groupsOf(claims: JWTPayload, { groupsClaim, groupsPrefix = "" }: OidcOptions): string[] {
  const given = groupsClaim === undefined ? undefined : claims[groupsClaim];
  if (given === undefined || given === null) return [];
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.some((group) => typeof group !== "string")) {
    throw newUnauthorized(`oidc: parse groups claim "${groupsClaim}": neither a string nor a list of strings`);
  }
  return (list as string[]).map((group) => groupsPrefix + group).filter((group) => !group.startsWith("system:"));
}

/** The issuer's key set: fetched once for all who wait, and again no sooner than in ten seconds. */
class IssuerKeys {
  readonly #issuer: string;
  readonly #discovery: string;
  readonly #agent: Agent;
  readonly #clock: Clock;
  #set: JSONWebKeySet | undefined;
  #fetchedMs = Number.NEGATIVE_INFINITY;
  #fetching: Promise<JSONWebKeySet> | undefined;

  constructor({ issuerUrl, discoveryUrl }: IssuerOptions, agent: Agent, clock: Clock) {
    this.#issuer = issuerUrl;
    this.#discovery = discoveryUrl ?? `${issuerUrl.replace(/\/$/, "")}/.well-known/openid-configuration`;
    this.#agent = agent;
    this.#clock = clock;
  }

  async current(): Promise<JSONWebKeySet> {
    return this.#set ?? (await this.refreshed());
  }

  async refreshed(): Promise<JSONWebKeySet> {
    if (this.#fetching !== undefined) return await this.#fetching;
    if (this.#clock.monotonic() - this.#fetchedMs < REFETCH_MS) {
      if (this.#set !== undefined) return this.#set;
      throw newUnauthorized("oidc: authenticator not initialized");
    }
    this.#fetching = this.#fetch();
    try {
      this.#set = await this.#fetching;
      return this.#set;
    } finally {
      this.#fetching = undefined;
      this.#fetchedMs = this.#clock.monotonic();
    }
  }

  async #fetch(): Promise<JSONWebKeySet> {
    const { issuer, jwks_uri: uri } = await this.#document(this.#discovery);
    if (issuer !== this.#issuer) {
      throw newUnauthorized(`oidc: issuer did not match the issuer returned by provider, expected "${this.#issuer}"`);
    }
    if (typeof uri !== "string" || !uri.startsWith("https://")) throw newUnauthorized("oidc: jwks_uri must be https");
    const set = await this.#document(uri);
    if (!Array.isArray(set["keys"])) throw newUnauthorized("oidc: the issuer's key set has no keys");
    return set as unknown as JSONWebKeySet;
  }

  async #document(url: string): Promise<Record<string, unknown>> {
    const answer = await request(url, { dispatcher: this.#agent, headersTimeout: FETCH_MS, bodyTimeout: FETCH_MS });
    const tooLarge = (): Error => newUnauthorized(`oidc: ${url} is too large`);
    const document = await readAtMost(answer.body, MAX_DOCUMENT_BYTES, tooLarge);
    if (answer.statusCode !== 200) throw newUnauthorized(`oidc: ${url} answered ${answer.statusCode}`);
    return JSON.parse(document.toString()) as Record<string, unknown>;
  }
}
