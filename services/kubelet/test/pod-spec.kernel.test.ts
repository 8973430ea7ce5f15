// What a pod's spec says is what its processes see: files, names, users, rights. On a real node.
import { CONFIG_MAPS, SECRETS, SERVICES } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { look as lookAround } from "./look.ts";
import { startNodeKubelet, statusOf, type NodeKubelet } from "./node-kubelet.ts";

let at: NodeKubelet;
let image = "";

beforeAll(async () => {
  at = await startNodeKubelet("spec");
  image = at.containerd.image;
  const seed = (ref: typeof SECRETS, name: string, body: object) =>
    at.call.seed(ref, { metadata: { name, namespace: "default" }, ...body });
  await seed(SERVICES, "kubernetes", { spec: { clusterIP: "10.96.0.1", ports: [{ name: "https", port: 443 }] } });
  await seed(CONFIG_MAPS, "conf", { data: { "app.conf": "port=80", other: "x" } });
  await seed(SECRETS, "s", { data: { key: Buffer.from("hidden").toString("base64") } });
  await at.call.start(at.options);
});
afterAll(() => at.stop());

const look = (...args: Parameters<typeof lookAround> extends [unknown, ...infer Rest] ? Rest : never) =>
  lookAround(at, ...args);

describe("files", () => {
  test("volumes are where they are mounted, as their sources say, and gone with the pod", async () => {
    const said = await look(
      "files",
      {
        conf: "cat /conf/app.conf",
        one: "cat /one; ls /conf",
        secret: "cat /s/key; grep ' /s ' /proc/mounts",
        readonly: "echo no > /conf/new",
        memory: "grep ' /m ' /proc/mounts; df -k /m | tail -1 | awk '{print $2}'",
        sub: "ls -d /data/deep; ls /data; cat /sub/file",
        labels: "cat /info/labels",
        group: "stat -c '%g %a' /data; id -G",
      },
      {
        env: [{ name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
        volumeMounts: [
          { name: "conf", mountPath: "/conf" },
          { name: "conf", mountPath: "/one", subPath: "app.conf" },
          { name: "s", mountPath: "/s" },
          { name: "m", mountPath: "/m" },
          { name: "data", mountPath: "/data" },
          { name: "data", mountPath: "/sub", subPathExpr: "deep/$(POD)" },
          { name: "info", mountPath: "/info" },
        ],
      },
      {
        securityContext: { fsGroup: 4242 },
        initContainers: [
          {
            name: "fill",
            image,
            command: ["/bin/sh", "-c", "mkdir -p /data/deep/files && echo inside > /data/deep/files/file"],
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
        volumes: [
          { name: "conf", configMap: { name: "conf" } },
          { name: "s", secret: { secretName: "s", defaultMode: 0o400 } },
          { name: "m", emptyDir: { medium: "Memory", sizeLimit: "4Mi" } },
          { name: "data", emptyDir: {} },
          { name: "info", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.name" } }] } },
        ],
      },
    );
    expect(said["conf"]).toBe("port=80");
    expect(said["one"]).toBe("port=80app.conf\nother");
    expect(said["secret"]).toMatch(/^hiddentmpfs \/s tmpfs ro/);
    expect(said["readonly"]).toContain("Read-only file system");
    expect(said["memory"]).toMatch(/^tmpfs \/m tmpfs rw.*\n4096$/);
    expect(said["sub"]).toBe("/data/deep\ndeep\ninside");
    expect(said["labels"]).toBe("files");
    expect(said["group"]).toMatch(/^4242 2777\n.*\b4242\b/);
    const ls = "ls /var/lib/kubelet/pods; grep -c /kubelet/pods /proc/mounts; true";
    await expect.poll(async () => (await at.containerd.node.run("/bin/sh", "-c", ls)).trim()).toBe("0");
  });

  test("mounts reach containers that ask for them, and come from privileged ones that may make them", async () => {
    const volumes = [{ name: "h", hostPath: { path: "/var/lib/kubelet/shared", type: "DirectoryOrCreate" } }];
    const mount = { name: "h", mountPath: "/h" };
    const maker = await look(
      "maker",
      { made: "mkdir -p /h/in && mount -t tmpfs made /h/in && echo done" },
      { securityContext: { privileged: true }, volumeMounts: [{ ...mount, mountPropagation: "Bidirectional" }] },
      { volumes },
    );
    expect(maker["made"]).toBe("done");
    const line = { seen: "grep -c ' /h/in ' /proc/mounts" };
    const taker = { volumeMounts: [{ ...mount, mountPropagation: "HostToContainer" }] };
    expect((await look("taker", line, taker, { volumes }))["seen"]).toBe("1");
    await at.containerd.node.run("/bin/sh", "-c", "umount /var/lib/kubelet/shared/in");
  });

  test("names: hostname, hosts and resolv.conf", async () => {
    const lines = { name: "hostname", hosts: "cat /etc/hosts", dns: "cat /etc/resolv.conf" };
    const hostAliases = [{ ip: "10.9.9.9", hostnames: ["db"] }];
    const said = await look("names", lines, {}, { hostname: "h", subdomain: "web", hostAliases });
    expect(said["name"]).toBe("h");
    expect(said["hosts"]).toMatch(/\n10\.244\.1\.\d+\th\.web\.default\.svc\.cluster\.local\th\n/);
    expect(said["hosts"]).toContain("10.9.9.9\tdb");
    expect(said["dns"]).toMatch(
      /^search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local.*\nnameserver 10\.96\.0\.10\noptions ndots:5/,
    );
    const onHost = await look("host-names", lines, {}, { hostNetwork: true });
    expect(onHost["hosts"]).toContain("# Kubernetes-managed hosts file (host network).");
  });
});

describe("processes", () => {
  const lines = {
    user: "id -u; id -g",
    caps: "grep CapEff /proc/self/status",
    nnp: "grep NoNewPrivs /proc/self/status",
    seccomp: "grep Seccomp: /proc/self/status",
    root: "echo x > /new",
    oom: "cat /proc/self/oom_score_adj",
    kcore: "head -c 1 /proc/timer_list | wc -c",
    sys: "echo 1 > /proc/sys/kernel/domainname",
    sysctl: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
    service: "echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT_HTTPS",
  };

  test("run as the pod says, with the rights of their container", async () => {
    const said = await look(
      "rights",
      lines,
      {
        securityContext: {
          runAsUser: 1234,
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        },
      },
      {
        securityContext: {
          runAsGroup: 2345,
          runAsNonRoot: true,
          seccompProfile: { type: "RuntimeDefault" },
          sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "77" }],
        },
      },
    );
    expect(said).toMatchObject({
      user: "1234\n2345",
      caps: "CapEff:\t0000000000000000",
      nnp: "NoNewPrivs:\t1",
      seccomp: "Seccomp:\t2",
      kcore: "0",
      sysctl: "77",
      service: "10.96.0.1:443",
    });
    expect(said["root"]).toContain("Read-only file system");
  });

  test("have their defaults where nothing is said", async () => {
    const said = await look("defaults", lines);
    expect(said).toMatchObject({ user: "0\n0", nnp: "NoNewPrivs:\t0", seccomp: "Seccomp:\t0" });
    expect(said["caps"]).toBe("CapEff:\t00000000a80425fb");
    expect(said["root"]).toBe("");
    expect(said["sys"]).toContain("Read-only file system");
  });

  test("of a pod may see each other", async () => {
    const said = await look("shared", { first: "cat /proc/1/cmdline" }, {}, { shareProcessNamespace: true });
    expect(said["first"]).toContain("pause");
  });
});

test("last words of any user reach the status; volumes that are refused are told by name", async () => {
  const command = ["/bin/sh", "-c", "echo -n bye > /dev/termination-log; exit 3"];
  const terminationMessagePath = "/dev/termination-log";
  const securityContext = { runAsUser: 1234 };
  const containers = [{ name: "c", image, command, terminationMessagePath, securityContext }];
  await at.create("words", { restartPolicy: "Never", containers });
  const pod = await at.until("words", (one) => statusOf(one, "c")?.state?.terminated !== undefined && one);
  expect(statusOf(pod, "c")?.state?.terminated).toMatchObject({ exitCode: 3, message: "bye" });

  const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "x" } }];
  const mounted = [{ name: "c", image, volumeMounts: [{ name: "data", mountPath: "/d" }] }];
  await at.create("claims", { containers: mounted, volumes });
  await at.told("claims", "error processing PVC default/x: failed to fetch PVC from API server");
  await Promise.all(["words", "claims"].map((name) => at.call.remove(name)));
  await Promise.all(["words", "claims"].map((name) => at.gone(name)));
});
