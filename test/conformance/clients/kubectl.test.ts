// kubectl as people have it installed, this minor version and the one before, verb by verb with the flags that change what the server
// is asked.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Deployment, Pod, Role } from "@coxswain/api";
import { CLIENTS_134, CLIENTS_135 } from "@coxswain/cluster";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { eventually, type Kubectl, type KubectlResult } from "../../integration/cluster-fixture.ts";
import { realKubectl } from "./real-clients.ts";

interface Case {
  readonly version: string;
  readonly source: typeof CLIENTS_135;
}
const CASES: readonly Case[] = [
  { version: "1.35", source: CLIENTS_135 },
  { version: "1.34", source: CLIENTS_134 },
];

describe.each(CASES)("kubectl $version", ({ version, source }) => {
  const ns = `kubectl-${version.replace(".", "-")}`;
  let client: Kubectl;
  let folder: string;
  const ok = (...args: string[]): Promise<string> => client.ok(["-n", ns, ...args]);
  const run = (args: readonly string[], input?: string): Promise<KubectlResult> =>
    client.kubectl(["-n", ns, ...args], input);
  const apply = (object: object, ...flags: string[]): Promise<string> =>
    client.ok(["-n", ns, "apply", "-f", "-", ...flags], JSON.stringify(object));
  const configMap = (name: string, data?: Record<string, string>, labels?: object): object => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, labels },
    data,
  });

  beforeAll(async () => {
    client = await realKubectl(source);
    folder = path.join(inject("clientHome"), ns);
    mkdirSync(folder, { recursive: true });
    await client.ok(["create", "namespace", ns]);
    await ok("create", "deployment", "web", "--image=example.test/web:v1", "--replicas=2", "--port=80");
    await ok("rollout", "status", "deployment/web", "--timeout=60s");
  });
  afterAll(async () => {
    await client?.kubectl(["delete", "namespace", ns, "--wait=false"]);
    const made = ["clusterrole", "clusterrolebinding", "priorityclass"];
    await client?.kubectl(["delete", made.join(","), ns, "--ignore-not-found"]);
  });

  test("version and discovery", async () => {
    expect(await ok("version")).toMatch(
      new RegExp(`Client Version: v${version}[\\s\\S]*Server Version: v1\\.35\\.2\\+`),
    );
    expect(await ok("api-resources", "--verbs=list", "--namespaced", "-o", "name")).toMatch(/^deployments\.apps$/m);
    expect(await ok("api-resources", "--categories=all", "--no-headers")).toMatch(/^cronjobs +cj +batch\/v1 /m);
    expect(await ok("cluster-info", "dump", "--namespaces", ns)).toMatch(/"kind": "DeploymentList"/);
  });

  test("every create generator", async () => {
    const certificate = ["--cert", path.join(folder, "tls.crt"), "--key", path.join(folder, "tls.key")];
    const self = JSON.parse(await client.ok(["config", "view", "--raw", "--flatten", "-o", "json"])) as {
      users: { user: Record<string, string> }[];
    };
    const user = self.users[0]?.user ?? {};
    for (const [file, field] of [
      ["tls.crt", "client-certificate-data"],
      ["tls.key", "client-key-data"],
    ] as const)
      writeFileSync(path.join(folder, file), Buffer.from(user[field] ?? "", "base64"));
    const made: readonly (readonly [string, ...string[]])[] = [
      [
        "clusterrole.rbac.authorization.k8s.io",
        "clusterrole",
        ns,
        "--verb=get",
        "--resource=pods,deployments.apps/scale",
      ],
      ["clusterrolebinding.rbac.authorization.k8s.io", "clusterrolebinding", ns, `--clusterrole=${ns}`, "--user=ann"],
      ["configmap", "configmap", "c", "--from-literal=a=1", "--append-hash"],
      ["cronjob.batch", "cronjob", "c", "--image=example.test/c:v1", "--schedule=0 0 1 1 *", "--", "true"],
      ["ingress.networking.k8s.io", "ingress", "i", "--rule=a.example.test/*=web:80,tls=cert", "--class=none"],
      ["job.batch", "job", "j", "--image=example.test/j:v1", "--", "true"],
      ["job.batch", "job", "by-hand", "--from=cronjob/c"],
      ["poddisruptionbudget.policy", "poddisruptionbudget", "p", "--selector=app=none", "--min-available=50%"],
      ["priorityclass.scheduling.k8s.io", "priorityclass", ns, "--value=7", "--preemption-policy=Never"],
      ["resourcequota", "quota", "q", "--hard=pods=100,services=50", "--scopes=BestEffort"],
      ["role.rbac.authorization.k8s.io", "role", "r", "--verb=get", "--resource=pods", "--resource-name=a"],
      ["rolebinding.rbac.authorization.k8s.io", "rolebinding", "r", "--role=r", "--group=g", "--serviceaccount=a:b"],
      ["secret", "secret", "generic", "g", "--from-literal=p=w", "--type=example.test/t"],
      ["secret", "secret", "docker-registry", "d", "--docker-username=u", "--docker-password=p", "--docker-server=s"],
      ["secret", "secret", "tls", "t", ...certificate],
      ["service", "service", "clusterip", "ci", "--tcp=80:8080", "--clusterip=None"],
      ["service", "service", "externalname", "en", "--external-name=example.test"],
      ["service", "service", "loadbalancer", "lb", "--tcp=80"],
      ["service", "service", "nodeport", "np", "--tcp=80"],
      ["serviceaccount", "serviceaccount", "robot"],
    ];
    for (const [kind, ...args] of made) {
      if (kind === "resourcequota") {
        // Of these scopes only pods can be counted.
        expect((await run(["create", ...args])).stderr).toMatch(/unsupported scope applied to resource/);
        args.pop();
      }
      expect(await ok("create", ...args)).toMatch(new RegExp(`^${kind.replaceAll(".", "\\.")}/\\S+ created\n$`));
    }
    expect(await ok("create", "token", "robot", "--duration=1h", "--audience=x")).toMatch(
      /^ey[\w-]+\.[\w-]+\.[\w-]+\s*$/,
    );
    expect(await ok("get", "svc", "np", "lb", "-o", "jsonpath={.items[*].spec.ports[0].nodePort}")).toMatch(
      /^3\d{4} 3\d{4}$/,
    );
    expect(await ok("get", "ingress", "i")).toMatch(/^i +none +a\.example\.test +80, 443 /m);
    await ok("wait", "--for=condition=complete", "job/j", "job/by-hand", "--timeout=60s");
    for (const kind of [
      "cronjob/c",
      "ingress/i",
      "job/j",
      "quota/q",
      "secret/t",
      "svc/np",
      "role/r",
      "pdb/p",
      "sa/robot",
    ])
      expect(await ok("describe", kind)).toMatch(new RegExp(`^Name: +${kind.split("/")[1]}$`, "m"));
  });

  test("logs with all their flags", async () => {
    const line = /simulated: container web /;
    const stamped = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z simulated: container web /m;
    expect(await ok("logs", "deployment/web", "--timestamps", "--tail=1")).toMatch(stamped);
    expect(await ok("logs", "deployment/web", "--limit-bytes=10")).toMatch(/^simulated:$/m);
    expect(await ok("logs", "deployment/web", "--tail=0")).not.toMatch(line);
    expect(await ok("logs", "deployment/web", "--since=1h")).toMatch(line);
    expect(await ok("logs", "deployment/web", "--since-time=2099-01-01T00:00:00Z")).not.toMatch(line);
    expect(await ok("logs", "-l", "app=web", "--prefix", "--all-containers", "--max-log-requests=2")).toMatch(
      /(^\[pod\/web-\S+\/web\] simulated: container web .*\n){2}/m,
    );
    expect(await ok("logs", "deployment/web", "--all-pods")).toMatch(/(\[pod\/web-\S+\/web\] .*\n){2}/);
    expect((await run(["logs", "deployment/web", "--previous"])).stderr).toMatch(
      /Error from server \(BadRequest\): previous terminated container "web" in pod "web-\S+" not found/,
    );
    const following = client.start(["-n", ns, "logs", "job/j", "--follow"]);
    let text = "";
    following.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await new Promise((resolve) => following.once("close", resolve));
    expect(text).toMatch(/ended with exit code 0/);
  });

  test("exec, attach and run pass streams and exit codes on", async () => {
    const failed = await run(["exec", "deployment/web", "-c", "web", "--", "sh", "-c", "echo hi; exit 3"]);
    expect([failed.code, failed.stdout]).toEqual([3, expect.stringMatching(/\nhi\n/)]);
    expect(failed.stderr).toMatch(/command terminated with exit code 3/);
    expect((await run(["exec", "deployment/web", "-c", "nope", "--", "true"])).stderr).toMatch(
      /container nope is not valid for pod web-/,
    );
    const attached = client.start(["-n", ns, "attach", "deployment/web"]);
    let text = "";
    attached.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await eventually(
      async () => text,
      (seen) => seen.includes("simulated: container web"),
    );
    attached.kill();
    const once = await run([
      "run",
      "once",
      "--rm",
      "-i",
      "--restart=Never",
      "--image=example.test/o:v1",
      "--",
      "echo",
      "hello",
    ]);
    expect(once.stdout).toMatch(/simulated: hello\n[\s\S]*pod "once" deleted/);
    expect((await run(["get", "pod", "once"])).stderr).toMatch(/NotFound/);
    const dry = ["run", "dry", "--image=example.test/o:v1", "--labels=a=b", "--env=X=1", "--port=80", "--expose"];
    expect(await ok(...dry, "--dry-run=server", "-o", "name")).toBe("service/dry\npod/dry\n");
  });

  test("debug: an ephemeral container, a copy, a node", async () => {
    const pod = (await ok("get", "pods", "-l", "app=web", "-o", "name")).split("\n")[0] ?? "";
    const debug = ["--image=example.test/d:v1", "--profile=general"];
    await ok("debug", pod, ...debug, "--container=look", "--target=web", "--", "sleep", "100");
    await eventually(
      () => client.get<Pod>(["-n", ns, pod]),
      ({ status }) => status?.ephemeralContainerStatuses?.[0]?.state?.running !== undefined,
    );
    expect((await client.get<Pod>(["-n", ns, pod])).spec?.ephemeralContainers).toMatchObject([
      { name: "look", targetContainerName: "web", command: ["sleep", "100"] },
    ]);
    await ok("debug", pod, ...debug, "--copy-to=copy", "--share-processes", "--container=look", "--", "sleep", "100");
    const { spec } = await client.get<Pod>(["-n", ns, "pod", "copy"]);
    expect([spec?.shareProcessNamespace, spec?.containers.map(({ name }) => name)]).toEqual([true, ["web", "look"]]);
    expect(await ok("debug", "node/node-1", ...debug, "--", "true")).toMatch(
      /Creating debugging pod node-debugger-node-1-\w+ with container debugger on node node-1\./,
    );
    await ok("delete", "pod", "copy", "--grace-period=0", "--force");
  });

  test("proxy answers for the server", async () => {
    const proxy = client.start(["proxy", "--port=0"]);
    let text = "";
    proxy.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await eventually(
      async () => text,
      (seen) => /on 127\.0\.0\.1:\d+/.test(seen),
    );
    const base = `http://127.0.0.1:${/on 127\.0\.0\.1:(\d+)/.exec(text)?.[1]}`;
    const answer = await fetch(`${base}/apis/apps/v1/namespaces/${ns}/deployments/web`);
    expect(await answer.json()).toMatchObject({ kind: "Deployment", metadata: { name: "web" } });
    expect((await fetch(`${base}/api/v1/namespaces/${ns}/pods/x/exec`)).status).toBe(403);
    proxy.kill();
    expect(JSON.parse(await ok("get", "--raw", "/version"))).toMatchObject({ major: "1", minor: "35" });
  });

  test("set, expose, autoscale, label, annotate", async () => {
    expect(await ok("expose", "deployment", "web", "--port=80", "--name=web")).toBe("service/web exposed\n");
    expect(await ok("set", "selector", "service", "web", "app=web,x=y")).toBe("service/web selector updated\n");
    expect(await ok("set", "resources", "deployment/web", "--limits=cpu=200m,memory=64Mi", "--requests=cpu=10m")).toBe(
      "deployment.apps/web resource requirements updated\n",
    );
    expect(await ok("set", "serviceaccount", "deployment/web", "default")).toBe(
      "deployment.apps/web serviceaccount updated\n",
    );
    await ok("create", "configmap", "env", "--from-literal=B=2");
    expect(await ok("set", "env", "deployment/web", "--from=configmap/env", "A=1")).toBe(
      "deployment.apps/web env updated\n",
    );
    expect(await ok("set", "env", "deployment/web", "--list", "--resolve")).toMatch(/^A=1$[\s\S]*^B=2$/m);
    expect(await ok("set", "image", "deployment/web", "*=example.test/web:v2", "--record=false")).toMatch(
      /image updated/,
    );
    await ok("create", "rolebinding", "rb", "--clusterrole=view", "--user=bob");
    expect(await ok("set", "subject", "rolebinding", "rb", "--user=ann")).toMatch(/subjects updated/);
    expect(await ok("get", "rolebinding", "rb", "-o", "wide", "--no-headers")).toMatch(
      /ClusterRole\/view +\S+ +bob, ann/,
    );
    expect(await ok("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu=50%")).toMatch(
      /^horizontalpodautoscaler\.autoscaling\/web autoscaled\n/,
    );
    expect(await ok("get", "hpa", "web", "--no-headers")).toMatch(/^web +Deployment\/web +cpu: \S+50% +2 +5 /);
    await ok("delete", "hpa", "web");
    await ok("label", "deployment", "web", "tier=front");
    expect(await ok("label", "deployment", "web", "--list")).toMatch(/^tier=front$/m);
    await ok("annotate", "deployment", "web", "kubernetes.io/change-cause=second");
    await ok("rollout", "status", "deployment/web", "--timeout=60s");
  });

  test("every rollout verb", async () => {
    const status = ["rollout", "status", "deployment/web", "--timeout=60s"];
    expect(await ok("rollout", "history", "deployment/web")).toMatch(/^\d+ +second$/m);
    const first = /^deployment\.apps\/web with revision #1\n[\s\S]*Image:\sexample\.test\/web:v1/;
    expect(await ok("rollout", "history", "deployment/web", "--revision=1")).toMatch(first);
    expect(await ok("rollout", "undo", "deployment/web", "--to-revision=1", "--dry-run=server")).toMatch(
      /\(server dry run\)/,
    );
    expect(await ok("rollout", "undo", "deployment/web", "--to-revision=1")).toBe("deployment.apps/web rolled back\n");
    expect(await ok(...status)).toMatch(/successfully rolled out/);
    expect(
      (await client.get<Deployment>(["-n", ns, "deployment", "web"])).spec?.template.spec?.containers[0]?.image,
    ).toBe("example.test/web:v1");
    expect(await ok("rollout", "pause", "deployment/web")).toBe("deployment.apps/web paused\n");
    expect((await run(["rollout", "restart", "deployment/web"])).stderr).toMatch(
      /can't restart paused deployment \(run rollout resume first\)/,
    );
    expect(await ok("rollout", "resume", "deployment/web")).toBe("deployment.apps/web resumed\n");
    expect(await ok("rollout", "restart", "deployment", "-l", "app=web")).toBe("deployment.apps/web restarted\n");
    expect(await ok(...status)).toMatch(/successfully rolled out/);
  });

  test("apply by the client, by the server, with prune, sets and kustomize", async () => {
    expect(await apply(configMap("a", { x: "1" }))).toBe("configmap/a created\n");
    expect(await apply(configMap("a", { x: "1" }))).toBe("configmap/a unchanged\n");
    expect(await ok("apply", "view-last-applied", "configmap/a")).toMatch(/^ +?x: "1"$/m);
    expect(await apply(configMap("a", { x: "2" }), "--server-side", "--field-manager=other", "--force-conflicts")).toBe(
      "configmap/a serverside-applied\n",
    );
    const conflict = await run(["apply", "--server-side", "-f", "-"], JSON.stringify(configMap("a", { x: "3" })));
    expect(conflict.stderr).toMatch(/Apply failed with 1 conflict: conflict with "other": \.data\.x/);
    const diff = await run(
      ["diff", "--server-side", "--force-conflicts", "-f", "-"],
      JSON.stringify(configMap("a", { x: "3" })),
    );
    expect([diff.code, diff.stdout]).toEqual([1, expect.stringMatching(/^- +x: "2"\n\+ +x: "3"$/m)]);

    const part = { set: "one" };
    await apply({
      apiVersion: "v1",
      kind: "List",
      items: [configMap("p1", undefined, part), configMap("p2", undefined, part)],
    });
    const pruning = ["--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap"];
    expect(await apply(configMap("p1", undefined, part), ...pruning)).toBe(
      "configmap/p1 unchanged\nconfigmap/p2 pruned\n",
    );

    mkdirSync(path.join(folder, "base"), { recursive: true });
    writeFileSync(path.join(folder, "base", "map.yaml"), JSON.stringify(configMap("kustomized", { k: "1" })));
    writeFileSync(path.join(folder, "base", "kustomization.yaml"), "resources: [map.yaml]\n");
    const overlay = "resources: [base]\nnamePrefix: pre-\nlabels:\n- pairs: {made: by-kustomize}\n";
    writeFileSync(
      path.join(folder, "kustomization.yaml"),
      `${overlay}configMapGenerator:\n- name: gen\n  literals: [a=b]\n`,
    );
    expect(await ok("kustomize", folder)).toMatch(/name: pre-kustomized/);
    expect(await ok("apply", "-k", folder)).toMatch(
      /configmap\/pre-gen-\w+ created\nconfigmap\/pre-kustomized created\n/,
    );
    expect(await ok("get", "configmaps", "-l", "made=by-kustomize", "-o", "name")).toMatch(/(configmap\/pre-.*\n){2}/);
    expect(await ok("delete", "-k", folder)).toMatch(/"pre-kustomized" deleted/);
  });

  test("an apply set prunes by its parent", async () => {
    const set = { KUBECTL_APPLYSET: "true" };
    const flags = ["-n", ns, "apply", "-f", "-", "--server-side", "--prune", "--applyset=the-set"];
    const list = (...names: string[]): string =>
      JSON.stringify({ apiVersion: "v1", kind: "List", items: names.map((name) => configMap(name)) });
    expect((await client.kubectl(flags, list("s1", "s2"), set)).stdout).toMatch(/configmap\/s2 serverside-applied/);
    expect((await client.kubectl(flags, list("s1"), set)).stdout).toMatch(/configmap\/s2 pruned/);
    expect((await run(["get", "configmap", "s2"])).stderr).toMatch(/NotFound/);
  });

  test("patch, edit and get of subresources", async () => {
    expect(
      await ok("patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":3}}'),
    ).toBe("scale.autoscaling/web patched\n");
    expect(await ok("get", "deployment", "web", "--subresource=scale", "-o", "jsonpath={.kind} {.spec.replicas}")).toBe(
      "Scale 3",
    );
    expect(await ok("get", "deployment", "web", "--subresource=status", "--no-headers")).toMatch(/^web +\d\/3/);
    const status = '{"status":{"conditions":[{"type":"Mine","status":"True"}]}}';
    await ok("patch", "deployment", "web", "--subresource=status", "-p", status);
    expect((await client.get<Deployment>(["-n", ns, "deployment", "web"])).status?.conditions).toContainEqual(
      expect.objectContaining({ type: "Mine", status: "True" }),
    );
    expect(await ok("scale", "deployment/web", "--current-replicas=3", "--replicas=2")).toBe(
      "deployment.apps/web scaled\n",
    );
    expect((await run(["scale", "deployment/web", "--current-replicas=3", "--replicas=2"])).stderr).toMatch(
      /Expected replicas to be 3, was 2/,
    );
    await apply(configMap("forced", { a: "1" }));
    expect(
      (await run(["replace", "--force", "-f", "-"], JSON.stringify(configMap("forced", { b: "1" })))).stdout,
    ).toMatch(/"forced" deleted.*\nconfigmap\/forced replaced\n/);
  });

  test("a pod that runs is resized in place", async () => {
    const resources = { requests: { cpu: "100m", memory: "16Mi" }, limits: { cpu: "200m", memory: "32Mi" } };
    const spec = {
      containers: [{ name: "main", image: "example.test/a:v1", resources }],
      terminationGracePeriodSeconds: 1,
    };
    await apply({ apiVersion: "v1", kind: "Pod", metadata: { name: "grows" }, spec });
    await ok("wait", "--for=condition=Ready", "pod/grows", "--timeout=60s");
    const patch = (cpu: string): string =>
      JSON.stringify({
        spec: { containers: [{ name: "main", resources: { requests: { cpu }, limits: { cpu: "4" } } }] },
      });
    const resize = ["patch", "pod", "grows", "--subresource=resize", "--patch"];
    expect(await ok(...resize, patch("150m"))).toBe("pod/grows patched\n");
    const { status } = await eventually(
      () => client.get<Pod>(["-n", ns, "pod", "grows"]),
      (pod) => pod.status?.containerStatuses?.[0]?.resources?.requests?.["cpu"] === "150m",
    );
    expect(status?.containerStatuses?.[0]).toMatchObject({
      restartCount: 0,
      allocatedResources: { cpu: "150m", memory: "16Mi" },
      resources: { limits: { cpu: "4", memory: "32Mi" } },
    });
    expect((await run([...resize, patch("5")])).stderr).toMatch(
      /The Pod "grows" is invalid: spec\.containers\[0\]\.resources\.requests: Invalid value: "5": must be less than or equal to cpu limit of 4/,
    );
    expect(await ok("get", "pod", "grows", "--subresource=resize", "-o", "name")).toBe("pod/grows\n");
    await ok("wait", "--for=jsonpath={.status.observedGeneration}=2", "pod/grows", "--timeout=60s");
    await eventually(
      () => ok("events", "--for", "pod/grows"),
      (text) => /ResizeStarted[\s\S]*ResizeCompleted +Pod\/grows +Pod resize completed: \{/.test(text),
    );
  });

  test("wait and events", async () => {
    const waiting = run(["wait", "--for=create", "configmap/later", "--timeout=60s"]);
    await apply(configMap("later"));
    expect((await waiting).stdout).toBe("configmap/later condition met\n");
    const gone = run(["wait", "--for=delete", "configmap/later", "--timeout=60s"]);
    await ok("delete", "configmap", "later");
    expect((await gone).code).toBe(0);
    expect((await run(["wait", "--for=condition=Never", "deployment/web", "--timeout=1s"])).stderr).toMatch(
      /timed out waiting for the condition on deployments\/web/,
    );
    await ok("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "--timeout=60s");
    expect(await ok("events", "--for", "deployment/web", "--types=Normal")).toMatch(
      /ScalingReplicaSet +Deployment\/web/,
    );
    expect(await ok("get", "events", "--field-selector", "involvedObject.kind=Job,reason=Completed")).toMatch(
      /job\/j /,
    );
  });

  test("auth and impersonation", async () => {
    expect(await ok("auth", "whoami", "-o", "json")).toMatch(/"username": "kubernetes-admin"/);
    expect(await ok("auth", "can-i", "create", "pods/exec", "--subresource=")).toBe("yes\n");
    expect((await run(["auth", "can-i", "delete", "nodes", "--as=ann"])).stdout).toBe("no\n");
    expect(await ok("auth", "can-i", "get", "pods", "--as=ann")).toBe("yes\n");
    expect(await ok("auth", "can-i", "--list", "--as=ann")).toMatch(
      /^deployments\.apps\/scale +\[\] +\[\] +\[get list watch\]$/m,
    );
    const role = {
      apiVersion: "rbac.authorization.k8s.io/v1",
      kind: "Role",
      metadata: { name: "r", namespace: ns },
      rules: [{ apiGroups: [""], resources: ["secrets"], verbs: ["list"] }],
    };
    const reconciled = await run(["auth", "reconcile", "-f", "-"], JSON.stringify(role));
    expect(reconciled.stdout).toMatch(/^role\.rbac\.authorization\.k8s\.io\/r reconciled\n/);
    expect((await client.get<Role>(["-n", ns, "role", "r"])).rules).toEqual([
      { apiGroups: [""], resources: ["pods"], resourceNames: ["a"], verbs: ["get"] },
      { apiGroups: [""], resources: ["secrets"], verbs: ["list"] },
    ]);
  });

  test("cordon, drain, taint, uncordon", async () => {
    expect(await ok("cordon", "node-3")).toBe("node/node-3 cordoned\n");
    expect(
      await ok("drain", "node-3", "--ignore-daemonsets", "--force", "--pod-selector=app=web", "--timeout=60s"),
    ).toMatch(/node\/node-3 drained\n$/);
    expect(await ok("uncordon", "node-3")).toBe("node/node-3 uncordoned\n");
    expect(await ok("taint", "nodes", "node-3", "kubectl=x:PreferNoSchedule", "--overwrite")).toMatch(
      /modified|tainted/,
    );
    expect(await ok("taint", "nodes", "node-3", "kubectl-")).toBe("node/node-3 untainted\n");
    expect(await ok("describe", "node", "node-3")).toMatch(/^Taints: +<none>$[\s\S]*^Allocated resources:/m);
  });
});

