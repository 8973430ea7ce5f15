// A cluster's life from the outside: up, two side by side, down, a killed supervisor; nothing stays behind.
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { repositoryRoot, startCluster, stopCluster, type Cluster } from "@coxswain/cluster";
import { eventually } from "./cluster-fixture.ts";

/** Command lines that name the folder: every process of a cluster does. */
function processesOf(home: string): string[] {
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
    } catch (error) {
      // Processes end while we look.
      if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
      throw error;
    }
  };
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(commandLine).filter((line) => line.includes(home));
}

async function pidsOf(cluster: Cluster): Promise<number[]> {
  return (await cluster.status()).records.map(({ pid }) => pid);
}

test("two clusters side by side; down leaves no process, purge no file", async () => {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  try {
    const options = { home, freePorts: true, nodes: 1, runtime: "simulated" } as const;
    const [one, two] = await Promise.all([
      startCluster({ ...options, name: "one" }),
      startCluster({ ...options, name: "two" }),
    ]);
    expect(one.info.apiServer).not.toBe(two.info.apiServer);
    // What starts last comes too.
    await eventually(
      () => one.status(),
      ({ records }) => records.every(({ state }) => state === "ready"),
    );
    expect(one.info.processes.map(({ pid }) => pid)).toEqual(await pidsOf(one));
    await expect(startCluster({ ...options, name: "one" })).rejects.toThrow('cluster "one" is running');
    await one.down();
    expect(processesOf(path.join(home, "one"))).toEqual([]);
    expect(existsSync(path.join(home, "one", "etcd"))).toBe(true);
    expect((await pidsOf(two)).every((pid) => pid > 0)).toBe(true);
    await two.down({ purge: true });
    expect(processesOf(home)).toEqual([]);
    expect(existsSync(path.join(home, "two"))).toBe(false);
    expect(await stopCluster("two", { home })).toBe(false);
  } finally {
    await stopCluster("one", { home, purge: true });
    await stopCluster("two", { home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
});

test("down cleans up after a supervisor that was killed", async () => {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  try {
    const cluster = await startCluster({ home, freePorts: true, nodes: 1, runtime: "simulated" });
    const { supervisor } = await cluster.status();
    process.kill(supervisor.pid, "SIGKILL");
    await eventually(
      async () => existsSync(`/proc/${supervisor.pid}`),
      (there) => !there,
    );
    expect(processesOf(home).length).toBeGreaterThan(0);
    expect(await stopCluster("default", { home, purge: true })).toBe(true);
    expect(processesOf(home)).toEqual([]);
  } finally {
    await stopCluster("default", { home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
});

test("status tells of a process that is frozen, and ends", async () => {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  try {
    const cluster = await startCluster({ home, freePorts: true, nodes: 0, runtime: "simulated" });
    await cluster.chaos.freeze("scheduler");
    const program = path.join(repositoryRoot(), "bin", "coxswain");
    const { stdout } = await promisify(execFile)(program, ["status"], { env: { ...process.env, COXSWAIN_HOME: home } });
    expect(stdout).toMatch(/^scheduler\/0 +frozen .* frozen on purpose$/m);
    expect(stdout).toMatch(/^api-server\/0 +ready .* storageConnected=true/m);
  } finally {
    await stopCluster("default", { home, purge: true });
    rmSync(home, { recursive: true, force: true });
  }
});
