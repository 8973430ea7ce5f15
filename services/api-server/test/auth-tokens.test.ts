// Whose bearer token is it: tokens of a file, bootstrap tokens, an OpenID issuer on loopback, service-account tokens and what they are bound to.
import { NODES, PODS, SECRETS, SERVICE_ACCOUNTS } from "@coxswain/api";
import { createRealEnv } from "@coxswain/env";
import { generateKeyPair, SignJWT } from "jose";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOidcAuthenticator, userOf } from "../src/auth/oidc.ts";
import { parseTokenFile } from "../src/auth/static-tokens.ts";
import { CLIENT, startIssuer, type Issuer } from "./support/test-issuer.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const env = createRealEnv();
let server: TestServer;
let issuer: Issuer;
let agent: Agent;

beforeAll(async () => {
  issuer = await startIssuer();
  const oidc = {
    issuerUrl: issuer.url,
    clientId: CLIENT,
    caPem: issuer.caPem,
    groupsClaim: "teams",
    groupsPrefix: "oidc:",
  };
  const file = 'of-alice,alice,7,"dev,ops"\n';
  const staticTokens = parseTokenFile(file, "tokens.csv", () => {});
  server = await startTestServer(["ServiceAccount"], { oidc, staticTokens });
  agent = new Agent({ connect: { ca: server.tls("admin").ca as Buffer } });
});

afterAll(async () => {
  await agent.destroy();
  await server.close();
  await issuer.close();
});

interface Identity {
  readonly code: number;
  readonly username?: string;
  readonly groups?: readonly string[];
  readonly message?: string;
}

async function whoIs(token: string): Promise<Identity> {
  const answer = await request(`${server.url}/apis/authentication.k8s.io/v1/selfsubjectreviews`, {
    dispatcher: agent,
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
  });
  const body = (await answer.body.json()) as { message?: string; status?: { userInfo?: Identity } };
  return { ...body.status?.userInfo, code: answer.statusCode, ...(body.message ? { message: body.message } : {}) };
}

const UNAUTHORIZED = { code: 401, message: "Unauthorized" };
const { client } = { client: () => server.component.server.loopback };

describe("tokens of a file", () => {
  test("are their user's, in the groups of the last column, and good for the api-server's own audience", async () => {
    expect(await whoIs("of-alice")).toEqual({
      code: 201,
      username: "alice",
      uid: "7",
      groups: ["dev", "ops", "system:authenticated"],
    });
    expect(await whoIs("of-bob")).toEqual(UNAUTHORIZED);
    const REVIEWS = { group: "authentication.k8s.io", version: "v1", resource: "tokenreviews" };
    const review = async (audiences?: string[]): Promise<object> => {
      const asked: object = { spec: { token: "of-alice", ...(audiences && { audiences }) } };
      return await client().create(REVIEWS, asked);
    };
    expect(await review()).toHaveProperty("status.user.username", "alice");
    expect(await review(["elsewhere"])).not.toHaveProperty("status.authenticated", true);
  });

  test("are read line by line: what is quoted is one column, the last of two that are alike counts", () => {
    const warnings: string[] = [];
    const found = parseTokenFile('a,"x ""y""",1\n\n,nobody,2\r\na,z,3,,\n', "f.csv", (said) => warnings.push(said));
    expect([...found]).toEqual([["a", { username: "z", uid: "3", groups: ["", "system:authenticated"] }]]);
    expect(warnings).toEqual([
      "empty token has been found in token file 'f.csv', record number '2'",
      "duplicate token has been found in token file 'f.csv', record number '3'",
    ]);
  });

  test.each([
    ["a,b\n", "token file 'f' must have at least 3 columns (token, user name, user uid), found 2"],
    ['a,"b', "Quote"],
  ])("%j is none", (text, message) => {
    expect(() => parseTokenFile(text, "f", () => {})).toThrow(message);
  });
});

