// Pods as kubectl and clients see them: their logs, commands in them, the files of their service account, and many updates.
import { readFileSync } from "node:fs";
import path from "node:path";
import { Agent, WebSocket } from "undici";
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, namesOf } from "../rest-client.ts";
import type { SharedCluster } from "../shared-cluster.ts";
import { BUSYBOX, isReady, logOf, NODE, runToEnd, scriptPod, untilPhase, untilReady } from "./real-pods.ts";

const LONG = { timeoutMs: 200_000 };
const HTTP_ON_6379 = "require('http').createServer((q,s)=>s.end('primary')).listen(6379)";

conformsShared("service account token")(
  "token, CA and namespace files mounted",
  async (c) => {
    const ns = await c.namespace("token");
    const folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    const script = `cat ${folder}/namespace; echo; cat ${folder}/token; echo; cat ${folder}/ca.crt`;
    // The token ends with its pod, which stays until it has been reviewed.
    await c.api.resource("v1", "pods", ns).create(scriptPod(script));
    await untilPhase(c, ns, "main", "Succeeded");
    const log = await logOf(c, ns, "main");
    const [namespace, token = "", ...ca] = log.split("\n");
    expect(namespace).toBe(ns);
    const root = await c.api.resource("v1", "configmaps", ns).get("kube-root-ca.crt");
    expect(ca.join("\n").trim()).toBe(at<Record<string, string>>(root, "data")?.["ca.crt"]?.trim());
    const review = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const said = await c.api.json<object>("POST", "/apis/authentication.k8s.io/v1/tokenreviews", { body: review });
    expect(at(said, "status.user.username")).toBe(`system:serviceaccount:${ns}:default`);
  },
  LONG,
);

/**
 * What a client of OpenID Connect does, in a pod, with nothing but its token and the cluster's CA: from the issuer that its
 * token names to the discovery document, from there to the keys, and with them to the token's signature and claims.
 */
const VALIDATES = `
const {readFileSync}=require('fs'),{request}=require('https'),{createPublicKey,verify}=require('crypto');
const files='/var/run/secrets/kubernetes.io/serviceaccount/',ca=readFileSync(files+'ca.crt');
const token=readFileSync('/var/run/secrets/oidc/token','utf8'),bearer=readFileSync(files+'token','utf8');
const get=(url,headers={authorization:'Bearer '+bearer})=>new Promise((resolve,reject)=>request(url,{ca,headers},(answer)=>{
  let text='';answer.on('data',(data)=>text+=data).on('end',()=>resolve([answer.statusCode,JSON.parse(text),answer.headers['content-type']]));
}).on('error',reject).end());
const part=(n)=>JSON.parse(Buffer.from(token.split('.')[n],'base64url'));
(async()=>{
  const {kid,alg}=part(0),claims=part(1);
  const [code,document,type]=await get(claims.iss+'/.well-known/openid-configuration');
  const [,{keys},keysType]=await get(document.jwks_uri);
  const jwk=keys.find((one)=>one.kid===kid),[head,body,signature]=token.split('.');
  const valid=verify('sha256',Buffer.from(head+'.'+body),{key:createPublicKey({key:jwk,format:'jwk'}),dsaEncoding:'ieee-p1363'},Buffer.from(signature,'base64url'));
  const [stranger]=await get(claims.iss+'/.well-known/openid-configuration',{});
  console.log(JSON.stringify({code,type,keysType,same:document.issuer===claims.iss,document,alg,valid,claims,stranger}));
})().catch((error)=>{console.error(error);process.exit(1)})`;

conformsShared("service account token")(
  "pod validates its token against OIDC discovery",
  async (c) => {
    const ns = await c.namespace("oidc");
    const projected = { sources: [{ serviceAccountToken: { path: "token", audience: "oidc-discovery-test" } }] };
    const said = await runToEnd(
      c,
      ns,
      scriptPod(
        "",
        {
          image: NODE,
          command: ["node", "-e", VALIDATES],
          volumeMounts: [{ name: "oidc", mountPath: "/var/run/secrets/oidc" }],
        },
        { volumes: [{ name: "oidc", projected }] },
      ),
    );
    const { claims, ...rest } = JSON.parse(said) as { claims: Record<string, unknown>; alg: string };
    expect(rest).toMatchObject({
      code: 200,
      type: "application/json",
      keysType: "application/jwk-set+json",
      same: true,
      document: {
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: [rest.alg],
      },
      valid: true,
      stranger: 403,
    });
    expect(claims).toMatchObject({
      aud: ["oidc-discovery-test"],
      sub: `system:serviceaccount:${ns}:default`,
      "kubernetes.io": { namespace: ns, pod: { name: "main" }, serviceaccount: { name: "default" } },
    });
  },
  LONG,
);

