// What clients do to real containers: resources that change in place, terminals, and what client-node carries to and from processes.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Cp, Exec, KubeConfig, PortForward, type V1Status } from "@kubernetes/client-node";
import type { Pod } from "@coxswain/api";
import { ensureKubectl, repositoryRoot } from "@coxswain/cluster";
import { PassThrough, Writable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually, type TestCluster, testCluster } from "../integration/cluster-fixture.ts";

const BUSYBOX = "coxswain.local/busybox:1";

let shared: TestCluster;
const folder = mkdtempSync(path.join(tmpdir(), "cox-clients-"));

beforeAll(async () => {
  shared = await testCluster({ runtime: "containerd", nodes: 1, egress: "none", name: "clients" });
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await shared?.[Symbol.asyncDispose]();
});

const getPod = (name: string): Promise<Pod> => shared.get<Pod>(["pod", name]);

async function runPod(name: string, container: object): Promise<void> {
  const main = { name: "main", image: BUSYBOX, command: ["sh", "-c", "trap exit TERM; while sleep 0.1; do :; done"] };
  const spec = { terminationGracePeriodSeconds: 1, containers: [{ ...main, ...container }] };
  await shared.apply(JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec }));
  await shared.ok(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
}

describe("a resize", () => {
  /** The bounds that the kernel holds the container to, as it sees them itself, whichever version of cgroups there is. */
  const bounds = async (name: string): Promise<string[]> => {
    const read =
      "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max; " +
      "cat cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 cpu.max";
    return (await shared.ok(["exec", name, "--", "sh", "-c", read])).trim().split("\n");
  };
  const resources = (cpu: string, memory: string): object => ({
    requests: { cpu: "50m", memory: "16Mi" },
    limits: { cpu, memory },
  });
  const resize = (name: string, cpu: string, memory: string): Promise<string> => {
    const patch = JSON.stringify({ spec: { containers: [{ name: "main", resources: resources(cpu, memory) }] } });
    return shared.ok(["patch", "pod", name, "--subresource=resize", "--patch", patch]);
  };
  const has = (name: string, cpu: string): Promise<Pod> =>
    eventually(
      () => getPod(name),
      ({ status }) =>
        status?.containerStatuses?.[0]?.resources?.limits?.["cpu"] === cpu &&
        status.containerStatuses[0].ready &&
        status.conditions?.some(({ type }) => type.startsWith("PodResize")) === false,
    );

  test("reaches the kernel while the container lives on, up and down again", async () => {
    await runPod("grows", { resources: resources("100m", "32Mi") });
    expect(await bounds("grows")).toEqual([String(32 << 20), "10000"]);
    const { status } = await getPod("grows");
    await resize("grows", "250m", "64Mi");
    const grown = await has("grows", "250m");
    expect(await bounds("grows")).toEqual([String(64 << 20), "25000"]);
    expect(grown.status?.containerStatuses?.[0]).toMatchObject({
      containerID: status?.containerStatuses?.[0]?.containerID,
      restartCount: 0,
    });
    await resize("grows", "150m", "48Mi");
    await has("grows", "150m");
    expect(await bounds("grows")).toEqual([String(48 << 20), "15000"]);
    await shared.ok(["delete", "pod", "grows"]);
  });

  test("restarts a container whose policy says so, and waits for what the node does not have", async () => {
    const resizePolicy = [{ resourceName: "cpu", restartPolicy: "RestartContainer" }];
    await runPod("restarts", { resources: resources("100m", "32Mi"), resizePolicy });
    await resize("restarts", "200m", "32Mi");
    expect((await has("restarts", "200m")).status?.containerStatuses?.[0]?.restartCount).toBe(1);
    expect(await bounds("restarts")).toEqual([String(32 << 20), "20000"]);
    const patch = {
      spec: { containers: [{ name: "main", resources: { requests: { cpu: "900" }, limits: { cpu: "900" } } }] },
    };
    await shared.ok(["patch", "pod", "restarts", "--subresource=resize", "--patch", JSON.stringify(patch)]);
    const { status } = await eventually(
      () => getPod("restarts"),
      (pod) => pod.status?.conditions?.some(({ type }) => type === "PodResizePending") === true,
    );
    expect(status?.conditions?.find(({ type }) => type === "PodResizePending")).toMatchObject({
      reason: "Infeasible",
      message: expect.stringMatching(
        /^Node didn't have enough capacity: cpu, requested: 900000, capacity: \d+$/,
      ) as string,
    });
    await shared.ok(["delete", "pod", "restarts"]);
  });
});

