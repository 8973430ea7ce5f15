// The real kubectl against a real cluster, command by command, beside what it prints against upstream.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deployment, eventually, testCluster, type TestCluster } from "./cluster-fixture.ts";

let k: TestCluster;
beforeAll(async () => {
  k = await testCluster();
  await k.apply(deployment({ name: "web", replicas: 3 }));
  await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
});
afterAll(async () => {
  await k[Symbol.asyncDispose]();
});

interface WithSpec {
  metadata: {
    name: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    resourceVersion: string;
    uid: string;
  };
  spec: { replicas: number; template: { spec: { containers: { image: string }[] } }; paused?: boolean };
  status: { readyReplicas?: number; observedGeneration?: number };
}

const web = (): Promise<WithSpec> => k.get<WithSpec>(["deployment", "web"]);

describe("looking", () => {
  test("version, cluster-info, api-versions and api-resources", async () => {
    expect(await k.ok(["version"])).toMatch(/Server Version: v1\.35\.2\+coxswain\./);
    expect(await k.ok(["cluster-info"])).toMatch(/Kubernetes control plane.* is running at /);
    expect((await k.ok(["api-versions"])).split("\n")).toEqual(
      expect.arrayContaining([
        "apps/v1",
        "coordination.k8s.io/v1",
        "discovery.k8s.io/v1",
        "rbac.authorization.k8s.io/v1",
        "v1",
      ]),
    );
    const resources = await k.ok(["api-resources"]);
    expect(resources).toMatch(/^NAME +SHORTNAMES +APIVERSION +NAMESPACED +KIND$/m);
    expect(resources).toMatch(/^pods +po +v1 +true +Pod$/m);
    expect(resources).toMatch(/^deployments +deploy +apps\/v1 +true +Deployment$/m);
    expect(resources).toMatch(/^nodes +no +v1 +false +Node$/m);
    expect(await k.ok(["api-resources", "--api-group=apps", "-o", "wide"])).toMatch(
      /deployments .* create,delete,deletecollection,get,list,patch,update,watch +all/,
    );
  });

  test("get in every output", async () => {
    expect(await k.ok(["get", "nodes"])).toMatch(
      /^NAME +STATUS +ROLES +AGE +VERSION\nnode-1 +Ready +<none> +\d+s +v1\.35\.2/,
    );
    expect(await k.ok(["get", "nodes", "-o", "wide"])).toMatch(
      /INTERNAL-IP +EXTERNAL-IP +OS-IMAGE +KERNEL-VERSION +CONTAINER-RUNTIME\n(.*simulated:\/\/.*\n){3}/,
    );
    expect(await k.ok(["get", "deploy", "web"])).toMatch(
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +3\/3 +3 +3 +\d+s/,
    );
    expect(await k.ok(["get", "deploy", "web", "-o", "wide"])).toMatch(
      /CONTAINERS +IMAGES +SELECTOR\nweb .* main +example\.test\/app:v1 +app=web/,
    );
    expect(await k.ok(["get", "pods", "-l", "app=web"])).toMatch(
      /^NAME +READY +STATUS +RESTARTS +AGE\n(web-[a-z0-9]+-[a-z0-9]{5} +1\/1 +Running +0 +\d+s\n){3}$/,
    );
    expect(await k.ok(["get", "pods", "-o", "wide"])).toMatch(
      /IP +NODE +NOMINATED NODE +READINESS GATES\n(web-.* 10\.244\.\d+\.\d+ +node-\d +<none> +<none>\n){3}$/,
    );
    expect(await k.ok(["get", "deploy", "web", "-o", "yaml"])).toMatch(/^apiVersion: apps\/v1\nkind: Deployment\n/);
    expect(await k.ok(["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"])).toBe("3");
    expect(await k.ok(["get", "pods", "-o", "custom-columns=NODE:.spec.nodeName", "--no-headers"])).toMatch(
      /^(node-\d\n){3}$/,
    );
    expect(await k.ok(["get", "pods", "-o", "name"])).toMatch(/^(pod\/web-.*\n){3}$/);
    expect(await k.ok(["get", "services", "kubernetes"])).toMatch(
      /^NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE\nkubernetes +ClusterIP +10\.96\.0\.1 +<none> +443\/TCP/,
    );
    expect(await k.ok(["get", "namespaces"])).toMatch(
      /default +Active[\s\S]*kube-node-lease +Active[\s\S]*kube-public +Active[\s\S]*kube-system +Active/,
    );
    expect(await k.ok(["get", "all"])).toMatch(
      /pod\/web-[\s\S]*service\/kubernetes[\s\S]*deployment\.apps\/web[\s\S]*replicaset\.apps\/web-/,
    );
    expect(await k.ok(["get", "pods", "--field-selector", "status.phase=Running", "-A", "--no-headers"])).toMatch(
      /default +web-/,
    );
    expect(await k.ok(["get", "pods", "--sort-by=.metadata.name", "--chunk-size=1"])).toMatch(/web-/);
  });

  test("what is not there", async () => {
    const missing = await k.kubectl(["get", "pods", "ghost"]);
    expect([missing.code, missing.stderr]).toEqual([1, 'Error from server (NotFound): pods "ghost" not found\n']);
    const none = await k.kubectl(["get", "pods", "-l", "app=ghost"]);
    expect([none.code, none.stderr]).toEqual([0, "No resources found in default namespace.\n"]);
    expect((await k.kubectl(["get", "ghosts"])).stderr).toBe(
      `error: the server doesn't have a resource type "ghosts"\n`,
    );
  });

  test("describe", async () => {
    const text = await k.ok(["describe", "deployment", "web"]);
    expect(text).toMatch(/^Name: +web\nNamespace: +default\n/);
    expect(text).toMatch(/Replicas: +3 desired \| 3 updated \| 3 total \| 3 available \| 0 unavailable/);
    expect(text).toMatch(
      /ScalingReplicaSet +\d+s +deployment-controller +Scaled up replica set web-[a-z0-9]+ from 0 to 3/,
    );
    const pod = await k.ok(["describe", "pods", "-l", "app=web"]);
    expect(pod).toMatch(/Status: +Running/);
    expect(pod).toMatch(
      /Normal +Scheduled +.*default-scheduler +Successfully assigned default\/web-[-a-z0-9]+ to node-\d/,
    );
    expect(pod).toMatch(/Normal +Started +.*kubelet/);
    expect(await k.ok(["describe", "node", "node-1"])).toMatch(/Container Runtime Version: +simulated:\/\//);
    expect(await k.ok(["describe", "service", "kubernetes"])).toMatch(/Type: +ClusterIP/);
    expect(await k.ok(["describe", "namespace", "default"])).toMatch(/Status: +Active/);
  });

  test("explain", async () => {
    expect(await k.ok(["explain", "deployment"])).toMatch(/^GROUP: +apps\nKIND: +Deployment\nVERSION: +v1\n/);
    expect(await k.ok(["explain", "pod.spec.containers.resources"])).toMatch(/FIELD: resources <ResourceRequirements>/);
    expect(await k.ok(["explain", "service.spec.ports", "--recursive"])).toMatch(/targetPort\t<IntOrString>/);
    expect((await k.kubectl(["explain", "pod.spec.ghost"])).stderr).toMatch(/field "ghost" does not exist/);
  });

  test("events", async () => {
    expect(await k.ok(["get", "events"])).toMatch(
      /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n[\s\S]*Normal +ScalingReplicaSet +deployment\/web +Scaled up replica set/,
    );
    expect(await k.ok(["events", "--for", "deployment/web"])).toMatch(/ScalingReplicaSet/);
  });

  test("logs and exec say that they are simulated", async () => {
    expect(await k.ok(["logs", "deployment/web"])).toMatch(/simulated/i);
    expect(await k.ok(["exec", "deployment/web", "--", "hostname"])).toMatch(/simulated/i);
  });

  test("auth", async () => {
    expect(await k.ok(["auth", "whoami"])).toMatch(/Username +kubernetes-admin/);
    expect(await k.ok(["auth", "can-i", "create", "deployments"])).toBe("yes\n");
    const scheduler = await k.kubectl(["auth", "can-i", "delete", "nodes", "--as", "system:kube-scheduler"]);
    expect([scheduler.code, scheduler.stdout]).toEqual([1, "no\n"]);
    const refused = await k.kubectl(["get", "secrets", "--as", "eve"]);
    expect(refused.stderr).toBe(
      'Error from server (Forbidden): secrets is forbidden: User "eve" cannot list resource "secrets" in API group "" in the namespace "default"\n',
    );
    expect(await k.ok(["auth", "can-i", "--list", "--as", "eve"])).toMatch(
      /selfsubjectreviews\.authentication\.k8s\.io/,
    );
  });
});

describe("changing", () => {
  test("create, with and without manifests", async () => {
    expect(await k.ok(["create", "namespace", "made"])).toBe("namespace/made created\n");
    expect(await k.ok(["-n", "made", "create", "configmap", "c", "--from-literal=a=1"])).toBe("configmap/c created\n");
    expect(await k.ok(["-n", "made", "create", "secret", "generic", "s", "--from-literal=p=w"])).toBe(
      "secret/s created\n",
    );
    expect(await k.ok(["-n", "made", "create", "deployment", "d", "--image=example.test/d:v1", "--replicas=2"])).toBe(
      "deployment.apps/d created\n",
    );
    expect(await k.ok(["-n", "made", "expose", "deployment", "d", "--port=80", "--type=NodePort"])).toBe(
      "service/d exposed\n",
    );
    expect(await k.ok(["-n", "made", "create", "serviceaccount", "robot"])).toBe("serviceaccount/robot created\n");
    expect(await k.ok(["-n", "made", "create", "token", "robot"])).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+\n?$/);
    expect(await k.ok(["-n", "made", "create", "role", "reader", "--verb=get,list", "--resource=pods"])).toBe(
      "role.rbac.authorization.k8s.io/reader created\n",
    );
    expect(
      await k.ok(["-n", "made", "create", "rolebinding", "reader", "--role=reader", "--serviceaccount=made:robot"]),
    ).toBe("rolebinding.rbac.authorization.k8s.io/reader created\n");
    const robot = ["-n", "made", "--as", "system:serviceaccount:made:robot"];
    expect(await k.ok([...robot, "auth", "can-i", "list", "pods"])).toBe("yes\n");
    expect((await k.kubectl([...robot, "auth", "can-i", "delete", "pods"])).stdout).toBe("no\n");
    expect(await k.ok(["-n", "made", "rollout", "status", "deployment/d", "--timeout=60s"])).toMatch(
      /successfully rolled out/,
    );
    const slices = () =>
      k.ok([
        "-n",
        "made",
        "get",
        "endpointslices",
        "-l",
        "kubernetes.io/service-name=d",
        "-o",
        "jsonpath={.items[*].endpoints[*].conditions.ready}",
      ]);
    await eventually(slices, (text) => text === "true true");
    expect(await k.ok(["-n", "made", "run", "once", "--image=example.test/o:v1", "--restart=Never"])).toBe(
      "pod/once created\n",
    );
    expect(await k.ok(["-n", "made", "wait", "--for=condition=Ready", "pod/once", "--timeout=60s"])).toBe(
      "pod/once condition met\n",
    );
    expect(await k.ok(["delete", "namespace", "made", "--timeout=60s"])).toBe('namespace "made" deleted\n');
    expect((await k.kubectl(["get", "namespace", "made"])).stderr).toMatch(/NotFound/);
  });

  test("apply: created, unchanged, configured; diff", async () => {
    const manifest = deployment({ name: "applied", replicas: 1 });
    expect(await k.apply(manifest)).toBe("deployment.apps/applied created\n");
    expect(await k.apply(manifest)).toBe("deployment.apps/applied unchanged\n");
    const changed = deployment({ name: "applied", replicas: 2 });
    const diff = await k.kubectl(["diff", "-f", "-"], changed);
    expect(diff.code).toBe(1);
    expect(diff.stdout).toMatch(/^-  replicas: 1\n\+  replicas: 2$/m);
    expect(await k.apply(changed)).toBe("deployment.apps/applied configured\n");
    expect(await k.ok(["apply", "--dry-run=server", "-f", "-"], deployment({ name: "applied", replicas: 5 }))).toBe(
      "deployment.apps/applied configured (server dry run)\n",
    );
    expect(await k.ok(["get", "deployment", "applied", "-o", "jsonpath={.spec.replicas}"])).toBe("2");
    expect(await k.ok(["delete", "deployment", "applied"])).toBe(
      'deployment.apps "applied" deleted from default namespace\n',
    );
  });

  test("a manifest that is a List", async () => {
    const configMap = (name: string): object => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
    const list = { apiVersion: "v1", kind: "List", items: [configMap("listed-1"), configMap("listed-2")] };
    expect(await k.ok(["apply", "-f", "-"], JSON.stringify(list))).toBe(
      "configmap/listed-1 created\nconfigmap/listed-2 created\n",
    );
    await k.ok(["delete", "configmap", "listed-1", "listed-2"]);
  });

  test("label, annotate, three kinds of patch, replace, edit", async () => {
    expect(await k.ok(["label", "deployment", "web", "tier=front"])).toBe("deployment.apps/web labeled\n");
    expect((await k.kubectl(["label", "deployment", "web", "tier=back"])).stderr).toMatch(
      /'tier' already has a value \(front\), and --overwrite is false/,
    );
    expect(await k.ok(["annotate", "deployment", "web", "note=one"])).toBe("deployment.apps/web annotated\n");
    expect(
      await k.ok([
        "patch",
        "deployment",
        "web",
        "--type=json",
        "-p",
        '[{"op":"replace","path":"/metadata/annotations/note","value":"two"}]',
      ]),
    ).toBe("deployment.apps/web patched\n");
    expect(
      await k.ok(["patch", "deployment", "web", "--type=merge", "-p", '{"metadata":{"annotations":{"merge":"yes"}}}']),
    ).toBe("deployment.apps/web patched\n");
    expect(
      await k.ok([
        "patch",
        "deployment",
        "web",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"A","value":"1"}]}]}}}}',
      ]),
    ).toBe("deployment.apps/web patched\n");
    const patched = await web();
    expect(patched.metadata.annotations).toMatchObject({ note: "two", merge: "yes" });
    expect(patched.spec.template.spec.containers).toMatchObject([
      { name: "main", image: "example.test/app:v1", env: [{ name: "A", value: "1" }] },
    ]);
    const map = JSON.stringify({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "replaced" },
      data: { a: "1" },
    });
    await k.apply(map);
    expect(await k.ok(["replace", "-f", "-"], map.replace('"a":"1"', '"b":"2"'))).toBe("configmap/replaced replaced\n");
    expect(await k.ok(["get", "configmap", "replaced", "-o", "jsonpath={.data}"])).toBe('{"b":"2"}');
    const edited = await k.kubectl(["edit", "configmap", "replaced"], "", { KUBE_EDITOR: "sed -i s/b:/c:/" });
    expect([edited.code, edited.stdout]).toEqual([0, "configmap/replaced edited\n"]);
    expect(await k.ok(["get", "configmap", "replaced", "-o", "jsonpath={.data}"])).toBe('{"c":"2"}');
    expect(await k.ok(["set", "env", "deployment/web", "A=2"])).toBe("deployment.apps/web env updated\n");
  });

  test("scale, set image, rollout status, history, undo, pause, resume, restart", async () => {
    expect(await k.ok(["scale", "deployment", "web", "--replicas=5"])).toBe("deployment.apps/web scaled\n");
    expect(await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"])).toMatch(
      /deployment "web" successfully rolled out/,
    );
    expect((await web()).status.readyReplicas).toBe(5);
    expect(await k.ok(["set", "image", "deployment/web", "main=example.test/app:v2"])).toBe(
      "deployment.apps/web image updated\n",
    );
    expect(await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"])).toMatch(/successfully rolled out/);
    expect(await k.ok(["rollout", "history", "deployment/web"])).toMatch(
      /^deployment\.apps\/web \nREVISION +CHANGE-CAUSE\n1 +<none>/,
    );
    expect(await k.ok(["rollout", "undo", "deployment/web"])).toBe("deployment.apps/web rolled back\n");
    expect(await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"])).toMatch(/successfully rolled out/);
    expect((await web()).spec.template.spec.containers[0]?.image).toBe("example.test/app:v1");
    expect(await k.ok(["rollout", "pause", "deployment/web"])).toBe("deployment.apps/web paused\n");
    await k.ok(["set", "image", "deployment/web", "main=example.test/app:v3"]);
    await eventually(web, (now) => now.status.observedGeneration !== undefined && now.spec.paused === true);
    expect(
      await k.ok(["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].spec.containers[0].image}"]),
    ).not.toMatch(/v3/);
    expect(await k.ok(["rollout", "resume", "deployment/web"])).toBe("deployment.apps/web resumed\n");
    expect(await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"])).toMatch(/successfully rolled out/);
    expect(await k.ok(["rollout", "restart", "deployment/web"])).toBe("deployment.apps/web restarted\n");
    expect(await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"])).toMatch(/successfully rolled out/);
    expect(await k.ok(["wait", "--for=condition=Available", "deployment/web", "--timeout=30s"])).toBe(
      "deployment.apps/web condition met\n",
    );
    expect(await k.ok(["wait", "--for=jsonpath={.status.readyReplicas}=5", "deployment/web", "--timeout=30s"])).toBe(
      "deployment.apps/web condition met\n",
    );
  });

  test("get -w sees changes as they come", async () => {
    const watching = k.start([
      "get",
      "configmaps",
      "-w",
      "--output-watch-events",
      "--no-headers",
      "--field-selector",
      "metadata.name=watched",
    ]);
    let seen = "";
    watching.stdout.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    await k.ok(["create", "configmap", "watched"]);
    await eventually(
      async () => seen,
      (text) => /ADDED +watched/.test(text),
    );
    await k.ok(["label", "configmap", "watched", "a=b"]);
    await k.ok(["delete", "configmap", "watched"]);
    await eventually(
      async () => seen,
      (text) => /ADDED +watched[\s\S]*MODIFIED +watched[\s\S]*DELETED +watched/.test(text),
    );
    watching.kill();
  });

  test("delete with each kind of cascade", async () => {
    const replicaSets = (name: string) => k.ok(["get", "replicasets", "-l", `app=${name}`, "-o", "name"]);
    for (const name of ["bg", "fg", "orphan"]) await k.apply(deployment({ name, replicas: 1 }));
    for (const name of ["bg", "fg", "orphan"]) await k.ok(["rollout", "status", `deployment/${name}`, "--timeout=60s"]);
    await k.ok(["delete", "deployment", "bg", "--cascade=background"]);
    await eventually(
      () => replicaSets("bg"),
      (text) => text === "",
    );
    await k.ok(["delete", "deployment", "fg", "--cascade=foreground", "--timeout=60s"]);
    expect(await replicaSets("fg")).toBe("");
    await k.ok(["delete", "deployment", "orphan", "--cascade=orphan"]);
    const owners = () =>
      k.ok(["get", "replicasets", "-l", "app=orphan", "-o", "jsonpath={.items[*].metadata.ownerReferences}"]);
    await eventually(owners, (text) => text === "");
    expect(await replicaSets("orphan")).toMatch(/replicaset\.apps\/orphan-/);
    await k.ok(["delete", "replicasets", "-l", "app=orphan"]);
  });

  test("cordon, drain, uncordon, taint", async () => {
    expect(await k.ok(["cordon", "node-3"])).toBe("node/node-3 cordoned\n");
    expect(await k.ok(["get", "node", "node-3", "--no-headers"])).toMatch(/Ready,SchedulingDisabled/);
    expect(await k.ok(["drain", "node-3", "--force", "--ignore-daemonsets", "--timeout=60s"])).toMatch(
      /node\/node-3 drained/,
    );
    expect(await k.ok(["uncordon", "node-3"])).toBe("node/node-3 uncordoned\n");
    expect(await k.ok(["taint", "node", "node-3", "a=b:NoSchedule"])).toBe("node/node-3 tainted\n");
    expect(await k.ok(["taint", "node", "node-3", "a:NoSchedule-"])).toBe("node/node-3 untainted\n");
    await k.ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
  });
});

describe("refusing", () => {
  test("bad manifests get upstream's text with the field's path, and change nothing", async () => {
    const noImage = deployment({ name: "bad", replicas: 1 }).replace('"image":"example.test/app:v1"', '"image":""');
    expect((await k.kubectl(["create", "-f", "-"], noImage)).stderr).toMatch(
      /The Deployment "bad" is invalid: spec\.template\.spec\.containers\[0\]\.image: Required value/,
    );
    const unknown = deployment({ name: "bad", replicas: 1 }).replace('"replicas":1', '"replicas":1,"replica":2');
    expect((await k.kubectl(["create", "-f", "-"], unknown)).stderr).toMatch(
      /strict decoding error: unknown field "spec\.replica"/,
    );
    const selector = deployment({ name: "bad", replicas: 1 }).replace(
      '"matchLabels":{"app":"bad"}',
      '"matchLabels":{"app":"other"}',
    );
    expect((await k.kubectl(["create", "-f", "-"], selector)).stderr).toMatch(
      /spec\.template\.metadata\.labels: Invalid value: .*`selector` does not match template `labels`/,
    );
    const name = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "Bad_Name" } });
    expect((await k.kubectl(["create", "-f", "-"], name)).stderr).toMatch(
      /The ConfigMap "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of/,
    );
    const immutable = await k.kubectl([
      "patch",
      "deployment",
      "web",
      "--type=merge",
      "-p",
      '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}',
    ]);
    expect(immutable.stderr).toMatch(/spec\.selector: Invalid value: .*: field is immutable/);
    expect((await k.kubectl(["get", "deployment", "bad"])).stderr).toMatch(/NotFound/);
  });

  test("what is too large is refused", async () => {
    const large = JSON.stringify({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "large" },
      data: { a: "x".repeat(1_600_000) },
    });
    expect((await k.kubectl(["create", "-f", "-"], large)).code).toBe(1);
    expect((await k.kubectl(["get", "configmap", "large"])).stderr).toMatch(/NotFound/);
  });

  test("what cannot be scheduled says why", async () => {
    const pod = JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "huge" },
      spec: { containers: [{ name: "c", image: "example.test/c:v1", resources: { requests: { cpu: "1000" } } }] },
    });
    await k.apply(pod);
    const text = () => k.ok(["describe", "pod", "huge"]);
    await eventually(text, (seen) => /FailedScheduling .*0\/3 nodes are available: 3 Insufficient cpu\./.test(seen));
    expect(await k.ok(["get", "pod", "huge", "--no-headers"])).toMatch(/huge +0\/1 +Pending/);
    await k.ok(["delete", "pod", "huge"]);
  });
});
