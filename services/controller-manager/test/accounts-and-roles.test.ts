// Token Secrets of service accounts, aggregated roles, and what nodes are told of their caches.
import {
  CLUSTER_ROLES,
  NODES,
  SECRETS,
  SERVICE_ACCOUNTS,
  type ClusterRole,
  type Node,
  type Secret,
  type ServiceAccount,
} from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planAggregation } from "../src/cluster-role-aggregation/plan.ts";
import { nextStep } from "../src/node-ttl/controller.ts";
import { isFor, planTokenSecret, withoutReference } from "../src/service-account-token/plan.ts";
import { makeFixture, readyNode } from "./cluster-fixture.ts";

const NAME = "kubernetes.io/service-account.name";
const UID = "kubernetes.io/service-account.uid";
const base64 = (text: string) => Buffer.from(text).toString("base64");

const account: ServiceAccount = {
  apiVersion: "v1",
  kind: "ServiceAccount",
  metadata: { name: "robot", namespace: "default", uid: "a1" },
};

function secret(annotations: Record<string, string>, data: Record<string, string> = {}): Secret {
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: "kubernetes.io/service-account-token",
    metadata: { name: "robot-token", namespace: "default", annotations },
    data,
  };
}

describe("a token Secret", () => {
  const whole = { token: "t", "ca.crt": base64("CA"), namespace: base64("default") };
  test.each<[string, Secret, string | undefined, object | undefined]>([
    ["that is empty gets all", secret({ [NAME]: "robot" }), "CA", { needsToken: true }],
    ["that is whole stays", secret({ [NAME]: "robot", [UID]: "a1" }, whole), "CA", undefined],
    ["of an old CA gets the new one", secret({ [NAME]: "robot", [UID]: "a1" }, whole), "NEW", { needsToken: false }],
    ["without a uid gets it", secret({ [NAME]: "robot" }, whole), "CA", { needsToken: false }],
    [
      "needs no CA where none is known",
      secret({ [NAME]: "robot", [UID]: "a1" }, { token: "t", namespace: "n" }),
      undefined,
      undefined,
    ],
  ])("%s", (_, present, ca, expected) => {
    const plan = planTokenSecret(present, account, ca);
    if (expected === undefined) expect(plan).toBeUndefined();
    else
      expect(plan).toMatchObject({
        ...expected,
        secret: { metadata: { annotations: { [NAME]: "robot", [UID]: "a1" } } },
      });
  });

  test("is for one account, not for the next of its name", () => {
    expect(isFor(secret({ [NAME]: "robot" }), account)).toBe(true);
    expect(isFor(secret({ [NAME]: "robot", [UID]: "a1" }), account)).toBe(true);
    expect(isFor(secret({ [NAME]: "robot", [UID]: "a0" }), account)).toBe(false);
    expect(isFor(secret({ [NAME]: "robot" }), undefined)).toBe(false);
  });

  test("leaves no reference behind", () => {
    const referring = { ...account, secrets: [{ name: "robot-token" }, { name: "other" }] };
    expect(withoutReference(referring, "robot-token")?.secrets).toEqual([{ name: "other" }]);
    expect(withoutReference(account, "robot-token")).toBeUndefined();
  });

  test("is filled, goes with its account, and one of nobody goes at once", async () => {
    const sign = async ({
      namespace,
      serviceAccount,
      secret: name,
    }: {
      namespace: string;
      serviceAccount: { name: string; uid: string };
      secret: string;
    }) => [namespace, serviceAccount.name, serviceAccount.uid, name].join("/");
    const fixture = makeFixture({ tokens: { sign }, options: { rootCa: "CA" } });
    fixture.seedNamespace();
    const { uid: _, ...metadata } = account.metadata!;
    fixture.cluster.seed(SERVICE_ACCOUNTS, { ...account, metadata });
    fixture.start();
    const secrets = () => fixture.cluster.objects<Secret>(SECRETS);
    await fixture.settle(fixture.admin.create(SECRETS, secret({ [NAME]: "robot" })));
    const orphan = {
      ...secret({ [NAME]: "nobody" }),
      metadata: { name: "x", namespace: "default", annotations: { [NAME]: "nobody" } },
    };
    await fixture.settle(fixture.admin.create(SECRETS, orphan));
    expect(await fixture.until(() => secrets()[0]?.data?.["token"] !== undefined && secrets().length === 1)).toBe(true);
    const uid = fixture.cluster.objects<ServiceAccount>(SERVICE_ACCOUNTS).find((one) => one.metadata?.name === "robot")
      ?.metadata?.uid;
    expect(secrets()[0]).toMatchObject({
      metadata: { annotations: { [UID]: uid } },
      data: {
        token: base64(`default/robot/${uid}/robot-token`),
        "ca.crt": base64("CA"),
        namespace: base64("default"),
      },
    });
    await fixture.settle(fixture.admin.delete(SERVICE_ACCOUNTS, { namespace: "default", name: "robot" }));
    expect(await fixture.until(() => secrets().length === 0)).toBe(true);
  });
});

