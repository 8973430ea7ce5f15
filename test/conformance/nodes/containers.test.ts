// How containers begin, are watched over, and end: init containers, hooks, probes, exit codes and what they may do.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at, type Thing } from "../rest-client.ts";
import { gone, type SharedCluster } from "../shared-cluster.ts";
import { BUSYBOX, isReady, logOf, NODE, type Part, runToEnd, scriptPod, untilPhase, untilReady } from "./real-pods.ts";

const SERVER = "require('http').createServer((q,s)=>{console.log(q.method,q.url);s.end('ok')}).listen(8080)";
const sh = (script: string): string[] => ["sh", "-c", script];
const restarts = (pod: Thing, name = "main"): number =>
  (at<{ name: string; restartCount: number }[]>(pod, "status.containerStatuses") ?? []).find((one) => one.name === name)
    ?.restartCount ?? 0;

const pods = (c: SharedCluster, ns: string) => c.api.resource("v1", "pods", ns);

/** Waits until the container has been started anew `count` times. */
function restarted(c: SharedCluster, ns: string, count: number): Promise<Thing> {
  return eventually(
    () => pods(c, ns).get("main"),
    (pod) => restarts(pod) >= count,
    120_000,
  );
}

const remove = async (c: SharedCluster, ns: string, name = "main"): Promise<void> => {
  await pods(c, ns).delete(name, { gracePeriodSeconds: 0 });
};

const LONG = { timeoutMs: 200_000 };
const init = conformsShared("init containers");
const initPod = (restartPolicy: string, scripts: readonly string[], main: string): Part => ({
  metadata: { name: "main" },
  spec: {
    restartPolicy,
    terminationGracePeriodSeconds: 1,
    initContainers: scripts.map((script, n) => ({ name: `init${n + 1}`, image: BUSYBOX, command: sh(script) })),
    containers: [{ name: "main", image: BUSYBOX, command: sh(main) }],
  },
});

init("run before app, restart Always", async (c) => {
  const ns = await c.namespace("init");
  await pods(c, ns).create(initPod("Always", ["true", "true"], "sleep 3600"));
  const pod = await untilReady(c, ns, "main");
  const inits = at<Part[]>(pod, "status.initContainerStatuses") ?? [];
  expect(inits.map((one) => [one["ready"], at(one, "state.terminated.exitCode")])).toEqual([
    [true, 0],
    [true, 0],
  ]);
  const [first = "", second = ""] = inits.map((one) => at<string>(one, "state.terminated.finishedAt") ?? "");
  const began = at<string>(pod, "status.containerStatuses.0.state.running.startedAt") ?? "";
  expect([first, second, began].toSorted()).toEqual([first, second, began]);
  expect(at(pod, "status.conditions")).toContainEqual(expect.objectContaining({ type: "Initialized", status: "True" }));
  await remove(c, ns);
});

init(
  "failure retried, app never starts, restart Always",
  async (c) => {
    const ns = await c.namespace("init");
    await pods(c, ns).create(initPod("Always", ["false", "true"], "sleep 3600"));
    const pod = await eventually(
      () => pods(c, ns).get("main"),
      (now) => (at<number>(now, "status.initContainerStatuses.0.restartCount") ?? 0) >= 3,
      120_000,
    );
    expect(at(pod, "status.phase")).toBe("Pending");
    expect(at(pod, "status.initContainerStatuses.1.state.waiting.reason")).toBe("PodInitializing");
    expect(at(pod, "status.containerStatuses.0.state.waiting.reason")).toBe("PodInitializing");
    expect(at(pod, "status.conditions")).toContainEqual(
      expect.objectContaining({ type: "Initialized", status: "False", reason: "ContainersNotInitialized" }),
    );
    await remove(c, ns);
  },
  LONG,
);

init("failure fails pod, restart Never", async (c) => {
  const ns = await c.namespace("init");
  await pods(c, ns).create(initPod("Never", ["true", "false"], "sleep 3600"));
  const pod = await untilPhase(c, ns, "main", "Failed");
  expect(at(pod, "status.initContainerStatuses.1.state.terminated.exitCode")).toBe(1);
  expect(at(pod, "status.containerStatuses.0.state.waiting.reason")).toBe("PodInitializing");
  expect(at(pod, "status.containerStatuses.0.started")).toBe(false);
});

