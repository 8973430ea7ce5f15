// docker-compose.yml of this repository under one version of compose, inside a private engine, with the real kubectl.
import { chmodSync, copyFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import * as compose from "docker-compose";
import { ensureKubectl, repositoryRoot } from "@coxswain/cluster";
import { eventually } from "../integration/cluster-fixture.ts";
import type { PrivateDocker } from "./private-docker.ts";

const CONTROL_PLANE = ["etcd", "nats", "api-server", "scheduler", "controller-manager", "metrics-server"];
const NODES = ["1", "2"].flatMap((n) => [`node-${n}`, `containerd-${n}`, `kubelet-${n}`, `kube-proxy-${n}`]);

/** The services that stay, of the profile that starts by itself; `pki` ends after its work. */
export const SERVICES = [...CONTROL_PLANE, "kubelet", "kube-proxy"];
/** The same of profile `nodes`. */
const NODES_SERVICES = [...CONTROL_PLANE, "cluster-dns", ...NODES];

export type ComposeVersion = "1.29" | "2";

export interface ContainerState {
  readonly id: string;
  /** Of the container's first process, as the engine's namespaces number it; 0 when it does not run. */
  readonly pid: number;
  readonly status: string;
  readonly health: string;
  readonly restarts: number;
  readonly startedAt: string;
}

interface Inspected {
  readonly Id: string;
  readonly RestartCount: number;
  readonly State: {
    readonly Pid: number;
    readonly Status: string;
    readonly StartedAt: string;
    readonly Health?: { readonly Status: string };
  };
}

/** One compose project of the file, as its users drive it. */
export class ComposeProject {
  readonly docker: PrivateDocker;
  readonly version: ComposeVersion;
  readonly name: string;
  /** Those that stay. */
  readonly services: readonly string[];
  private readonly profile: "nodes" | undefined;
  private readonly kubectlProgram: string;
  private readonly credentials: string;

  private constructor(docker: PrivateDocker, version: ComposeVersion, kubectlProgram: string, profile?: "nodes") {
    this.docker = docker;
    this.version = version;
    this.profile = profile;
    this.services = profile === undefined ? SERVICES : NODES_SERVICES;
    this.name = `coxswain-v${version.replace(/\D.*/, "")}`;
    this.kubectlProgram = kubectlProgram;
    this.credentials = path.join(docker.folder, `credentials-${this.name}`);
    mkdirSync(this.credentials, { recursive: true });
  }

  /** Without `profile` that of .env, as a user has it who names none. */
  static async create(docker: PrivateDocker, version: ComposeVersion, profile?: "nodes"): Promise<ComposeProject> {
    const found = await ensureKubectl(path.join(repositoryRoot(), ".tools"), () => {});
    const kubectl = path.join(docker.folder, "kubectl");
    copyFileSync(found, kubectl);
    chmodSync(kubectl, 0o755);
    return new ComposeProject(docker, version, kubectl, profile);
  }

  /** What the `docker-compose` package is told: the true file, the engine's environment, and which compose. */
  private options(extra: Partial<compose.IDockerComposeOptions> = {}): compose.IDockerComposeOptions {
    const executable: compose.IDockerComposeExecutableOptions =
      this.version === "2"
        ? { executablePath: path.join(this.docker.folder, "bin", "docker") }
        : { standalone: true, executablePath: path.join(this.docker.folder, "bin", "docker-compose") };
    return {
      cwd: repositoryRoot(),
      config: "docker-compose.yml",
      env: this.docker.env,
      composeOptions: [
        ["--project-name", this.name],
        ...(this.profile === undefined ? [] : [["--profile", this.profile]]),
      ],
      executable,
      ...extra,
    };
  }

  async reportedVersion(): Promise<string> {
    return (await compose.version(this.options())).data.version;
  }

  async build(): Promise<void> {
    await succeed("build", () => compose.buildAll(this.options()));
  }

  /** `up -d`, and every service healthy. */
  async up(): Promise<void> {
    await succeed("up", () => compose.upAll(this.options()));
    await this.healthy();
  }

  /** `down`; with `volumes` also what the cluster knew. */
  async down(options: { readonly volumes: boolean }): Promise<void> {
    await succeed("down", () =>
      compose.downAll(this.options({ commandOptions: options.volumes ? ["--volumes"] : [] })),
    );
  }

  /** `kill -s KILL SERVICE`: it stays down until someone starts it. */
  async kill(service: string): Promise<void> {
    await succeed("kill", () => compose.kill(this.options({ commandOptions: ["-s", "KILL", service] })));
  }

  async state(service: string): Promise<ContainerState> {
    const filters = ["project", "service"].map((key, at) => [
      "--filter",
      `label=com.docker.compose.${key}=${[this.name, service][at]}`,
    ]);
    const id = (await this.docker.ok(["docker", "ps", "--all", "--quiet", ...filters.flat()])).trim();
    if (id === "") throw new Error(`${service} has no container`);
    const [inspected] = JSON.parse(await this.docker.ok(["docker", "inspect", id])) as Inspected[];
    if (inspected === undefined) throw new Error(`${service} has no container`);
    const { Pid, Status, StartedAt, Health } = inspected.State;
    return {
      id,
      pid: Pid,
      status: Status,
      health: Health?.Status ?? "",
      restarts: inspected.RestartCount,
      startedAt: StartedAt,
    };
  }

  /** Waits until all services are healthy. */
  async healthy(): Promise<void> {
    const states = (): Promise<string[]> =>
      Promise.all(
        this.services.map(async (service) => {
          const { status, health } = await this.state(service);
          return status === "running" && health === "healthy" ? "" : `${service} is ${status} ${health}`;
        }),
      );
    try {
      await eventually(states, (lines) => lines.every((line) => line === ""), 120_000);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await this.logs()}`, { cause: error });
    }
  }

  async logs(): Promise<string> {
    const result = await compose.logs([...this.services], this.options({ commandOptions: ["--tail", "8"] }));
    return `${result.out}${result.err}`.slice(-20_000);
  }

  /** The documented command that hands kubeconfig and client certificate to the user. */
  async fetchCredentials(): Promise<string[]> {
    const command = this.version === "2" ? "docker compose" : "docker-compose";
    const files = "kubeconfig ca.crt admin.crt admin.key";
    const handOver = `${command} --project-name ${this.name} --file ${path.join(repositoryRoot(), "docker-compose.yml")} exec -T api-server tar -C /pki -c ${files} | tar -xo`;
    await this.docker.ok(["sh", "-c", `cd ${this.credentials} && ${handOver}`]);
    return (await this.docker.ok(["ls", this.credentials])).trim().split("\n");
  }

  /** kubectl as a user of this machine would run it: over the published port. Rejects unless it succeeds. */
  kubectl(args: readonly string[], input?: string): Promise<string> {
    const kubeconfig = path.join(this.credentials, "kubeconfig");
    return this.docker.ok([this.kubectlProgram, "--kubeconfig", kubeconfig, ...args], { input, timeoutMs: 180_000 });
  }

  /** Asks with the client certificate over HTTPS; the HTTP status. */
  async get(url: string): Promise<number> {
    const [ca, cert, key] = ["ca.crt", "admin.crt", "admin.key"].map((file) => path.join(this.credentials, file));
    const program = `
      const { get } = require("node:https"); const { readFileSync } = require("node:fs");
      const [url, ca, cert, key] = process.argv.slice(1);
      get(url, { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key), timeout: 5000 }, (r) => { r.resume(); console.log(r.statusCode); });`;
    const out = await this.docker.ok([process.execPath, "-e", program, url, ca ?? "", cert ?? "", key ?? ""]);
    return Number(out);
  }
}

async function succeed(what: string, call: () => Promise<compose.IDockerComposeResult>): Promise<void> {
  const result = await call().catch((error: unknown) => {
    const { err, out } = error as Partial<compose.IDockerComposeResult>;
    throw new Error(`compose ${what}: ${err ?? ""}${out ?? ""}${error instanceof Error ? error.message : ""}`, {
      cause: error,
    });
  });
  if (result.exitCode !== 0) throw new Error(`compose ${what} exited with ${result.exitCode}: ${result.err}`);
}