test("kubectl explains every kind, and its fields", async () => {
  const k = await realKubectl();
  const ok = (args: readonly string[]): Promise<string> => k.ok(args);
  const rows = (await ok(["api-resources", "--no-headers"])).trim().split("\n");
  const explain = async (row: string): Promise<string | undefined> => {
    const [name = "", ...rest] = row.split(/ +/);
    const text = await ok(["explain", name, `--api-version=${rest.at(-3)}`]);
    return /^KIND: +\w+\n[\s\S]*^FIELDS:\n[\s\S]*^ {2}apiVersion\t<string>/m.test(text)
      ? undefined
      : `${name}: ${text}`;
  };
  const wrong: (string | undefined)[] = [];
  for (let at = 0; at < rows.length; at += 4) wrong.push(...(await Promise.all(rows.slice(at, at + 4).map(explain))));
  expect(wrong.filter((text) => text !== undefined)).toEqual([]);
  expect(rows.length).toBeGreaterThan(60);
  expect(await ok(["explain", "pod.spec.containers.resources.limits"])).toMatch(
    /^FIELD: limits <map\[string\]Quantity>$/m,
  );
  expect(await ok(["explain", "deployment.spec.strategy.type"])).toMatch(/ENUM:\n +Recreate\n +RollingUpdate/);
});
