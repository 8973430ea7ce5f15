// Pods of a service account that says which Secrets may be mounted, and mirror pods, which may name nothing.
import { PODS, SERVICE_ACCOUNTS, type Pod, type PodSpec, type ServiceAccount } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ephemeralSecretProblem, secretProblem } from "../src/admission/mountable-secrets.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const account: ServiceAccount = {
  metadata: {
    name: "strict",
    namespace: "default",
    annotations: { "kubernetes.io/enforce-mountable-secrets": "true" },
  },
  secrets: [{ name: "own" }],
  imagePullSecrets: [{ name: "pull" }],
};
const container = (more: object = {}) => ({ name: "c", image: "i", ...more });
const byKey = (name: string) => ({ env: [{ name: "V", valueFrom: { secretKeyRef: { name, key: "k" } } }] });
const byAll = (name: string) => ({ envFrom: [{ secretRef: { name } }] });
const why = (what: string, kind = "secret"): string =>
  `${what} is not allowed because service account strict does not reference that ${kind}`;

test.each<[Partial<PodSpec>, string | undefined]>([
  [
    {
      volumes: [
        { name: "v", secret: { secretName: "own" } },
        { name: "w", emptyDir: {} },
      ],
    },
    undefined,
  ],
  [{ volumes: [{ name: "v", secret: { secretName: "x" } }] }, why('volume with secret.secretName="x"')],
  [{ containers: [container({ ...byKey("own"), ...byAll("own") })], imagePullSecrets: [{ name: "pull" }] }, undefined],
  [{ containers: [container(byKey("x"))] }, why('container c with envVar V referencing secret.secretName="x"')],
  [{ containers: [container(byAll("x"))] }, why('container c with envFrom referencing secret.secretName="x"')],
  [
    { initContainers: [container(byKey("x"))] },
    why('init container c with envVar V referencing secret.secretName="x"'),
  ],
  [{ imagePullSecrets: [{ name: "pull" }, { name: "own" }] }, why('imagePullSecrets[1].name="own"', "imagePullSecret")],
])("%j: %s", (spec, expected) => {
  expect(secretProblem({ containers: [container()], ...spec }, account)).toBe(expected);
});

test("ephemeral containers are asked when they come", () => {
  const spec = { containers: [container(byKey("x"))], ephemeralContainers: [container(byAll("x"))] };
  expect(ephemeralSecretProblem(spec, account)).toBe(
    why('ephemeral container c with envFrom referencing secret.secretName="x"'),
  );
  expect(ephemeralSecretProblem({ containers: spec.containers }, account)).toBeUndefined();
});

describe("through the api-server", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ disabledAdmission: [] });
    for (const name of ["strict", "loose"]) {
      const annotations = { "kubernetes.io/enforce-mountable-secrets": name === "strict" ? "true" : "no" };
      const metadata = { name, namespace: "default", annotations };
      await server.client.create(SERVICE_ACCOUNTS, { ...account, metadata });
    }
  });
  afterAll(() => server.stop());

  const pod = (name: string, spec: Partial<PodSpec>, annotations: Record<string, string> = {}): Pod => ({
    metadata: { name, namespace: "default", annotations },
    spec: { containers: [container()], ...spec },
  });

  test("the account's annotation decides", async () => {
    const volumes = [{ name: "v", secret: { secretName: "x" } }];
    const create = (name: string) => server.client.create(PODS, pod(name, { serviceAccountName: name, volumes }));
    await expect(create("strict")).rejects.toMatchObject({
      code: 403,
      message: `pods "strict" is forbidden: ${why('volume with secret.secretName="x"')}`,
    });
    await create("loose");
  });

  test.each<[Partial<PodSpec>, string]>([
    [{ serviceAccountName: "loose" }, "reference service accounts"],
    [{ imagePullSecrets: [{ name: "x" }] }, "reference secrets"],
  ])("a mirror pod with %j is refused", async (spec, what) => {
    const mirror = pod("mirror", { nodeName: "n", ...spec }, { "kubernetes.io/config.mirror": "x" });
    await expect(server.client.create(PODS, mirror)).rejects.toThrow(`a mirror pod may not ${what}`);
  });
});
