// Real containers on real nodes, by the real kubectl: what a pod's spec says is what its containers see, and what happens to
// them is what the API tells.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Pod } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const BUSYBOX = "coxswain.local/busybox:1";
const NODE = "coxswain.local/node:24";

let shared: TestCluster;
const folder = mkdtempSync(path.join(tmpdir(), "cox-workloads-"));

beforeAll(async () => {
  shared = await testCluster({ runtime: "containerd", nodes: 2, egress: "none", name: "workloads" });
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await shared?.[Symbol.asyncDispose]();
});

type Container = Record<string, unknown>;

/** A pod whose containers run shell scripts, unless they say otherwise. */
function podManifest(name: string, containers: readonly Container[], spec: Record<string, unknown> = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 2,
      containers: containers.map((one) => ({ image: BUSYBOX, ...one })),
      ...spec,
    },
  });
}

const shell = (name: string, script: string, more: Container = {}): Container => ({
  name,
  command: ["sh", "-c", script],
  ...more,
});

const getPod = (name: string): Promise<Pod> => shared.get<Pod>(["pod", name]);

const phase = (name: string, wanted: string): Promise<Pod> =>
  eventually(
    () => getPod(name),
    (pod) => pod.status?.phase === wanted,
  );

const ready = async (name: string): Promise<void> => {
  await shared.ok(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
};

const remove = (...names: string[]): Promise<string> =>
  shared.ok(["delete", "pod", ...names, "--grace-period=1", "--wait=true"]);

describe("nodes", () => {
  test("are Ready on containerd, with a pod range and a share of the machine each", async () => {
    const { items } = await shared.get<{
      items: { status: { nodeInfo: { containerRuntimeVersion: string } }; spec: { podCIDR: string } }[];
    }>(["nodes"]);
    expect(items.map((node) => node.spec.podCIDR)).toEqual(["10.244.1.0/24", "10.244.2.0/24"]);
    for (const node of items) expect(node.status.nodeInfo.containerRuntimeVersion).toMatch(/^containerd:\/\/\d/);
  });
});

describe("what a container sees", () => {
  test("environment from values, fields, resources, ConfigMaps and Secrets; files from every kind of volume", async () => {
    await shared.apply(
      JSON.stringify({
        apiVersion: "v1",
        kind: "List",
        items: [
          {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { name: "conf" },
            data: { colour: "blue", "file.txt": "from a ConfigMap" },
          },
          { apiVersion: "v1", kind: "Secret", metadata: { name: "hidden" }, stringData: { word: "mellon" } },
        ],
      }),
    );
    const script = `echo "env $GREETING $POD_IP_SET $CPU_LIMIT $colour $WORD $KUBERNETES_SERVICE_HOST"
echo "conf $(cat /conf/file.txt)"; echo "secret $(cat /secret/word)"; echo "label $(cat /down/labels)"
echo "token $(wc -c < /var/run/secrets/kubernetes.io/serviceaccount/token | xargs test 100 -lt && echo long)"
echo "ns $(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace)"; echo "host $(hostname)"
echo x > /scratch/a && echo "scratch $(cat /scratch/a)"; echo "tmpfs $(grep -c ' /mem tmpfs' /proc/mounts)"
echo "sub $(cat /sub/one.txt)"; grep -q ndots:5 /etc/resolv.conf && echo "dns $(grep nameserver /etc/resolv.conf)"`;
    await shared.apply(
      podManifest(
        "sees",
        [
          shell("main", script, {
            env: [
              { name: "GREETING", value: "hello-$(POD)" },
              { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
              { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
              { name: "POD_IP_SET", value: "ip-$(POD)" },
              { name: "CPU_LIMIT", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
              { name: "WORD", valueFrom: { secretKeyRef: { name: "hidden", key: "word" } } },
            ],
            envFrom: [{ configMapRef: { name: "conf" } }],
            resources: { limits: { memory: "64Mi", cpu: "500m" } },
            volumeMounts: [
              { name: "conf", mountPath: "/conf" },
              { name: "secret", mountPath: "/secret" },
              { name: "down", mountPath: "/down" },
              { name: "scratch", mountPath: "/scratch" },
              { name: "mem", mountPath: "/mem" },
              { name: "conf", mountPath: "/sub/one.txt", subPath: "file.txt" },
            ],
          }),
        ],
        {
          restartPolicy: "Never",
          volumes: [
            { name: "conf", configMap: { name: "conf" } },
            { name: "secret", secret: { secretName: "hidden" } },
            { name: "down", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
            { name: "scratch", emptyDir: {} },
            { name: "mem", emptyDir: { medium: "Memory", sizeLimit: "8Mi" } },
          ],
        },
      ),
    );
    await phase("sees", "Succeeded");
    expect((await shared.ok(["logs", "sees"])).trim().split("\n")).toEqual([
      "env hello-$(POD) ip-sees 64 blue mellon 10.96.0.1",
      "conf from a ConfigMap",
      "secret mellon",
      'label app="sees"',
      "token long",
      "ns default",
      "host sees",
      "scratch x",
      "tmpfs 1",
      "sub from a ConfigMap",
      "dns nameserver 10.96.0.10",
    ]);
    await remove("sees");
  });

  test("containers of a pod share network, IPC, /dev/shm and volumes; init containers run first", async () => {
    await shared.apply(
      podManifest(
        "both",
        [
          shell(
            "writer",
            "echo shm > /dev/shm/x; echo vol > /v/x; exec node -e \"require('http').createServer((q,s)=>s.end('over-loopback')).listen(7000,'127.0.0.1')\"",
            { image: NODE },
          ),
          shell("reader", "sleep 3600", { volumeMounts: [{ name: "v", mountPath: "/v" }] }),
        ].map((one) => ({ ...one, volumeMounts: [{ name: "v", mountPath: "/v" }] })),
        {
          initContainers: [
            {
              image: BUSYBOX,
              ...shell("first", "echo init > /v/init"),
              volumeMounts: [{ name: "v", mountPath: "/v" }],
            },
          ],
          volumes: [{ name: "v", emptyDir: {} }],
        },
      ),
    );
    await ready("both");
    const read = ["exec", "both", "-c", "reader", "--", "sh", "-c"];
    expect(await shared.ok([...read, "cat /v/init /v/x /dev/shm/x"])).toBe("init\nvol\nshm\n");
    expect(
      await eventually(
        () => shared.ok([...read, "wget -qO- http://127.0.0.1:7000/"]),
        (said) => said !== "",
      ),
    ).toBe("over-loopback");
    await remove("both");
  });
});

describe("what happens to containers", () => {
  test("a failing container is restarted, backs off, and its previous life can be read", async () => {
    await shared.apply(podManifest("crash", [shell("main", "echo life; exit 3")]));
    const pod = await eventually(
      () => getPod("crash"),
      ({ status }) =>
        status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff" &&
        (status.containerStatuses[0].restartCount ?? 0) >= 1,
    );
    expect(pod.status?.containerStatuses?.[0]?.lastState?.terminated).toMatchObject({ exitCode: 3, reason: "Error" });
    expect(await shared.ok(["logs", "crash", "--previous"])).toBe("life\n");
    await remove("crash");
  });

  test("a container over its memory limit is OOMKilled with 137", async () => {
    const eat = "const all=[];for(;;)all.push(Buffer.alloc(8<<20,1))";
    const container = {
      name: "main",
      image: NODE,
      command: ["node", "-e", eat],
      resources: { limits: { memory: "96Mi" } },
    };
    await shared.apply(podManifest("oom", [container], { restartPolicy: "Never" }));
    const pod = await phase("oom", "Failed");
    expect(pod.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    await remove("oom");
  });

  test("termination messages come from the file, or from the log where asked", async () => {
    await shared.apply(
      podManifest(
        "last-words",
        [
          shell("file", "echo -n from-file > /dev/termination-log; exit 1"),
          shell("log", "echo from-log; exit 1", { terminationMessagePolicy: "FallbackToLogsOnError" }),
        ],
        { restartPolicy: "Never" },
      ),
    );
    const { status } = await phase("last-words", "Failed");
    const said = Object.fromEntries(
      (status?.containerStatuses ?? []).map((one) => [one.name, one.state?.terminated?.message?.trim()]),
    );
    expect(said).toEqual({ file: "from-file", log: "from-log" });
    await remove("last-words");
  });

  test("a failed liveness probe restarts; readiness decides about endpoints; a postStart hook runs first", async () => {
    await shared.apply(
      podManifest("probed", [
        shell("main", "rm -f /tmp/alive; touch /tmp/alive; sleep 3600", {
          lifecycle: { postStart: { exec: { command: ["sh", "-c", "echo hook > /tmp/hook"] } } },
          livenessProbe: { exec: { command: ["cat", "/tmp/alive"] }, periodSeconds: 1, failureThreshold: 1 },
        }),
      ]),
    );
    await ready("probed");
    expect(await shared.ok(["exec", "probed", "--", "cat", "/tmp/hook"])).toBe("hook\n");
    await shared.ok(["exec", "probed", "--", "rm", "/tmp/alive"]);
    await eventually(
      () => getPod("probed"),
      ({ status }) =>
        status?.containerStatuses?.[0]?.restartCount === 1 && status.containerStatuses[0].state?.running !== undefined,
    );
    const { items } = await shared.get<{ items: { message: string }[] }>([
      "events",
      "--field-selector=involvedObject.name=probed,reason=Unhealthy",
    ]);
    expect(items.map((event) => event.message).join("\n")).toContain(
      "Liveness probe failed: cat: can't open '/tmp/alive': No such file or directory",
    );
    await remove("probed");
  });

  test("an image that is nowhere: ErrImagePull, ImagePullBackOff and ErrImageNeverPull", async () => {
    await shared.apply(podManifest("nowhere", [{ name: "main", image: "coxswain.local/nothing:1" }]));
    await shared.apply(
      podManifest("never", [{ name: "main", image: "coxswain.local/nothing:1", imagePullPolicy: "Never" }]),
    );
    const waiting = (name: string): Promise<string> =>
      getPod(name).then(({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason ?? "");
    await eventually(
      () => waiting("nowhere"),
      (reason) => reason === "ErrImagePull" || reason === "ImagePullBackOff",
    );
    await eventually(
      () => waiting("never"),
      (reason) => reason === "ErrImageNeverPull",
    );
    await remove("nowhere", "never");
  });

  test("a pod ends as its containers wish within the grace period, by force after it", async () => {
    await shared.apply(
      podManifest("polite", [shell("main", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done")], {
        terminationGracePeriodSeconds: 30,
      }),
    );
    await shared.apply(
      podManifest("deaf", [shell("main", "trap '' TERM; while :; do sleep 0.1; done")], {
        terminationGracePeriodSeconds: 30,
      }),
    );
    await Promise.all([ready("polite"), ready("deaf")]);
    const following = shared.start(["logs", "-f", "polite"]);
    let heard = "";
    following.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    const ended = new Promise((resolve) => following.once("close", resolve));
    const began = performance.now();
    await shared.ok(["delete", "pod", "polite", "--wait=true"]);
    expect(performance.now() - began).toBeLessThan(25_000);
    await ended;
    expect(heard).toContain("bye");
    await shared.ok(["delete", "pod", "deaf", "--grace-period=1", "--wait=true"]);
  });

  test("containers outlive the kill of their kubelet and of containerd", async () => {
    await shared.apply(podManifest("outlives", [shell("main", "echo $$ started; sleep 3600")]));
    await ready("outlives");
    const before = await getPod("outlives");
    const node = before.spec?.nodeName ?? "";
    for (const component of ["kubelet", "containerd"]) {
      const at = before.status?.containerStatuses?.[0]?.containerID;
      await shared.cluster.chaos.kill(`${component}/${node}`);
      await eventually(
        () => shared.ok(["exec", "outlives", "--", "echo", component]),
        (said) => said === `${component}\n`,
      );
      const after = await eventually(
        () => getPod("outlives"),
        ({ status }) => status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false,
      );
      expect(after.status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, containerID: at });
      expect(after.status?.podIP).toBe(before.status?.podIP);
    }
    await remove("outlives");
  });
});

describe("kubectl and a container", () => {
  beforeAll(async () => {
    await shared.apply(
      podManifest("talk", [
        {
          name: "main",
          image: NODE,
          command: [
            "node",
            "-e",
            "let n=0;require('http').createServer((q,s)=>q.pipe(s)).listen(8080,'127.0.0.1');setInterval(()=>console.log('tick',n++),200)",
          ],
        },
        shell("echo", "cat", { stdin: true }),
      ]),
    );
    await ready("talk");
  });
  afterAll(() => remove("talk"));

  test("exec: output, exit code, and megabytes of input with an end", async () => {
    expect(
      await shared.kubectl(["exec", "talk", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]),
    ).toMatchObject({
      code: 7,
      stdout: "out\n",
    });
    const input = "0123456789abcdef".repeat(1 << 18);
    expect((await shared.ok(["exec", "-i", "talk", "-c", "main", "--", "wc", "-c"], input)).trim()).toBe(
      String(input.length),
    );
  });

  test("cp: a file there and back again", async () => {
    const [there, back] = [path.join(folder, "there"), path.join(folder, "back")];
    writeFileSync(there, Buffer.alloc(3 << 20, "coxswain"));
    await shared.ok(["cp", there, "talk:/tmp/file", "-c", "main"]);
    await shared.ok(["cp", "talk:/tmp/file", back, "-c", "main"]);
    expect(readFileSync(back).equals(readFileSync(there))).toBe(true);
  });

  test("logs -f tells what is written, as it is written", async () => {
    const following = shared.start(["logs", "-f", "--tail=1", "talk", "-c", "main"]);
    let heard = "";
    following.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    await eventually(
      () => Promise.resolve(heard.split("\n").length),
      (lines) => lines > 5,
    );
    following.kill();
  });

  test("attach -i: what is typed comes back", async () => {
    const attached = shared.start(["attach", "-i", "talk", "-c", "echo"]);
    let heard = "";
    attached.stdout.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    attached.stdin.write("hello\n");
    await eventually(
      () => Promise.resolve(heard),
      (said) => said.includes("hello"),
    );
    attached.kill();
  });

  test("port-forward reaches a server on the pod's own loopback, several times at once", async () => {
    const forwarding = shared.start(["port-forward", "pod/talk", ":8080", "--address=127.0.0.1"]);
    let said = "";
    forwarding.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await eventually(
      () => Promise.resolve(said),
      (line) => /127\.0\.0\.1:\d+ ->/.test(line),
    );
    const port = /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1];
    const body = "x".repeat(200_000);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () =>
        fetch(`http://127.0.0.1:${port}/`, { method: "POST", body }).then((answer) => answer.text()),
      ),
    );
    expect(answers.every((answer) => answer === body)).toBe(true);
    forwarding.kill();
  });
});

describe("services and names", () => {
  const serve = "require('http').createServer((q,s)=>s.end(process.env.HOSTNAME)).listen(8080)";
  beforeAll(async () => {
    await shared.apply(
      JSON.stringify({
        apiVersion: "v1",
        kind: "List",
        items: [
          {
            apiVersion: "apps/v1",
            kind: "Deployment",
            metadata: { name: "web" },
            spec: {
              replicas: 3,
              selector: { matchLabels: { app: "web" } },
              template: {
                metadata: { labels: { app: "web" } },
                spec: {
                  terminationGracePeriodSeconds: 1,
                  containers: [
                    {
                      name: "web",
                      image: NODE,
                      command: ["node", "-e", serve],
                      readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
                    },
                  ],
                },
              },
            },
          },
          {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name: "web" },
            spec: { type: "NodePort", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
          },
          {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name: "sticky" },
            spec: { sessionAffinity: "ClientIP", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
          },
          {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name: "headless" },
            spec: { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
          },
          {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name: "nobody" },
            spec: { selector: { app: "none" }, ports: [{ port: 80 }] },
          },
        ],
      }),
    );
    await shared.ok(["rollout", "status", "deployment/web", "--timeout=60s"]);
    await shared.apply(podManifest("client", [{ name: "main", image: NODE, command: ["sleep", "3600"] }]));
    await ready("client");
  });
  afterAll(async () => {
    await shared.ok([
      "delete",
      "deployment/web",
      "service/web",
      "service/sticky",
      "service/headless",
      "service/nobody",
      "pod/client",
      "--grace-period=1",
    ]);
  });

  const inClient = (script: string): Promise<string> => shared.ok(["exec", "client", "--", "node", "-e", script]);
  const ask = (url: string, times: number): string =>
    `(async()=>{const seen=[];for(let i=0;i<${times};i++)seen.push(await new Promise((r)=>require('http').get('${url}',{agent:false},(s)=>{let t='';s.on('data',(d)=>t+=d);s.on('end',()=>r(t))}).on('error',(e)=>r(e.code))));console.log(JSON.stringify(seen))})()`;
  const seen = async (url: string, times: number): Promise<string[]> =>
    JSON.parse(await inClient(ask(url, times))) as string[];

  test("a ClusterIP, found by name, spreads over all ready pods", async () => {
    expect(new Set(await seen("http://web/", 40)).size).toBe(3);
    expect(new Set(await seen("http://web.default.svc.cluster.local/", 40)).size).toBe(3);
  });

  test("session affinity keeps a client on one pod", async () => {
    expect(new Set(await seen("http://sticky/", 20)).size).toBe(1);
  });

  test("a pod reaches itself through its Service", async () => {
    const pods = await shared.get<{ items: Pod[] }>(["pods", "-l", "app=web"]);
    const name = pods.items[0]?.metadata?.name ?? "";
    const answers = JSON.parse(await shared.ok(["exec", name, "--", "node", "-e", ask("http://web/", 30)])) as string[];
    expect(answers).toContain(name);
    expect(new Set(answers).size).toBe(3);
  });

  test("a headless name gives the pods' addresses; what is outside is refused", async () => {
    const addresses = JSON.parse(
      await inClient(
        "require('dns').resolve4('headless.default.svc.cluster.local',(e,a)=>console.log(JSON.stringify(a??e.code)))",
      ),
    ) as string[];
    const pods = await shared.get<{ items: Pod[] }>(["pods", "-l", "app=web"]);
    expect(new Set(addresses)).toEqual(new Set(pods.items.map((pod) => pod.status?.podIP)));
    expect(await inClient("require('dns').resolve4('example.test',(e)=>console.log(e.code))")).toBe("EREFUSED\n");
  });

  test("a Service without endpoints refuses at once", async () => {
    expect(await seen("http://nobody/", 2)).toEqual(["ECONNREFUSED", "ECONNREFUSED"]);
  });

  test("there is no way out of the cluster", async () => {
    expect(await inClient("require('net').connect(80,'192.0.2.1').on('error',(e)=>console.log(e.code))")).toMatch(
      /^(ENETUNREACH|EHOSTUNREACH)\n$/,
    );
  });

  test("the API is reached from a pod with its own token", async () => {
    const script = `const fs=require('fs'),d='/var/run/secrets/kubernetes.io/serviceaccount/';require('https').get('https://kubernetes.default.svc/version',{ca:fs.readFileSync(d+'ca.crt'),headers:{authorization:'Bearer '+fs.readFileSync(d+'token')}},(s)=>{console.log(s.statusCode);s.destroy()})`;
    expect(await inClient(script)).toBe("200\n");
  });

  test("traffic goes on while kube-proxy is dead", async () => {
    const { spec } = await getPod("client");
    await shared.cluster.chaos.freeze(`kube-proxy/${spec?.nodeName}`);
    expect(new Set(await seen("http://web/", 30)).size).toBe(3);
    await shared.cluster.chaos.thaw(`kube-proxy/${spec?.nodeName}`);
    await shared.cluster.chaos.kill(`kube-proxy/${spec?.nodeName}`);
    expect(new Set(await seen("http://web/", 30)).size).toBe(3);
  });
});

test("the machine's own routing table knows nothing of the cluster", () => {
  // Destinations are hexadecimal, least byte first: 10.244.x, 10.96.x, 198.18.x and 198.19.x.
  const destinations = readFileSync("/proc/net/route", "utf8")
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t")[1] ?? "");
  expect(destinations.filter((one) => /(F40A|600A|12C6|13C6)$/.test(one))).toEqual([]);
});
