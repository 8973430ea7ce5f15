// Behaviours that Kubernetes' conformance tests ask of a node, on a real node: what volumes, environment and lives of pods
// look like from inside. One file for what the other tests of this folder do not have.
import { CONFIG_MAPS, SECRETS, type Container, type Pod } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { look } from "./look.ts";
import { isReady, startNodeKubelet, statusOf, type NodeKubelet } from "./node-kubelet.ts";

let at: NodeKubelet;
let image = "";

beforeAll(async () => {
  at = await startNodeKubelet("conform");
  image = at.containerd.image;
  const seed = (ref: typeof SECRETS, name: string, body: object) =>
    at.call.seed(ref, { metadata: { name, namespace: "default" }, ...body });
  const binaryData = { bin: Buffer.from([0xde, 0xca]).toString("base64") };
  await seed(CONFIG_MAPS, "conf", { data: { "data-1": "value-1" }, binaryData });
  await seed(SECRETS, "s", { data: { "data-s": Buffer.from("value-s").toString("base64") } });
  await at.call.start(at.options);
});
afterAll(() => at.stop());

const shell = (line: string, more: Partial<Container> = {}): Container => ({
  name: "c",
  image,
  command: ["/bin/sh", "-c", line],
  ...more,
});
const LIVES = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
const inNode = (line: string): Promise<string> => at.containerd.node.run("/bin/sh", "-c", line);
const saidBy = async (pod: Pod, container: string): Promise<string> => {
  const { namespace, name, uid } = pod.metadata ?? {};
  return inNode(`cat /var/log/pods/${namespace}_${name}_${uid}/${container}/*.log`);
};
const goes = async (...names: string[]): Promise<void> => {
  await Promise.all(names.map((name) => at.call.remove(name, 0)));
  await Promise.all(names.map((name) => at.gone(name)));
};

