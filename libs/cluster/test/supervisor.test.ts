// The supervisor brings back what dies or hangs, leaves frozen processes alone, and ends everything in order.
import { VirtualEnv } from "@coxswain/env";
import { expect, test } from "vitest";
import type { ProcessSpec } from "../src/process-plan.ts";
import { Supervisor, type ProcessRecord, type SpawnedProcess } from "../src/supervisor.ts";

class FakeProcess implements SpawnedProcess {
  readonly startTime = "1";
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
  readonly signals: string[] = [];
  readonly pid: number;
  readonly name: string;
  readonly #log: string[];
  #exit: (exit: { code: number | null; signal: string | null }) => void = () => {};
  constructor(pid: number, name: string, log: string[]) {
    this.pid = pid;
    this.name = name;
    this.#log = log;
    this.exited = new Promise((resolve) => {
      this.#exit = resolve;
    });
  }
  signal(name: NodeJS.Signals): boolean {
    this.signals.push(name);
    if (name === "SIGTERM" || name === "SIGKILL") this.die(name);
    return true;
  }
  die(signal: string): void {
    this.#log.push(`${this.name} ${signal}`);
    this.#exit({ code: null, signal });
  }
  fail(code: number): void {
    this.#exit({ code, signal: null });
  }
}

function spec(component: ProcessSpec["component"], instance = "0"): ProcessSpec {
  return { component, instance, node: "", ports: { main: 1, grpc: 2 }, command: component, args: [], log: "" };
}

function harness(specs: ProcessSpec[]): {
  env: VirtualEnv;
  supervisor: Supervisor;
  spawned: FakeProcess[];
  log: string[];
  silent: Set<string>;
  record: (component: string) => ProcessRecord | undefined;
} {
  const env = new VirtualEnv({ seed: 1 });
  const spawned: FakeProcess[] = [];
  const log: string[] = [];
  const silent = new Set<string>();
  const supervisor = new Supervisor(specs, {
    env,
    spawn: (one) => {
      const process = new FakeProcess(spawned.length + 100, one.component, log);
      spawned.push(process);
      return process;
    },
    probe: async (one) => (silent.has(one.component) ? "no answer" : undefined),
    onChange: () => {},
  });
  const record = (component: string): ProcessRecord | undefined =>
    supervisor.records().find((one) => one.spec.component === component);
  return { env, supervisor, spawned, log, silent, record };
}

test("a probe that a dead process never answers does not hold up those of its successor", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const spawned: FakeProcess[] = [];
  let answers = true;
  const supervisor = new Supervisor([spec("scheduler")], {
    env,
    spawn: () => {
      const process = new FakeProcess(spawned.length + 100, "scheduler", []);
      spawned.push(process);
      return process;
    },
    probe: () =>
      answers ? Promise.resolve(undefined) : env.timers.sleep(3_000).then(() => "no answer within 3000 ms"),
    onChange: () => {},
  });
  supervisor.start(["scheduler"]);
  await env.advance(100);
  answers = false;
  // The next probe is under way when the process dies.
  await env.advance(1_000);
  spawned[0]?.die("SIGKILL");
  answers = true;
  await env.advance(200);
  expect(supervisor.records()[0]).toMatchObject({ state: "ready", pid: 101 });
  await env.advance(5_000);
  expect(supervisor.records()[0]).toMatchObject({ state: "ready", message: "" });
});

test("a process that tells when it is ready is hardly asked before, and not at once then", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const asked: number[] = [];
  let tell = (): void => {};
  let serves = false;
  const process = Object.assign(new FakeProcess(100, "scheduler", []), {
    ready: new Promise<void>((resolve) => {
      tell = () => {
        serves = true;
        resolve();
      };
    }),
  });
  const supervisor = new Supervisor([spec("scheduler")], {
    env,
    spawn: () => process,
    probe: async () => {
      asked.push(env.clock.monotonic());
      return serves ? undefined : "no answer";
    },
    onChange: () => {},
  });
  supervisor.start(["scheduler"]);
  await env.advance(4_900);
  expect(asked).toHaveLength(2);
  expect(supervisor.records()[0]).toMatchObject({ state: "starting" });
  tell();
  await env.advance(1);
  expect(supervisor.records()[0]).toMatchObject({ state: "ready", message: "" });
  expect(asked).toHaveLength(2);
  serves = false;
  await env.advance(1_000);
  expect(supervisor.records()[0]).toMatchObject({ state: "unready", message: "no answer" });
  expect(asked).toHaveLength(3);
});

