// --authentication-config: what is read of it, whom tokens stand for, and which paths are open to callers without credentials.
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ClaimPrograms } from "../src/auth/authentication-config/claim-programs.ts";
import { claimsUser } from "../src/auth/authentication-config/claims-user.ts";
import { parseAuthenticationConfiguration } from "../src/auth/authentication-config/configuration.ts";
import { startIssuer, type Issuer } from "./support/test-issuer.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const header = { apiVersion: "apiserver.config.k8s.io/v1", kind: "AuthenticationConfiguration" };
const parse = (config: object) =>
  parseAuthenticationConfiguration(JSON.stringify({ ...header, ...config }), ["https://own"]);
const issuer = (parts: object = {}) => ({ url: "https://issuer.example", audiences: ["shop"], ...parts });
const username = { claim: "sub", prefix: "" };
const jwt = (parts: object = {}) => ({ jwt: [{ issuer: issuer(), claimMappings: { username }, ...parts }] });

describe("a configuration", () => {
  test("may say nothing", () => {
    expect(parse({})).toEqual({ jwt: [] });
    expect(parse({ anonymous: { enabled: false } })).toEqual({ jwt: [], anonymous: { enabled: false } });
  });

  test.each([
    ["of another kind", { kind: "Config" }, "must be an AuthenticationConfiguration of apiserver.config.k8s.io/v1"],
    [
      "with conditions of nothing",
      { anonymous: { enabled: false, conditions: [{ path: "/livez" }] } },
      'anonymous.conditions: Invalid value: [{"path":"/livez"}]: enabled should be set to true when conditions are defined',
    ],
    [
      "with an issuer that is none",
      jwt({ issuer: issuer({ url: "http://a:b@x?q#f", discoveryURL: "https://own" }) }),
      [
        'jwt[0].issuer.url: Invalid value: "http://a:b@x?q#f": URL scheme must be https',
        'jwt[0].issuer.url: Invalid value: "http://a:b@x?q#f": URL must not contain a username or password',
        'jwt[0].issuer.url: Invalid value: "http://a:b@x?q#f": URL must not contain a query',
        'jwt[0].issuer.url: Invalid value: "http://a:b@x?q#f": URL must not contain a fragment',
        'jwt[0].issuer.discoveryURL: Invalid value: "https://own": URL must not overlap with disallowed issuers: [https://own]',
      ].join(", "),
    ],
    [
      "with audiences that do not say how they match",
      jwt({ issuer: issuer({ audiences: ["a", "b"] }) }),
      'jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be MatchAny for multiple audiences',
    ],
    [
      "without an audience",
      jwt({ issuer: issuer({ audiences: [] }) }),
      "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is required",
    ],
    [
      "without a user",
      jwt({ claimMappings: {} }),
      "jwt[0].claimMappings.username: Required value: claim or expression is required",
    ],
    [
      "without a prefix",
      jwt({ claimMappings: { username: { claim: "sub" } } }),
      "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing",
    ],
    [
      "that trusts an address nobody has proved",
      jwt({ claimMappings: { username: { expression: "claims.email" } } }),
      'jwt[0].claimMappings.username.expression: Invalid value: "claims.email": claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression',
    ],
    [
      "with rules that say too much or too little",
      jwt({ claimValidationRules: [{}, { claim: "a", expression: "true" }, { claim: "b", message: "m" }] }),
      [
        "jwt[0].claimValidationRules[0]: Required value: claim or expression is required",
        'jwt[0].claimValidationRules[1]: Invalid value: "a": claim and expression can\'t both be set',
        'jwt[0].claimValidationRules[2].message: Invalid value: "m": may not be specified when claim is set',
      ].join(", "),
    ],
    [
      "with a key of Kubernetes' own",
      jwt({ claimMappings: { username, extra: [{ key: "x.k8s.io/a", valueExpression: "claims.a" }] } }),
      'jwt[0].claimMappings.extra[0].key: Invalid value: "x.k8s.io/a": k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use',
    ],
    [
      "with a rule that is no yes or no",
      jwt({ userValidationRules: [{ expression: "user.username" }] }),
      'jwt[0].userValidationRules[0].expression: Invalid value: "user.username": must evaluate to bool, got string',
    ],
    [
      "with an expression that is none",
      jwt({ claimMappings: { username: { expression: "claims.(" } } }),
      "compilation failed",
    ],
    [
      "with a field that is not known",
      jwt({ issuer: issuer({ egressSelectorType: "cluster" }) }),
      "jwt[0].issuer.egressSelectorType: Unsupported value",
    ],
  ])("%s is refused", (_, config, message) => {
    expect(() => parse(config)).toThrow(message);
  });

  test("has each issuer once", () => {
    const [one] = jwt().jwt;
    expect(() => parse({ jwt: [one, one] })).toThrow('jwt[1].issuer.url: Duplicate value: "https://issuer.example"');
  });
});