describe("an aggregated role", () => {
  const role = (name: string, rules: ClusterRole["rules"], labels: Record<string, string> = {}): ClusterRole => ({
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name, labels },
    rules,
  });
  const [pods, nodes] = ["pods", "nodes"].map((resource) => ({
    verbs: ["get"],
    apiGroups: [""],
    resources: [resource],
  }));
  const selector: Pick<ClusterRole, "aggregationRule"> = {
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { to: "x" } }, { matchLabels: { also: "x" } }] },
  };

  test("has the rules of its parts, each once, and no others", () => {
    const whole = { ...role("whole", [{ verbs: ["*"] }], { to: "x" }), ...selector };
    const all = [
      whole,
      role("b", [pods!, nodes!], { to: "x" }),
      role("a", [pods!], { also: "x" }),
      role("c", [{ verbs: ["no"] }]),
    ];
    expect(planAggregation(whole, all)).toEqual([pods, nodes]);
    expect(planAggregation({ ...whole, rules: [pods!, nodes!] }, all)).toBeUndefined();
    expect(planAggregation(whole, [whole])).toEqual([]);
  });

  test("follows its parts in a cluster", async () => {
    const fixture = makeFixture();
    fixture.cluster.seed(CLUSTER_ROLES, { ...role("whole", []), ...selector });
    fixture.start();
    const rules = () =>
      fixture.cluster.objects<ClusterRole>(CLUSTER_ROLES).find(({ metadata }) => metadata?.name === "whole")?.rules;
    await fixture.settle(fixture.admin.create(CLUSTER_ROLES, role("part", [pods!], { to: "x" })));
    expect(await fixture.until(() => rules()?.length === 1)).toBe(true);
    await fixture.settle(fixture.admin.delete(CLUSTER_ROLES, { name: "part" }));
    expect(await fixture.until(() => rules()?.length === 0)).toBe(true);
  });
});

describe("nodes' caches", () => {
  test("are believed the longer the larger the cluster, without a change of mind at a border", () => {
    const seconds = (steps: readonly number[]) => steps.reduce((step, nodes) => nextStep(step, nodes), 0);
    expect([10, 101, 501, 1_001, 2_001, 9_000].map((nodes) => nextStep(0, nodes))).toEqual([0, 1, 2, 3, 4, 4]);
    expect(seconds([101, 95, 101])).toBe(1);
    expect(seconds([101, 89])).toBe(0);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), fc.nat({ max: 10_000 }), (step, nodes) => {
        const next = nextStep(step, nodes);
        expect(nextStep(next, nodes)).toBe(next);
      }),
    );
  });
  test("are told to each node", async () => {
    const fixture = makeFixture();
    fixture.cluster.seed(NODES, readyNode("n1", fixture.env.clock.now()));
    fixture.start();
    const ttl = () => fixture.cluster.objects<Node>(NODES)[0]?.metadata?.annotations?.["node.alpha.kubernetes.io/ttl"];
    expect(await fixture.until(() => ttl() === "0")).toBe(true);
  });
});
