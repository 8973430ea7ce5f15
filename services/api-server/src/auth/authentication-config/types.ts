// What an AuthenticationConfiguration says, once it was read.

export interface AuthenticationRules {
  readonly jwt: readonly JwtAuthenticator[];
  /** Absent: the flag decides. */
  readonly anonymous?: AnonymousRules;
}

export interface AnonymousRules {
  readonly enabled: boolean;
  /** The only paths that callers without credentials reach; absent: all. */
  readonly paths?: readonly string[];
}

export interface JwtAuthenticator {
  readonly issuer: Issuer;
  readonly claimRules: readonly ClaimRule[];
  readonly mappings: ClaimMappings;
  readonly userRules: readonly UserRule[];
}

export interface Issuer {
  readonly url: string;
  /** Where its configuration is, if not below its URL. */
  readonly discoveryURL?: string;
  /** PEM; the machine's own authorities where absent. */
  readonly certificateAuthority?: string;
  /** A token must be for one of them. */
  readonly audiences: readonly string[];
}

export interface ClaimRule {
  readonly claim?: string;
  readonly requiredValue: string;
  readonly expression?: string;
  readonly message: string;
}

/** A claim, whose values get the prefix, or an expression over all claims. */
export interface ClaimSource {
  readonly claim?: string;
  readonly prefix?: string;
  readonly expression?: string;
}

export interface ClaimMappings {
  readonly username: ClaimSource;
  readonly groups?: ClaimSource;
  readonly uid?: ClaimSource;
  readonly extra: readonly { readonly key: string; readonly expression: string }[];
}

export interface UserRule {
  readonly expression: string;
  readonly message: string;
}
