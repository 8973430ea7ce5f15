// RBAC: who may do what, in upstream's words; nobody grants what they do not hold; the default policy covers the components.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { UserInfo } from "@coxswain/component-base";
import {
  defaultClusterRoleBindings,
  defaultClusterRoles,
  defaultRoleBindings,
  defaultRoles,
} from "../src/auth/bootstrap-policy.ts";
import { planReconcile } from "../src/auth/bootstrap-reconcile.ts";
import { createEscalationCheck } from "../src/auth/escalation.ts";
import { AuthorizerChain } from "../src/auth/authorizer-chain.ts";
import { createNodeAuthorizer } from "../src/auth/node-authorizer.ts";
import type { AuthorizationAttributes, AuthorizationDecision } from "../src/pipeline/contract.ts";
import type { ObjectSource } from "../src/pipeline/extension.ts";
import { denialOf } from "../src/auth/demand.ts";
import { createRbacAuthorizer } from "../src/auth/rbac-authorizer.ts";
import { createRbacIndex } from "../src/auth/rbac-index.ts";
import { breakdownRule, ruleAllows, uncoveredRules } from "../src/auth/rbac-rules.ts";

const API = "rbac.authorization.k8s.io/v1";
const alice: UserInfo = { username: "alice", groups: ["team", "system:authenticated"] };

const role = (namespace: string, name: string, rules: PolicyRule[]): Role => ({
  apiVersion: API,
  kind: "Role",
  metadata: { namespace, name },
  rules,
});
const clusterRole = (name: string, rules: PolicyRule[], labels: Record<string, string> = {}): ClusterRole => ({
  apiVersion: API,
  kind: "ClusterRole",
  metadata: { name, labels },
  rules,
});
const binding = (namespace: string, name: string, kind: string, user: string): RoleBinding => ({
  apiVersion: API,
  kind: "RoleBinding",
  metadata: { namespace, name },
  roleRef: { apiGroup: "rbac.authorization.k8s.io", kind, name },
  subjects: [{ kind: "User", name: user }],
});

function rbac(...objects: KubeObject[]) {
  const index = createRbacIndex();
  for (const object of objects) index.apply("ADDED", object);
  const authorizer = createRbacAuthorizer(index);
  return { index, authorizer, escalation: createEscalationCheck(index, authorizer, authorizer) };
}

const ask = (user: UserInfo, verb: string, resource: string, namespace = "", rest: object = {}) => {
  const [name = "", subresource = ""] = resource.split("/");
  return { user, verb, group: "", resource: name, subresource, namespace, name: "", ...rest };
};

const readPods: PolicyRule = { verbs: ["get", "list"], apiGroups: [""], resources: ["pods", "pods/log"] };

test("a role grants in its namespace only, and a denial reads as upstream's", () => {
  const { authorizer } = rbac(role("a", "read", [readPods]), binding("a", "read", "Role", "alice"));
  expect(authorizer.authorize(ask(alice, "list", "pods", "a"))).toEqual({
    allowed: true,
    reason: 'RBAC: allowed by RoleBinding "read/a" of Role "read" to User "alice"',
  });
  expect(authorizer.authorize(ask(alice, "get", "pods/log", "a")).allowed).toBe(true);
  expect(authorizer.authorize(ask(alice, "get", "pods/exec", "a")).allowed).toBe(false);
  expect(authorizer.authorize(ask(alice, "list", "pods", "b"))).toEqual({ allowed: false, reason: "" });
  expect(denialOf(ask(alice, "list", "pods", "b"))).toBe(
    'User "alice" cannot list resource "pods" in API group "" in the namespace "b"',
  );
  expect(denialOf(ask(alice, "list", "nodes"))).toBe(
    'User "alice" cannot list resource "nodes" in API group "" at the cluster scope',
  );
  expect(denialOf({ ...ask(alice, "get", ""), path: "/metrics" })).toBe('User "alice" cannot get path "/metrics"');
});

test("what one name was granted is not taken for another, nor is a reason", () => {
  const named: PolicyRule = { verbs: ["get"], apiGroups: [""], resources: ["pods"], resourceNames: ["x"] };
  const { index, authorizer } = rbac(role("a", "named", [named]), binding("a", "named", "Role", "alice"));
  const get = (name: string) => authorizer.authorize(ask(alice, "get", "pods", "a", { name }));
  expect([get("x").allowed, get("y").allowed, get("x").allowed]).toEqual([true, false, true]);
  index.apply("ADDED", role("a", "read", [readPods]));
  index.apply("ADDED", binding("a", "read", "Role", "alice"));
  for (let round = 0; round < 2; round++) {
    expect(get("y").reason).toContain('RoleBinding "read/a"');
    expect(get("x").reason).toContain('RoleBinding "named/a"');
  }
  index.apply("MODIFIED", role("a", "read", []));
  expect([get("x").allowed, get("y").allowed]).toEqual([true, false]);
});