const runtime = conformsShared("container runtime");

runtime(
  "phase/state/restarts for Always/OnFailure/Never",
  async (c) => {
    const ns = await c.namespace("runtime");
    // Fails the first time and then goes on as its policy has it.
    const script = (then: string): string => `if [ -e /r/once ]; then ${then}; fi; touch /r/once; exit 1`;
    const pod = (restartPolicy: string, name: string, then: string): Part => ({
      metadata: { name },
      spec: {
        restartPolicy,
        terminationGracePeriodSeconds: 1,
        volumes: [{ name: "r", emptyDir: {} }],
        containers: [
          { name: "main", image: BUSYBOX, command: sh(script(then)), volumeMounts: [{ name: "r", mountPath: "/r" }] },
        ],
      },
    });
    await pods(c, ns).create(pod("Always", "always", "sleep 3600"));
    await pods(c, ns).create(pod("OnFailure", "on-failure", "exit 0"));
    await pods(c, ns).create(pod("Never", "never", "exit 0"));
    const always = await eventually(
      () => pods(c, ns).get("always"),
      (now) => restarts(now) === 1 && isReady(now),
      90_000,
    );
    expect([
      at(always, "status.phase"),
      Object.keys(at<object>(always, "status.containerStatuses.0.state") ?? {}),
    ]).toEqual(["Running", ["running"]]);
    const onFailure = await untilPhase(c, ns, "on-failure", "Succeeded");
    expect([
      restarts(onFailure),
      at(onFailure, "status.containerStatuses.0.state.terminated.exitCode"),
      isReady(onFailure),
    ]).toEqual([1, 0, false]);
    const never = await untilPhase(c, ns, "never", "Failed");
    expect([
      restarts(never),
      at(never, "status.containerStatuses.0.state.terminated.exitCode"),
      isReady(never),
    ]).toEqual([0, 1, false]);
    await remove(c, ns, "always");
  },
  LONG,
);

for (const [behaviour, script, container, says] of [
  [
    "termination message at custom path, non-root",
    "echo -n DONE > /dev/termination-custom-log",
    { terminationMessagePath: "/dev/termination-custom-log", securityContext: { runAsUser: 1000 } },
    "DONE",
  ],
  [
    "termination message empty on success (FallbackToLogs)",
    "echo DONE",
    { terminationMessagePolicy: "FallbackToLogsOnError" },
    undefined,
  ],
  [
    "termination message from file on success",
    "echo -n OK > /dev/termination-log; echo DONE",
    { terminationMessagePolicy: "FallbackToLogsOnError" },
    "OK",
  ],
] as const) {
  runtime(behaviour, async (c) => {
    const ns = await c.namespace("runtime");
    await pods(c, ns).create(scriptPod(script, container));
    const pod = await untilPhase(c, ns, "main", "Succeeded");
    expect(at(pod, "status.containerStatuses.0.state.terminated.message")).toBe(says);
  });
}

const command = conformsShared("container command");
command("image defaults", async (c) => {
  const ns = await c.namespace("command");
  // The image's own command, as its configuration names it, with a script on its standard input instead of a terminal.
  await pods(c, ns).create({
    metadata: { name: "main" },
    spec: { restartPolicy: "Never", containers: [{ name: "main", image: NODE, stdin: true, stdinOnce: true }] },
  });
  const pod = await eventually(
    () => pods(c, ns).get("main"),
    (now) => ["Running", "Succeeded", "Failed"].includes(at<string>(now, "status.phase") ?? ""),
    60_000,
  );
  expect(at(pod, "spec.containers.0.command")).toBeUndefined();
  expect(at(pod, "status.phase")).not.toBe("Failed");
  await remove(c, ns);
});

command("args override", async (c) => {
  const ns = await c.namespace("command");
  const made = {
    metadata: { name: "main" },
    spec: {
      restartPolicy: "Never",
      containers: [{ name: "main", image: BUSYBOX, args: ["echo", "override", "arguments"] }],
    },
  };
  expect(await runToEnd(c, ns, made)).toBe("override arguments\n");
});