describe("bootstrap tokens", () => {
  const secret = (id: string, data: Record<string, string>, type = "bootstrap.kubernetes.io/token"): object => ({
    metadata: { namespace: "kube-system", name: `bootstrap-token-${id}` },
    type,
    stringData: {
      "token-id": id,
      "token-secret": "0123456789abcdef",
      "usage-bootstrap-authentication": "true",
      ...data,
    },
  });

  test("make a bootstrapper", async () => {
    await client().create(SECRETS, secret("aaaaaa", { "auth-extra-groups": "system:bootstrappers:workers" }));
    expect(await whoIs("aaaaaa.0123456789abcdef")).toMatchObject({
      code: 201,
      username: "system:bootstrap:aaaaaa",
      groups: ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"],
    });
  });

  test.each([
    ["an unknown id", "zzzzzz", undefined, "0123456789abcdef"],
    ["a wrong secret", "bbbbb1", {}, "0123456789abcdee"],
    ["an expired one", "bbbbb2", { expiration: "2020-01-01T00:00:00Z" }, "0123456789abcdef"],
    ["a time that is none", "bbbbb3", { expiration: "tomorrow" }, "0123456789abcdef"],
    ["no usage for authentication", "bbbbb4", { "usage-bootstrap-authentication": "false" }, "0123456789abcdef"],
    ["another's id", "bbbbb5", { "token-id": "aaaaaa" }, "0123456789abcdef"],
    ["a group that is not for bootstrappers", "bbbbb6", { "auth-extra-groups": "system:masters" }, "0123456789abcdef"],
  ])("are refused: %s", async (_what, id, data, text) => {
    if (data !== undefined) await client().create(SECRETS, secret(id, data));
    expect(await whoIs(`${id}.${text}`)).toEqual(UNAUTHORIZED);
  });

  test("are refused in a Secret of another type, and once the Secret is gone", async () => {
    await client().create(SECRETS, secret("cccccc", {}, "Opaque"));
    expect(await whoIs("cccccc.0123456789abcdef")).toEqual(UNAUTHORIZED);
    await client().create(SECRETS, secret("dddddd", {}));
    expect(await whoIs("dddddd.0123456789abcdef")).toMatchObject({ code: 201 });
    await client().delete(SECRETS, { namespace: "kube-system", name: "bootstrap-token-dddddd" });
    expect(await whoIs("dddddd.0123456789abcdef")).toEqual(UNAUTHORIZED);
  });
});

describe("an OpenID issuer's tokens", () => {
  test("name users and groups with their prefixes", async () => {
    const token = await issuer.sign({ sub: "jane", teams: ["shop", "system:masters"] });
    expect(await whoIs(token)).toMatchObject({
      code: 201,
      username: `${issuer.url}#jane`,
      groups: ["oidc:shop", "oidc:system:masters", "system:authenticated"],
    });
  });

  test("are refused for another client, without a name, or signed by a key that nobody knows", async () => {
    expect(await whoIs(await issuer.sign({ sub: "jane" }, "somebody-else"))).toEqual(UNAUTHORIZED);
    expect(await whoIs(await issuer.sign({}))).toEqual(UNAUTHORIZED);
    const { privateKey } = await generateKeyPair("RS256");
    const forged = await new SignJWT({ sub: "jane" })
      .setProtectedHeader({ alg: "RS256", kid: "first" })
      .setIssuer(issuer.url)
      .setAudience(CLIENT)
      .setExpirationTime("5m")
      .sign(privateKey);
    expect(await whoIs(forged)).toEqual(UNAUTHORIZED);
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${forged.split(".")[1]}.`;
    expect(await whoIs(unsigned)).toEqual(UNAUTHORIZED);
  });

  test("of a new key are taken after one more fetch, and unknown keys cause no storm of fetches", async () => {
    let now = 0;
    const clock = { now: () => env.clock.now(), monotonic: () => now };
    const oidc = createOidcAuthenticator({ issuerUrl: issuer.url, clientId: CLIENT, caPem: issuer.caPem }, clock);
    const before = issuer.fetches;
    await oidc.authenticate(await issuer.sign({ sub: "a" }));
    await issuer.rotate("second");
    const token = await issuer.sign({ sub: "b" });
    await expect(oidc.authenticate(token)).rejects.toThrow("oidc: verify token");
    expect(issuer.fetches - before).toBe(1);
    now = 11_000;
    expect(await oidc.authenticate(token)).toMatchObject({ username: `${issuer.url}#b` });
    expect(issuer.fetches - before).toBe(2);
    await oidc.close();
  });

  test.each([
    [{ sub: "x" }, { usernamePrefix: "-" }, "x"],
    [{ email: "a@b.example" }, { usernameClaim: "email" }, "a@b.example"],
    [{ email: "a@b.example", email_verified: false }, { usernameClaim: "email" }, "oidc: email not verified"],
    [{ sub: "system:admin" }, { usernamePrefix: "-" }, "oidc: username must not begin with system:"],
    [{ sub: "x" }, { requiredClaims: { hd: "b" } }, "oidc: required claim hd not present in ID token"],
    [{ sub: "x", teams: [1] }, { groupsClaim: "teams" }, "neither a string nor a list of strings"],
  ])("%o under %o: %s", (claims, options, expected) => {
    const judge = (): string => userOf(claims, { issuerUrl: "https://i", clientId: "c", ...options }).username;
    if (/ /.test(expected)) expect(judge).toThrow(expected);
    else expect(judge()).toBe(expected);
  });

  test.each([
    ["http://127.0.0.1", "c", "URL scheme must be https"],
    ["x", "c", "is not a URL"],
    ["https://127.0.0.1?a", "c", "must not contain"],
    ["https://127.0.0.1", "", "oidc-client-id"],
  ])("the option %s, %s is refused", (issuerUrl, clientId, message) => {
    expect(() => createOidcAuthenticator({ issuerUrl, clientId }, env.clock)).toThrow(message);
  });
});

