// Pods as kubectl and clients see them: their logs, the files of their service account, and many updates.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, namesOf } from "../rest-client.ts";
import { BUSYBOX, isReady, logOf, NODE, scriptPod, untilPhase, untilReady } from "./real-pods.ts";

const LONG = { timeoutMs: 200_000 };

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

conformsShared("pod")(
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
