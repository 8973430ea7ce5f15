// A cluster whose api-server goes by a file of --authorization-config: a webhook of this test decides before RBAC does, kubelets
// and components work all the same, and a change of the file counts without a restart.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deployment, eventually, testCluster, type TestCluster } from "./cluster-fixture.ts";

interface Review {
  readonly spec: { readonly user: string; readonly resourceAttributes?: { readonly resource: string } };
}

const dir = mkdtempSync(join(tmpdir(), "cox-authz-"));
const configFile = join(dir, "authorization.yaml");
const asked: Review["spec"][] = [];
let hook: Server;
let k: TestCluster;

/** alice may read all but Secrets, which nobody but masters may. */
function decide({ spec }: Review): object {
  if (spec.resourceAttributes?.resource === "secrets") return { denied: true, reason: "secrets are secret" };
  return { allowed: spec.user === "alice" };
}

const configuration = (...conditions: string[]): string =>
  JSON.stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "AuthorizationConfiguration",
    authorizers: [
      { type: "Node", name: "node" },
      {
        type: "Webhook",
        name: "hook",
        webhook: {
          timeout: "3s",
          subjectAccessReviewVersion: "v1",
          matchConditionSubjectAccessReviewVersion: "v1",
          failurePolicy: "Deny",
          connectionInfo: { type: "KubeConfigFile", kubeConfigFile: join(dir, "hook.conf") },
          matchConditions: conditions.map((expression) => ({ expression })),
        },
      },
      { type: "RBAC", name: "rbac" },
    ],
  });

beforeAll(async () => {
  hook = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const review = JSON.parse(Buffer.concat(chunks).toString("utf8")) as Review;
      asked.push(review.spec);
      response.end(JSON.stringify({ ...review, status: decide(review) }));
    });
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  const cluster = { server: `http://127.0.0.1:${(hook.address() as AddressInfo).port}/` };
  const contexts = [{ name: "c", context: { cluster: "c" } }];
  writeFileSync(
    join(dir, "hook.conf"),
    JSON.stringify({ "current-context": "c", contexts, clusters: [{ name: "c", cluster }] }),
  );
  writeFileSync(configFile, configuration("request.user == 'alice' || request.user == 'bob'"));
  k = await testCluster({ nodes: 1, apiServerFlags: [`--authorization-config=${configFile}`] });
});
afterAll(async () => {
  await k[Symbol.asyncDispose]();
  hook.closeAllConnections();
  hook.close();
  rmSync(dir, { recursive: true, force: true });
});

const as = (user: string, ...args: string[]) => k.kubectl([...args, `--as=${user}`]);

test("the webhook decides for those whom it is asked about, and RBAC for the rest", async () => {
  expect(await as("alice", "get", "configmaps")).toMatchObject({ code: 0 });
  const refused = await as("alice", "get", "secrets");
  expect(refused.stderr).toContain(
    'secrets is forbidden: User "alice" cannot list resource "secrets" in API group "" in the namespace "default": secrets are secret',
  );
  expect((await as("bob", "get", "configmaps")).stderr).toContain("is forbidden");
  await k.ok(["create", "rolebinding", "bob", "--clusterrole=view", "--user=bob"]);
  await eventually(
    () => as("bob", "get", "configmaps"),
    ({ code }) => code === 0,
  );
  expect((await as("alice", "auth", "can-i", "get", "secrets")).stdout).toContain("no - secrets are secret");
  const users = new Set(asked.map(({ user }) => user));
  expect([...users].toSorted()).toEqual(["alice", "bob"]);
});

test("pods run: kubelets have their rules from the Node authorizer", async () => {
  await k.apply(deployment({ name: "boat", replicas: 2 }));
  await k.ok(["rollout", "status", "deployment/boat", "--timeout=60s"]);
  const binding = await k.get<{ subjects?: unknown[] }>(["clusterrolebinding", "system:node"]);
  expect(binding.subjects ?? []).toEqual([]);
  const rules = await as("system:node:node-1", "auth", "can-i", "--list", "--as-group=system:nodes");
  expect(rules.stderr).toContain("node authorizer does not support user rule resolution");
});

test("a change of the file counts without a restart, and one that is no good does not", async () => {
  writeFileSync(configFile, configuration("request.user == 'carol'"));
  await eventually(
    () => as("alice", "get", "configmaps"),
    ({ stderr }) => stderr.includes("is forbidden"),
  );
  writeFileSync(configFile, "authorizers: none");
  const metric = "apiserver_authorization_config_controller_automatic_reloads_total";
  const metrics = await eventually(
    () => k.ok(["get", "--raw", "/metrics"]),
    (text) => text.includes(`${metric}{status="failure"`),
  );
  expect(metrics).toMatch(new RegExp(`${metric}\\{status="success",apiserver_id_hash="sha256:[0-9a-f]{64}"\\} 1`));
  expect(metrics).toMatch(
    /apiserver_authorization_decisions_total\{type="Webhook",name="hook",decision="allowed"\} \d/,
  );
  expect(metrics).toMatch(/apiserver_authorization_decisions_total\{type="Node",name="node",decision="allowed"\} \d/);
  expect(await as("bob", "get", "configmaps")).toMatchObject({ code: 0 });
});