conformsShared("kubectl")(
  "expose RC and Service, endpoints and logs checked",
  async (c) => {
    const ns = await c.namespace("expose");
    const labels = { app: "agnhost", role: "primary" };
    const serves = `${HTTP_ON_6379};console.log("listening")`;
    await c.ok(
      ["-n", ns, "create", "-f", "-"],
      JSON.stringify({
        apiVersion: "v1",
        kind: "ReplicationController",
        metadata: { name: "agnhost-primary", labels },
        spec: {
          replicas: 1,
          selector: labels,
          template: {
            metadata: { labels },
            spec: {
              terminationGracePeriodSeconds: 1,
              containers: [
                { name: "main", image: NODE, command: ["node", "-e", serves], ports: [{ containerPort: 6379 }] },
              ],
            },
          },
        },
      }),
    );
    const { items } = await eventually(
      () => c.api.resource("v1", "pods", ns).list({ labelSelector: "app=agnhost" }),
      (list) => list.items.length === 1 && list.items.every(isReady),
      90_000,
    );
    const name = namesOf(items)[0] ?? "";
    // The container runs a while before its program says anything.
    const said = await eventually(
      () => c.ok(["-n", ns, "logs", name, "main"]),
      (text) => text.endsWith("\n"),
    );
    expect(said).toBe("listening\n");
    const exposed = async (args: readonly string[], service: string, port: number): Promise<void> => {
      expect(
        await c.ok(["-n", ns, "expose", ...args, `--name=${service}`, `--port=${port}`, "--target-port=6379"]),
      ).toBe(`service/${service} exposed\n`);
      const made = await c.api.resource("v1", "services", ns).get(service);
      expect(made["spec"]).toMatchObject({ selector: labels, ports: [{ port, targetPort: 6379, protocol: "TCP" }] });
      const endpoints = await eventually(
        () => c.api.resource("v1", "endpoints", ns).get(service),
        (now) => at(now, "subsets.0.addresses") !== undefined,
      );
      expect(at(endpoints, "subsets")).toMatchObject([
        { addresses: [{ targetRef: { kind: "Pod", name } }], ports: [{ port: 6379 }] },
      ]);
      const answer = await eventually(
        () => c.api.send("GET", `/api/v1/namespaces/${ns}/services/${service}:${port}/proxy/`),
        ({ code }) => code === 200,
      );
      expect(answer.text).toBe("primary");
    };
    await exposed(["rc", "agnhost-primary"], "rm2", 1234);
    await exposed(["service", "rm2"], "rm3", 2345);
    await c.ok(["-n", ns, "delete", "rc,services", "--all", "--grace-period=0", "--force"]);
  },
  LONG,
);

conformsShared("kubectl")(
  "logs with tail, limit-bytes, timestamps, since",
  async (c) => {
    const ns = await c.namespace("logs");
    await c.api.resource("v1", "pods", ns).create(scriptPod("for i in 1 2 3 4 5; do echo line $i; done"));
    await untilPhase(c, ns, "main", "Succeeded");
    const logs = (...args: string[]): Promise<string> => c.ok(["-n", ns, "logs", "main", "main", ...args]);
    expect(await logs()).toBe("line 1\nline 2\nline 3\nline 4\nline 5\n");
    expect(await logs("--tail=1")).toBe("line 5\n");
    expect(await logs("--limit-bytes=1")).toBe("l");
    expect(await logs("--tail=1", "--timestamps")).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) line 5\n$/,
    );
    expect(await logs("--since=24h")).toContain("line 1\n");
    expect(await logs("--since-time=2100-01-01T00:00:00Z")).toBe("");
  },
  LONG,
);

/** All messages of a WebSocket of the API, as the administrator. */
async function socketMessages(c: SharedCluster, where: string, protocol: string): Promise<Buffer[]> {
  const file = (name: string): string => readFileSync(path.join(c.place.pki, name), "utf8");
  const dispatcher = new Agent({ connect: { ca: file("ca.crt"), cert: file("admin.crt"), key: file("admin.key") } });
  const socket = new WebSocket(c.place.apiServer.replace("https", "wss") + where, { protocols: protocol, dispatcher });
  socket.binaryType = "arraybuffer";
  const messages: Buffer[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("message", ({ data }) => void messages.push(Buffer.from(data as ArrayBuffer)));
      socket.addEventListener("error", ({ message }) => reject(new Error(`${where}: ${message}`)));
      socket.addEventListener("close", () => resolve());
    });
    expect(socket.protocol).toBe(protocol);
    return messages;
  } finally {
    await dispatcher.destroy();
  }
}

const pod = conformsShared("pod");

