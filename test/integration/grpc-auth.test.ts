// Who may call a process that is not the api-server: certificates and service-account tokens, over gRPC and HTTPS, with the
// cluster's RBAC in charge.
import { request } from "node:https";
import { Client, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, SERVICE_ACCOUNTS } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createChannel, createCredentials } from "@coxswain/component-base/grpc-channel";
import { createRealEnv } from "@coxswain/env";
import { serviceDefinition } from "@coxswain/protos";
import { waitFor } from "@coxswain/testkit";
import { startControlPlane, type ControlPlane } from "./control-plane-fixture.ts";

const env = createRealEnv();
const RBAC = "rbac.authorization.k8s.io";

/** Each process, and a method of its own. */
const PROCESSES: readonly (readonly [string, string, string])[] = [
  ["scheduler/0", "coxswain.scheduler.v1.Scheduler", "Explain"],
  ["controller-manager/0", "coxswain.controller.v1.Controllers", "List"],
  ["kubelet/node-1", "coxswain.kubelet.v1.Kubelet", "ListPods"],
  ["kube-proxy/node-1", "coxswain.proxy.v1.Proxy", "ListRules"],
];

let plane: ControlPlane;
let client: ResourceClient;
beforeAll(async () => {
  plane = await startControlPlane({
    nodes: 1,
    components: ["scheduler", "controller-manager", "kubelet", "kube-proxy"],
  });
  client = plane.client();
});
afterAll(async () => {
  await client.close();
  await plane[Symbol.asyncDispose]();
});

/** Makes a service account and gives a token of it. */
async function tokenOf(name: string): Promise<string> {
  const metadata = { namespace: "default", name };
  await client.create<KubeObject>(SERVICE_ACCOUNTS, { apiVersion: "v1", kind: "ServiceAccount", metadata });
  const wish = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} } as KubeObject;
  const made = await client.create(SERVICE_ACCOUNTS, wish, { namespace: "default", name, subresource: "token" });
  return (made as KubeObject & { status: { token: string } }).status.token;
}

/** Lets a service account call paths with a verb, and read the metrics of kubelets, which ask for that right. */
async function allow(name: string, verb: string, paths: readonly string[]): Promise<void> {
  const role = { apiVersion: `${RBAC}/v1`, kind: "ClusterRole", metadata: { name } };
  const rules = [
    { verbs: [verb], nonResourceURLs: [...paths] },
    { verbs: ["get"], apiGroups: [""], resources: ["nodes/metrics"] },
  ];
  await client.create(CLUSTER_ROLES, { ...role, rules } as KubeObject);
  await client.create(CLUSTER_ROLE_BINDINGS, {
    apiVersion: `${RBAC}/v1`,
    kind: "ClusterRoleBinding",
    metadata: { name },
    roleRef: { apiGroup: RBAC, kind: "ClusterRole", name },
    subjects: [{ kind: "ServiceAccount", namespace: "default", name }],
  } as KubeObject);
}

interface Caller {
  readonly token?: string;
  readonly certificate?: string;
}

/** The code with which a unary call with an empty message ends, and the error's text. */
async function callCode(key: string, service: string, methodName: string, caller: Caller) {
  const address = plane.process(key).grpc;
  const { ca, cert, key: pem } = plane.tls(caller.certificate ?? "admin");
  const tls = caller.certificate === undefined ? { ca } : { ca, cert, key: pem };
  const channel = createChannel({ addresses: [address], tls });
  const method = Object.values(serviceDefinition(service as "coxswain.scheduler.v1.Scheduler")).find(
    (candidate) => candidate.originalName?.toLowerCase() === methodName.toLowerCase(),
  )!;
  const metadata = new Metadata();
  if (caller.token !== undefined) metadata.set("authorization", `Bearer ${caller.token}`);
  const grpc = new Client(address, createCredentials(tls), { channelOverride: channel });
  const error = await new Promise<ServiceError | null>((resolve) => {
    grpc.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      {},
      metadata,
      { deadline: env.clock.now() + 20_000 },
      (failure) => resolve(failure),
    );
  });
  grpc.close();
  return { code: error?.code ?? status.OK, details: error?.details ?? "" };
}

/** The status of GET /metrics. */
function metricsStatus(key: string, caller: Caller): Promise<number> {
  const { ca, cert, key: pem } = plane.tls(caller.certificate ?? "admin");
  return new Promise((resolve, reject) => {
    const call = request({
      host: "127.0.0.1",
      servername: "localhost",
      port: plane.process(key).spec.ports.main,
      path: "/metrics",
      agent: false,
      ca,
      ...(caller.certificate === undefined ? {} : { cert, key: pem }),
      headers: caller.token === undefined ? {} : { authorization: `Bearer ${caller.token}` },
    });
    call.once("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    call.once("error", reject);
    call.end();
  });
}

test.each(PROCESSES)("%s asks the api-server who may call", async (key, service, method) => {
  const name = `caller-${key.replace("/", "-")}`;
  const token = await tokenOf(name);
  const path = `/${service}/${method}`;
  expect(await callCode(key, service, method, {})).toEqual({ code: status.UNAUTHENTICATED, details: "Unauthorized" });
  expect((await callCode(key, service, method, { token: `${token}x` })).code).toBe(status.UNAUTHENTICATED);
  const refused = await callCode(key, service, method, { token });
  expect(refused).toEqual({
    code: status.PERMISSION_DENIED,
    details: `forbidden: User "system:serviceaccount:default:${name}" cannot post path "${path}"`,
  });
  expect(await metricsStatus(key, {})).toBe(401);
  expect(await metricsStatus(key, { token })).toBe(403);

  // The refusals are remembered for ten seconds; another account has none.
  const other = `allowed-${key.replace("/", "-")}`;
  const allowed = await tokenOf(other);
  await allow(other, "*", [path, "/metrics"]);
  await waitFor(
    env,
    "the role to hold",
    async () => {
      const { code } = await callCode(key, service, method, { token: allowed });
      return code !== status.PERMISSION_DENIED && code !== status.UNAUTHENTICATED;
    },
    20_000,
  );
  expect(await metricsStatus(key, { token: allowed })).toBe(200);
  // Certificates prove a user by themselves: masters may call, a component without such a role may not.
  expect(await metricsStatus(key, { certificate: "admin" })).toBe(200);
  const component = key.startsWith("scheduler") ? "kube-proxy" : "scheduler";
  expect((await callCode(key, service, method, { certificate: component })).code).toBe(status.PERMISSION_DENIED);
});
