// Malformed requests against the whole api-server: whatever is sent, the answer is a client's error or an honest 503, and
// the process goes on.
import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Agent, request } from "undici";
import { startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

/** A search by hand takes some ten thousands. */
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 800);

let server: TestServer;
let agent: Agent;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  const { ca, cert, key } = server.tls("admin");
  agent = new Agent({ connect: { ca, cert, key } });
});

afterAll(async () => {
  await agent.destroy();
  await server.close();
});

const PLACES = [
  "/api/v1/namespaces/default/pods",
  "/api/v1/namespaces/default/pods/x",
  "/api/v1/namespaces/default/pods/x/binding",
  "/api/v1/namespaces/default/pods/x/eviction",
  "/api/v1/namespaces/default/pods/x/status",
  "/api/v1/namespaces/default/services",
  "/api/v1/namespaces/default/configmaps",
  "/api/v1/namespaces/default/configmaps/present",
  "/api/v1/namespaces/default/serviceaccounts/robot/token",
  "/api/v1/namespaces",
  "/api/v1/namespaces/default/finalize",
  "/api/v1/nodes",
  "/apis/apps/v1/namespaces/default/deployments",
  "/apis/apps/v1/namespaces/default/deployments/present",
  "/apis/apps/v1/namespaces/default/deployments/present/scale",
  "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
  "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
  "/apis/authorization.k8s.io/v1/subjectaccessreviews",
  "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
  "/apis/authentication.k8s.io/v1/selfsubjectreviews",
  "/apis/authentication.k8s.io/v1/tokenreviews",
  "/apis/coordination.k8s.io/v1/namespaces/default/leases/x",
  "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
];

const TYPES = [
  "application/json",
  "application/yaml",
  "application/vnd.kubernetes.protobuf",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/json-patch+json",
];

const FIELDS = [
  "spec",
  "metadata",
  "name",
  "generateName",
  "labels",
  "containers",
  "template",
  "selector",
  "ports",
  "port",
  "replicas",
  "image",
  "env",
  "subjects",
  "roleRef",
  "rules",
  "verbs",
  "target",
  "kind",
  "apiVersion",
  "status",
  "op",
  "path",
  "value",
  "$patch",
  "$setElementOrder/ports",
  "resourceAttributes",
  "token",
  "matchLabels",
  "clusterIP",
  "nodePort",
  "type",
  "finalizers",
  "ownerReferences",
  "annotations",
  "uid",
  "resourceVersion",
];

/** JSON that looks enough like an object to get past the first checks. */
const objectLike = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, -1, 1e300, "", "x", "10.0.0.1", "*", "2026-01-01T00:00:00Z"),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...FIELDS), tie("value"), { maxKeys: 6 }),
  ),
})).value;

const body = fc.oneof(
  objectLike.map((value) => Buffer.from(JSON.stringify(value))),
  fc.string().map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.concat([Buffer.from("k8s\0"), bytes])),
  objectLike.map((value) => Buffer.from(JSON.stringify({ metadata: { name: "present" }, spec: value }))),
);

const query = fc.oneof(
  fc.constantFrom("", "limit=-1", "limit=x", "continue=zzz", "resourceVersion=abc", "fieldSelector=a%3D%3Db,,"),
  fc.constantFrom(
    "labelSelector=((",
    "dryRun=No",
    "fieldValidation=Maybe",
    "timeoutSeconds=x",
    "gracePeriodSeconds=-9",
  ),
  fc.constantFrom("propagationPolicy=X", "resourceVersion=0&resourceVersionMatch=Exact", "pretty=1", "%zz=%zz"),
);

test(
  "no malformed request ends in an internal error",
  async () => {
    const failures = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("POST", "PUT", "PATCH", "DELETE", "GET"),
        fc.constantFrom(...PLACES),
        query,
        fc.constantFrom(...TYPES),
        body,
        async (method, place, text, type, bytes) => {
          const answer = await request(`${server.url}${place}?${text}`, {
            dispatcher: agent,
            method,
            headers: { "content-type": type },
            ...(method === "GET" ? {} : { body: bytes }),
          });
          const said = await answer.body.text();
          if (answer.statusCode < 500 || answer.statusCode === 503 || answer.statusCode === 504) return;
          failures.set(said, `${method} ${place}?${text} ${type} ${bytes.toString()}`);
        },
      ),
      { numRuns: RUNS },
    );
    expect([...failures]).toEqual([]);
  },
  60_000 + RUNS * 50,
);
