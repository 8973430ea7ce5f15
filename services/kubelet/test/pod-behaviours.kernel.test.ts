// What users rely on in pods that run for long, on a real node: logs that are rotated, restarts by rules, refusals by name.
import type { Container } from "@coxswain/api";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startNodeKubelet, statusOf, type NodeKubelet } from "./node-kubelet.ts";

let at: NodeKubelet;
let image = "";

beforeAll(async () => {
  at = await startNodeKubelet("behave");
  image = at.containerd.image;
  await at.call.start(at.options);
});
afterAll(() => at.stop());

const shell = (line: string, more: Partial<Container> = {}): Container => ({
  name: "c",
  image,
  command: ["/bin/sh", "-c", line],
  ...more,
});
const inNode = (line: string): Promise<string> => at.containerd.node.run("/bin/sh", "-c", line);
const goes = async (...names: string[]): Promise<void> => {
  await Promise.all(names.map((name) => at.call.remove(name, 0)));
  await Promise.all(names.map((name) => at.gone(name)));
};

test("a log that grows is rotated and compressed, and whoever follows it misses nothing", async () => {
  const lines = 6_000;
  const line = "x".repeat(60);
  const script = `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo $i ${line}; [ $((i%100)) = 0 ] && sleep 0.02; done; echo end; sleep 60`;
  await at.create("talks", { containers: [shell(script)] });
  const pod = await at.running("talks");
  const seen = await at.call.logUntil("talks", "c", "end");
  expect(seen.slice(0, -1).map((one) => Number(one.split(" ")[0]))).toEqual(
    Array.from({ length: lines }, (_, index) => index + 1),
  );
  const folder = `/var/log/pods/default_talks_${pod.metadata?.uid}/c`;
  const files = (await inNode(`ls ${folder}`)).trim().split("\n");
  expect(files.length).toBeLessThanOrEqual(3);
  expect(files[0]).toBe("0.log");
  expect(files.some((file) => /^0\.log\.\d{8}-\d{6}(\.gz)?$/.test(file))).toBe(true);
  await goes("talks");
});

test("a container's own rules restart it in a pod that never restarts", async () => {
  const rules = {
    restartPolicy: "Never",
    restartPolicyRules: [{ action: "Restart", exitCodes: { operator: "In", values: [42] } }],
  };
  const counts = "n=$(cat /d/n 2>/dev/null || echo 0); echo $((n+1)) > /d/n; [ $n = 0 ] && exit 42; exit 7";
  const volumeMounts = [{ name: "d", mountPath: "/d" }];
  await at.create("rules", {
    restartPolicy: "Never",
    containers: [shell(counts, { ...rules, volumeMounts })],
    volumes: [{ name: "d", emptyDir: {} }],
  });
  const pod = await at.until("rules", (one) => one?.status?.phase === "Failed" && one);
  expect(statusOf(pod, "c")).toMatchObject({
    restartCount: 1,
    state: { terminated: { exitCode: 7 } },
    lastState: { terminated: { exitCode: 42 } },
  });
  await goes("rules");
});

test("what cannot run here is Failed at once, with the reason, and leaves nothing", async () => {
  const ports = [{ containerPort: 80, hostPort: 8088 }];
  await at.create("first", { containers: [shell("sleep 60", { ports })] });
  await at.running("first");
  await at.create("second", { containers: [shell("sleep 60", { ports })] });
  await at.create("signal", { containers: [shell("sleep 60", { lifecycle: { stopSignal: "SIGUSR1" } })] });
  const failed = async (name: string) => (await at.until(name, (one) => one?.status?.phase === "Failed" && one)).status;
  expect((await failed("second"))?.reason).toBe("NodePorts");
  expect((await failed("signal"))?.message).toContain("lifecycle.stopSignal is not supported");
  await goes("first", "second", "signal");
});

test("a RuntimeClass says which handler of the runtime runs a pod", async () => {
  const ref = { group: "node.k8s.io", version: "v1", resource: "runtimeclasses" };
  const seed = (name: string, handler: string) => {
    const runtimeClass = { metadata: { name }, handler };
    return at.call.seed(ref, runtimeClass);
  };
  await seed("usual", "runc");
  await seed("odd", "no-such-handler");
  const containers = [shell("sleep 60")];
  for (const name of ["usual", "odd", "gone"]) await at.create(name, { runtimeClassName: name, containers });
  await at.running("usual");
  expect(await at.told("odd", "FailedCreatePodSandBox")).toContain("no-such-handler");
  expect(await at.told("gone", "FailedCreatePodSandBox")).toBe(
    'FailedCreatePodSandBox: Failed to create pod sandbox: runtimeclass.node.k8s.io "gone" not found',
  );
  await seed("gone", "runc");
  await at.running("gone");
  await goes("usual", "odd", "gone");
});

test("a pod whose emptyDir takes more than it may is evicted", async () => {
  await at.create("greedy", {
    terminationGracePeriodSeconds: 30,
    containers: [
      shell("dd if=/dev/zero of=/w/big bs=1M count=3; while :; do sleep 1; done", {
        volumeMounts: [{ name: "work", mountPath: "/w" }],
      }),
    ],
    volumes: [{ name: "work", emptyDir: { sizeLimit: "2Mi" } }],
  });
  const pod = await at.until("greedy", (one) => one?.status?.phase === "Failed" && one, 20_000);
  expect(pod.status).toMatchObject({
    reason: "Evicted",
    message: 'Usage of EmptyDir volume "work" exceeds the limit "2Mi". ',
  });
  await at.until("greedy", (one) => statusOf(one, "c")?.state?.terminated !== undefined, 5_000);
  await goes("greedy");
});
