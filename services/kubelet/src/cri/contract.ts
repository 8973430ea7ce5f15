// Cri: how the kubelet runs containers, after the Container Runtime Interface (runtime.v1). The simulated runtime and
// containerd (over gRPC) both implement it, and one suite runs both.

export type ContainerState = "CONTAINER_CREATED" | "CONTAINER_RUNNING" | "CONTAINER_EXITED" | "CONTAINER_UNKNOWN";

export interface PodSandboxConfig {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
  readonly hostname: string;
  readonly logDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hostNetwork: boolean;
}

export interface PodSandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  readonly createdAtMs: number;
  /** Empty for host network. */
  readonly ip: string;
}

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly { readonly hostPath: string; readonly containerPath: string; readonly readonly: boolean }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly logPath: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly resources: {
    readonly cpuMillis?: number;
    readonly cpuLimitMillis?: number;
    readonly memoryLimitBytes?: number;
  };
}

export interface ContainerStatus {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  /** Completed, Error, OOMKilled, … */
  readonly reason: string;
  readonly message: string;
  readonly imageRef: string;
}

export interface ContainerEvent {
  readonly sandboxId: string;
  readonly containerId: string;
  readonly type:
    | "CONTAINER_CREATED_EVENT"
    | "CONTAINER_STARTED_EVENT"
    | "CONTAINER_STOPPED_EVENT"
    | "CONTAINER_DELETED_EVENT";
}

export interface ExecIo {
  readonly stdin?: AsyncIterable<Buffer>;
  stdout(data: Buffer): void;
  stderr(data: Buffer): void;
  readonly resize?: AsyncIterable<{ width: number; height: number }>;
}

export class CriError extends Error {
  override readonly name = "CriError";
  readonly code: "NotFound" | "AlreadyExists" | "Unavailable" | "InvalidArgument" | "Internal" | "Unimplemented";
  constructor(code: CriError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

export type ProbeKind = "startup" | "liveness" | "readiness";

export interface Cri {
  version(): Promise<{ runtimeName: string; runtimeVersion: string }>;
  status(): Promise<{ runtimeReady: boolean; networkReady: boolean; message: string }>;
  runPodSandbox(config: PodSandboxConfig): Promise<string>;
  /** Idempotent; ends all containers of the sandbox and gives its address back. */
  stopPodSandbox(id: string): Promise<void>;
  /** Idempotent. */
  removePodSandbox(id: string): Promise<void>;
  podSandboxStatus(id: string): Promise<PodSandbox>;
  listPodSandbox(filter?: { uid?: string }): Promise<PodSandbox[]>;
  createContainer(sandboxId: string, config: ContainerConfig): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** Idempotent; resolves when the container has exited, at the latest after the time-out by force. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  containerStatus(id: string): Promise<ContainerStatus>;
  listContainers(filter?: { sandboxId?: string; podUid?: string }): Promise<ContainerStatus[]>;
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
  ): Promise<{ stdout: Buffer; stderr: Buffer; exitCode: number }>;
  /** Resolves with the exit code. */
  exec(id: string, command: readonly string[], tty: boolean, io: ExecIo, signal: AbortSignal): Promise<number>;
  attach(id: string, io: ExecIo, signal: AbortSignal): Promise<void>;
  /** Log lines as stored; follows until the container ends where asked. */
  logs(
    id: string,
    options: { follow: boolean },
    signal: AbortSignal,
  ): AsyncIterable<{ timeMs: number; stream: "stdout" | "stderr"; line: Buffer }>;
  containerStats(
    sandboxId: string,
  ): Promise<{ containerId: string; cpuNanoCores: number; memoryWorkingSetBytes: number }[]>;
  imageStatus(image: string): Promise<{ id: string; sizeBytes: number } | undefined>;
  pullImage(image: string): Promise<string>;
  listImages(): Promise<{ id: string; names: string[]; sizeBytes: number }[]>;
  /** Only where the runtime itself answers probes, as the simulated one does: else the kubelet goes by the network. */
  probe?(id: string, kind: ProbeKind): Promise<{ success: boolean; output: string }>;
  /** Undefined where the runtime has no events (containerd 1.6): then the kubelet relists. */
  events?(listener: (event: ContainerEvent) => void): () => void;
}
