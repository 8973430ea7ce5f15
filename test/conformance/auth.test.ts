// Identities: service accounts, their tokens, requests for certificates, and questions about what somebody may do.
import { expect } from "vitest";
import { eventually } from "../integration/cluster-fixture.ts";
import { conformsShared } from "./conforms.ts";
import { retryOnConflict, walkLifecycle } from "./lifecycle.ts";
import { at, type Rest, type Thing, type WatchEvent } from "./rest-client.ts";
import { found } from "./shared-cluster.ts";
import { type Part, podSpec } from "./workload.ts";

const account = conformsShared("service account");

account("lifecycle with watch and deletecollection", async ({ api, namespace }) => {
  const ns = await namespace("accounts");
  const accounts = api.resource("v1", "serviceaccounts", ns);
  using watch = accounts.watch({ labelSelector: "account=yes" });
  const own = (type: string) => (event: WatchEvent) => event.type === type && event.object.metadata.name === "own";
  await accounts.create({ metadata: { name: "own", labels: { account: "yes" } }, automountServiceAccountToken: true });
  await watch.until("added", own("ADDED"));
  const patched = await accounts.patch("own", { automountServiceAccountToken: false }, "strategic");
  expect(patched["automountServiceAccountToken"]).toBe(false);
  await watch.until(
    "modified",
    (event) => own("MODIFIED")(event) && event.object["automountServiceAccountToken"] === false,
  );
  const everywhere = await api.resource("v1", "serviceaccounts").list({ labelSelector: "account=yes" });
  expect(everywhere.items.some((one) => one.metadata.namespace === ns)).toBe(true);
  await accounts.deleteCollection({ labelSelector: "account=yes" });
  await watch.until("deleted", own("DELETED"));
});

account("automount opt-out decided in pod spec at admission", async ({ api, namespace }) => {
  const ns = await namespace("automount");
  const accounts = api.resource("v1", "serviceaccounts", ns);
  await accounts.create({ metadata: { name: "mount" }, automountServiceAccountToken: true });
  await accounts.create({ metadata: { name: "nomount" }, automountServiceAccountToken: false });
  const pods = api.resource("v1", "pods", ns);
  for (const [serviceAccountName, wish, mounted] of [
    ["default", undefined, true],
    ["default", true, true],
    ["default", false, false],
    ["mount", undefined, true],
    ["mount", true, true],
    ["mount", false, false],
    ["nomount", undefined, false],
    ["nomount", true, true],
    ["nomount", false, false],
  ] as const) {
    const automount = wish === undefined ? {} : { automountServiceAccountToken: wish };
    const spec = podSpec({ serviceAccountName, ...automount });
    const made = await pods.create({ metadata: { generateName: "p-" }, spec });
    const mounts = at<Part[]>(made, "spec.containers.0.volumeMounts") ?? [];
    const paths = mounts.map((one) => one["mountPath"]);
    expect(paths, `${serviceAccountName} ${wish}`).toEqual(
      mounted ? ["/var/run/secrets/kubernetes.io/serviceaccount"] : [],
    );
  }
});

account("kube-root-ca.crt created, recreated, reconciled", async ({ api, namespace }) => {
  const ns = await namespace("rootca");
  const maps = api.resource("v1", "configmaps", ns);
  const holds = (now: Thing): boolean =>
    Object.keys(at<object>(now, "data") ?? {}).join() === "ca.crt" &&
    (at<Record<string, string>>(now, "data")?.["ca.crt"] ?? "").startsWith("-----BEGIN CERTIFICATE-----");
  const first = await eventually(() => maps.get("kube-root-ca.crt"), holds);
  await maps.delete("kube-root-ca.crt");
  await eventually(
    async () => found(maps.get("kube-root-ca.crt")),
    (now) => now !== undefined && now.metadata.uid !== first.metadata.uid && holds(now),
  );
  await retryOnConflict(async () => {
    const now = await maps.get("kube-root-ca.crt");
    return maps.replace({ ...now, data: { "ca.crt": "", changed: "data" } });
  });
  await eventually(() => maps.get("kube-root-ca.crt"), holds);
});

