// Pods as processes of a real node: containerd, the kernel's network and cgroups, and a kubelet that comes and goes.
import { existsSync } from "node:fs";
import path from "node:path";
import type { Container } from "@coxswain/api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isReady, startNodeKubelet, statusOf, type NodeKubelet } from "./node-kubelet.ts";

let at: NodeKubelet;
let image = "";

beforeAll(async () => {
  at = await startNodeKubelet("pods");
  image = at.containerd.image;
  await at.call.start(at.options);
});
afterAll(() => at.stop());

const shell = (line: string, more: Partial<Container> = {}): Container => ({
  name: "c",
  image,
  command: ["/bin/sh", "-c", line],
  terminationMessagePath: "/dev/termination-log",
  terminationMessagePolicy: "File",
  ...more,
});
/** Ends at once when it is asked to. */
const LIVES = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

describe("node", () => {
  test("says what it is, and is Ready once its network is configured", async () => {
    await expect.poll(() => at.call.node().then((node) => node?.status?.conditions?.at(-1)?.status)).toBe("True");
    const node = await at.call.node();
    expect(node?.spec?.podCIDR).toBe(at.options.podCidr);
    expect(node?.status?.nodeInfo?.containerRuntimeVersion).toMatch(/^containerd:\/\/1\./);
    expect(node?.status?.addresses?.[0]?.address).toBe(at.options.hostIp);
    expect(node?.status?.images?.flatMap((one) => one.names ?? []).join()).toContain("busybox");
  });
});

describe("life of a pod", () => {
  test("runs, has an address, and goes with all that it had", async () => {
    await at.create("web", { containers: [shell(LIVES)] });
    const pod = await at.running("web");
    expect(pod.status?.podIP).toMatch(/^10\.244\.1\./);
    expect(statusOf(pod, "c")?.containerID).toMatch(/^containerd:\/\/[0-9a-f]{64}$/);
    const uid = pod.metadata?.uid ?? "";
    const cgroup = path.join("/sys/fs/cgroup/memory", at.options.cgroupRoot, "besteffort", `pod${uid}`);
    expect(existsSync(cgroup)).toBe(true);
    await at.call.remove("web");
    await at.gone("web");
    expect(existsSync(cgroup)).toBe(false);
    expect(existsSync(at.containerd.node.pathOnHost(`/var/lib/kubelet/pods/${uid}`))).toBe(false);
    expect(existsSync(at.containerd.node.pathOnHost(`/var/log/pods/default_web_${uid}`))).toBe(false);
  });
});

/** What a container has said, as the runtime keeps it. */
const said = async (name: string, container = "c"): Promise<string> => {
  const pod = await at.call.pod(name);
  const folder = `/var/log/pods/default_${name}_${pod?.metadata?.uid}/${container}`;
  return at.containerd.node.run("/bin/sh", "-c", `cat ${folder}/*.log`);
};