describe("client-node", () => {
  const kc = new KubeConfig();
  beforeAll(async () => {
    kc.loadFromFile(shared.cluster.info.kubeconfig);
    const server = "while true; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nahoy' | nc -l -p 8080; done";
    await runPod("talk", { command: ["sh", "-c", server] });
  });
  afterAll(() => shared.ok(["delete", "pod", "talk"]));

  test("copies files there and back again", async () => {
    const [there, back] = [path.join(folder, "there"), path.join(folder, "back")];
    for (const one of [there, back]) mkdirSync(one);
    writeFileSync(path.join(there, "file"), Buffer.alloc(1 << 20, "coxswain"));
    const cp = new Cp(kc);
    // Its promises settle before the bytes have arrived.
    await cp.cpToPod("default", "talk", "main", there, "/tmp");
    await eventually(
      () => shared.ok(["exec", "talk", "--", "sh", "-c", "wc -c < /tmp/file"]),
      (size) => size.trim() === String(1 << 20),
    );
    await cp.cpFromPod("default", "talk", "main", "file", back, "/tmp");
    await eventually(
      async () => readFileSync(path.join(back, "file")),
      (bytes) => bytes.equals(readFileSync(path.join(there, "file"))),
    );
  });

  test("gives a command its input to the end, and takes its output and code", async () => {
    let text = "";
    const out = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString();
        done();
      },
    });
    const input = new PassThrough();
    const command = ["sh", "-c", "read line; echo got $line; exit 5"];
    const status = new Promise<V1Status>((resolve, reject) => {
      new Exec(kc).exec("default", "talk", "main", command, out, null, input, false, resolve).catch(reject);
    });
    input.write("ahoy\n");
    expect((await status).details?.causes?.[0]).toMatchObject({ reason: "ExitCode", message: "5" });
    expect(text).toBe("got ahoy\n");
  });

  test("forwards a port to the pod's own loopback", async () => {
    let text = "";
    const out = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString();
        done();
      },
    });
    const input = new PassThrough();
    const open = await new PortForward(kc, true).portForward("default", "talk", [8080], out, null, input);
    input.write("GET / HTTP/1.0\r\n\r\n");
    await eventually(
      () => Promise.resolve(text),
      (seen) => seen.endsWith("ahoy"),
    );
    if ("close" in open) open.close();
  });
});

test("kubectl run --rm -it gives a terminal to a pod that goes afterwards", async () => {
  const kubectl = await ensureKubectl(path.join(repositoryRoot(), ".tools"), () => {});
  const command = `${kubectl} run shell --rm -it --restart=Never --image=${BUSYBOX} -- sh`;
  const env = { ...process.env, KUBECONFIG: shared.cluster.info.kubeconfig, TERM: "xterm" };
  const terminal = spawn("script", ["-qec", command, "/dev/null"], { env });
  let text = "";
  for (const stream of [terminal.stdout, terminal.stderr])
    stream.on("data", (data: Buffer) => (text += data.toString()));
  const ended = new Promise((resolve) => terminal.once("close", resolve));
  await eventually(
    () => Promise.resolve(text),
    (seen) => /# $|# \S*$/.test(seen),
  );
  terminal.stdin.write("tty; echo $((6*7))\n");
  await eventually(
    () => Promise.resolve(text),
    (seen) => /\/dev\/pts\/\d+[\s\S]*^42/m.test(seen),
  );
  terminal.stdin.write("exit\n");
  await ended;
  expect(text).toMatch(/pod "shell" deleted/);
});