const hooks = conformsShared("lifecycle hook");
const FILE = { volumes: [{ name: "v", emptyDir: {} }], mount: { volumeMounts: [{ name: "v", mountPath: "/v" }] } };

/** A pod that serves HTTP and writes down who asked. */
async function handler(c: SharedCluster, ns: string): Promise<string> {
  await pods(c, ns).create(scriptPod("", { image: NODE, command: ["node", "-e", SERVER] }, {}, { name: "handler" }));
  return at<string>(await untilReady(c, ns, "handler"), "status.podIP") ?? "";
}

const heard = (c: SharedCluster, ns: string, text: string): Promise<string> =>
  eventually(
    () => logOf(c, ns, "handler"),
    (log) => log.includes(text),
  );

hooks("postStart exec", async (c) => {
  const ns = await c.namespace("hook");
  const lifecycle = { postStart: { exec: { command: sh("echo started > /v/hook") } } };
  const script = "until cat /v/hook 2>/dev/null; do sleep 1; done";
  expect(await runToEnd(c, ns, scriptPod(script, { lifecycle, ...FILE.mount }, { volumes: FILE.volumes }))).toBe(
    "started\n",
  );
});

hooks("postStart httpGet", async (c) => {
  const ns = await c.namespace("hook");
  const host = await handler(c, ns);
  const lifecycle = { postStart: { httpGet: { host, port: 8080, path: "/echo?msg=poststart" } } };
  await pods(c, ns).create(scriptPod("sleep 3600", { lifecycle }));
  await untilReady(c, ns, "main");
  await heard(c, ns, "GET /echo?msg=poststart");
  await remove(c, ns);
  await remove(c, ns, "handler");
});

const asks = (host: string, path: string): string[] => [
  "node",
  "-e",
  `require('http').get('http://${host}:8080${path}',(r)=>r.resume())`,
];
for (const behaviour of ["preStop exec", "preStop called on kill"]) {
  hooks(behaviour, async (c) => {
    const ns = await c.namespace("hook");
    const host = await handler(c, ns);
    const path = `/echo?msg=${behaviour.replaceAll(" ", "-")}`;
    const lifecycle = { preStop: { exec: { command: asks(host, path) } } };
    const wish = scriptPod(
      "",
      { image: NODE, command: ["node", "-e", "setInterval(()=>{},1000)"], lifecycle },
      { terminationGracePeriodSeconds: 10 },
    );
    await pods(c, ns).create(wish);
    await untilReady(c, ns, "main");
    await pods(c, ns).delete("main");
    await heard(c, ns, `GET ${path}`);
    await gone(() => pods(c, ns).get("main"), 60_000);
    await remove(c, ns, "handler");
  });
}

const probes = conformsShared("probes");
const quick = { initialDelaySeconds: 1, periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 5 };
const always = { restartPolicy: "Always" };

async function probed(c: SharedCluster, container: Part): Promise<string> {
  const ns = await c.namespace("probes");
  await pods(c, ns).create(scriptPod("", container, always));
  return ns;
}

/** Waits until the kubelet has seen the probe succeed often enough: the container is Ready by the same probe. */
async function staysUp(c: SharedCluster, container: Part, probe: Part): Promise<void> {
  const ns = await probed(c, {
    ...container,
    livenessProbe: { ...quick, ...probe },
    readinessProbe: { ...quick, ...probe, successThreshold: 5 },
  });
  const pod = await untilReady(c, ns, "main");
  expect(restarts(pod)).toBe(0);
  await remove(c, ns);
}

async function isRestarted(c: SharedCluster, container: Part, probe: Part, says = /./): Promise<void> {
  const ns = await probed(c, { ...container, livenessProbe: { ...quick, ...probe } });
  const pod = await restarted(c, ns, 1);
  expect(restarts(pod)).toBeGreaterThanOrEqual(1);
  const { items } = await c.api.resource("v1", "events", ns).list({ fieldSelector: "involvedObject.name=main" });
  expect(items.map((one) => one["reason"])).toEqual(expect.arrayContaining(["Unhealthy", "Killing"]));
  const unhealthy = items.filter((one) => one["reason"] === "Unhealthy").map((one) => one["message"]);
  expect(unhealthy).toContainEqual(expect.stringMatching(says));
  await remove(c, ns);
}

