// Cri: how the kubelet runs containers, after the Container Runtime Interface (runtime.v1). The simulated runtime and
// containerd (over gRPC) both implement it, and one suite runs both.

export type ContainerState = "CONTAINER_CREATED" | "CONTAINER_RUNNING" | "CONTAINER_EXITED" | "CONTAINER_UNKNOWN";

/** How the processes of a pod or container share a namespace (runtime.v1 NamespaceMode). */
export type NamespaceMode = "POD" | "CONTAINER" | "NODE";

export interface SecurityProfile {
  readonly type: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostRef?: string;
}

/** What Linux needs to know of a sandbox; absent where the runtime runs nothing real. */
export interface SandboxLinux {
  /** "/coxswain-x/node-1/burstable/pod<uid>": the runtime makes its cgroups below. */
  readonly cgroupParent: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly ipcMode: NamespaceMode;
  readonly pidMode: NamespaceMode;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly supplementalGroups: readonly number[];
  readonly privileged: boolean;
  readonly seccomp?: SecurityProfile;
}

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

/** What Linux needs to know of a container. */
export interface ContainerLinux {
  readonly privileged: boolean;
  readonly readonlyRootfs: boolean;
  readonly noNewPrivs: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsUserName?: string;
  readonly supplementalGroups: readonly number[];
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly seccomp?: SecurityProfile;
  readonly ipcMode: NamespaceMode;
  readonly pidMode: NamespaceMode;
  /** CONTAINER with TARGET shares the processes of another container of the pod (ephemeral containers). */
  readonly targetContainerId?: string;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly oomScoreAdj: number;
}

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
  readonly dns?: DnsConfig;
  readonly portMappings?: readonly PortMapping[];
  /** Which of the runtime's handlers runs it; the runtime's own choice where unset. */
  readonly runtimeHandler?: string;
  readonly linux?: SandboxLinux;
}

export interface PodSandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly state: "SANDBOX_READY" | "SANDBOX_NOTREADY";
  readonly createdAtMs: number;
  /** Empty for host network. */
  readonly ip: string;
}

/** A container image that is mounted, read-only. */
export interface ImageMount {
  /** As the runtime calls it. */
  readonly id: string;
  /** As the pod calls it. */
  readonly reference: string;
  /** The folder of it that is meant; "" for all of it. */
  readonly subPath: string;
}

export interface ContainerMount {
  /** "" where an image is mounted. */
  readonly hostPath: string;
  readonly containerPath: string;
  readonly readonly: boolean;
  readonly propagation?: "PRIVATE" | "HOST_TO_CONTAINER" | "BIDIRECTIONAL";
  readonly image?: ImageMount;
}

/** Who pulls an image, for its registry. */
export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
}

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly ContainerMount[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly logPath: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  /** The first attach that ends closes the input for good. */
  readonly stdinOnce?: boolean;
  readonly resources: {
    /** Request; the share of the processor under pressure. */
    readonly cpuMillis?: number;
    readonly cpuLimitMillis?: number;
    readonly memoryLimitBytes?: number;
  };
  readonly linux?: ContainerLinux;
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
  /** Where on the node the runtime writes its log; absent or "" where it writes none. */
  readonly logFile?: string;
}

export interface CriContainerStats {
  readonly containerId: string;
  /** Nanoseconds of CPU a second, of late. */
  readonly cpuNanoCores: number;
  /** Nanoseconds of CPU since it started. */
  readonly cpuNanos: number;
  readonly memoryWorkingSetBytes: number;
  /** What it has written to its own root. */
  readonly writableLayerBytes: number;
  /** When the figures were taken. */
  readonly timeMs: number;
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
  /** Resolves when the client has taken all output so far: a runtime that reads on only then holds no more than it must. */
  drained?(): Promise<void>;
}

export interface ForwardIo {
  /** What the client sends; its end closes the connection's writing side. */
  readonly input: AsyncIterable<Buffer>;
  /** May be awaited: the runtime reads on when it resolves. */
  output(data: Buffer): Promise<void> | void;
}

export class CriError extends Error {
  override readonly name = "CriError";
  /** Unavailable: the runtime cannot be reached now. DeadlineExceeded: it did not answer, or a command did not end, in time. */
  readonly code:
    | "NotFound"
    | "AlreadyExists"
    | "Unavailable"
    | "DeadlineExceeded"
    | "InvalidArgument"
    | "Internal"
    | "Unimplemented";
  constructor(code: CriError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

export interface LogLine {
  readonly timeMs: number;
  /** The nanoseconds of the moment's millisecond, 0 to 999,999; absent where the runtime counts milliseconds. */
  readonly nanos?: number;
  readonly stream: "stdout" | "stderr";
  /** Without its line break. */
  readonly line: Buffer;
  /** The container wrote no line break after it: a very long line, or the last one. */
  readonly partial?: boolean;
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
  /** Gives a container that runs other bounds and another share, in place. */
  updateContainerResources(id: string, resources: ContainerConfig["resources"], oomScoreAdj: number): Promise<void>;
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
  /** Connects to a port of the pod's own loopback, and carries bytes both ways until one side ends. */
  portForward(sandboxId: string, port: number, io: ForwardIo, signal: AbortSignal): Promise<void>;
  /** Log lines as stored; follows until the container ends where asked. Also of containers that have ended. */
  logs(id: string, options: { follow: boolean }, signal: AbortSignal): AsyncIterable<LogLine>;
  /** Makes the runtime write to a new file after the kubelet has moved the old one away. */
  reopenContainerLog?(id: string): Promise<void>;
  /** Of the containers that run. */
  containerStats(sandboxId: string): Promise<CriContainerStats[]>;
  /** `user` is whom the image runs as where nobody says otherwise, as a number or a name; absent where it is not known. */
  imageStatus(
    image: string,
  ): Promise<{ id: string; sizeBytes: number; user?: { uid?: number; username?: string } } | undefined>;
  pullImage(image: string, auth?: RegistryAuth): Promise<string>;
  listImages(): Promise<{ id: string; names: string[]; sizeBytes: number }[]>;
  removeImage(image: string): Promise<void>;
  /** The disk that images lie on; absent where they lie on none. */
  imageFsInfo?(): Promise<{ capacityBytes: number; availableBytes: number }>;
  /** Only where the runtime itself answers probes, as the simulated one does: else the kubelet goes by the network. */
  probe?(id: string, kind: ProbeKind): Promise<{ success: boolean; output: string }>;
  /** Undefined where the runtime has no events (containerd 1.6): then the kubelet relists. */
  events?(listener: (event: ContainerEvent) => void): () => void;
}
