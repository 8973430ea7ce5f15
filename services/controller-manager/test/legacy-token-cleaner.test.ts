// Tokens in Secrets that nobody uses are marked first, and go when they have been marked for long enough.
import { CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, type Pod, type Secret, type ServiceAccount } from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { planTokenCleanup } from "../src/service-account-token/plan-cleanup.ts";
import { makeFixture } from "./cluster-fixture.ts";

const DAY_MS = 86_400_000;
const NOW = Date.parse("2026-06-15T12:00:00Z");
const USED = "kubernetes.io/legacy-token-last-used";
const INVALID = "kubernetes.io/legacy-token-invalid-since";

const account: ServiceAccount = {
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: { namespace: "shop", name: "web", uid: "u1" },
  secrets: [{ name: "web-token" }],
};

function secret(labels: Record<string, string> = {}, more: object = {}): Secret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/service-account-token",
    metadata: {
      namespace: "shop",
      name: "web-token",
      creationTimestamp: "2026-01-01T00:00:00Z",
      annotations: { "kubernetes.io/service-account.name": "web", "kubernetes.io/service-account.uid": "u1" },
      labels,
      ...more,
    },
  };
}

const mounting: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace: "shop", name: "p" },
  spec: { containers: [], volumes: [{ name: "v", secret: { secretName: "web-token" } }] },
};

describe("after thirty days", () => {
  const plan = (one: Secret, facts: { accounts?: ServiceAccount[]; pods?: Pod[]; since?: string } = {}): string => {
    const { accounts = [account], pods = [], since = "2026-02-01" } = facts;
    const { invalid, gone } = planTokenCleanup({
      secrets: [one],
      account: (key) => (key === "shop/web" ? accounts[0] : undefined),
      pods: () => pods,
      trackedSince: since,
      nowMs: NOW,
      periodMs: 30 * DAY_MS,
    });
    return gone.length > 0 ? "goes" : invalid.length > 0 ? "is marked" : "stays";
  };

  test.each<[string, string, string]>([
    ["never used", plan(secret()), "is marked"],
    ["used long ago", plan(secret({ [USED]: "2026-05-15" })), "is marked"],
    ["used on the first day that counts", plan(secret({ [USED]: "2026-05-16" })), "stays"],
    ["used on a day that cannot be read", plan(secret({ [USED]: "yesterday" })), "stays"],
    ["made of late", plan(secret({}, { creationTimestamp: "2026-05-17T00:00:00Z" })), "stays"],
    ["on its way out", plan(secret({}, { deletionTimestamp: "2026-06-01T00:00:00Z" })), "stays"],
    ["of another type", plan({ ...secret(), type: "Opaque" }), "stays"],
    ["not its account's own", plan(secret(), { accounts: [{ ...account, secrets: [] }] }), "stays"],
    ["of no account", plan(secret(), { accounts: [] }), "stays"],
    [
      "of an account that was made again",
      plan(secret(), { accounts: [{ ...account, metadata: { ...account.metadata, uid: "u2" } }] }),
      "stays",
    ],
    ["mounted", plan(secret(), { pods: [mounting] }), "stays"],
    ["mounted and marked", plan(secret({ [INVALID]: "2026-05-01" }), { pods: [mounting] }), "stays"],
    ["marked long ago", plan(secret({ [INVALID]: "2026-05-15" })), "goes"],
    ["marked of late", plan(secret({ [INVALID]: "2026-05-16" })), "stays"],
    ["marked with what is no day", plan(secret({ [INVALID]: "2026-02-30" })), "is marked"],
    ["tracked too shortly", plan(secret(), { since: "2026-05-16" }), "stays"],
    ["tracked just long enough", plan(secret(), { since: "2026-05-15" }), "is marked"],
    ["tracked since nobody knows when", plan(secret(), { since: "" }), "stays"],
  ])("a token that is %s", (_, found, expected) => {
    expect(found).toBe(expected);
  });
});

test("in a cluster an unused token is marked, and one that was marked long ago goes", async () => {
  const fixture = makeFixture({ options: { legacyTokenCleanUpPeriodMs: 1_000 } });
  const found = (name: string): Secret | undefined =>
    fixture.cluster.objects<Secret>(SECRETS).find(({ metadata }) => metadata?.name === name);
  fixture.seedNamespace("shop");
  fixture.cluster.seed(SERVICE_ACCOUNTS, { ...account, secrets: [{ name: "web-token" }, { name: "old-token" }] });
  const { uid = "" } = fixture.cluster.objects<ServiceAccount>(SERVICE_ACCOUNTS)[0]?.metadata ?? {};
  const annotations = { "kubernetes.io/service-account.name": "web", "kubernetes.io/service-account.uid": uid };
  fixture.cluster.seed(SECRETS, secret({ kept: "yes" }, { annotations }));
  fixture.cluster.seed(SECRETS, secret({ [INVALID]: "2001-01-02" }, { name: "old-token", annotations }));
  fixture.cluster.seed(CONFIG_MAPS, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { namespace: "kube-system", name: "kube-apiserver-legacy-service-account-token-tracking" },
    data: { since: "2001-01-01" },
  });
  await fixture.env.advance(5_000);
  fixture.start();
  expect(await fixture.until(() => found("old-token") === undefined)).toBe(true);
  expect(await fixture.until(() => found("web-token")?.metadata?.labels?.[INVALID] !== undefined)).toBe(true);
  expect(found("web-token")?.metadata?.labels).toEqual({
    kept: "yes",
    [INVALID]: new Date(fixture.env.clock.now()).toISOString().slice(0, 10),
  });
});
