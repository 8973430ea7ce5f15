// A node for tests: one node's namespaces with a running containerd, and nothing else of a cluster.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { createRealEnv, type Env } from "@coxswain/env";
import { ensureNodePrograms, type NodePrograms } from "../node-programs.ts";
import { type Command, createPlatform, type Platform } from "./create-platform.ts";
import { planPlatform, platformId } from "./platform-plan.ts";
import { removePlatform } from "./remove-platform.ts";

/** Tests run from the sources: the repository is above. */
const REPOSITORY = path.resolve(import.meta.dirname, "../../../..");
const TOOLS = path.join(REPOSITORY, ".tools");

export interface TestNode {
  readonly platform: Platform;
  readonly programs: NodePrograms;
  /** "node-1" */
  readonly node: string;
  /** containerd's socket for this process; inside the node it is /run/containerd/containerd.sock. */
  readonly socketPathOnHost: string;
  /** A folder that has the same path on the machine and in the node. Everything in it goes with `stop`. */
  readonly dataDir: string;
  readonly podCidr: string;
  /** The parent for pods' cgroups. */
  readonly cgroupRoot: string;
  /** The node's folders as this process sees them: "/var/lib/kubelet" → where it is on the machine. */
  pathOnHost(inside: string): string;
  /** The prefix that runs a program in the node. */
  enter(): Command;
  /** Runs a program in the node to its end. Throws, with what it said, unless it exits with 0. */
  run(program: string, ...args: string[]): Promise<string>;
  /** containerd's log so far. */
  log(): string;
  /** Kills containerd as a crash would, and starts it again. */
  restartContainerd(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a node. `options.name` need not be unique: the folder of the node is. */
export async function startTestNode(options: { readonly name?: string } = {}): Promise<TestNode> {
  const env = createRealEnv();
  const programs = await ensureNodePrograms(TOOLS, (line) => console.log(line));
  const dataDir = mkdtempSync("/tmp/cox-node-");
  const id = platformId(options.name ?? "test", dataDir);
  const stopAll = async (): Promise<void> => {
    await removePlatform(id, dataDir, env);
    rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    // Programs of tests are this checkout's, run by this Node: both may lie below /tmp.
    const visible = [REPOSITORY, path.dirname(process.execPath)];
    const plan = planPlatform({ id, dataDir, controlMembers: [], nodes: 1, programs, visible });
    const platform = await createPlatform(plan, env);
    const containerd = new NodeContainerd(platform, dataDir, env);
    await containerd.start();
    return testNode(platform, containerd, dataDir, stopAll);
  } catch (error) {
    await stopAll();
    throw error;
  }
}

function testNode(
  platform: Platform,
  containerd: NodeContainerd,
  dataDir: string,
  stop: () => Promise<void>,
): TestNode {
  const [node] = platform.plan.nodes;
  if (node === undefined) throw new Error("the plan has no node");
  const enter = (): Command => platform.enter(node.name);
  return {
    platform,
    programs: platform.plan.programs,
    node: node.name,
    socketPathOnHost: platform.containerdSocket(node.name),
    dataDir,
    podCidr: node.podCidr,
    cgroupRoot: node.podCgroupRoot,
    pathOnHost: (inside) => platform.pathOnHost(node.name, inside),
    enter,
    run: (program, ...args) => runToEnd(enter(), [program, ...args], platform.nodeEnv),
    log: () => containerd.log(),
    restartContainerd: () => containerd.restart(),
    stop,
  };
}

/** Runs a program in a member to its end; resolves to its standard output. */
export function runToEnd(
  prefix: Command,
  program: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      prefix.command,
      [...prefix.args, ...program],
      { env: environment, maxBuffer: 64 << 20 },
      (error, out, said) =>
        error === null ? resolve(out) : reject(new Error(`${program.join(" ")}: ${said.trim() || error.message}`)),
    );
  });
}

class NodeContainerd {
  readonly #platform: Platform;
  readonly #logFile: string;
  readonly #env: Env;
  #child: ChildProcess | undefined;

  constructor(platform: Platform, dataDir: string, env: Env) {
    this.#platform = platform;
    this.#logFile = path.join(dataDir, "containerd.log");
    this.#env = env;
  }

  async start(): Promise<void> {
    const { command, args } = this.#platform.containerdCommand("node-1");
    const output = openSync(this.#logFile, "a");
    const child = spawn(command, [...args], {
      detached: true,
      stdio: ["ignore", output, output],
      env: this.#platform.nodeEnv,
    });
    closeSync(output);
    this.#child = child;
    while (!(await accepts(this.#platform.containerdSocket("node-1")))) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`containerd ended: ${this.log()}`);
      await this.#env.timers.sleep(10);
    }
  }

  async restart(): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
    await this.start();
  }

  log(): string {
    return existsSync(this.#logFile) ? readFileSync(this.#logFile, "utf8") : "";
  }
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