const healthy = { command: sh("echo ok > /tmp/health; sleep 3600") };
probes("exec liveness OK: 0 restarts", (c) => staysUp(c, healthy, { exec: { command: ["cat", "/tmp/health"] } }));
probes(
  "exec liveness failing restarts",
  (c) =>
    isRestarted(
      c,
      { command: sh("echo ok > /tmp/health; sleep 3; rm /tmp/health; sleep 3600") },
      { exec: { command: ["cat", "/tmp/health"] } },
    ),
  LONG,
);
const serving = { image: NODE, command: ["node", "-e", SERVER] };
probes("TCP liveness OK: 0 restarts", (c) =>
  staysUp(c, serving, { initialDelaySeconds: 3, tcpSocket: { port: 8080 } }),
);
probes(
  "HTTP liveness failing restarts",
  (c) => {
    const script =
      "const t=Date.now();require('http').createServer((q,s)=>{s.statusCode=Date.now()-t>5000?500:200;s.end()}).listen(8080)";
    return isRestarted(
      c,
      { image: NODE, command: ["node", "-e", script] },
      { initialDelaySeconds: 3, httpGet: { path: "/healthz", port: 8080 } },
    );
  },
  LONG,
);

/** grpc.health.v1 on plain HTTP/2: the service "main" serves for `servesMs` from the start, and is not there under another name. */
const health = (servesMs: string): Part => {
  const script = `const began=Date.now();
require('http2').createServer().on('stream',(stream,headers)=>{
  const chunks=[];
  stream.on('data',(chunk)=>chunks.push(chunk)).on('end',()=>{
    const path=headers[':path'],service=Buffer.concat(chunks).subarray(7).toString();
    console.log(path,service,headers['user-agent']);
    const code=path!=='/grpc.health.v1.Health/Check'?12:service!=='main'?5:0;
    stream.on('wantTrailers',()=>stream.sendTrailers({'grpc-status':String(code)}));
    stream.respond({':status':200,'content-type':'application/grpc'},{waitForTrailers:true});
    if(code===0)stream.write(Buffer.from([0,0,0,0,2,8,Date.now()-began<${servesMs}?1:2]));
    stream.end();
  });
}).listen(5000)`;
  return { image: NODE, command: ["node", "-e", script] };
};
const grpc = (service: string): Part => ({ initialDelaySeconds: 3, grpc: { port: 5000, service } });

probes("gRPC liveness OK: 0 restarts", async (c) => {
  const ns = await probed(c, {
    ...health("Infinity"),
    livenessProbe: { ...quick, ...grpc("main") },
    readinessProbe: { ...quick, ...grpc("main"), successThreshold: 5 },
  });
  expect(restarts(await untilReady(c, ns, "main"))).toBe(0);
  expect((await logOf(c, ns, "main")).split("\n")[0]).toBe("/grpc.health.v1.Health/Check main kube-probe/1.35");
  await remove(c, ns);
});
probes(
  "gRPC liveness failing restarts",
  (c) => isRestarted(c, health("5000"), grpc("main"), /service unhealthy \(responded with "NOT_SERVING"\)/),
  LONG,
);

probes(
  "restart count only grows",
  async (c) => {
    const ns = await probed(c, { ...healthy, livenessProbe: { ...quick, exec: { command: ["false"] } } });
    using watch = pods(c, ns).watch();
    const counts: number[] = [];
    const seen = (): Promise<number[]> => {
      counts.push(...watch.take().map((event) => restarts(event.object)));
      return Promise.resolve(counts);
    };
    await eventually(seen, () => (counts.at(-1) ?? 0) >= 3, 120_000);
    expect(counts).toEqual(counts.toSorted((a, b) => a - b));
    await remove(c, ns);
  },
  LONG,
);