describe("service-account tokens", () => {
  const at = { namespace: "default", name: "robot" };

  async function tokenFor(boundObjectRef?: object, audiences: string[] = []): Promise<string> {
    const answer = await request(`${server.url}/api/v1/namespaces/default/serviceaccounts/robot/token`, {
      dispatcher: adminAgent,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ spec: { audiences, ...(boundObjectRef === undefined ? {} : { boundObjectRef }) } }),
    });
    return ((await answer.body.json()) as { status: { token: string } }).status.token;
  }

  async function review(token: string, audiences?: string[]): Promise<Record<string, unknown>> {
    const answer = await request(`${server.url}/apis/authentication.k8s.io/v1/tokenreviews`, {
      dispatcher: adminAgent,
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ spec: { token, ...(audiences === undefined ? {} : { audiences }) } }),
    });
    return ((await answer.body.json()) as { status: Record<string, unknown> }).status;
  }

  let adminAgent: Agent;
  beforeAll(async () => {
    adminAgent = new Agent({ connect: server.tls("admin") });
    await client().create(SERVICE_ACCOUNTS, { metadata: at });
  });
  afterAll(() => adminAgent.destroy());

  test.each([
    ["Pod", PODS, { spec: { serviceAccountName: "robot", containers: [{ name: "c", image: "i" }] } }],
    ["Secret", SECRETS, {}],
    ["Node", NODES, {}],
  ] as const)("bound to a %s end with it", async (kind, ref, rest) => {
    const where = kind === "Node" ? { name: "bound-1" } : { namespace: "default", name: "bound-1" };
    const made = await client().create(ref, { ...rest, metadata: where } as never);
    const token = await tokenFor({
      kind,
      apiVersion: "v1",
      name: "bound-1",
      uid: (made as { metadata: { uid: string } }).metadata.uid,
    });
    expect(await whoIs(token)).toMatchObject({ code: 201, username: "system:serviceaccount:default:robot" });
    await client().delete(ref, where, { gracePeriodSeconds: 0 });
    expect(await whoIs(token)).toEqual(UNAUTHORIZED);
  });

  test("are given for the account that the request means", async () => {
    const ask = async (metadata: object): Promise<{ code: number; message?: string; metadata?: { uid?: string } }> => {
      const answer = await request(`${server.url}/api/v1/namespaces/default/serviceaccounts/robot/token`, {
        dispatcher: adminAgent,
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ metadata, spec: {} }),
      });
      return { ...((await answer.body.json()) as object), code: answer.statusCode };
    };
    const { code, metadata } = await ask({});
    expect(code).toBe(201);
    expect(await ask({ name: "robot", namespace: "default", uid: metadata?.uid })).toMatchObject({ code: 201 });
    expect(await ask({ uid: "gone" })).toMatchObject({
      code: 409,
      message: `Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token request (gone) does not match the UID of the service account (${metadata?.uid})`,
    });
    expect(await ask({ name: "other" })).toMatchObject({
      code: 422,
      message: expect.stringContaining("must match the service account name if specified") as string,
    });
  });

  test("are reviewed for the audiences that they have", async () => {
    const token = await tokenFor(undefined, ["vault", "shop"]);
    expect(await review(token, ["vault", "other"])).toMatchObject({ authenticated: true, audiences: ["vault"] });
    expect(await review(token, ["other"])).toMatchObject({
      user: {},
      error: expect.stringContaining("invalid bearer token") as string,
    });
    expect(await whoIs(token)).toEqual(UNAUTHORIZED);
    expect(await review(await tokenFor())).toMatchObject({
      authenticated: true,
      audiences: ["https://kubernetes.default.svc.cluster.local"],
      user: { username: "system:serviceaccount:default:robot" },
    });
  });

  test("of other sorts are reviewed too", async () => {
    expect(await review(await issuer.sign({ sub: "late" }))).toMatchObject({ error: expect.any(String) as string });
    expect(await review("aaaaaa.0123456789abcdef")).toMatchObject({
      authenticated: true,
      user: { username: "system:bootstrap:aaaaaa" },
    });
  });

  test("end with their account, and one of the same name has others", async () => {
    const token = await tokenFor();
    expect(await whoIs(token)).toMatchObject({ code: 201 });
    await client().delete(SERVICE_ACCOUNTS, at);
    expect(await whoIs(token)).toEqual(UNAUTHORIZED);
    await client().create(SERVICE_ACCOUNTS, { metadata: at });
    expect(await whoIs(token)).toEqual(UNAUTHORIZED);
  });
});
