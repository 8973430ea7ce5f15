// What controllers do for users, by the real kubectl: certificates on request, Endpoints, tokens in
// Secrets, aggregated roles, ranges of Services' addresses.
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSigningRequest } from "@coxswain/component-base/identity/signing-requests";
import { deployment, eventually, type TestCluster, testCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster({ nodes: 2, name: "controllers" });
});
afterAll(async () => {
  await k?.[Symbol.asyncDispose]();
});

const apply = (...objects: readonly object[]): Promise<string> =>
  k.apply(objects.map((object) => JSON.stringify(object)).join("\n---\n"));

describe("certificates", () => {
  const signingRequest = (name: string, request: string, usages = ["client auth"]) => ({
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name },
    spec: {
      request: Buffer.from(request).toString("base64"),
      signerName: "kubernetes.io/kube-apiserver-client",
      expirationSeconds: 3600,
      usages,
    },
  });

  test("are issued when a person approves, and the api-server knows their user", async () => {
    const { keyPem, requestPem } = await createSigningRequest({ commonName: "jane", organizations: ["developers"] });
    await apply(signingRequest("jane", requestPem));
    expect(await k.ok(["get", "csr", "jane", "--no-headers"])).toMatch(
      /^jane\s+\S+\s+kubernetes.io\/kube-apiserver-client\s+kubernetes-admin\s+60m\s+Pending/,
    );
    await k.ok(["certificate", "approve", "jane"]);
    const encoded = await eventually(
      () => k.ok(["get", "csr", "jane", "-o", "jsonpath={.status.certificate}"]),
      (text) => text !== "",
    );
    expect(await k.ok(["get", "csr", "jane", "--no-headers"])).toMatch(/Approved,Issued/);
    const file = (name: string, text: string): string => {
      const at = path.join(path.dirname(k.cluster.info.kubeconfig), name);
      writeFileSync(at, text, { mode: 0o600 });
      return at;
    };
    const certificate = file("jane.crt", Buffer.from(encoded, "base64").toString());
    const keyFile = file("jane.key", keyPem);
    const kubeconfig = file("jane.kubeconfig", await k.ok(["config", "view", "--raw", "--minify"]));
    const as = (args: readonly string[]) => k.kubectl(args, undefined, { KUBECONFIG: kubeconfig });
    await as(["config", "set-credentials", "jane", `--client-certificate=${certificate}`, `--client-key=${keyFile}`]);
    await as(["config", "set-context", "--current", "--user=jane"]);
    expect(
      (await as(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}"])).stdout,
    ).toBe('jane ["developers","system:authenticated"]');
    expect((await as(["get", "pods"])).stderr).toContain('User "jane" cannot list resource "pods"');
    await k.ok(["create", "rolebinding", "jane", "--clusterrole=view", "--user=jane"]);
    await eventually(
      () => as(["get", "pods"]),
      ({ code }) => code === 0,
    );
  });

  test("are not issued when a person denies, nor for what the signer does not sign", async () => {
    const { requestPem } = await createSigningRequest({ commonName: "mallory" });
    await apply(signingRequest("denied", requestPem), signingRequest("server", requestPem, ["server auth"]));
    await k.ok(["certificate", "deny", "denied"]);
    await k.ok(["certificate", "approve", "server"]);
    await eventually(
      () => k.ok(["get", "csr", "server", "-o", "jsonpath={.status.conditions[?(@.type=='Failed')].message}"]),
      (text) => text === "invalid usage for client certificate: server auth",
    );
    expect(await k.ok(["get", "csr", "denied", "server", "--no-headers"])).toMatch(/Denied[\s\S]*Approved,Failed/);
    expect(await k.ok(["get", "csr", "denied", "-o", "jsonpath={.status.certificate}"])).toBe("");
  });
});

describe("Endpoints", () => {
  test("list the ready pods of a Service, and kubectl shows them", async () => {
    await k.apply(deployment({ name: "listed", replicas: 2 }));
    await k.ok(["expose", "deployment/listed", "--port=80", "--target-port=8080"]);
    await k.ok(["rollout", "status", "deployment/listed", "--timeout=60s"]);
    const shown = await eventually(
      () => k.ok(["get", "endpoints", "listed", "-o", "jsonpath={.subsets[0].addresses[*].targetRef.name}"]),
      (text) => text.split(" ").length === 2,
    );
    const pods = await k.ok(["get", "pods", "-l", "app=listed", "-o", "jsonpath={.items[*].metadata.name}"]);
    expect(new Set(shown.split(" "))).toEqual(new Set(pods.split(" ")));
    expect(await k.ok(["get", "endpoints", "listed", "--no-headers"])).toMatch(/:8080,\S+:8080/);
    await k.ok(["scale", "deployment/listed", "--replicas=0"]);
    await eventually(
      () => k.ok(["get", "endpoints", "listed", "-o", "jsonpath={.subsets}"]),
      (text) => text === "",
    );
    await k.ok(["delete", "deployment/listed", "service/listed"]);
    await eventually(
      () => k.kubectl(["get", "endpoints", "listed"]),
      ({ stderr }) => stderr.includes("NotFound"),
    );
  });

  test("that were written by hand are mirrored in slices", async () => {
    const metadata = { name: "outside" };
    await apply(
      { apiVersion: "v1", kind: "Service", metadata, spec: { ports: [{ port: 5432 }] } },
      {
        apiVersion: "v1",
        kind: "Endpoints",
        metadata,
        subsets: [{ addresses: [{ ip: "192.0.2.7" }], ports: [{ port: 5432 }] }],
      },
    );
    const addresses = ["get", "endpointslices", "-l", "kubernetes.io/service-name=outside"];
    await eventually(
      () => k.ok([...addresses, "-o", "jsonpath={.items[*].endpoints[*].addresses[0]}"]),
      (text) => text === "192.0.2.7",
    );
    await k.ok(["delete", "service/outside"]);
    await eventually(
      () => k.ok([...addresses, "-o", "name"]),
      (text) => text === "",
    );
  });
});