test("a binding to a role that is not there denies and says so; the role's arrival counts at once", () => {
  const { index, authorizer } = rbac(binding("a", "late", "Role", "alice"));
  expect(authorizer.authorize(ask(alice, "list", "pods", "a")).reason).toBe(
    'RBAC: role.rbac.authorization.k8s.io "late" not found',
  );
  index.apply("ADDED", role("a", "late", [readPods]));
  expect(authorizer.authorize(ask(alice, "list", "pods", "a")).allowed).toBe(true);
  index.apply("DELETED", binding("a", "late", "Role", "alice"));
  expect(authorizer.authorize(ask(alice, "list", "pods", "a")).allowed).toBe(false);
});

test("a Namespace can be read through a binding inside it", () => {
  const rules = [{ verbs: ["get"], apiGroups: [""], resources: ["namespaces"] }];
  const { authorizer } = rbac(clusterRole("ns", rules), binding("a", "ns", "ClusterRole", "alice"));
  expect(authorizer.authorize(ask(alice, "get", "namespaces", "", { name: "a" })).allowed).toBe(true);
  expect(authorizer.authorize(ask(alice, "get", "namespaces", "", { name: "b" })).allowed).toBe(false);
});

test("aggregated roles hold the rules of the roles that their labels pick, transitively", () => {
  const objects = [...defaultClusterRoles(), binding("a", "view", "ClusterRole", "alice")];
  const { index, authorizer } = rbac(...objects);
  const asked = { group: "example.com" };
  expect(authorizer.authorize(ask(alice, "get", "pods", "a")).allowed).toBe(true);
  expect(authorizer.authorize(ask(alice, "get", "secrets", "a")).allowed).toBe(false);
  expect(authorizer.authorize(ask(alice, "get", "boats", "a", asked)).allowed).toBe(false);
  const rules = [{ verbs: ["get"], apiGroups: ["example.com"], resources: ["boats"] }];
  index.apply("ADDED", clusterRole("boats", rules, { "rbac.authorization.k8s.io/aggregate-to-view": "true" }));
  expect(authorizer.authorize(ask(alice, "get", "boats", "a", asked)).allowed).toBe(true);
  expect(index.roleRules("ClusterRole", "", "admin")).toEqual(expect.arrayContaining(rules));
});

describe("escalation", () => {
  const roleWriter = { verbs: ["*"], apiGroups: ["rbac.authorization.k8s.io"], resources: ["roles", "rolebindings"] };
  const held = [role("a", "own", [readPods, roleWriter]), binding("a", "own", "Role", "alice")];

  test("what one holds may be granted, more may not", async () => {
    const { escalation } = rbac(...held.slice(0, 1), role("a", "big", [{ ...readPods, verbs: ["delete"] }]));
    await expect(escalation.check(alice, role("a", "x", [readPods]), undefined)).rejects.toThrow();
    const granted = rbac(role("a", "own", [readPods]), binding("a", "own", "Role", "alice"));
    await granted.escalation.check(alice, role("a", "x", [readPods]), undefined);
    const more = { ...readPods, verbs: ["delete", "get"] };
    await expect(granted.escalation.check(alice, role("a", "x", [more]), undefined)).rejects.toThrow(
      'roles.rbac.authorization.k8s.io "x" is forbidden: user "alice" (groups=["team" "system:authenticated"]) is attempting ' +
        "to grant RBAC permissions not currently held:\n" +
        '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}',
    );
  });

  test("a binding needs the role's rules or the verb bind", async () => {
    const big = role("a", "big", [{ ...readPods, verbs: ["delete"] }]);
    const granted = rbac(role("a", "own", [readPods]), binding("a", "own", "Role", "alice"), big);
    await expect(granted.escalation.check(alice, binding("a", "big", "Role", "bob"), undefined)).rejects.toThrow(
      "not currently held",
    );
    const binder = role("a", "own", [{ ...roleWriter, verbs: ["bind"] }]);
    await rbac(binder, binding("a", "own", "Role", "alice"), big).escalation.check(
      alice,
      binding("a", "big", "Role", "bob"),
      undefined,
    );
    const admin = { username: "root", groups: ["system:masters"] };
    await rbac(big).escalation.check(admin, binding("a", "big", "Role", "bob"), undefined);
  });
});