describe("volumes", () => {
  test("resources of the container, or of the node where it has none, and modes of files", async () => {
    const of = (resource: string, divisor: string) => ({ containerName: "c", resource, divisor });
    const items = [
      { path: "cpu", resourceFieldRef: of("limits.cpu", "1") },
      { path: "memory", resourceFieldRef: of("limits.memory", "1Mi") },
      { path: "requested", resourceFieldRef: of("requests.memory", "1Mi"), mode: 0o400 },
    ];
    const said = await look(
      at,
      "resources",
      {
        files: "cd /info; cat cpu memory requested",
        modes: "cd /info; stat -Lc %a cpu requested",
        env: "echo $CPU $MEMORY $STORAGE",
      },
      {
        resources: { requests: { memory: "16Mi" } },
        env: [
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu", divisor: "1m" } } },
          { name: "MEMORY", valueFrom: { resourceFieldRef: { resource: "requests.memory", divisor: "1Mi" } } },
          {
            name: "STORAGE",
            valueFrom: { resourceFieldRef: { resource: "limits.ephemeral-storage", divisor: "1Gi" } },
          },
        ],
        volumeMounts: [{ name: "info", mountPath: "/info" }],
      },
      { volumes: [{ name: "info", projected: { defaultMode: 0o440, sources: [{ downwardAPI: { items } }] } }] },
    );
    expect(said).toEqual({ files: "4819216", modes: "440\n400", env: "4000 16 100" });
  });

  test("an emptyDir is anybody's, on disk and in memory; files of the API are whose the pod says", async () => {
    const mounts = ["disk", "memory", "all", "s"].map((name) => ({ name, mountPath: `/${name}` }));
    const said = await look(
      at,
      "modes",
      {
        dirs: "stat -c %a /disk /memory",
        write: "umask 0; for d in disk memory; do echo x > /$d/f; chmod 0666 /$d/f; stat -c '%a %u' /$d/f; done",
        type: "grep -c ' /memory tmpfs' /proc/mounts",
        all: "cat /all/one /all/two /all/three; od -An -tx1 /all/bin",
        secret: "stat -Lc '%a %g' /s/data-s; cat /s/data-s",
      },
      { securityContext: { runAsUser: 1001 }, volumeMounts: mounts },
      {
        securityContext: { fsGroup: 1000 },
        volumes: [
          { name: "disk", emptyDir: {} },
          { name: "memory", emptyDir: { medium: "Memory" } },
          {
            name: "all",
            projected: {
              sources: [
                {
                  configMap: {
                    name: "conf",
                    items: ["data-1", "bin"].map((key, index) => ({ key, path: ["one", "bin"][index] ?? "" })),
                  },
                },
                { secret: { name: "s", items: [{ key: "data-s", path: "two" }] } },
                { downwardAPI: { items: [{ path: "three", fieldRef: { fieldPath: "metadata.name" } }] } },
                { configMap: { name: "none", optional: true } },
              ],
            },
          },
          { name: "s", secret: { secretName: "s", defaultMode: 0o440 } },
        ],
      },
    );
    // One in memory has the sticky bit that the kernel gives the root of a tmpfs.
    expect(said["dirs"]).toBe("2777\n3777");
    expect(said["write"]).toBe("666 1001\n666 1001");
    expect(said["type"]).toBe("1");
    expect(said["all"]).toBe("value-1value-smodes de ca");
    expect(said["secret"]).toBe("440 1000\nvalue-s");
  });

  test("labels and annotations reach the files of a pod that runs", async () => {
    const items = [
      { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
      { path: "note", fieldRef: { fieldPath: "metadata.annotations['note']" } },
    ];
    const watches = "while sleep 0.1; do cat /info/labels; echo; cat /info/note; echo; done";
    await at.create("told", {
      containers: [shell(watches, { volumeMounts: [{ name: "info", mountPath: "/info" }] })],
      volumes: [{ name: "info", downwardAPI: { items } }],
    });
    const pod = await at.running("told");
    await at.call.patch("told", { metadata: { labels: { a: "new" }, annotations: { note: "seen" } } });
    await expect.poll(() => saidBy(pod, "c")).toMatch(/a="new"\n(.|\n)*seen\n/);
    await goes("told");
  });

  test("a sub path that has no value makes its container wait until it has one", async () => {
    const env = [{ name: "WHERE", valueFrom: { fieldRef: { fieldPath: "metadata.annotations['where']" } } }];
    const volumeMounts = [
      { name: "d", mountPath: "/sub", subPathExpr: "$(WHERE)" },
      { name: "d", mountPath: "/all" },
    ];
    await at.create("where", {
      containers: [shell(`echo x > /sub/f; ls /all; ${LIVES}`, { env, volumeMounts })],
      volumes: [{ name: "d", emptyDir: {} }],
    });
    const waiting = await at.until(
      "where",
      (pod) => statusOf(pod, "c")?.state?.waiting?.reason === "CreateContainerConfigError" && pod,
    );
    expect(statusOf(waiting, "c")?.state?.waiting?.message).toBe("missing value for WHERE");
    await at.call.patch("where", { metadata: { annotations: { where: "here" } } });
    const pod = await at.running("where", 5_000);
    await expect.poll(() => saidBy(pod, "c")).toContain("here");
    await goes("where");
  });

  test("five pods of fifty volumes each start", async () => {
    const names = Array.from({ length: 50 }, (_, index) => `v${index}`);
    const volumes = names.map((name) => ({ name, configMap: { name: "conf" } }));
    const volumeMounts = names.map((name) => ({ name, mountPath: `/${name}` }));
    const pods = Array.from({ length: 5 }, (_, index) => `many-${index}`);
    await Promise.all(
      pods.map((name) =>
        at.create(name, { containers: [shell(`cat /v49/data-1; echo; ${LIVES}`, { volumeMounts })], volumes }),
      ),
    );
    for (const name of pods) {
      const pod = await at.running(name);
      await expect.poll(() => saidBy(pod, "c")).toContain("value-1");
    }
    await goes(...pods);
  });
});

describe("lives", () => {
  test("a new image restarts the container", async () => {
    await at.create("swap", { containers: [shell(LIVES)] });
    await at.running("swap");
    const other = `${image}-none`;
    await at.call.patch("swap", { spec: { containers: [{ name: "c", image: other, imagePullPolicy: "Never" }] } });
    const never = (pod?: Pod) => statusOf(pod, "c")?.state?.waiting?.reason === "ErrImageNeverPull";
    await at.until("swap", never);
    await at.call.patch("swap", { spec: { containers: [{ name: "c", image }] } });
    const pod = await at.until("swap", (one) => isReady(one) && one);
    expect(statusOf(pod, "c")?.restartCount).toBe(1);
    await goes("swap");
  });

  test("a deadline that comes later ends the pod", async () => {
    await at.create("deadline", { containers: [shell(LIVES)] });
    await at.running("deadline");
    await at.call.patch("deadline", { spec: { activeDeadlineSeconds: 1 } });
    const pod = await at.until("deadline", (one) => one?.status?.phase === "Failed" && one);
    expect(pod.status?.reason).toBe("DeadlineExceeded");
    await goes("deadline");
  });

  test("a pod is Ready when its gates are", async () => {
    await at.create("gated", { readinessGates: [{ conditionType: "example.com/ok" }], containers: [shell(LIVES)] });
    await at.running("gated");
    expect(isReady(await at.call.pod("gated"))).toBe(false);
    const gate = (status: string) =>
      at.call.patch("gated", { status: { conditions: [{ type: "example.com/ok", status }] } }, "status");
    await gate("True");
    await at.until("gated", isReady);
    await gate("False");
    await at.until("gated", (pod) => !isReady(pod));
    await goes("gated");
  });

  test("sidecars end after those that they serve, the last one first, but their hooks run at once", async () => {
    const ends = (name: string): string => `trap 'echo ${name} >> /w/order; exit 0' TERM; while :; do sleep 0.05; done`;
    const volumeMounts = [{ name: "w", mountPath: "/w" }];
    const folder = "/var/lib/kubelet/ends";
    const preStop = { exec: { command: ["/bin/sh", "-c", "echo hook >> /w/order"] } };
    const side = (name: string, lifecycle = {}): Container =>
      shell(ends(name), { name, restartPolicy: "Always", volumeMounts, lifecycle });
    await at.create("order", {
      initContainers: [side("a", { preStop }), side("b")],
      containers: [
        shell(`trap 'sleep 1; echo main >> /w/order; exit 0' TERM; while :; do sleep 0.05; done`, { volumeMounts }),
      ],
      volumes: [{ name: "w", hostPath: { path: folder, type: "DirectoryOrCreate" } }],
    });
    await at.running("order");
    await at.call.remove("order");
    await at.gone("order");
    expect(await inNode(`cat ${folder}/order; rm -r ${folder}`)).toBe("hook\nmain\nb\na\n");
  });

  test("an init container that fails for good fails the pod; one that may try again keeps it waiting", async () => {
    const initContainers = [shell("exit 1", { name: "bad" }), shell("true", { name: "next" })];
    await at.create("never", { restartPolicy: "Never", initContainers, containers: [shell("true")] });
    await at.create("always", { initContainers, containers: [shell("true")] });
    const failed = await at.until("never", (one) => one?.status?.phase === "Failed" && one);
    expect(statusOf(failed, "next")?.state?.waiting?.reason).toBe("PodInitializing");
    expect(statusOf(failed, "c")?.state?.waiting?.reason).toBe("PodInitializing");
    const waits = await at.until("always", (one) => (statusOf(one, "bad")?.restartCount ?? 0) > 0 && one);
    expect(waits.status?.phase).toBe("Pending");
    expect(statusOf(waits, "c")?.state?.waiting?.reason).toBe("PodInitializing");
    const initialized = waits.status?.conditions?.find((one) => one.type === "Initialized");
    expect(initialized).toMatchObject({ status: "False", reason: "ContainersNotInitialized" });
    await goes("never", "always");
  });
});

describe("processes", () => {
  test("a full name, sysctls of the pod, variables in commands, and a second ephemeral container", async () => {
    const said = await look(
      at,
      "full",
      {
        name: "hostname",
        shm: "cat /proc/sys/kernel/shm_rmid_forced",
        words: "echo '$(GREETING) $$(GREETING) $(NOBODY)'",
      },
      {
        env: [
          { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
          { name: "GREETING", value: "hi $(NAME)" },
        ],
      },
      {
        subdomain: "web",
        setHostnameAsFQDN: true,
        securityContext: { sysctls: [{ name: "kernel.shm_rmid_forced", value: "1" }] },
      },
    );
    expect(said).toEqual({
      name: "full.web.default.svc.cluster.local",
      shm: "1",
      words: "hi full $(GREETING) $(NOBODY)",
    });
    await at.create("debugged", { containers: [shell(LIVES)] });
    await at.running("debugged");
    const own = (name: string) => ({ name, image, command: ["/bin/sh", "-c", "true"] });
    await at.call.patch("debugged", { spec: { ephemeralContainers: [own("d1")] } });
    await at.until("debugged", (pod) => statusOf(pod, "d1")?.state?.terminated);
    await at.call.patch("debugged", { spec: { ephemeralContainers: [own("d1"), own("d2")] } });
    await at.until("debugged", (pod) => statusOf(pod, "d2")?.state?.terminated);
    await goes("debugged");
  });

  test("variables out of a file that an init container left, and bounds of the pod as a whole", async () => {
    const initContainers = [
      shell("echo \"GREETING='hi there'\" > /left/app.env", {
        name: "leaves",
        volumeMounts: [{ name: "left", mountPath: "/left" }],
      }),
    ];
    const fileKeyRef = { volumeName: "left", path: "app.env", key: "GREETING" };
    const said = await look(
      at,
      "left",
      { greeting: "echo $X", memory: "cat /sys/fs/cgroup/memory/memory.limit_in_bytes" },
      { env: [{ name: "X", valueFrom: { fileKeyRef } }] },
      { initContainers, volumes: [{ name: "left", emptyDir: {} }], resources: { limits: { memory: "64Mi" } } },
    );
    expect(said["greeting"]).toBe("hi there");
    expect(said["memory"]).toBe(String(64 * 1024 * 1024));
  });

  test("a pod has its share of the node, and its bounds, as a whole", async () => {
    const resources = { requests: { cpu: "250m" }, limits: { cpu: "500m", memory: "64Mi" } };
    await at.create("bound", { containers: [shell(LIVES, { resources }), shell(LIVES, { name: "d", resources })] });
    await at.create("free", { containers: [shell(LIVES)] });
    const of = async (name: string, quality: string, file: string): Promise<string> => {
      const [controller] = file.split(".");
      const { uid } = (await at.running(name)).metadata ?? {};
      const folder = `/sys/fs/cgroup/${controller}${at.options.cgroupRoot}/${quality}`;
      return inNode(`cat ${folder}/${file} ${folder}/pod${uid}/${file}`);
    };
    expect(await of("bound", "burstable", "cpu.shares")).toBe("512\n512\n");
    expect(await of("bound", "burstable", "cpu.cfs_quota_us")).toBe("-1\n100000\n");
    expect((await of("bound", "burstable", "memory.limit_in_bytes")).split("\n")[1]).toBe(String(128 * 1024 * 1024));
    expect(await of("free", "besteffort", "cpu.shares")).toBe("2\n2\n");
    await goes("bound", "free");
  });

  test("the same port of the node for other addresses and protocols", async () => {
    const port = (protocol: string, hostIP: string) => ({ protocol, containerPort: 8080, hostPort: 54_323, hostIP });
    const serve = "echo -e 'HTTP/1.0 200 OK\\r\\n\\r\\nsaid' > /a; while :; do nc -l -p 8080 < /a; done";
    await at.create("tcp-1", { containers: [shell(serve, { ports: [port("TCP", "127.0.0.1")] })] });
    await at.create("tcp-2", { containers: [shell(serve, { ports: [port("TCP", at.options.hostIp)] })] });
    await at.create("udp", { containers: [shell(LIVES, { ports: [port("UDP", at.options.hostIp)] })] });
    for (const name of ["tcp-1", "tcp-2", "udp"]) await at.running(name);
    for (const address of ["127.0.0.1", at.options.hostIp]) {
      const { busybox } = at.containerd.node.programs;
      const ask = () => inNode(`${busybox} nc -w 2 ${address} 54323 < /dev/null || true`);
      await expect.poll(ask).toContain("said");
    }
    await goes("tcp-1", "tcp-2", "udp");
  });
});
