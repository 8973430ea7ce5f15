// The real kubectl and the built-in kinds: it finds, explains, makes and shows each of them.
import { allKinds } from "@coxswain/api";
import { groupResource } from "@coxswain/apimachinery";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MUTATING_POLICIES_ON } from "./support/mutating-policies.ts";
import { kubectl, prepareKubectl, startTestServer } from "./support/test-server.ts";
import type { TestServer } from "./support/test-server.ts";

const TEMPLATE = `{metadata: {labels: {app: a}}, spec: {restartPolicy: RESTART, containers: [{name: c, image: "i:1"}]}}`;
const template = (policy = "Always"): string => TEMPLATE.replace("RESTART", policy);
const MANIFEST = `
apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec: {template: ${template("Never")}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {schedule: "0 3 * * *", jobTemplate: {spec: {template: ${template("OnFailure")}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {serviceName: db, selector: {matchLabels: {app: a}}, template: ${template()}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec: {selector: {matchLabels: {app: a}}, template: ${template()}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: calm}
spec: {minAvailable: 1, selector: {matchLabels: {app: a}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: grow}
spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: db}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: front}
spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec: {podSelector: {}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 1000
`;

let server: TestServer;
beforeAll(async () => {
  await prepareKubectl();
  // Nobody is here to take the protection of claims away again.
  server = await startTestServer(["StorageObjectInUseProtection"], MUTATING_POLICIES_ON);
}, 120_000);
afterAll(() => server.close());

async function ok(...args: string[]): Promise<string> {
  const { code, out, err } = await kubectl(server, args);
  expect({ code, err }, args.join(" ")).toMatchObject({ code: 0 });
  return out;
}

test("each kind is found under its group, version and names", async () => {
  const lines = (await ok("api-resources", "--no-headers")).split("\n").map((line) => line.trim().split(/ +/));
  const found = new Set(lines.map((words) => `${words.at(-3)} ${words[0]} ${words.at(-1)}`));
  // kubectl lists the preferred version of a group, which is the one that is stored.
  const listed = allKinds().filter((each) => each.stored && each.form?.of.group !== each.group);
  for (const kind of listed) {
    const version = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
    expect(found).toContain(`${version} ${kind.resource} ${kind.kind}`);
  }
});

test("kinds are explained, down to their fields", async () => {
  expect(await ok("explain", "cronjob.spec.jobTemplate.spec.podFailurePolicy")).toContain(
    "rules\t<[]PodFailurePolicyRule>",
  );
  expect(await ok("explain", "ingress.spec.rules.http.paths")).toContain("pathType\t<string> -required-");
  expect(await ok("explain", "hpa.spec.behavior.scaleUp")).toContain("stabilizationWindowSeconds\t<integer>");
  expect(await ok("explain", "resourceslices.spec")).toContain("GROUP:      resource.k8s.io");
});

test("kinds are applied twice, shown and deleted", async () => {
  const applied = await kubectl(server, ["apply", "-f", "-"], MANIFEST);
  expect(applied).toMatchObject({ code: 0 });
  const again = await kubectl(server, ["apply", "-f", "-"], MANIFEST);
  const changed = again.out
    .trim()
    .split("\n")
    .filter((line) => !line.endsWith(" unchanged"));
  // A budget's selector is replaced whole, so kubectl sends it each time and calls that a change, also to upstream's.
  expect(changed).toEqual(["poddisruptionbudget.policy/calm configured"]);
  expect(await ok("get", "job,cronjob")).toMatch(
    /job\.batch\/work +Running +0\/1 +\d+s[^]*cronjob\.batch\/nightly +0 3 \* \* \* +<none> +False +0 +<none>/,
  );
  expect(await ok("get", "sts,ds")).toMatch(
    /statefulset\.apps\/db +0\/1[^]*daemonset\.apps\/agent +0 +0 +0 +0 +0 +<none>/,
  );
  expect(await ok("get", "pvc,pdb,hpa,ing,netpol")).toMatch(
    /data +Pending[^]*calm +1 +N\/A +0[^]*grow +StatefulSet\/db +cpu: <unknown>\/80% +1 +3 +0[^]*front +<none> +a\.example/,
  );
  expect(await ok("get", "priorityclasses")).toMatch(/high +1000 +false +\S+ +PreemptLowerPriority/);
  expect(await ok("get", "all")).toContain("statefulset.apps/db");
  expect(await ok("scale", "sts/db", "--replicas=3")).toBe("statefulset.apps/db scaled\n");
  const kinds = "jobs,cronjobs,sts,ds,pvc,pdb,hpa,ing,netpol";
  await ok("delete", kinds, "--all");
  expect(await ok("get", kinds)).toBe("");
});

test("kubectl makes jobs, quotas, budgets and ingresses by itself", async () => {
  expect(await ok("create", "cronjob", "tick", "--image=i:1", "--schedule=*/5 * * * *")).toBe(
    "cronjob.batch/tick created\n",
  );
  expect(await ok("create", "job", "once", "--from=cronjob/tick")).toBe("job.batch/once created\n");
  expect(await ok("create", "quota", "q", "--hard=pods=2")).toBe("resourcequota/q created\n");
  expect(await ok("create", "pdb", "p", "--selector=app=a", "--min-available=1")).toBe(
    "poddisruptionbudget.policy/p created\n",
  );
  expect(await ok("create", "ingress", "i", "--rule=a.example/=s:80")).toBe("ingress.networking.k8s.io/i created\n");
  expect(await ok("create", "priorityclass", "pc", "--value=5")).toBe("priorityclass.scheduling.k8s.io/pc created\n");
  for (const kind of allKinds().filter((each) => each.stored)) await ok("get", groupResource(kind), "-A", "-o", "wide");
}, 120_000);