conformsShared("service account token")("TokenRequest then TokenReview authenticates", async (c) => {
  const ns = await c.namespace("tokens");
  const path = `/api/v1/namespaces/${ns}/serviceaccounts/default/token`;
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { expirationSeconds: 900 } };
  const made = await c.api.json<Thing>("POST", path, { body: request });
  const token = at<string>(made, "status.token") ?? "";
  const review = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: { token },
  };
  const reviewed = await c.api.json<Thing>("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: review });
  expect(reviewed["status"]).toMatchObject({
    authenticated: true,
    user: {
      username: `system:serviceaccount:${ns}:default`,
      groups: expect.arrayContaining([
        "system:serviceaccounts",
        `system:serviceaccounts:${ns}`,
        "system:authenticated",
      ]),
    },
  });
  const wrong = { ...review, spec: { token: `${token.slice(0, -4)}AAAA` } };
  const refused = await c.api.json<Thing>("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: wrong });
  expect(at(refused, "status.authenticated") ?? false).toBe(false);
  const holder = c.as(token);
  const self = await holder.json<Thing>("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
    body: { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" },
  });
  expect(at(self, "status.userInfo.username")).toBe(`system:serviceaccount:${ns}:default`);
  holder.close();
});

conformsShared("SubjectReview")(
  "SAR/LocalSAR for impersonated SA agree with authorizer",
  async ({ api, namespace }) => {
    const ns = await namespace("subject-review");
    await api.resource("v1", "serviceaccounts", ns).create({ metadata: { name: "e2e" } });
    const user = `system:serviceaccount:${ns}:e2e`;
    const rbac = (plural: string) => api.resource("rbac.authorization.k8s.io/v1", plural, ns);
    await rbac("roles").create({
      metadata: { name: "reader" },
      rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list"] }],
    });
    const subjects = [{ kind: "ServiceAccount", name: "e2e", namespace: ns }];
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" };
    await rbac("rolebindings").create({ metadata: { name: "reader" }, subjects, roleRef });
    const groups = ["system:authenticated", "system:serviceaccounts", `system:serviceaccounts:${ns}`];
    const allowed = async (resource: string, local: boolean): Promise<unknown> => {
      const spec = { user, groups, resourceAttributes: { namespace: ns, verb: "list", resource } };
      const kind = local ? "LocalSubjectAccessReview" : "SubjectAccessReview";
      const path = local ? `namespaces/${ns}/localsubjectaccessreviews` : "subjectaccessreviews";
      const body = { apiVersion: "authorization.k8s.io/v1", kind, metadata: local ? { namespace: ns } : {}, spec };
      const answer = await api.json<Thing>("POST", `/apis/authorization.k8s.io/v1/${path}`, { body });
      return at(answer, "status.allowed");
    };
    const impersonated = async (resource: string): Promise<boolean> => {
      const headers = { "impersonate-user": user };
      return (await api.send("GET", `/api/v1/namespaces/${ns}/${resource}`, { headers })).code === 200;
    };
    await eventually(
      () => impersonated("configmaps"),
      (may) => may,
    );
    for (const resource of ["configmaps", "secrets"]) {
      const may = await impersonated(resource);
      expect(may).toBe(resource === "configmaps");
      expect(await allowed(resource, false)).toBe(may);
      expect(await allowed(resource, true)).toBe(may);
    }
  },
);

