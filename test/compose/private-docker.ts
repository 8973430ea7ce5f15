// A Docker engine of one's own: in network, mount and process namespaces that hold nothing else, with no way out but
// `lo`. Its programs are laid over /usr inside its mount namespace only. When its first process ends, or the test
// process dies, the kernel ends every container and daemon in it and takes mounts and interfaces with them; what can
// outlive that (a folder, cgroups) is swept away by the next start.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  type Dirent,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** Not that of clusters, whose cgroups the leak checks of suites beside this one count. */
const PREFIX = "cox-docker-";
const CGROUPS = "/sys/fs/cgroup";
const SOCKET = "unix:///run/docker.sock";

export interface CommandResult {
  /** 128 + signal where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export interface PrivateDocker extends AsyncDisposable {
  /** A folder that the engine and the test both see; it goes with the engine. */
  readonly folder: string;
  /** Environment whose PATH begins with wrappers `docker` and `docker-compose` that run inside the engine's namespaces. */
  readonly env: NodeJS.ProcessEnv;
  /** Runs a program inside the engine's namespaces; never rejects for a failing command. */
  run(command: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /** The same, but rejects with what it printed unless it succeeds. Resolves with standard output. */
  ok(command: readonly string[], options?: CommandOptions): Promise<string>;
  /** The last lines that the engine wrote. */
  log(): string;
}

export interface EngineOptions {
  /** A folder with the engine's packages unpacked: its usr/ is laid over the machine's. */
  readonly packages: string;
  /** Compose v2 as a program for the docker command line's plugin folder. */
  readonly composePlugin?: string;
}

/** A shell's quoting of one word. */
const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** What the namespaces' first process does before it becomes the engine. */
function initScript(folder: string, packages: string, cgroup: string): string {
  const dockerd = [
    "dockerd",
    `--data-root=${path.join(folder, "data")}`,
    "--exec-root=/run/docker",
    "--pidfile=/run/docker.pid",
    `--host=${SOCKET}`,
    `--config-file=${path.join(folder, "daemon.json")}`,
    // A lower score than its parent's would need CAP_SYS_RESOURCE.
    "--oom-score-adjust=0",
    `--cgroup-parent=/${cgroup}`,
  ];
  return [
    "set -eu",
    `mount -t overlay overlay -o ${quote(`lowerdir=${path.join(packages, "usr")}:/usr`)} /usr`,
    "mount -t tmpfs tmpfs /run",
    "ip link set lo up",
    `exec docker-init -s -- ${dockerd.map(quote).join(" ")}`,
    "",
  ].join("\n");
}

/**
 * Containers share what their engine's cgroup gets, and a cgroup gets as much as one process outside of any: beside a busy suite
 * that is too little for a whole cluster. Where the machine has cgroups of version 1, or a `cpu` controller for all of version 2.
 */
function giveCpu(cgroup: string): void {
  for (const [folder, file, share] of [
    [path.join(CGROUPS, "cpu", cgroup), "cpu.shares", 16 * 1024],
    [path.join(CGROUPS, cgroup), "cpu.weight", 16 * 100],
  ] as const) {
    if (!existsSync(path.join(path.dirname(folder), "cgroup.procs"))) continue;
    mkdirSync(folder);
    if (existsSync(path.join(folder, file))) writeFileSync(path.join(folder, file), String(share));
  }
}

/** Starts the engine and waits until it answers. Needs root. */
export async function startPrivateDocker(options: EngineOptions): Promise<PrivateDocker> {
  sweepLeftovers();
  const folder = mkdtempSync(path.join(tmpdir(), PREFIX));
  // The engine's own mappings need to look through it.
  chmodSync(folder, 0o711);
  writeFileSync(path.join(folder, "owner"), `${process.pid} ${startTime(process.pid)}`);
  writeFileSync(path.join(folder, "daemon.json"), "{}");
  const cgroup = path.basename(folder);
  giveCpu(cgroup);
  writeFileSync(path.join(folder, "init.sh"), initScript(folder, options.packages, cgroup));
  const logFile = path.join(folder, "engine.log");
  const out = openSync(logFile, "a", 0o600);
  const namespaces = [
    "--net",
    "--mount",
    "--pid",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
  ];
  const outer = spawn(
    "setpriv",
    ["--pdeathsig", "KILL", "unshare", ...namespaces, "sh", path.join(folder, "init.sh")],
    { stdio: ["ignore", out, out], env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: folder, LANG: "C.UTF-8" } },
  );
  const log = (): string => readFileSync(logFile, "utf8").split("\n").slice(-40).join("\n");
  const stop = async (): Promise<void> => {
    await endAll(outer);
    removeFolder(folder);
  };
  try {
    const first = await firstProcess(outer, log);
    const docker = entrance(folder, first, options, log, stop);
    await waitFor("the engine answers", 60_000, async () => (await docker.run(["docker", "version"])).code === 0, log);
    return docker;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The ways into the namespaces whose first process is `first`. */
function entrance(
  folder: string,
  first: number,
  options: EngineOptions,
  log: () => string,
  stop: () => Promise<void>,
): PrivateDocker {
  const config = path.join(folder, "config");
  mkdirSync(path.join(config, "cli-plugins"), { recursive: true });
  const enter = `nsenter --target ${first} --net --mount --pid --ipc`;
  const inside = `env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=${quote(folder)} DOCKER_HOST=${SOCKET} DOCKER_CONFIG=${quote(config)}`;
  // The working directory is looked up anew inside: the one that nsenter brings along belongs to the other mount namespace.
  const script = (program: string): string =>
    `#!/bin/sh\nexec ${enter} -- ${inside} sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" ${program} "$@"\n`;
  const bin = path.join(folder, "bin");
  mkdirSync(bin);
  for (const [name, program] of Object.entries({ inside: "", docker: "docker", "docker-compose": "docker-compose" }))
    writeFileSync(path.join(bin, name), script(program), { mode: 0o755 });
  if (options.composePlugin !== undefined) {
    // A wrapper, not a link: the command line looks for the plugin inside the namespaces, by this path.
    const plugin = path.join(config, "cli-plugins", "docker-compose");
    writeFileSync(plugin, `#!/bin/sh\nexec ${quote(options.composePlugin)} "$@"\n`, { mode: 0o755 });
  }
  const run: PrivateDocker["run"] = (command, commandOptions) =>
    runCommand([path.join(bin, "inside"), ...command], commandOptions);
  return {
    folder,
    env: { ...process.env, PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` },
    run,
    ok: async (command, commandOptions) => {
      const result = await run(command, commandOptions);
      if (result.code !== 0)
        throw new Error(`${command.join(" ")} exited with ${result.code}: ${result.stderr}${result.stdout}`);
      return result.stdout;
    },
    log,
    [Symbol.asyncDispose]: stop,
  };
}

function runCommand(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      command[0] ?? "",
      command.slice(1),
      { cwd: options.cwd, maxBuffer: 64 << 20, timeout: options.timeoutMs ?? 120_000, killSignal: "SIGKILL" },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ code: 0, stdout, stderr });
        if (typeof error.code === "string") return reject(error);
        resolve({ code: typeof error.code === "number" ? error.code : 137, stdout, stderr });
      },
    );
    // A command that ends without reading its input is no error of the test's.
    child.stdin?.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") reject(error);
    });
    child.stdin?.end(options.input ?? "");
  });
}

/** The namespaces' first process as this machine numbers it: unshare's only child. */
async function firstProcess(outer: ChildProcess, log: () => string): Promise<number> {
  let found = 0;
  await waitFor(
    "the namespaces are there",
    10_000,
    async () => {
      if (outer.exitCode !== null) throw new Error(`the engine ended at once:\n${log()}`);
      const { stdout } = await runCommand(["cat", `/proc/${outer.pid}/task/${outer.pid}/children`]);
      found = Number(stdout.trim().split(" ")[0] ?? "0");
      return found > 0;
    },
    log,
  );
  return found;
}

/** Ends unshare: the kernel then ends the namespaces' first process, and with it every other one. */
async function endAll(outer: ChildProcess): Promise<void> {
  if (outer.exitCode === null && outer.signalCode === null) {
    const { promise, resolve } = Promise.withResolvers<void>();
    outer.once("exit", () => resolve());
    outer.kill("SIGKILL");
    await promise;
  }
}

/** Field 22 of /proc/PID/stat: tells a process from a later one of the same number. Empty for a process that is gone. */
function startTime(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
}

/** Removes what engines left behind whose test process is gone; their processes went with it. */
function sweepLeftovers(): void {
  for (const name of readdirSync(tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const folder = path.join(tmpdir(), name);
    const [pid, began] = ownerOf(folder);
    if (startTime(pid) !== began || began === "") removeFolder(folder);
  }
  // Where somebody else emptied the folder for temporary files, cgroups without a process tell of it.
  for (const hierarchy of hierarchies()) {
    for (const { name } of entriesOf(hierarchy)?.filter((entry) => entry.name.startsWith(PREFIX)) ?? []) {
      const cgroup = path.join(hierarchy, name);
      if (!existsSync(path.join(tmpdir(), name)) && !hasProcesses(cgroup)) removeCgroup(cgroup);
    }
  }
}

function hierarchies(): string[] {
  return [".", ...readdirSync(CGROUPS)].map((controller) => path.join(CGROUPS, controller));
}

function hasProcesses(cgroup: string): boolean {
  if (readFileSync(path.join(cgroup, "cgroup.procs"), "utf8") !== "") return true;
  const entries = entriesOf(cgroup) ?? [];
  return entries.some((entry) => entry.isDirectory() && hasProcesses(path.join(cgroup, entry.name)));
}

/** Undefined where `folder` is none. */
function entriesOf(folder: string): Dirent[] | undefined {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

function ownerOf(folder: string): [number, string] {
  try {
    const [pid, began] = readFileSync(path.join(folder, "owner"), "utf8").split(" ");
    return [Number(pid), began ?? ""];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [0, ""];
    throw error;
  }
}

function removeFolder(folder: string): void {
  for (const hierarchy of hierarchies()) removeCgroup(path.join(hierarchy, path.basename(folder)));
  // Processes that are just ending may still write.
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/** A cgroup goes when it is empty, from the innermost out. */
function removeCgroup(folder: string): void {
  const entries = entriesOf(folder);
  if (entries === undefined) return;
  for (const entry of entries) if (entry.isDirectory()) removeCgroup(path.join(folder, entry.name));
  rmdirSync(folder);
}

/** Asks again until `holds`; rejects with the engine's log after `timeoutMs`. */
async function waitFor(
  what: string,
  timeoutMs: number,
  holds: () => Promise<boolean>,
  log: () => string,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
