// What a container runtime with real processes must do beyond the contract that a simulated one meets, too: users, limits,
// namespaces, mounts, streams and logs as the kernel sees them.
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type {
  ContainerConfig,
  ContainerLinux,
  ContainerStatus,
  CriContainerStats,
  ExecIo,
  LogLine,
  PodSandboxConfig,
} from "../cri/contract.ts";
import { containerConfig, podConfig, type CriFixture } from "./cri-suite.ts";

const LINUX: ContainerLinux = {
  privileged: false,
  readonlyRootfs: false,
  noNewPrivs: false,
  supplementalGroups: [],
  addCapabilities: [],
  dropCapabilities: [],
  ipcMode: "POD",
  pidMode: "CONTAINER",
  maskedPaths: ["/proc/kcore", "/proc/keys"],
  readonlyPaths: ["/proc/sys", "/proc/irq"],
  oomScoreAdj: 999,
};

const SLEEP = ["sleep", "1000"];
const never = new AbortController().signal;

/** Collects what a command says. */
function recorder(input?: AsyncIterable<Buffer>): ExecIo & { out(): string; err(): string; bytes(): Buffer } {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  return {
    ...(input === undefined ? {} : { stdin: input }),
    stdout: (data) => void out.push(data),
    stderr: (data) => void err.push(data),
    out: () => Buffer.concat(out).toString(),
    err: () => Buffer.concat(err).toString(),
    bytes: () => Buffer.concat(out),
  };
}

async function* pieces(data: Buffer, size: number): AsyncIterable<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function* onceOnly<T>(value: T): AsyncIterable<T> {
  yield value;
}