describe("containers", () => {
  test("init containers one after another, a sidecar beside the others, and a pod that is done", async () => {
    const initContainers = [
      shell("echo one > /w/log", { name: "first", volumeMounts: [{ name: "w", mountPath: "/w" }] }),
      shell(LIVES, { name: "side", restartPolicy: "Always" }),
      shell("echo two >> /w/log", { name: "second", volumeMounts: [{ name: "w", mountPath: "/w" }] }),
    ];
    const containers = [shell("cat /w/log", { volumeMounts: [{ name: "w", mountPath: "/w" }] })];
    const volumes = [{ name: "w", emptyDir: {} }];
    await at.create("job", { restartPolicy: "Never", initContainers, containers, volumes });
    const pod = await at.until("job", (one) => one?.status?.phase === "Succeeded" && one);
    expect(statusOf(pod, "c")?.state?.terminated).toMatchObject({ exitCode: 0, reason: "Completed" });
    await at.until("job", (one) => statusOf(one, "side")?.state?.terminated !== undefined);
    expect(await said("job")).toMatch(/one\n.*two\n$/s);
    await at.call.remove("job");
    await at.gone("job");
  });

  test("what crashes is restarted, waits longer each time, and leaves its last words", async () => {
    const last = "echo gone wrong > /dev/termination-log; exit 7";
    const logs = { name: "logs", terminationMessagePolicy: "FallbackToLogsOnError" };
    await at.create("crash", { containers: [shell(last), shell("echo only in the log; exit 1", logs)] });
    const waits = (name: string) =>
      at.until("crash", (pod) => {
        const status = statusOf(pod, name);
        return status?.state?.waiting?.reason === "CrashLoopBackOff" && (status.restartCount ?? 0) > 0 && status;
      });
    const status = await waits("c");
    expect(status.lastState?.terminated).toMatchObject({ exitCode: 7, reason: "Error", message: "gone wrong\n" });
    expect((await waits("logs")).lastState?.terminated?.message).toBe("only in the log\n");
    expect(await at.told("crash", "BackOff")).toContain("Back-off restarting failed container");
    await at.call.remove("crash");
    await at.gone("crash");
  });

  test("one that takes too much memory is killed, and the status says why", async () => {
    const resources = { limits: { memory: "20Mi" } };
    const eats = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
    await at.create("oom", { restartPolicy: "Never", containers: [shell(eats, { resources })] });
    const over = await at.until("oom", (pod) => {
      const ended = statusOf(pod, "c")?.state?.terminated;
      return ended?.reason === "OOMKilled" && ended;
    });
    expect(over.exitCode).toBe(137);
    await at.call.remove("oom");
    await at.gone("oom");
  });

  test("images: one that nobody can bring fails fast, one that may not be pulled waits", async () => {
    await at.create("images", {
      containers: [
        shell("", { image: "registry.example/none:1" }),
        shell("", { name: "never", image: "coxswain.local/none:1", imagePullPolicy: "Never" }),
      ],
    });
    const pod = await at.until(
      "images",
      (one) => {
        const reason = statusOf(one, "c")?.state?.waiting?.reason;
        return reason === "ImagePullBackOff" && statusOf(one, "never")?.state?.waiting && one;
      },
      5_000,
    );
    expect(statusOf(pod, "never")?.state?.waiting?.reason).toBe("ErrImageNeverPull");
    expect(await at.told("images", "Error: ErrImagePull")).toBeTruthy();
    await at.call.remove("images");
    await at.gone("images");
  });

  test("what cannot be started says so, and is tried again", async () => {
    await at.create("nostart", { containers: [shell("", { command: ["/does/not/exist"] })] });
    const status = await at.until("nostart", (pod) => {
      const found = statusOf(pod, "c");
      return (found?.restartCount ?? 0) > 0 && found?.lastState?.terminated && found;
    });
    expect(status.lastState?.terminated).toMatchObject({ exitCode: 128, reason: "StartError" });
    await at.call.remove("nostart");
    await at.gone("nostart");
  });

  test("an ephemeral container joins a pod that runs", async () => {
    await at.create("debugged", { containers: [shell(LIVES)] });
    await at.running("debugged");
    const own = { name: "debug", image, command: ["/bin/sh", "-c", "ps; sleep 0.2"], targetContainerName: "c" };
    await at.call.patch("debugged", { spec: { ephemeralContainers: [own] } });
    const ended = await at.until("debugged", (pod) => statusOf(pod, "debug")?.state?.terminated);
    expect(ended.exitCode).toBe(0);
    expect(await said("debugged", "debug")).toContain("trap");
    expect((await at.call.pod("debugged"))?.status?.phase).toBe("Running");
    await at.call.remove("debugged");
    await at.gone("debugged");
  });
});

describe("hooks", () => {
  test("postStart comes before the container counts, preStop before it ends", async () => {
    const lifecycle = {
      postStart: { exec: { command: ["/bin/sh", "-c", "echo started > /proc/1/fd/1"] } },
      preStop: { exec: { command: ["/bin/sh", "-c", "echo stopping > /w/stopped"] } },
    };
    const mounted = { volumeMounts: [{ name: "w", mountPath: "/w" }] };
    const volumes = [{ name: "w", hostPath: { path: "/var/lib/kubelet/hook", type: "DirectoryOrCreate" } }];
    await at.create("hooked", { containers: [shell(LIVES, { lifecycle, ...mounted })], volumes });
    await at.running("hooked");
    expect(await said("hooked")).toContain("started");
    await at.call.remove("hooked");
    await at.gone("hooked");
    expect(await at.containerd.node.run("/bin/sh", "-c", "cat /var/lib/kubelet/hook/stopped")).toBe("stopping\n");
  });

  test("a postStart that fails ends the container; a preStop that fails only says so", async () => {
    const lifecycle = {
      postStart: { exec: { command: ["/bin/false"] } },
      preStop: { exec: { command: ["/bin/false"] } },
    };
    await at.create("hooks-fail", { containers: [shell(LIVES, { lifecycle })] });
    await at.told("hooks-fail", "FailedPostStartHook: PostStartHook failed");
    await at.told("hooks-fail", "FailedPreStopHook: PreStopHook failed");
    await at.until("hooks-fail", (pod) => (statusOf(pod, "c")?.restartCount ?? 0) > 0);
    await at.call.remove("hooks-fail");
    await at.gone("hooks-fail");
  });

  test("what ignores SIGTERM is killed when its grace is over", async () => {
    await at.create("stubborn", {
      containers: [shell("trap '' TERM; while :; do sleep 0.1; done")],
      terminationGracePeriodSeconds: 2,
    });
    await at.running("stubborn");
    const began = await at.call.nowMs();
    await at.call.remove("stubborn");
    await at.gone("stubborn", 10_000);
    expect((await at.call.nowMs()) - began).toBeGreaterThan(1_900);
  });
});