test("a process that is ready without telling so is found ready", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const process = Object.assign(new FakeProcess(100, "scheduler", []), { ready: new Promise<void>(() => {}) });
  const deps = { env, spawn: () => process, probe: () => Promise.resolve(undefined), onChange: () => {} };
  const supervisor = new Supervisor([spec("scheduler")], deps);
  supervisor.start(["scheduler"]);
  await env.advance(2_100);
  expect(supervisor.records()[0]).toMatchObject({ state: "ready" });
});

test("a dead process starts again after a backoff, and its death is on record", async () => {
  const { env, supervisor, spawned, record } = harness([spec("scheduler")]);
  supervisor.start(["scheduler"]);
  await env.advance(100);
  expect(record("scheduler")).toMatchObject({ state: "ready", restarts: 0 });
  spawned[0]?.die("SIGKILL");
  await env.advance(50);
  expect(record("scheduler")).toMatchObject({ state: "backoff", pid: 0, restarts: 1 });
  await env.advance(200);
  expect(record("scheduler")).toMatchObject({ state: "ready", pid: 101, deaths: [{ signal: "SIGKILL" }] });
});

test("those who build on what a dead process knew start anew with it, frozen ones too; others stay", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const spawned: FakeProcess[] = [];
  const supervisor = new Supervisor([spec("nats"), spec("api-server"), spec("scheduler"), spec("kubelet", "node-1")], {
    env,
    spawn: ({ component }) => {
      const process = new FakeProcess(spawned.length + 100, component, []);
      spawned.push(process);
      return process;
    },
    probe: async () => undefined,
    onChange: () => {},
    endWith: (component) => (component === "api-server" ? ["scheduler", "kubelet"] : []),
  });
  supervisor.start(["nats", "api-server", "scheduler", "kubelet"]);
  await env.advance(1_000);
  supervisor.chaos("freeze", "kubelet");
  spawned[1]?.die("SIGKILL");
  await env.advance(1_000);
  expect(supervisor.records().map(({ state, restarts }) => [state, restarts])).toEqual([
    ["ready", 0],
    ["ready", 1],
    ["ready", 1],
    ["ready", 1],
  ]);
});

test("a hung process is killed after a minute; one that was frozen on purpose is not", async () => {
  const { env, supervisor, spawned, silent } = harness([spec("scheduler"), spec("kubelet")]);
  supervisor.start(["scheduler", "kubelet"]);
  await env.advance(1_000);
  supervisor.chaos("freeze", "kubelet");
  silent.add("scheduler").add("kubelet");
  await env.advance(70_000);
  expect(spawned[0]?.signals).toContain("SIGKILL");
  expect(spawned[1]?.signals).toEqual(["SIGSTOP"]);
  silent.clear();
  supervisor.chaos("thaw", "kubelet");
  await env.advance(1_000);
  expect(supervisor.records().map(({ state }) => state)).toEqual(["ready", "ready"]);
});

test("stop ends followers before api-servers before what they stand on, frozen ones too", async () => {
  const { env, supervisor, spawned, log } = harness([
    spec("etcd"),
    spec("nats"),
    spec("api-server"),
    spec("scheduler"),
    spec("kubelet"),
  ]);
  supervisor.start(["etcd", "nats", "api-server", "scheduler", "kubelet"]);
  await env.advance(1_000);
  supervisor.chaos("freeze", "scheduler");
  await supervisor.stop();
  expect(log.indexOf("api-server SIGTERM")).toBeGreaterThan(log.indexOf("kubelet SIGTERM"));
  expect(log.slice(-3)).toEqual(["api-server SIGTERM", "nats SIGTERM", "etcd SIGTERM"]);
  expect(spawned[3]?.signals).toEqual(["SIGSTOP", "SIGCONT", "SIGTERM"]);
  await env.advance(60_000);
  expect(spawned).toHaveLength(5);
});

test("chaos on an unknown name hits nothing", () => {
  const { supervisor } = harness([spec("etcd")]);
  expect(supervisor.chaos("kill", "ghost")).toEqual([]);
  expect(supervisor.chaos("kill", "etcd")).toEqual([]);
});

