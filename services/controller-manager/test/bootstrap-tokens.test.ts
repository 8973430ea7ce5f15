// Bootstrap tokens sign what the cluster tells of itself, as long as they hold, and go when they end.
import { createHmac } from "node:crypto";
import { CONFIG_MAPS, SECRETS, type ConfigMap, type Secret } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import { detachedSignature, expiresAtMs, planSignatures, signingToken } from "../src/bootstrap-tokens/plan.ts";
import { makeFixture } from "./cluster-fixture.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

function token(values: Record<string, string> = {}, name = "bootstrap-token-abcdef"): Secret {
  const all = {
    "token-id": "abcdef",
    "token-secret": "0123456789abcdef",
    "usage-bootstrap-signing": "true",
    ...values,
  };
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "bootstrap.kubernetes.io/token",
    metadata: { name, namespace: "kube-system" },
    data: Object.fromEntries(Object.entries(all).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
  };
}

const info = (data: Record<string, string>): ConfigMap => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: "cluster-info", namespace: "kube-public" },
  data,
});

test.each<[string, Secret, boolean]>([
  ["holds", token(), true],
  ["holds until its end", token({ expiration: formatTime(NOW + 1_000) }), true],
  ["has ended", token({ expiration: formatTime(NOW) }), false],
  ["has an end that cannot be read", token({ expiration: "soon" }), false],
  ["is for something else", token({ "usage-bootstrap-signing": "false" }), false],
  ["is named for another", token({}, "bootstrap-token-xxxxxx"), false],
  ["has no secret", token({ "token-secret": "" }), false],
  ["is elsewhere", { ...token(), metadata: { name: "bootstrap-token-abcdef", namespace: "default" } }, false],
  ["is of another type", { ...token(), type: "Opaque" }, false],
])("a token that %s may sign: %#", (_, secret, expected) => {
  expect(signingToken(secret, NOW) !== undefined).toBe(expected);
});

test("a token ends when it says, at once where that cannot be read, or never", () => {
  expect(expiresAtMs(token())).toBeUndefined();
  expect(expiresAtMs(token({ expiration: formatTime(NOW) }))).toBe(NOW);
  expect(expiresAtMs(token({ expiration: "soon" }))).toBe(0);
});

describe("signatures", () => {
  test("are detached JSON web signatures by the token's secret", () => {
    const [header = "", payload, signature] = detachedSignature("content", { id: "abcdef", secret: "key" }).split(".");
    expect(JSON.parse(Buffer.from(header, "base64url").toString())).toEqual({ alg: "HS256", kid: "abcdef" });
    expect(payload).toBe("");
    const whole = `${header}.${Buffer.from("content").toString("base64url")}`;
    expect(signature).toBe(createHmac("sha256", "key").update(whole).digest("base64url"));
  });

  test("are there for each token that may sign, and for no other", () => {
    const map = info({ kubeconfig: "content", "jws-kubeconfig-xxxxxx": "old", other: "stays" });
    const signed = planSignatures(map, [token()], NOW);
    expect(Object.keys(signed?.data ?? {})).toEqual(["kubeconfig", "other", "jws-kubeconfig-abcdef"]);
    expect(planSignatures(signed!, [token()], NOW)).toBeUndefined();
    expect(planSignatures(info({}), [token()], NOW)).toBeUndefined();
  });
});

test("in a cluster the signature comes with the token and goes with its end", async () => {
  const fixture = makeFixture();
  const signature = () => fixture.cluster.objects<ConfigMap>(CONFIG_MAPS)[0]?.data?.["jws-kubeconfig-abcdef"];
  fixture.cluster.seed(CONFIG_MAPS, info({ kubeconfig: "content" }));
  fixture.start();
  const expiration = formatTime(fixture.env.clock.now() + 120_000);
  await fixture.settle(fixture.admin.create(SECRETS, token({ expiration })));
  expect(await fixture.until(() => signature() !== undefined)).toBe(true);
  await fixture.env.advance(90_000);
  expect(fixture.cluster.objects(SECRETS)).toHaveLength(1);
  expect(await fixture.until(() => fixture.cluster.objects(SECRETS).length === 0)).toBe(true);
  expect(await fixture.until(() => signature() === undefined)).toBe(true);
});
