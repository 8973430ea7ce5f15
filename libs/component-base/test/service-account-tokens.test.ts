// Service-account tokens carry upstream's claims and hold for their time, audience, issuer and key only.
import { generateKeyPairSync } from "node:crypto";
import { createLocalJWKSet, decodeJwt, jwtVerify } from "jose";
import { describe, expect, test } from "vitest";
import { VirtualEnv } from "@coxswain/env";
import { isReason } from "@coxswain/apimachinery";
import { createServiceAccountKey, createTokenSigner } from "../src/identity/index.ts";

const issuer = "https://kubernetes.default.svc.cluster.local";
const request = {
  namespace: "default",
  serviceAccount: "builder",
  uid: "u-1",
  audiences: [],
  expirationSeconds: 3607,
  boundPod: { name: "p", uid: "u-2" },
  boundNode: { name: "n", uid: "u-3" },
  warnAfterSeconds: 3000,
};

function setUp(keyPem = createServiceAccountKey().keyPem) {
  const env = new VirtualEnv({ seed: 7 });
  return { env, signer: createTokenSigner({ issuer, keyPem, clock: env.clock, random: env.random }) };
}

describe("service-account tokens", () => {
  test("carry upstream's claims and come back as signed", async () => {
    const { env, signer } = setUp();
    const { token, expiresAtMs } = await signer.sign(request);
    const now = env.clock.now() / 1000;
    expect(expiresAtMs).toBe((now + 3607) * 1000);
    expect(decodeJwt(token)).toMatchObject({
      iss: issuer,
      aud: [issuer],
      sub: "system:serviceaccount:default:builder",
      iat: now,
      nbf: now,
      exp: now + 3607,
      "kubernetes.io": {
        namespace: "default",
        serviceaccount: { name: "builder", uid: "u-1" },
        pod: { name: "p", uid: "u-2" },
        node: { name: "n", uid: "u-3" },
        warnafter: now + 3000,
      },
    });
    expect(await signer.verify(token)).toMatchObject({
      username: "system:serviceaccount:default:builder",
      serviceAccount: { name: "builder", uid: "u-1" },
      pod: { uid: "u-2" },
      matchedAudiences: [issuer],
    });
  });

  test("end when their time is over", async () => {
    const { env, signer } = setUp();
    const { token } = await signer.sign(request);
    await env.advance(3_608_000);
    await expect(signer.verify(token)).rejects.toSatisfy((error) => isReason(error, "Unauthorized"));
    await expect(signer.verify(token)).rejects.toThrow("service account token has expired");
  });

  test("hold for their audiences, issuer and key only", async () => {
    const { signer } = setUp();
    const { token } = await signer.sign({ ...request, audiences: ["vault", "other"] });
    await expect(signer.verify(token)).rejects.toThrow("invalid bearer token");
    expect(await signer.verify(token, { audiences: ["vault", "x"] })).toMatchObject({ matchedAudiences: ["vault"] });
    await expect(setUp().signer.verify(token, { audiences: ["vault"] })).rejects.toThrow(
      "signature verification failed",
    );
    await expect(signer.verify("rubbish")).rejects.toSatisfy((error) => isReason(error, "Unauthorized"));
    const [header, payload] = token.split(".");
    await expect(signer.verify(`${header}.${payload}.`)).rejects.toThrow("invalid bearer token");
  });

  test("can be checked by others from the published keys, RSA too", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const keyPem = rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    for (const { env, signer } of [setUp(), setUp(keyPem)]) {
      const { token } = await signer.sign(request);
      const keys = createLocalJWKSet(await signer.publicJwks());
      const { payload } = await jwtVerify(token, keys, { currentDate: new Date(env.clock.now()) });
      expect(payload.sub).toBe("system:serviceaccount:default:builder");
      expect(signer.openIdConfiguration("https://x/openid/v1/jwks")).toMatchObject({ issuer });
    }
  });
});