test("a killed node stays down until it is started, and the others go on", async () => {
  const onNode = (component: ProcessSpec["component"], node: string): ProcessSpec => ({
    ...spec(component, node),
    node,
  });
  const { env, supervisor, spawned } = harness([
    onNode("containerd", "node-1"),
    onNode("kubelet", "node-1"),
    onNode("kubelet", "node-2"),
  ]);
  supervisor.start(["containerd", "kubelet"]);
  await env.advance(1_000);
  expect(supervisor.chaos("kill", "node", "node-1")).toHaveLength(2);
  await env.advance(60_000);
  expect(supervisor.records().map(({ state }) => state)).toEqual(["down", "down", "ready"]);
  expect(supervisor.chaos("kill", "node", "node-1")).toEqual([]);
  supervisor.chaos("start", "node", "node-1");
  await env.advance(1_000);
  expect(supervisor.records().map(({ state }) => state)).toEqual(["ready", "ready", "ready"]);
  expect(spawned).toHaveLength(5);
});

test("the processes of a node that is removed end and are forgotten, frozen ones too; others stay", async () => {
  const on = (component: ProcessSpec["component"], node: string): ProcessSpec => ({ ...spec(component, node), node });
  const { env, supervisor, spawned, log } = harness([spec("etcd"), on("kubelet", "node-1")]);
  supervisor.start(["etcd", "kubelet"]);
  supervisor.add([on("containerd", "node-2"), on("kubelet", "node-2"), on("kube-proxy", "node-2")]);
  supervisor.start(["containerd"], "node-2");
  supervisor.start(["containerd", "kubelet", "kube-proxy"], "node-2");
  expect(spawned.map((one) => one.name)).toEqual(["etcd", "kubelet", "containerd", "kubelet", "kube-proxy"]);
  supervisor.chaos("freeze", "kubelet", "node-2");
  const removed = supervisor.removeNode("node-2");
  expect(await env.runUntil(() => supervisor.records().length === 2, 1_000)).toBe(true);
  await removed;
  expect(log).toEqual(["kube-proxy SIGTERM", "kubelet SIGTERM", "containerd SIGTERM"]);
  expect(supervisor.records().map((record) => record.spec.instance)).toEqual(["0", "node-1"]);
  await env.advance(60_000);
  expect(spawned).toHaveLength(5);
});

test("a process that cannot have its port is moved, and one that others know the port of waits and says so", async () => {
  const env = new VirtualEnv({ seed: 1 });
  const started: string[] = [];
  const spawned: FakeProcess[] = [];
  let taken = 0;
  const supervisor = new Supervisor([spec("nats"), spec("scheduler")], {
    env,
    spawn: (one) => {
      started.push(`${one.component} ${one.ports.main}`);
      const process = new FakeProcess(spawned.length + 100, one.component, []);
      spawned.push(process);
      return process;
    },
    probe: async () => undefined,
    onChange: () => {},
    portTaken: async (one) => {
      if (taken === 0) return undefined;
      if (taken < 0) throw new Error("no free port");
      if (one.component === "nats") return { port: taken };
      return { port: taken, elsewhere: { ...one, ports: { main: 7, grpc: 8 } } };
    },
  });
  const message = (component: string): string =>
    supervisor.records().find((one) => one.spec.component === component)?.message ?? "";
  supervisor.start(["nats", "scheduler"]);
  // What merely fails is started again where it was, after its time.
  spawned[1]?.fail(1);
  await env.advance(1);
  expect(message("scheduler")).toBe("ended with code 1; starts again in 100 ms");
  await env.advance(200);
  expect(started).toEqual(["nats 1", "scheduler 1", "scheduler 1"]);
  taken = 1;
  spawned[0]?.fail(1);
  spawned[2]?.fail(1);
  await env.advance(1);
  expect(started.slice(3)).toEqual(["scheduler 7"]);
  expect(message("nats")).toBe("port 1 is taken by another program; ended with code 1; starts again in 100 ms");
  await env.advance(200);
  expect(started.slice(4)).toEqual(["nats 1"]);
  // A signal is no sign of a port; and where nothing else can be had, that is said.
  taken = -1;
  spawned[3]?.die("SIGKILL");
  spawned[4]?.fail(1);
  await env.advance(1);
  expect(message("scheduler")).toMatch(/^ended with SIGKILL; starts again in \d+ ms$/);
  expect(message("nats")).toMatch(/starts again in 200 ms; no free port$/);
});
