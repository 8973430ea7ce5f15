// Tokens that live in Secrets say whose they are, hold for the api-server alone, and only under the right key.
import { isReason } from "@coxswain/apimachinery";
import { VirtualEnv } from "@coxswain/env";
import { decodeJwt } from "jose";
import { expect, test } from "vitest";
import { createLegacyTokenSigner, createServiceAccountKey, createTokenSigner } from "../src/identity/index.ts";

const issuer = "https://kubernetes.default.svc.cluster.local";
const request = { namespace: "default", serviceAccount: { name: "robot", uid: "u-1" }, secret: "robot-token" };
const { clock, random } = new VirtualEnv({ seed: 7 });

test("a token in a Secret carries upstream's claims and comes back as signed", async () => {
  const { keyPem } = createServiceAccountKey();
  const token = await createLegacyTokenSigner(keyPem).sign(request);
  expect(decodeJwt(token)).toEqual({
    iss: "kubernetes/serviceaccount",
    "kubernetes.io/serviceaccount/namespace": "default",
    "kubernetes.io/serviceaccount/secret.name": "robot-token",
    "kubernetes.io/serviceaccount/service-account.name": "robot",
    "kubernetes.io/serviceaccount/service-account.uid": "u-1",
    sub: "system:serviceaccount:default:robot",
  });
  const verifier = createTokenSigner({ issuer, keyPem, clock, random });
  expect(await verifier.verify(token)).toEqual({
    jti: "",
    username: "system:serviceaccount:default:robot",
    namespace: "default",
    serviceAccount: { name: "robot", uid: "u-1" },
    legacy: { secret: "robot-token", token },
    audiences: [issuer],
    matchedAudiences: [issuer],
    expiresAtMs: Number.POSITIVE_INFINITY,
  });
  const unauthorized = (error: unknown): boolean => isReason(error, "Unauthorized");
  await expect(verifier.verify(token, { audiences: ["vault"] })).rejects.toSatisfy(unauthorized);
  const other = createTokenSigner({ issuer, keyPem: createServiceAccountKey().keyPem, clock, random });
  await expect(other.verify(token)).rejects.toSatisfy(unauthorized);
});