pod("exec over websocket", async (c) => {
  const ns = await c.namespace("socket");
  await c.api.resource("v1", "pods", ns).create(scriptPod("echo container is alive; sleep 600"));
  await untilReady(c, ns, "main");
  const query = "stdout=1&stderr=1&container=main&command=echo&command=remote%20execution%20test";
  for (const protocol of ["channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io"]) {
    const messages = await socketMessages(c, `/api/v1/namespaces/${ns}/pods/main/exec?${query}`, protocol);
    const channel = (number: number): string =>
      Buffer.concat(messages.filter((one) => one[0] === number).map((one) => one.subarray(1))).toString();
    expect(channel(1)).toBe("remote execution test\n");
    expect(channel(2)).toBe("");
    // The first version says nothing where nothing failed.
    expect(channel(3)).toBe(protocol === "channel.k8s.io" ? "" : '{"metadata":{},"status":"Success"}');
  }
  await c.api.resource("v1", "pods", ns).delete("main", { gracePeriodSeconds: 0 });
});

pod("logs over websocket", async (c) => {
  const ns = await c.namespace("socket");
  await c.api.resource("v1", "pods", ns).create(scriptPod("echo container is alive; sleep 600"));
  await untilReady(c, ns, "main");
  await eventually(
    () => logOf(c, ns, "main"),
    (text) => text !== "",
  );
  const log = `/api/v1/namespaces/${ns}/pods/main/log?container=main`;
  const messages = await socketMessages(c, log, "binary.k8s.io");
  expect(Buffer.concat(messages).toString()).toBe("container is alive\n");
  const followed = socketMessages(c, `${log}&follow=true`, "binary.k8s.io");
  // What is followed ends with its container.
  await c.api.resource("v1", "pods", ns).delete("main", { gracePeriodSeconds: 1 });
  expect(Buffer.concat(await followed).toString()).toBe("container is alive\n");
});

const app = conformsShared("kubectl app");
const SERVES =
  "require('http').createServer((q,s)=>{s.setHeader('content-type','application/json');s.end('{\"image\":\"nautilus.jpg\"}')}).listen(80)";
for (const [behaviour, sizes] of [
  ["update-demo RC serves data through proxy", [2]],
  ["update-demo RC scaled 2-1-2", [2, 1, 2]],
] as const) {
  app(
    behaviour,
    async (c) => {
      const ns = await c.namespace("update-demo");
      const rc = {
        apiVersion: "v1",
        kind: "ReplicationController",
        metadata: { name: "update-demo-nautilus" },
        spec: {
          replicas: 2,
          selector: { name: "update-demo" },
          template: {
            metadata: { labels: { name: "update-demo" } },
            spec: {
              terminationGracePeriodSeconds: 1,
              containers: [
                { name: "update-demo", image: NODE, command: ["node", "-e", SERVES], ports: [{ containerPort: 80 }] },
              ],
            },
          },
        },
      };
      await c.ok(["-n", ns, "create", "-f", "-"], JSON.stringify(rc));
      for (const [n, size] of sizes.entries()) {
        if (n > 0) await c.ok(["-n", ns, "scale", "rc", "update-demo-nautilus", `--replicas=${size}`, "--timeout=5m"]);
        const { items } = await eventually(
          () => c.api.resource("v1", "pods", ns).list({ labelSelector: "name=update-demo" }),
          (list) => list.items.length === size && list.items.every(isReady),
          90_000,
        );
        for (const name of namesOf(items)) {
          const answer = await eventually(
            () => c.api.send("GET", `/api/v1/namespaces/${ns}/pods/${name}/proxy/data`),
            ({ code }) => code === 200,
          );
          expect(JSON.parse(answer.text)).toEqual({ image: "nautilus.jpg" });
        }
      }
      await c.ok(["-n", ns, "delete", "rc", "update-demo-nautilus", "--grace-period=0", "--force"]);
    },
    LONG,
  );
}

pod(
  "500 updates: observedGeneration converges",
  async (c) => {
    const ns = await c.namespace("pods");
    const pods = c.api.resource("v1", "pods", ns);
    await pods.create({
      metadata: { name: "main" },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name: "main", image: BUSYBOX, command: ["sleep", "3600"] }],
      },
    });
    await untilReady(c, ns, "main");
    // Each takes a second off a deadline that is far away: the one field of the spec that may shrink for ever.
    await pods.patch("main", { spec: { activeDeadlineSeconds: 100_000 } });
    for (let n = 1; n < 500; n++) await pods.patch("main", { spec: { activeDeadlineSeconds: 100_000 - n } });
    const now = await pods.get("main");
    expect(now.metadata.generation).toBe(501);
    await eventually(
      () => pods.get("main"),
      (pod) => at(pod, "status.observedGeneration") === 501,
      90_000,
    );
    await pods.delete("main", { gracePeriodSeconds: 0 });
  },
  LONG,
);
