// An OpenID issuer on loopback, with keys that change.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePki } from "@coxswain/component-base/identity/pki";
import { createRealEnv } from "@coxswain/env";
import { exportJWK, generateKeyPair, SignJWT, type JWK } from "jose";

const env = createRealEnv();
/** The audience of tokens that name no other. */
export const CLIENT = "coxswain-tests";

type SigningKey = Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];

export interface Issuer {
  readonly url: string;
  readonly caPem: string;
  /** How often its keys were asked for. */
  fetches: number;
  sign(claims: Record<string, unknown>, audience?: string, kid?: string): Promise<string>;
  /** Takes a new key, known under `kid`, in place of the old. */
  rotate(kid: string): Promise<void>;
  close(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  const dir = mkdtempSync(join(tmpdir(), "coxswain-issuer-"));
  await ensurePki(dir, {}, env);
  const pem = (file: string): string => readFileSync(join(dir, file), "utf8");
  let published: JWK[] = [];
  let key: SigningKey | undefined;
  let current = "";
  const web: Server = createServer({ cert: pem("api-server.crt"), key: pem("api-server.key") }, (asked, answer) => {
    if (asked.url === "/keys") made.fetches++;
    const url = `https://127.0.0.1:${(web.address() as AddressInfo).port}`;
    const known: Record<string, object> = {
      "/.well-known/openid-configuration": { issuer: url, jwks_uri: `${url}/keys` },
      "/keys": { keys: published },
    };
    const document = known[asked.url ?? ""];
    answer.writeHead(document === undefined ? 404 : 200, { "content-type": "application/json" });
    answer.end(JSON.stringify(document ?? {}));
  });
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const url = `https://127.0.0.1:${(web.address() as AddressInfo).port}`;
  const made: Issuer = {
    url,
    caPem: pem("ca.crt"),
    fetches: 0,
    async rotate(kid) {
      const pair = await generateKeyPair("RS256", { extractable: true });
      key = pair.privateKey;
      current = kid;
      published = [{ ...(await exportJWK(pair.publicKey)), kid, alg: "RS256", use: "sig" }];
    },
    sign: async (claims, audience = CLIENT, kid = current) =>
      await new SignJWT(claims)
        .setProtectedHeader({ alg: "RS256", kid })
        .setIssuer(url)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime("5m")
        .sign(key!),
    async close() {
      await new Promise((resolve) => web.close(resolve));
      rmSync(dir, { recursive: true, force: true });
    },
  };
  await made.rotate("first");
  return made;
}