/** A request for CN=e2e-example, made once by openssl. */
const REQUEST = Buffer.from(`-----BEGIN CERTIFICATE REQUEST-----
MIHQMHgCAQAwFjEUMBIGA1UEAwwLZTJlLWV4YW1wbGUwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAAS6RwjUpVJ4oQWyka/AMp9eYqfyBLOMlMXMxr37rNP0THe9W1M/
jE+bIBYTGcMyWJ0ximru9bQcjavFcyO2ZaJboAAwCgYIKoZIzj0EAwIDSAAwRQIh
AM0MBBEmwKfDuwRcYXCzW++xKaWaoP0kyfTD1jX2WIULAiAEeG6uaP7rmlrbb/qZ
Sh5HR4ce6TmFIrrYWdOYj8q5oQ==
-----END CERTIFICATE REQUEST-----
`).toString("base64");

conformsShared("CSR")("CSR v1 CRUD, watch, approval, status", async ({ api }: { api: Rest }) => {
  const signerName = "example.com/e2e-signer";
  const spec = {
    request: REQUEST,
    signerName,
    expirationSeconds: 3600,
    usages: ["digital signature", "key encipherment", "client auth"],
  };
  await walkLifecycle(api, {
    groupVersion: "certificates.k8s.io/v1",
    plural: "certificatesigningrequests",
    kind: "CertificateSigningRequest",
    body: () => ({ spec }),
  });
  const requests = api.resource("certificates.k8s.io/v1", "certificatesigningrequests");
  const name = `csr-${process.pid}`;
  const made = await requests.create({ metadata: { name }, spec });
  expect(made["spec"]).toMatchObject({
    ...spec,
    username: expect.any(String),
    groups: expect.arrayContaining(["system:authenticated"]),
  });
  using watch = requests.watch({
    fieldSelector: `metadata.name=${name}`,
    resourceVersion: made.metadata.resourceVersion,
  });
  const condition = { type: "Approved", status: "True", reason: "E2E", message: "Set from an e2e test" };
  const read = await requests.get(name, "approval");
  const approved = await requests.replace({ ...read, status: { conditions: [condition] } }, "approval");
  expect(at(approved, "status.conditions.0")).toMatchObject(condition);
  const other = { ...condition, type: "ApprovalPatch" };
  const patched = await requests.patch(name, { status: { conditions: [condition, other] } }, "merge", "approval");
  expect(at(patched, "status.conditions.1")).toMatchObject(other);
  const certificate = Buffer.from(CERTIFICATE).toString("base64");
  const signed = await requests.patch(name, { status: { certificate } }, "merge", "status");
  expect(at(signed, "status.certificate")).toBe(certificate);
  await watch.until("the certificate", (event) => at(event.object, "status.certificate") === certificate);
  const withFailure = await retryOnConflict(async () => {
    const now = await requests.get(name, "status");
    const conditions = [...(at<Part[]>(now, "status.conditions") ?? []), { ...condition, type: "StatusUpdate" }];
    return requests.replace({ ...now, status: { ...(now["status"] as object), conditions } }, "status");
  });
  expect(at(withFailure, "status.conditions.2.type")).toBe("StatusUpdate");
  await requests.delete(name);
  await watch.until("the deletion", (event) => event.type === "DELETED");
});

/** Self-signed, of no use. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBgjCCASmgAwIBAgIUM6bTABafGe+xvE0MVRyo0DIBP7MwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLZTJlLWV4YW1wbGUwIBcNMjYxMTI4MTgxNDE5WhgPMjEyNjEx
MDQxODE0MTlaMBYxFDASBgNVBAMMC2UyZS1leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEIe0W+2v8rTzzK0/hBIQjRGKLoLRFcYwd9fr4bpmnfFo5qG0R
DyKVFxNYkgB+b4Y/Db37w1PVsr+4x8IzLMAS2qNTMFEwHQYDVR0OBBYEFN3byjNV
dMxI7ubqbtflKozZlJRVMB8GA1UdIwQYMBaAFN3byjNVdMxI7ubqbtflKozZlJRV
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgMaQATzG4djhuYRS0
0FGTdvvVbU8rhSYk+fte5SPAqjoCIHN9pjGpXwgl+4LZIQzSTqIf1RAqJt94M2sm
1UrefBWE
-----END CERTIFICATE-----
`;