const serves = (status: number): string =>
  `while :; do printf 'HTTP/1.0 ${status} X\\r\\n\\r\\n' | nc -l -p 80 >/tmp/asked; done & trap 'exit 0' TERM; while :; do sleep 0.05; done`;

describe("probes", () => {
  test("readiness by http, tcp and exec", async () => {
    const probe = { periodSeconds: 1, successThreshold: 1 };
    await at.create("ready", {
      containers: [
        shell(serves(200), {
          readinessProbe: { ...probe, httpGet: { port: "web", path: "/x" } },
          ports: [{ name: "web", containerPort: 80 }],
        }),
        shell("httpd -p 81; " + LIVES, {
          name: "tcp",
          readinessProbe: { ...probe, tcpSocket: { port: 81 } },
        }),
        shell(`touch /tmp/ok; ${LIVES}`, {
          name: "exec",
          readinessProbe: { ...probe, exec: { command: ["cat", "/tmp/ok"] } },
        }),
      ],
    });
    await at.until("ready", isReady);
    await at.call.remove("ready");
    await at.gone("ready");
  });

  test("what fails is told in words that are known, and liveness restarts", async () => {
    const probe = { periodSeconds: 1, failureThreshold: 1 };
    // Only 25 events at once are written of a pod: what need not be asked again is not, so that nobody's words are left out.
    const once = { ...probe, periodSeconds: 60 };
    await at.create("failing", {
      containers: [
        shell(serves(500), { readinessProbe: { ...probe, httpGet: { port: 80 } } }),
        shell(LIVES, { name: "refused", readinessProbe: { ...once, tcpSocket: { port: 99 } } }),
        shell(LIVES, {
          name: "dead",
          livenessProbe: { ...probe, exec: { command: ["/bin/sh", "-c", "echo no; exit 1"] } },
        }),
        shell(LIVES, { name: "slow", readinessProbe: { ...once, exec: { command: ["sleep", "5"] } } }),
      ],
    });
    await at.told("failing", "Readiness probe failed: HTTP probe failed with statuscode: 500");
    expect(await at.told("failing", "Readiness probe failed: dial tcp")).toMatch(
      /Readiness probe failed: dial tcp 10\.244\.1\.\d+:99: connect: connection refused/,
    );
    await at.told("failing", "Liveness probe failed: no");
    await at.told("failing", "Container dead failed liveness probe, will be restarted");
    await at.told("failing", 'Readiness probe failed: command timed out: "sleep 5" timed out after 1s');
    await at.until("failing", (pod) => (statusOf(pod, "dead")?.restartCount ?? 0) > 0);
    expect(isReady(await at.call.pod("failing"))).toBe(false);
    await at.call.remove("failing");
    await at.gone("failing");
  });
});