probes(
  "failing readiness: never ready, never restarted",
  async (c) => {
    const ns = await probed(c, { ...healthy, readinessProbe: { ...quick, exec: { command: ["false"] } } });
    await eventually(
      () => c.api.resource("v1", "events", ns).list({ fieldSelector: "involvedObject.name=main,reason=Unhealthy" }),
      ({ items }) => items.some((one) => at<number>(one, "count", 0)! >= 5),
      60_000,
    );
    const pod = await pods(c, ns).get("main");
    expect([isReady(pod), restarts(pod), at(pod, "status.phase")]).toEqual([false, 0, "Running"]);
    await remove(c, ns);
  },
  LONG,
);

const security = conformsShared("security context");
security("runAsUser 65534", async (c) => {
  const ns = await c.namespace("security");
  expect(await runToEnd(c, ns, scriptPod("id -u", { securityContext: { runAsUser: 65534 } }))).toBe("65534\n");
});

security("container-level runAsUser/runAsGroup", async (c) => {
  const ns = await c.namespace("security");
  const container = { securityContext: { runAsUser: 1001, runAsGroup: 2002 } };
  expect(await runToEnd(c, ns, scriptPod("id -u; id -g", container))).toBe("1001\n2002\n");
});

security("privileged=false blocks", async (c) => {
  const ns = await c.namespace("security");
  const script =
    "if ip link add dummy1 type dummy 2>/tmp/e || mount -t tmpfs none /mnt 2>>/tmp/e; then echo allowed; else echo refused; fi; cat /tmp/e";
  const log = await runToEnd(c, ns, scriptPod(script, { securityContext: { privileged: false } }));
  expect(log).toMatch(/^refused\n/);
  expect(log).toMatch(/ermitted|denied/);
});

security("allowPrivilegeEscalation=false", async (c) => {
  const ns = await c.namespace("security");
  const container = { securityContext: { runAsUser: 1000, allowPrivilegeEscalation: false } };
  expect(await runToEnd(c, ns, scriptPod("grep NoNewPrivs /proc/self/status | tr -d '\\t'", container))).toBe(
    "NoNewPrivs:1\n",
  );
});

conformsShared("sysctl")("kernel.shm_rmid_forced applied", async (c) => {
  const ns = await c.namespace("sysctl");
  const spec = { securityContext: { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] } };
  expect(await runToEnd(c, ns, scriptPod("cat /proc/sys/kernel/shm_rmid_forced", {}, spec))).toBe("1\n");
});

const kubelet = conformsShared("kubelet");
kubelet("managed /etc/hosts except hostNetwork or own mount", async (c) => {
  const ns = await c.namespace("hosts");
  const managed = "# Kubernetes-managed hosts file.";
  expect(await runToEnd(c, ns, scriptPod("cat /etc/hosts"))).toContain(managed);
  const own = { volumeMounts: [{ name: "own", mountPath: "/etc/hosts", subPath: "hosts" }] };
  await c.api
    .resource("v1", "configmaps", ns)
    .create({ metadata: { name: "own" }, data: { hosts: "192.0.2.1 mine\n" } });
  const volumes = [{ name: "own", configMap: { name: "own" } }];
  expect(await runToEnd(c, ns, scriptPod("cat /etc/hosts", own, { volumes }))).toBe("192.0.2.1 mine\n");
  expect(await runToEnd(c, ns, scriptPod("cat /etc/hosts", {}, { hostNetwork: true }))).not.toContain(managed);
});

const expansion = conformsShared("variable expansion");
const withVolume = (subPathExpr: string, env: readonly Part[], script: string): Part =>
  scriptPod(
    script,
    {
      env,
      volumeMounts: [
        { name: "v", mountPath: "/log", subPathExpr },
        { name: "v", mountPath: "/all" },
      ],
    },
    { volumes: [{ name: "v", emptyDir: {} }] },
  );
const POD_NAME = { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } };

expansion("in volume subPathExpr", async (c) => {
  const ns = await c.namespace("expansion");
  expect(await runToEnd(c, ns, withVolume("$(POD_NAME)", [POD_NAME], "touch /log/test.txt; ls /all/main"))).toBe(
    "test.txt\n",
  );
});