test("a rule covers exactly the requests of its parts", () => {
  const word = fc.constantFrom("*", "get", "list", "pods", "pods/log", "*/log", "", "apps");
  const list = fc.array(word, { minLength: 1, maxLength: 3 });
  const ruleOf = fc.record({ verbs: list, apiGroups: list, resources: list });
  fc.assert(
    fc.property(ruleOf, ruleOf, (owned, wanted) => {
      const missing = uncoveredRules([owned], [wanted]);
      if (missing.length > 0) return;
      for (const atom of breakdownRule(wanted)) {
        const [resource = "", subresource = ""] = (atom.resources?.[0] ?? "").split("/");
        const base = {
          user: alice,
          namespace: "",
          name: "",
          verb: atom.verbs[0] ?? "",
          group: atom.apiGroups?.[0] ?? "",
        };
        expect(ruleAllows(owned, { ...base, resource, subresource })).toBe(true);
      }
    }),
  );
});

describe("default policy", () => {
  const { authorizer: inner } = rbac(...defaultClusterRoles(), ...defaultClusterRoleBindings());
  const nothing: ObjectSource = { get: () => undefined, list: () => [], onChange: () => () => {} };
  const rbacLink = { ...inner, type: "RBAC", name: "rbac", rulesFor: () => ({ rules: [], unknown: [] }) };
  const chain = new AuthorizerChain([createNodeAuthorizer(nothing), rbacLink]);
  const authorizer = { authorize: (asked: AuthorizationAttributes) => chain.authorize(asked) as AuthorizationDecision };
  const as = (username: string, ...groups: string[]): UserInfo => ({
    username,
    groups: [...groups, "system:authenticated"],
  });
  const scheduler = as("system:kube-scheduler");
  const manager = as("system:kube-controller-manager");
  const node = as("system:node:n1", "system:nodes");
  const pack = as("system:node-pack:n0-9", "system:node-packs");
  const proxy = as("system:kube-proxy");
  const leases = { group: "coordination.k8s.io" };

  test.each([
    [scheduler, "create", "pods/binding", "default", {}],
    [scheduler, "patch", "pods/status", "default", {}],
    [scheduler, "update", "leases", "kube-system", { ...leases, name: "kube-scheduler" }],
    [scheduler, "create", "events", "default", { group: "events.k8s.io" }],
    [manager, "create", "pods", "default", {}],
    [manager, "update", "deployments/status", "default", { group: "apps" }],
    [manager, "delete", "endpointslices", "default", { group: "discovery.k8s.io" }],
    [manager, "update", "namespaces/finalize", "", { name: "x" }],
    [manager, "update", "leases", "kube-system", { ...leases, name: "kube-controller-manager" }],
    [node, "create", "nodes", "", {}],
    [node, "patch", "pods/status", "default", {}],
    [node, "update", "leases", "kube-node-lease", { ...leases, name: "n1" }],
    [pack, "patch", "nodes/status", "", {}],
    [pack, "create", "serviceaccounts/token", "default", {}],
    [proxy, "watch", "endpointslices", "", { group: "discovery.k8s.io" }],
  ] as const)("%o may %s %s", (user, verb, resource, namespace, rest) => {
    expect(authorizer.authorize(ask(user, verb, resource, namespace, rest))).toMatchObject({ allowed: true });
  });

  test.each([
    [scheduler, "delete", "nodes", "", {}],
    [node, "create", "pods/binding", "default", {}],
    [node, "get", "secrets", "default", { name: "x" }],
    [proxy, "get", "secrets", "default", {}],
    [alice, "list", "pods", "default", {}],
  ] as const)("%o may not %s %s", (user, verb, resource, namespace, rest) => {
    expect(authorizer.authorize(ask(user, verb, resource, namespace, rest)).allowed).toBe(false);
  });

  test("health and version are for everybody, discovery for who is known", () => {
    const anonymous: UserInfo = { username: "system:anonymous", groups: ["system:unauthenticated"] };
    const path = (user: UserInfo, text: string) =>
      authorizer.authorize({ ...ask(user, "get", ""), path: text }).allowed;
    expect(path(anonymous, "/healthz")).toBe(true);
    expect(path(anonymous, "/version")).toBe(true);
    expect(path(anonymous, "/apis")).toBe(false);
    expect(path(alice, "/apis/apps/v1")).toBe(true);
    expect(path(alice, "/metrics")).toBe(false);
  });

  test.each([
    ["system:heapster", ["get"], "extensions", "deployments"],
    ["system:kube-aggregator", ["list"], "", "endpoints"],
    ["system:node-problem-detector", ["patch"], "", "nodes/status"],
    ["system:persistent-volume-provisioner", ["create", "delete"], "", "persistentvolumes"],
    ["system:aggregate-to-view", ["watch"], "extensions", "ingresses/status"],
    ["system:aggregate-to-edit", ["deletecollection"], "extensions", "deployments/rollback"],
    ["system:controller:legacy-service-account-token-cleaner", ["patch"], "", "secrets"],
    ["system:controller:resourcequota-controller", ["update"], "", "resourcequotas/status"],
    ["system:controller:route-controller", ["patch"], "", "nodes/status"],
    ["system:controller:selinux-warning-controller", ["get"], "storage.k8s.io", "csidrivers"],
    ["system:controller:service-controller", ["patch"], "", "services/status"],
    [
      "system:controller:validatingadmissionpolicy-status-controller",
      ["update"],
      "admissionregistration.k8s.io",
      "validatingadmissionpolicies/status",
    ],
    [
      "system:controller:volumeattributesclass-protection-controller",
      ["update"],
      "storage.k8s.io",
      "volumeattributesclasses",
    ],
  ])("the role %s may %j %s %s", (name, verbs, group, resource) => {
    const rules = defaultClusterRoles().find((one) => one.metadata?.name === name)?.rules ?? [];
    expect(uncoveredRules(rules, [{ verbs, apiGroups: [group], resources: [resource] }])).toEqual([]);
    const bound = defaultClusterRoleBindings().find((one) => one.metadata?.name === name);
    const account = /^system:controller:(.*)$/.exec(name)?.[1];
    expect(bound?.subjects).toEqual(
      account === undefined ? undefined : [{ kind: "ServiceAccount", namespace: "kube-system", name: account }],
    );
  });

  test.each([
    ["kube-system", "system::leader-locking-kube-scheduler", ["system:kube-scheduler", "kube-scheduler"]],
    [
      "kube-system",
      "system::leader-locking-kube-controller-manager",
      ["system:kube-controller-manager", "kube-controller-manager", "leader-election-controller"],
    ],
    ["kube-public", "system:controller:bootstrap-signer", ["bootstrap-signer"]],
    ["kube-system", "system:controller:bootstrap-signer", ["bootstrap-signer"]],
    ["kube-system", "system:controller:cloud-provider", ["cloud-provider"]],
    ["kube-system", "system:controller:token-cleaner", ["token-cleaner"]],
  ])("in %s, the role %s is bound to %j", (namespace, name, subjects) => {
    const here = (one: KubeObject): boolean => one.metadata?.namespace === namespace && one.metadata.name === name;
    expect(defaultRoles().find(here)?.rules).not.toEqual([]);
    const bound = defaultRoleBindings().find(here);
    expect(bound?.roleRef).toEqual({ apiGroup: "rbac.authorization.k8s.io", kind: "Role", name });
    expect(bound?.subjects?.map((subject) => subject.name)).toEqual(subjects);
  });

  test("reconciling adds what is missing and takes nothing away", () => {
    const wanted = defaultClusterRoles().find((one) => one.metadata?.name === "system:discovery") as ClusterRole;
    expect(planReconcile(wanted, wanted)).toBeUndefined();
    const extra: PolicyRule = { verbs: ["get"], nonResourceURLs: ["/extra"] };
    const changed = planReconcile({ ...wanted, rules: [extra] }, wanted);
    expect((changed as ClusterRole).rules).toEqual([extra, ...(wanted.rules ?? [])]);
    const frozen = { "rbac.authorization.kubernetes.io/autoupdate": "false" };
    expect(
      planReconcile({ ...wanted, rules: [], metadata: { name: "x", annotations: frozen } }, wanted),
    ).toBeUndefined();
    const bound = defaultClusterRoleBindings()[0] as ClusterRoleBinding;
    const grown = planReconcile({ ...bound, subjects: [] }, bound);
    expect((grown as ClusterRoleBinding).subjects).toEqual(bound.subjects);
  });

  test("reconciling takes away that nodes had their rules by RBAC, and leaves who was bound besides", () => {
    const wanted = defaultClusterRoleBindings().find((one) => one.metadata?.name === "system:node")!;
    expect(wanted.subjects).toEqual([]);
    const [before, other] = ["system:nodes", "others"].map((name) => ({ kind: "Group", name }));
    const next = planReconcile({ ...wanted, subjects: [before!, other!] }, wanted) as ClusterRoleBinding;
    expect(next.subjects).toEqual([other]);
    expect(planReconcile(next, wanted)).toBeUndefined();
  });
});