describe("accounts and roles", () => {
  test("a token Secret holds a token that the api-server takes, as long as the Secret is there", async () => {
    await k.ok(["create", "serviceaccount", "robot"]);
    await k.ok(["create", "clusterrolebinding", "robot", "--clusterrole=view", "--serviceaccount=default:robot"]);
    const metadata = { name: "robot-token", annotations: { "kubernetes.io/service-account.name": "robot" } };
    await apply({ apiVersion: "v1", kind: "Secret", type: "kubernetes.io/service-account-token", metadata });
    const encoded = await eventually(
      () => k.ok(["get", "secret", "robot-token", "-o", "jsonpath={.data.token}"]),
      (text) => text !== "",
    );
    expect(await k.ok(["describe", "secret", "robot-token"])).toMatch(/ca.crt:[\s\S]*namespace:[\s\S]*token:/);
    const server = await k.ok(["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"]);
    const token = Buffer.from(encoded, "base64").toString();
    // A kubeconfig without the administrator's certificate, which would count before the token.
    const anonymous = { KUBECONFIG: "/dev/null" };
    const as = (args: readonly string[]) =>
      k.kubectl(["--server", server, "--insecure-skip-tls-verify", "--token", token, ...args], undefined, anonymous);
    expect((await as(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])).stdout).toBe(
      "system:serviceaccount:default:robot",
    );
    expect((await as(["get", "pods"])).code).toBe(0);
    await k.ok(["delete", "serviceaccount", "robot"]);
    await eventually(
      () => k.kubectl(["get", "secret", "robot-token"]),
      ({ stderr }) => stderr.includes("NotFound"),
    );
    expect((await as(["get", "pods"])).stderr).toContain("You must be logged in to the server");
  });

  test("an aggregated role grants what its parts do", async () => {
    const part = { name: "widgets", labels: { "rbac.authorization.k8s.io/aggregate-to-view": "true" } };
    const rules = [{ apiGroups: ["example.test"], resources: ["widgets"], verbs: ["get"] }];
    await apply({ apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole", metadata: part, rules });
    for (const role of ["view", "edit", "admin"]) {
      await eventually(
        () => k.ok(["get", "clusterrole", role, "-o", "jsonpath={.rules[*].apiGroups[*]}"]),
        (text) => text.split(" ").includes("example.test"),
      );
    }
    await k.ok(["delete", "clusterrole", "widgets"]);
    await eventually(
      () => k.ok(["get", "clusterrole", "admin", "-o", "jsonpath={.rules[*].apiGroups[*]}"]),
      (text) => !text.split(" ").includes("example.test"),
    );
  });
});

test("Services take addresses of every ServiceCIDR, each address is shown, and a range in use stays", async () => {
  expect(await k.ok(["get", "servicecidr", "--no-headers"])).toMatch(/^kubernetes\s+10\.96\.0\.0\/16\s/);
  await k.ok(["get", "ipaddress", "10.96.0.1"]);
  await apply({
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: "more" },
    spec: { cidrs: ["10.97.0.0/24"] },
  });
  await k.ok(["wait", "servicecidr/more", "--for=condition=Ready", "--timeout=60s"]);
  const service = { apiVersion: "v1", kind: "Service", metadata: { name: "far" } };
  const spec = { clusterIP: "10.97.0.9", ports: [{ port: 80 }] };
  await eventually(
    () => k.kubectl(["apply", "-f", "-"], JSON.stringify({ ...service, spec })),
    ({ code }) => code === 0,
  );
  const shown = await eventually(
    () => k.ok(["get", "ipaddresses", "10.97.0.9", "--no-headers"]),
    (text) => text !== "",
  );
  expect(shown).toMatch(/^10\.97\.0\.9\s+services\/default\/far\s/);
  await k.ok(["delete", "servicecidr", "more", "--wait=false"]);
  const path = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}";
  await eventually(
    () => k.ok(["get", "servicecidr", "more", "-o", path]),
    (text) => text === "Terminating",
  );
  await k.ok(["delete", "service", "far"]);
  await k.ok(["wait", "servicecidr/more", "--for=delete", "--timeout=60s"]);
});