for (const [behaviour, value] of [
  ["backticks in subPathExpr refused by kubelet", ".."],
  ["absolute subPathExpr refused by kubelet", "/tmp"],
] as const) {
  expansion(behaviour, async (c) => {
    const ns = await c.namespace("expansion");
    await pods(c, ns).create(withVolume("$(WHERE)", [{ name: "WHERE", value }], "true"));
    const pod = await eventually(
      () => pods(c, ns).get("main"),
      (now) => at(now, "status.containerStatuses.0.state.waiting.reason") === "CreateContainerConfigError",
      60_000,
    );
    expect(at(pod, "status.phase")).toBe("Pending");
    await remove(c, ns);
  });
}

expansion(
  "failing subPathExpr fixed by annotation update",
  async (c) => {
    const ns = await c.namespace("expansion");
    const env = [{ name: "WHERE", valueFrom: { fieldRef: { fieldPath: "metadata.annotations['mysubpath']" } } }];
    const wish = withVolume("$(WHERE)", env, "sleep 3600");
    await pods(c, ns).create(wish);
    await eventually(
      () => pods(c, ns).get("main"),
      (now) => at(now, "status.containerStatuses.0.state.waiting.reason") === "CreateContainerConfigError",
      60_000,
    );
    await pods(c, ns).patch("main", { metadata: { annotations: { mysubpath: "mypath" } } });
    await untilReady(c, ns, "main");
    await remove(c, ns);
  },
  LONG,
);

const podRows = conformsShared("pod");
podRows("activeDeadlineSeconds update kills pod", async (c) => {
  const ns = await c.namespace("pods");
  await pods(c, ns).create(scriptPod("sleep 3600"));
  await untilReady(c, ns, "main");
  await pods(c, ns).patch("main", { spec: { activeDeadlineSeconds: 5 } });
  const pod = await untilPhase(c, ns, "main", "Failed");
  expect(at(pod, "status.reason")).toBe("DeadlineExceeded");
});

podRows("service env vars injected", async (c) => {
  const ns = await c.namespace("pods");
  const service = await c.api.resource("v1", "services", ns).create({
    metadata: { name: "fooservice" },
    spec: { selector: { name: "server" }, ports: [{ port: 8765, targetPort: 8080 }] },
  });
  const ip = at<string>(service, "spec.clusterIP") ?? "";
  const log = await eventually(
    () => runToEnd(c, ns, scriptPod("", { command: ["env"] })),
    (text) => text.includes("FOOSERVICE_SERVICE_HOST"),
    60_000,
  );
  for (const line of [
    `FOOSERVICE_SERVICE_HOST=${ip}`,
    "FOOSERVICE_SERVICE_PORT=8765",
    `FOOSERVICE_PORT=tcp://${ip}:8765`,
    "FOOSERVICE_PORT_8765_TCP_PORT=8765",
    "FOOSERVICE_PORT_8765_TCP_PROTO=tcp",
    `FOOSERVICE_PORT_8765_TCP=tcp://${ip}:8765`,
    `FOOSERVICE_PORT_8765_TCP_ADDR=${ip}`,
  ])
    expect(log).toContain(`${line}\n`);
});

const ephemeral = conformsShared("ephemeral containers");
const debugContainer = (name: string): Part => ({ name, image: BUSYBOX, command: sh("echo polo; sleep 3600") });
for (const [behaviour, names] of [
  ["ephemeral container starts in running pod", ["debugger"]],
  ["second ephemeral container added through subresource", ["debugger", "debugger2"]],
] as const) {
  ephemeral(behaviour, async (c) => {
    const ns = await c.namespace("ephemeral");
    await pods(c, ns).create(scriptPod("sleep 3600"));
    await untilReady(c, ns, "main");
    for (const name of names) {
      await pods(c, ns).patch(
        "main",
        { spec: { ephemeralContainers: [debugContainer(name)] } },
        "strategic",
        "ephemeralcontainers",
      );
      await eventually(
        () => pods(c, ns).get("main"),
        (now) =>
          (at<Part[]>(now, "status.ephemeralContainerStatuses") ?? []).some(
            (one) => one["name"] === name && at(one, "state.running") !== undefined,
          ),
        60_000,
      );
      expect(await logOf(c, ns, "main", name)).toBe("polo\n");
    }
    await remove(c, ns);
  });
}
