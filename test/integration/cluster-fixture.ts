// A real cluster for a test file: own data directory, free ports, simulated nodes, and the real kubectl.
import { execFile, spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ensureKubectl, repositoryRoot, startCluster, type Cluster, type StartOptions } from "@coxswain/cluster";

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** kubectl with one cluster's kubeconfig. */
export interface Kubectl {
  /** Runs kubectl; never rejects for a failing command. */
  kubectl(args: readonly string[], input?: string, extraEnv?: NodeJS.ProcessEnv): Promise<KubectlResult>;
  /** Runs kubectl and rejects, with what it printed, unless it succeeds. Resolves with standard output. */
  ok(args: readonly string[], input?: string): Promise<string>;
  /** The object as JSON. */
  get<T>(args: readonly string[]): Promise<T>;
  apply(manifest: string): Promise<string>;
  /** kubectl in the background, as for `get -w`. */
  start(args: readonly string[]): ChildProcessWithoutNullStreams;
}

/** Where a cluster is, for whoever has its files. */
export interface ClusterPlace {
  readonly name: string;
  /** https://host:port */
  readonly apiServer: string;
  readonly etcd: string;
  readonly kubeconfig: string;
  /** The folder with ca.crt and the certificates of all, as in admin.crt and admin.key. */
  readonly pki: string;
  /** The kubectl program's file. */
  readonly kubectl: string;
}

export interface TestCluster extends AsyncDisposable, Kubectl {
  readonly cluster: Cluster;
  /** Where its files are, for another process. */
  readonly place: ClusterPlace;
}

/** Starts a cluster that ends, data and all, when it is disposed. */
export async function testCluster(options: StartOptions = {}): Promise<TestCluster> {
  const home = mkdtempSync(path.join(tmpdir(), "cox-"));
  const program = await ensureKubectl(path.join(repositoryRoot(), ".tools"), () => {});
  const cluster = await startCluster({ home, freePorts: true, nodes: 3, runtime: "simulated", ...options });
  const { name, paths, info } = cluster;
  return {
    cluster,
    place: {
      name,
      apiServer: info.apiServer,
      etcd: info.etcd,
      kubeconfig: info.kubeconfig,
      pki: paths.pki,
      kubectl: program,
    },
    ...kubectlOf(program, { KUBECONFIG: cluster.info.kubeconfig, KUBECACHEDIR: path.join(home, "kubectl-cache") }),
    [Symbol.asyncDispose]: async () => {
      await cluster.down({ purge: true });
      rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The kubectl at `program`, told by `clusterEnv` where its cluster and its cache are. */
export function kubectlOf(program: string, clusterEnv: NodeJS.ProcessEnv): Kubectl {
  const env = { ...process.env, ...clusterEnv };
  const kubectl: Kubectl["kubectl"] = (args, input, extraEnv = {}) =>
    runClient(program, args, { ...env, ...extraEnv }, input);
  const ok = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await kubectl(args, input);
    if (result.code !== 0)
      throw new Error(`kubectl ${args.join(" ")} exited with ${result.code}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  };
  return {
    kubectl,
    ok,
    get: async <T>(args: readonly string[]) => JSON.parse(await ok(["get", ...args, "-o", "json"])) as T,
    apply: (manifest) => ok(["apply", "-f", "-"], manifest),
    start: (args) => spawn(program, [...args], { env }),
  };
}

/** Runs a client program to its end, within 150 s; rejects only where it cannot be started. */
export function runClient(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input?: string,
): Promise<KubectlResult> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      { env, maxBuffer: 64 << 20, timeout: 150_000 },
      (error, stdout, stderr) => {
        if (error !== null && typeof error.code === "string") reject(error);
        else resolve({ code: error === null ? 0 : ((error.code as number | null | undefined) ?? 1), stdout, stderr });
      },
    );
    child.stdin?.end(input ?? "");
  });
}

/**
 * Deletes pods of a StatefulSet and waits until others of their names are there. kubectl's own wait never ends where a new
 * pod has the name before it looks for the old one: it tells them apart only on its first look.
 */
export async function replacePods(k: Kubectl, which: readonly string[]): Promise<void> {
  const uids = async (): Promise<string[]> =>
    (
      await k.ok([
        "get",
        "pods",
        ...which,
        "-o",
        'jsonpath={range .items[*]}{.metadata.uid}{"\\n"}{end}{.metadata.uid}',
      ])
    )
      .split("\n")
      .filter((uid) => uid !== "");
  const before = await uids();
  await k.ok(["delete", "pods", ...which, "--wait=false"]);
  await eventually(uids, (now) => now.length === before.length && !now.some((uid) => before.includes(uid)));
}

/**
 * Asks again until `holds` says so; rejects with what was last seen after `timeoutMs`. It pauses for as long as an answer took,
 * so that whoever waits for a busy machine takes no more than half of what one process may.
 */
export async function eventually<T>(
  ask: () => Promise<T>,
  holds: (value: T) => boolean,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const askedAt = performance.now();
    let seen: unknown;
    try {
      const value = await ask();
      if (holds(value)) return value;
      seen = value;
    } catch (error) {
      seen = error;
    }
    if (performance.now() > deadline) {
      throw new Error(
        `still not so after ${timeoutMs} ms: ${seen instanceof Error ? seen.message : JSON.stringify(seen).slice(0, 2000)}`,
        { cause: seen },
      );
    }
    const took = performance.now() - askedAt;
    await new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(50, took), 500)));
  }
}

export interface DeploymentManifest {
  readonly name: string;
  readonly replicas: number;
  readonly image?: string;
  readonly maxSurge?: number | string;
  readonly maxUnavailable?: number | string;
}

/** A Deployment of pods that ask for little. */
export function deployment(wish: DeploymentManifest): string {
  return JSON.stringify({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: wish.name, labels: { app: wish.name } },
    spec: {
      replicas: wish.replicas,
      selector: { matchLabels: { app: wish.name } },
      strategy: {
        type: "RollingUpdate",
        rollingUpdate: { maxSurge: wish.maxSurge ?? "25%", maxUnavailable: wish.maxUnavailable ?? "25%" },
      },
      template: {
        metadata: { labels: { app: wish.name } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: "main",
              image: wish.image ?? "example.test/app:v1",
              resources: { requests: { cpu: "10m", memory: "16Mi" } },
            },
          ],
        },
      },
    },
  });
}