describe("survival", () => {
  const pids = (name: string): Promise<string> => said(name);

  test("a kubelet that was killed finds its pods: nothing starts again, counts and readiness stay", async () => {
    const readinessProbe = { periodSeconds: 60, exec: { command: ["true"] } };
    await at.create("kept", {
      containers: [shell(`echo began; ${LIVES}`, { readinessProbe }), shell("sleep 0.2; exit 1", { name: "crashes" })],
    });
    await at.create("gone-meanwhile", { containers: [shell(LIVES)] });
    await at.create("deleted-meanwhile", { containers: [shell(LIVES)] });
    const two = await at.until(
      "kept",
      (pod) => (statusOf(pod, "crashes")?.restartCount ?? 0) > 0 && statusOf(pod, "c")?.ready && pod,
    );
    const goes = await at.running("gone-meanwhile");
    await at.running("deleted-meanwhile");
    await at.call.stop();
    const removed = at.call.remove("deleted-meanwhile");
    await at.call.erase("gone-meanwhile");
    await at.call.start(at.options);
    await at.gone("deleted-meanwhile");
    await removed;
    const uid = goes.metadata?.uid ?? "";
    const files = [`/var/lib/kubelet/pods/${uid}`, `/var/log/pods/default_gone-meanwhile_${uid}`];
    await expect.poll(() => files.filter((file) => existsSync(at.containerd.node.pathOnHost(file)))).toEqual([]);
    const now = await at.until(
      "kept",
      (pod) => statusOf(pod, "c")?.ready && statusOf(pod, "crashes")?.lastState?.terminated && pod,
    );
    expect(statusOf(now, "c")).toEqual(statusOf(two, "c"));
    expect(now.status?.podIP).toBe(two.status?.podIP);
    expect((await pids("kept")).match(/began/g)?.length).toBe(1);
    const count = statusOf(now, "crashes")?.restartCount ?? 0;
    expect(count).toBeGreaterThanOrEqual(statusOf(two, "crashes")?.restartCount ?? 0);
    expect(count).toBeLessThanOrEqual((statusOf(two, "crashes")?.restartCount ?? 0) + 1);
    await at.call.remove("kept");
    await at.gone("kept");
  });

  test("containerd killed: pods live on, and the kubelet works again with it", async () => {
    await at.create("through", { containers: [shell(`echo began; ${LIVES}`)] });
    const before = await at.running("through");
    await at.containerd.node.restartContainerd();
    await at.create("after", { containers: [shell(LIVES)] });
    await at.running("after");
    const now = await at.call.pod("through");
    expect(statusOf(now, "c")).toEqual(statusOf(before, "c"));
    for (const name of ["through", "after"]) {
      await at.call.remove(name);
      await at.gone(name);
    }
  });

  test("a sandbox that dies is made anew, with its init containers", async () => {
    await at.create("unlucky", {
      initContainers: [shell("echo init", { name: "first" })],
      containers: [shell(`echo began; ${LIVES}`)],
    });
    const before = await at.running("unlucky");
    await at.call.killSandbox(before.metadata?.uid ?? "");
    await at.told("unlucky", "SandboxChanged: Pod sandbox changed, it will be killed and re-created.");
    const now = await at.until(
      "unlucky",
      (pod) => statusOf(pod, "c")?.state?.running && (statusOf(pod, "c")?.restartCount ?? 0) > 0 && pod,
    );
    expect(statusOf(now, "first")?.restartCount).toBe(1);
    expect((await said("unlucky", "first")).match(/init/g)?.length).toBe(2);
    await at.call.remove("unlucky");
    await at.gone("unlucky");
  });
});

describe("speed", () => {
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
  const podNamed = (name: string) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { nodeName: "node-1", restartPolicy: "Always", terminationGracePeriodSeconds: 1, containers: [shell(LIVES)] },
  });
  const remove = (names: readonly string[]) =>
    Promise.all(
      names.map(async (name) => {
        await at.call.remove(name);
        await at.gone(name, 60_000);
      }),
    );

  test("a pod runs about as soon as the same calls by hand are done", async () => {
    const rounds = Array.from({ length: 7 }, (_, index) => index);
    const many = Array.from({ length: 20 }, (_, index) => index);
    await at.call.timeToRunning([podNamed("model")]);
    const single: number[] = [];
    for (const round of rounds) single.push(...(await at.call.timeToRunning([podNamed(`single-${round}`)])));
    await remove(rounds.map((round) => `single-${round}`));
    const together = await at.call.timeToRunning(many.map((index) => podNamed(`many-${index}`)));
    await remove(many.map((index) => `many-${index}`));
    // A kubelet ends pods that the API does not know.
    await at.call.stop();
    const endpoint = at.options.runtimeEndpoint;
    const byHand: number[] = [];
    for (const round of rounds) byHand.push(...(await at.call.timeByHand(endpoint, "model", [round])));
    const allByHand = await at.call.timeByHand(
      endpoint,
      "model",
      many.map((index) => 100 + index),
    );
    await at.call.start(at.options);
    await remove(["model"]);
    const [one, hand, all, hands] = [single, byHand, together, allByHand].map(median);
    const text = [one, hand, all, hands].map((ms) => Math.round(ms ?? 0));
    console.log(
      `created → Running p50, ms: ${text[0]} (by hand ${text[1]}); 20 at once ${text[2]} (by hand ${text[3]})`,
    );
    expect((one ?? 0) / (hand ?? 1)).toBeLessThan(2);
    expect((all ?? 0) / (hands ?? 1)).toBeLessThan(2);
  });
});