describe("the claims of a token", () => {
  const userOf = (parts: object, claims: object) => {
    const [authenticator] = parse(jwt(parts)).jwt;
    return claimsUser({ ...claims }, authenticator!, new ClaimPrograms());
  };

  test("become a user by claims and prefixes", () => {
    const claimMappings = {
      username: { claim: "sub", prefix: "shop:" },
      groups: { claim: "teams", prefix: "team:" },
      uid: { claim: "id" },
    };
    expect(userOf({ claimMappings }, { sub: "joe", teams: ["a", "b"], id: "7" })).toEqual({
      username: "shop:joe",
      groups: ["team:a", "team:b", "system:authenticated"],
      uid: "7",
    });
    expect(
      userOf({ claimMappings: { username, groups: { claim: "teams", prefix: "" } } }, { sub: "joe", teams: "a" }),
    ).toEqual({
      username: "joe",
      groups: ["a", "system:authenticated"],
    });
    expect(() => userOf({}, {})).toThrow('oidc: parse username claims "sub": claim not present');
    expect(() =>
      userOf({ claimMappings: { username: { claim: "email", prefix: "" } } }, { email: "a", email_verified: false }),
    ).toThrow("oidc: email not verified");
  });

  test("become a user by expressions", () => {
    const claimMappings = {
      username: { expression: "claims.user.name + '@' + claims.realm" },
      groups: { expression: "claims.roles.filter(r, r != 'admin')" },
      uid: { expression: "string(claims.number)" },
      extra: [
        { key: "shop.example/tenant", valueExpression: "claims.tenant" },
        { key: "shop.example/none", valueExpression: "''" },
      ],
    };
    const claims = { user: { name: "joe" }, realm: "x", roles: ["dev", "admin"], number: 7, tenant: "t", jti: "5" };
    expect(userOf({ claimMappings }, claims)).toEqual({
      username: "joe@x",
      groups: ["dev", "system:authenticated"],
      uid: "7",
      extra: { "shop.example/tenant": ["t"], "authentication.kubernetes.io/credential-id": ["JTI=5"] },
    });
    expect(() => userOf({ claimMappings }, {})).toThrow("oidc: error evaluating username claim expression");
  });

  test("are refused by rules over claims, and over the user", () => {
    const rules = (...claimValidationRules: object[]) => ({ claimValidationRules });
    expect(() => userOf(rules({ claim: "hd", requiredValue: "shop" }), { sub: "a", hd: "other" })).toThrow(
      'oidc: required claim hd value does not match. Got = "other", want = shop',
    );
    expect(() => userOf(rules({ expression: "claims.age > 18", message: "too young" }), { sub: "a", age: 7 })).toThrow(
      "too young",
    );
    expect(userOf(rules({ expression: "claims.age > 18" }), { sub: "a", age: 19 }).username).toBe("a");
    const userValidationRules = [{ expression: "!user.username.startsWith('system:')", message: "reserved" }];
    expect(() => userOf({ userValidationRules }, { sub: "system:admin" })).toThrow("reserved");
    expect(userOf({ userValidationRules }, { sub: "joe" }).username).toBe("joe");
  });
});

describe("a server", () => {
  let server: TestServer;
  let agent: Agent;
  let issuers: Issuer[];

  beforeAll(async () => {
    issuers = [await startIssuer(), await startIssuer()];
    const authentication = parse({
      anonymous: { enabled: true, conditions: [{ path: "/livez" }] },
      jwt: issuers.map(({ url, caPem }, index) => ({
        issuer: { url, certificateAuthority: caPem, audiences: ["shop", "desk"], audienceMatchPolicy: "MatchAny" },
        claimMappings: { username: { claim: "sub", prefix: `${index}:` } },
      })),
    });
    server = await startTestServer(["ServiceAccount"], { authentication });
    agent = new Agent({ connect: { ca: server.tls("admin").ca as Buffer } });
  });
  afterAll(async () => {
    await agent.destroy();
    await server.close();
    await Promise.all(issuers.map((one) => one.close()));
  });

  const get = async (path: string, token?: string): Promise<number> => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await request(`${server.url}${path}`, { dispatcher: agent, headers });
    await answer.body.dump();
    return answer.statusCode;
  };

  test("opens the paths that it names to everybody, and no others", async () => {
    expect(await get("/livez")).toBe(200);
    expect(await get("/livez?verbose")).toBe(200);
    expect(await get("/readyz")).toBe(401);
    expect(await get("/version")).toBe(401);
  });

  test("takes the tokens of each issuer for one of the audiences", async () => {
    // Known, and without rights.
    expect(await get("/api/v1/pods", await issuers[0]!.sign({ sub: "joe" }, "shop"))).toBe(403);
    expect(await get("/api/v1/pods", await issuers[1]!.sign({ sub: "joe" }, "desk"))).toBe(403);
    expect(await get("/api/v1/pods", await issuers[1]!.sign({ sub: "joe" }, "other"))).toBe(401);
  });
});