/** The value of a container's cgroup file, whichever version of cgroups the machine has. */
function cgroupValue(parent: string, id: string, v1: readonly [string, string], v2: string): string {
  const files = [`/sys/fs/cgroup/${v1[0]}${parent}/${id}/${v1[1]}`, `/sys/fs/cgroup${parent}/${id}/${v2}`];
  for (const file of files) {
    try {
      return readFileSync(file, "utf8").trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  throw new Error(`none of ${files.join(", ")} exists`);
}

interface Pod {
  readonly fixture: CriFixture;
  readonly sandbox: string;
  readonly config: PodSandboxConfig;
}

async function start(pod: Pod, command: readonly string[], more: Partial<ContainerConfig> = {}): Promise<string> {
  const { cri, image } = pod.fixture;
  const name = more.name ?? "c";
  const config = { ...containerConfig(image, command), logPath: `${name}.log`, ...more };
  const id = await cri.createContainer(pod.sandbox, config);
  await cri.startContainer(id);
  return id;
}

async function ended({ fixture }: Pod, id: string): Promise<ContainerStatus> {
  const state = async (): Promise<string> => (await fixture.cri.containerStatus(id)).state;
  await expect.poll(state, { timeout: 20_000 }).toBe("CONTAINER_EXITED");
  return fixture.cri.containerStatus(id);
}

async function logOf({ fixture }: Pod, id: string, follow = false, signal = never): Promise<LogLine[]> {
  const found: LogLine[] = [];
  for await (const line of fixture.cri.logs(id, { follow }, signal)) found.push(line);
  return found;
}

/** What a script prints to its end, errors among it. */
async function said(pod: Pod, script: string, more: Partial<ContainerConfig> = {}): Promise<string> {
  const id = await start(pod, ["sh", "-c", `exec 2>&1; ${script}`], more);
  await ended(pod, id);
  return (await logOf(pod, id)).map(({ line }) => line.toString()).join("\n");
}

/** Registers the suite under `name`. */
export function criProcessSuite(name: string, open: () => Promise<CriFixture>): void {
  describe(`${name}, its processes`, () => {
    let fixture: CriFixture;
    beforeEach(async () => {
      fixture = await open();
    });
    afterEach(() => fixture.close());

    const podOf = async (more: (base: PodSandboxConfig) => Partial<PodSandboxConfig> = () => ({})): Promise<Pod> => {
      const base = podConfig("a", fixture.pod?.("a"));
      const config = { ...base, ...more(base) };
      return { fixture, config, sandbox: await fixture.cri.runPodSandbox(config) };
    };
    /** A folder that the node sees under the same path; it goes with the logs. */
    const folder = (pod: Pod): string => {
      return mkdtempSync(path.join(pod.config.logDirectory, "scratch-"));
    };

    securityTests(podOf);
    resourceTests(podOf);
    podTests(podOf, folder);
    execTests(podOf);
    attachTests(podOf);
    forwardTests(podOf);
    logTests(podOf);
  });
}

type PodOf = (more?: (base: PodSandboxConfig) => Partial<PodSandboxConfig>) => Promise<Pod>;

function securityTests(podOf: PodOf): void {
  test("runs as the user and groups that it was told", async () => {
    const pod = await podOf();
    const linux = { ...LINUX, runAsUser: 1000, runAsGroup: 2000, supplementalGroups: [3000] };
    expect(await said(pod, "id -u; id -g; id -G", { linux })).toBe("1000\n2000\n2000 3000");
  });

  test("root file system, privileges, capabilities and seccomp are as told", async () => {
    const pod = await podOf();
    const script = "touch /x; grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status | tr -d '\\t'";
    const strict: ContainerLinux = {
      ...LINUX,
      readonlyRootfs: true,
      noNewPrivs: true,
      dropCapabilities: ["ALL"],
      addCapabilities: ["NET_BIND_SERVICE"],
      seccomp: { type: "RuntimeDefault" },
    };
    const lines = (await said(pod, script, { linux: strict })).split("\n");
    expect(lines).toEqual([
      expect.stringContaining("Read-only file system"),
      "CapBnd:0000000000000400",
      "NoNewPrivs:1",
      "Seccomp:2",
    ]);
    const loose = { name: "loose", linux: { ...LINUX, seccomp: { type: "Unconfined" } as const } };
    expect(await said(pod, script, loose)).toMatch(/NoNewPrivs:0\nSeccomp:0/);
  });

  test("masked and read-only paths hide the machine, unless the container is privileged", async () => {
    const pod = await podOf((base) => ({ linux: { ...base.linux!, privileged: true } }));
    const script = "cat /proc/keys | wc -c; echo 1 > /proc/sys/kernel/ctrl-alt-del && echo wrote";
    expect(await said(pod, script, { linux: LINUX })).toMatch(/^0\n.*Read-only file system$/);
    const all = "grep CapBnd /proc/self/status; [ -w /proc/sys ] && echo writable";
    const privileged = { name: "privileged", linux: { ...LINUX, privileged: true } };
    const found = await said(pod, all, privileged);
    expect(found).toMatch(/CapBnd:\t0000[0-9a-f]{12}/);
    expect(found).not.toContain("00000000a80425fb");
  });
}

function resourceTests(podOf: PodOf): void {
  test("requests and limits are in the cgroup below the pod's", async () => {
    const pod = await podOf();
    const resources = { cpuMillis: 500, cpuLimitMillis: 750, memoryLimitBytes: 64 << 20 };
    const id = await start(pod, SLEEP, { resources, linux: LINUX });
    const parent = pod.config.linux?.cgroupParent ?? "";
    expect(cgroupValue(parent, id, ["memory", "memory.limit_in_bytes"], "memory.max")).toBe(String(64 << 20));
    expect(cgroupValue(parent, id, ["cpu", "cpu.cfs_quota_us"], "cpu.max")).toMatch(/^75000/);
    expect(cgroupValue(parent, id, ["cpu", "cpu.shares"], "cpu.weight")).toMatch(/^(512|20)$/);
  });

  test("other bounds reach a container that runs, and it lives on", async () => {
    const pod = await podOf();
    const resources = { cpuMillis: 500, cpuLimitMillis: 750, memoryLimitBytes: 64 << 20 };
    const id = await start(pod, SLEEP, { resources, linux: LINUX });
    const more = { cpuMillis: 1000, cpuLimitMillis: 1500, memoryLimitBytes: 96 << 20 };
    await pod.fixture.cri.updateContainerResources(id, more, LINUX.oomScoreAdj);
    const parent = pod.config.linux?.cgroupParent ?? "";
    expect(cgroupValue(parent, id, ["memory", "memory.limit_in_bytes"], "memory.max")).toBe(String(96 << 20));
    expect(cgroupValue(parent, id, ["cpu", "cpu.cfs_quota_us"], "cpu.max")).toMatch(/^150000/);
    expect(cgroupValue(parent, id, ["cpu", "cpu.shares"], "cpu.weight")).toMatch(/^(1024|39)$/);
    expect((await pod.fixture.cri.containerStatus(id)).state).toBe("CONTAINER_RUNNING");
  });

  test("a container that takes too much memory is OOMKilled with 137", async () => {
    const pod = await podOf();
    const script = "x=$(dd if=/dev/zero bs=1M count=100 | tr '\\0' x); echo $x | wc -c";
    const id = await start(pod, ["sh", "-c", script], { resources: { memoryLimitBytes: 16 << 20 }, linux: LINUX });
    await ended(pod, id);
    // The runtime may hear of the reason a moment later; listing must not keep the first answer.
    const listed = async (): Promise<unknown> => (await pod.fixture.cri.listContainers({ sandboxId: pod.sandbox }))[0];
    await expect.poll(listed).toMatchObject({ exitCode: 137, reason: "OOMKilled", state: "CONTAINER_EXITED" });
  });

  test("figures grow with what a container does", async () => {
    const pod = await podOf();
    const busy = await start(pod, ["sh", "-c", "while true; do :; done"], { resources: { cpuLimitMillis: 300 } });
    const figures = async (): Promise<CriContainerStats | undefined> =>
      (await pod.fixture.cri.containerStats(pod.sandbox)).find((one) => one.containerId === busy);
    // The first figure of all may be over a moment only: with a limit that is a burst, or a pause.
    const limited = async (): Promise<boolean> => {
      const { cpuNanoCores = 0 } = (await figures()) ?? {};
      return cpuNanoCores > 50_000_000 && cpuNanoCores < 600_000_000;
    };
    await expect.poll(limited, { interval: 300, timeout: 15_000 }).toBe(true);
    const found = await figures();
    expect(found?.memoryWorkingSetBytes).toBeGreaterThan(0);
    expect(found?.cpuNanos).toBeGreaterThan(0);
  });
}

function podTests(podOf: PodOf, folder: (pod: Pod) => string): void {
  test("containers of a pod share network, host name and memory, not their processes", async () => {
    const pod = await podOf();
    const server = "echo shared > /dev/shm/word; sleep 1000";
    await start(pod, ["sh", "-c", server], { name: "first" });
    const ip = (await pod.fixture.cri.podSandboxStatus(pod.sandbox)).ip;
    const script = `until [ -s /dev/shm/word ]; do sleep 0.05; done; cat /dev/shm/word; hostname; ip -4 -o addr | grep -c '${ip}/'; ps | grep -c '[s]leep 1000'`;
    expect(await said(pod, script, { name: "second", linux: LINUX })).toBe("shared\na\n1\n0");
  });

  test("a shared process namespace, and another container's, show other processes", async () => {
    const pod = await podOf((base) => ({ linux: { ...base.linux!, pidMode: "POD" } }));
    const first = await start(pod, SLEEP, { name: "first", linux: { ...LINUX, pidMode: "POD" } });
    const count = "ps | grep -c '[s]leep 1000'";
    expect(await said(pod, count, { name: "second", linux: { ...LINUX, pidMode: "POD" } })).toBe("1");
    const target = { ...LINUX, targetContainerId: first };
    expect(await said(pod, count, { name: "debugger", linux: target })).toBe("1");
  });

  test("sysctls and DNS of the pod are as told", async () => {
    const dns = { servers: ["10.96.0.10"], searches: ["x.svc.cluster.local"], options: ["ndots:5"] };
    const pod = await podOf((base) => ({ dns, linux: { ...base.linux!, sysctls: { "net.core.somaxconn": "777" } } }));
    const found = await said(pod, "cat /proc/sys/net/core/somaxconn /etc/resolv.conf", { linux: LINUX });
    expect(found.trim().split("\n")).toEqual([
      "777",
      "search x.svc.cluster.local",
      "nameserver 10.96.0.10",
      "options ndots:5",
    ]);
  });

  test("mounts show the node's files, read-only where told, and later mounts where told", async () => {
    const pod = await podOf();
    const hostPath = folder(pod);
    mkdirSync(path.join(hostPath, "sub"));
    writeFileSync(path.join(hostPath, "word"), "hello");
    const mounts = [
      { hostPath, containerPath: "/rw", readonly: false },
      { hostPath, containerPath: "/ro", readonly: true, propagation: "HOST_TO_CONTAINER" as const },
    ];
    const script = "cat /ro/word; echo back > /rw/back; echo no > /ro/no; grep ' /ro ' /proc/self/mountinfo";
    const found = await said(pod, script, { mounts, linux: LINUX });
    expect(found).toContain("hello");
    expect(found).toContain("Read-only file system");
    expect(found).toMatch(/ master:\d+/);
    expect(readFileSync(path.join(hostPath, "back"), "utf8")).toBe("back\n");
  });

  test("a port of the node leads to the pod's", async () => {
    const portMappings = [{ protocol: "TCP" as const, containerPort: 8080, hostPort: 18_080, hostIp: "" }];
    const pod = await podOf(() => ({ portMappings }));
    await start(pod, ["sh", "-c", "while true; do echo from pod | nc -l -p 8080; done"]);
    const { onNode } = pod.fixture;
    if (onNode === undefined) throw new Error("the suite needs a way to run programs on the node");
    const ask = "nc -w 3 $(ip -4 -o addr show dev eth0 | sed 's#.*inet \\([0-9.]*\\)/.*#\\1#') 18080 < /dev/null";
    await expect.poll(() => onNode("sh", "-c", ask).catch(String), { timeout: 10_000 }).toBe("from pod\n");
  });

  test("environment, arguments and working directory reach the process", async () => {
    const pod = await podOf();
    const more = { args: ["zero", "one"], env: [{ name: "WORD", value: "a b" }], workingDir: "/tmp" };
    expect(await said(pod, 'echo "$0 $1 $WORD"; pwd', more)).toBe("zero one a b\n/tmp");
  });
}

function execTests(podOf: PodOf): void {
  test("a command's output, errors and exit code come apart", async () => {
    const pod = await podOf();
    const id = await start(pod, SLEEP);
    const io = recorder();
    const script = "echo out; echo err >&2; exit 9";
    expect(await pod.fixture.cri.exec(id, ["sh", "-c", script], false, io, never)).toBe(9);
    expect([io.out(), io.err()]).toEqual(["out\n", "err\n"]);
    const unknown = pod.fixture.cri.exec(id, ["no-such-program"], false, recorder(), never);
    await expect(unknown).rejects.toThrow(/no-such-program/);
  });

  test("megabytes of input arrive, and the end of the input reaches the command", async () => {
    const pod = await podOf();
    const id = await start(pod, SLEEP);
    const data = Buffer.alloc(6 << 20, "0123456789abcde\n");
    const sum = recorder(pieces(data, 100_000));
    expect(await pod.fixture.cri.exec(id, ["md5sum"], false, sum, never)).toBe(0);
    expect(sum.out()).toContain(createHash("md5").update(data).digest("hex"));
    const cat = recorder(pieces(data, 1 << 20));
    expect(await pod.fixture.cri.exec(id, ["cat"], false, cat, never)).toBe(0);
    expect(cat.bytes().equals(data)).toBe(true);
  });

  test("a terminal has a size, and one stream of output", async () => {
    const pod = await podOf();
    const id = await start(pod, SLEEP);
    const script =
      "until [ \"$(stty size)\" = '33 111' ]; do sleep 0.05; done; tty; echo err >&2; read x; echo got $x; exit 5";
    const io = { ...recorder(onceOnly(Buffer.from("word\n"))), resize: onceOnly({ width: 111, height: 33 }) };
    expect(await pod.fixture.cri.exec(id, ["sh", "-c", script], true, io, never)).toBe(5);
    expect(io.out()).toContain("/dev/pts/");
    expect(io.out()).toMatch(/err\r\n/);
    expect(io.out()).toMatch(/got word\r\n$/);
    expect(io.err()).toBe("");
  });

  test("an aborted command ends the call, one that takes too long is DeadlineExceeded", async () => {
    const pod = await podOf();
    const id = await start(pod, SLEEP);
    const abort = new AbortController();
    const io = { stdout: () => abort.abort(), stderr: () => {} };
    const call = pod.fixture.cri.exec(id, ["sh", "-c", "echo on; sleep 1000"], false, io, abort.signal);
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
    const late = pod.fixture.cri.execSync(id, ["sleep", "1000"], 1);
    await expect(late).rejects.toMatchObject({ code: "DeadlineExceeded" });
  });
}

function attachTests(podOf: PodOf): void {
  test("an attached client speaks with the process, and the end of its input ends the process's", async () => {
    const pod = await podOf();
    const script = "while read line; do echo got $line; done; echo over; exit 4";
    const id = await start(pod, ["sh", "-c", script], { stdin: true, stdinOnce: true });
    const io = recorder(onceOnly(Buffer.from("one\ntwo\n")));
    await pod.fixture.cri.attach(id, io, never);
    expect(io.out()).toBe("got one\ngot two\nover\n");
    expect((await ended(pod, id)).exitCode).toBe(4);
  });

  test("attaching to a terminal carries its size", async () => {
    const pod = await podOf();
    const script = "until [ \"$(stty size)\" = '33 111' ]; do sleep 0.05; done; echo sized; read x; echo got $x";
    const id = await start(pod, ["sh", "-c", script], { stdin: true, tty: true });
    const io = { ...recorder(onceOnly(Buffer.from("word\n"))), resize: onceOnly({ width: 111, height: 33 }) };
    await pod.fixture.cri.attach(id, io, never);
    expect(io.out()).toMatch(/got word\r\n$/);
    expect((await ended(pod, id)).exitCode).toBe(0);
  });
}

function forwardTests(podOf: PodOf): void {
  test("bytes go both ways through a forwarded port", async () => {
    const pod = await podOf();
    await start(pod, ["sh", "-c", "while true; do nc -l -p 8080 -e cat; done"]);
    const data = Buffer.alloc(3 << 20, "0123456789abcdef");
    const got: Buffer[] = [];
    const all = Promise.withResolvers<void>();
    async function* input(): AsyncIterable<Buffer> {
      yield* pieces(data, 64_000);
      await all.promise;
    }
    const output = (part: Buffer): void => {
      got.push(part);
      if (got.reduce((sum, one) => sum + one.length, 0) >= data.length) all.resolve();
    };
    const forward = (): Promise<void> =>
      pod.fixture.cri.portForward(pod.sandbox, 8080, { input: input(), output }, never);
    // The server may not listen yet.
    await expect
      .poll(
        () =>
          forward().then(
            () => "done",
            (error: Error) => error.message,
          ),
        { timeout: 20_000 },
      )
      .toBe("done");
    expect(Buffer.concat(got).equals(data)).toBe(true);
  });

  test("nothing listening is an error that says so; an abort ends the call", async () => {
    const pod = await podOf();
    await start(pod, ["sh", "-c", "while true; do nc -l -p 8080 -e sleep 1000; done"]);
    const silent = (): AsyncIterable<Buffer> =>
      (async function* (): AsyncIterable<Buffer> {
        await new Promise<never>(() => {});
        yield Buffer.alloc(0);
      })();
    const io = { input: silent(), output: () => {} };
    await expect(pod.fixture.cri.portForward(pod.sandbox, 81, io, never)).rejects.toThrow(/connection refused/);
    const abort = new AbortController();
    const call = pod.fixture.cri.portForward(pod.sandbox, 8080, { ...io, input: silent() }, abort.signal);
    abort.abort();
    await expect(call).rejects.toMatchObject({ name: "AbortError" });
  });
}

function logTests(podOf: PodOf): void {
  const texts = (lines: readonly LogLine[]): string[] => lines.map(({ line }) => line.toString());

  test("streams, times, very long lines and a missing last line break are kept", async () => {
    const pod = await podOf();
    const script =
      "echo err >&2; sleep 0.1; dd if=/dev/zero bs=50000 count=1 2>/dev/null | tr '\\0' x; echo; printf end";
    const id = await start(pod, ["sh", "-c", script]);
    await ended(pod, id);
    const lines = await logOf(pod, id);
    expect(lines.map(({ stream }) => stream)).toEqual(["stderr", "stdout", "stdout"]);
    expect(texts(lines).map((text) => text.length)).toEqual([3, 50_000, 3]);
    expect(lines.map(({ partial }) => partial === true)).toEqual([false, false, true]);
    const { startedAtMs, finishedAtMs } = await pod.fixture.cri.containerStatus(id);
    for (const { timeMs } of lines) {
      expect(timeMs).toBeGreaterThan(startedAtMs - 1000);
      expect(timeMs).toBeLessThanOrEqual(finishedAtMs + 1000);
    }
  });

  test("following survives rotation and the loss of the file, and ends with the container", async () => {
    const pod = await podOf();
    const script = "for i in 1 2 3; do echo line $i; read x; done; echo last";
    const id = await start(pod, ["sh", "-c", script], { stdin: true });
    const file = path.join(pod.config.logDirectory, "c.log");
    const seen: string[] = [];
    const following = (async () => {
      for await (const { line } of pod.fixture.cri.logs(id, { follow: true }, never)) seen.push(line.toString());
    })();
    const onward = async (): Promise<void> => pod.fixture.cri.attach(id, recorder(onceOnly(Buffer.from("\n"))), never);
    await expect.poll(() => seen).toEqual(["line 1"]);
    renameSync(file, `${file}.1`);
    await pod.fixture.cri.reopenContainerLog?.(id);
    await onward();
    await expect.poll(() => seen, { timeout: 5_000 }).toEqual(["line 1", "line 2"]);
    rmSync(file);
    await onward();
    await pod.fixture.cri.reopenContainerLog?.(id);
    await onward();
    await following;
    expect(seen.slice(0, 2)).toEqual(["line 1", "line 2"]);
    expect(seen.at(-1)).toBe("last");
    // The third line is in the lost file, or in the new one where the container took longer to write it than we to reopen.
    expect(texts(await logOf(pod, id)).filter((line) => line !== "line 3")).toEqual(["last"]);
  });

  test("an abort ends following; logs of a container that is gone are NotFound", async () => {
    const pod = await podOf();
    const id = await start(pod, ["sh", "-c", "echo on; sleep 1000"]);
    const abort = new AbortController();
    for await (const { line } of pod.fixture.cri.logs(id, { follow: true }, abort.signal)) {
      expect(line.toString()).toBe("on");
      abort.abort();
    }
    await pod.fixture.cri.removeContainer(id);
    await expect(logOf(pod, id)).rejects.toMatchObject({ code: "NotFound" });
  });
}
