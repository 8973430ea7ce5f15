// Generated from the .proto files by protos/generate.ts; do not edit.


export interface VersionRequest {
  version: string;
}

export interface VersionRequestInput {
  version?: string | null;
}

export interface VersionResponse {
  version: string;
  runtimeName: string;
  runtimeVersion: string;
  runtimeApiVersion: string;
}

export interface VersionResponseInput {
  version?: string | null;
  runtimeName?: string | null;
  runtimeVersion?: string | null;
  runtimeApiVersion?: string | null;
}

export interface StatusRequest {
  verbose: boolean;
}

export interface StatusRequestInput {
  verbose?: boolean | null;
}

export interface StatusResponse {
  status: RuntimeStatus | null;
}

export interface StatusResponseInput {
  status?: RuntimeStatusInput | null;
}

export interface RuntimeStatus {
  conditions: Array<RuntimeCondition>;
}

export interface RuntimeStatusInput {
  conditions?: ReadonlyArray<RuntimeConditionInput> | null;
}

export interface RuntimeCondition {
  type: string;
  status: boolean;
  reason: string;
  message: string;
}

export interface RuntimeConditionInput {
  type?: string | null;
  status?: boolean | null;
  reason?: string | null;
  message?: string | null;
}

export interface RunPodSandboxRequest {
  config: PodSandboxConfig | null;
  runtimeHandler: string;
}

export interface RunPodSandboxRequestInput {
  config?: PodSandboxConfigInput | null;
  runtimeHandler?: string | null;
}

export interface PodSandboxConfig {
  metadata: PodSandboxMetadata | null;
  hostname: string;
  logDirectory: string;
  dnsConfig: DNSConfig | null;
  portMappings: Array<PortMapping>;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  linux: LinuxPodSandboxConfig | null;
}

export interface PodSandboxConfigInput {
  metadata?: PodSandboxMetadataInput | null;
  hostname?: string | null;
  logDirectory?: string | null;
  dnsConfig?: DNSConfigInput | null;
  portMappings?: ReadonlyArray<PortMappingInput> | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  linux?: LinuxPodSandboxConfigInput | null;
}

export interface PodSandboxMetadata {
  name: string;
  uid: string;
  namespace: string;
  attempt: number;
}

export interface PodSandboxMetadataInput {
  name?: string | null;
  uid?: string | null;
  namespace?: string | null;
  attempt?: number | null;
}

export interface DNSConfig {
  servers: Array<string>;
  searches: Array<string>;
  options: Array<string>;
}

export interface DNSConfigInput {
  servers?: ReadonlyArray<string> | null;
  searches?: ReadonlyArray<string> | null;
  options?: ReadonlyArray<string> | null;
}

export interface PortMapping {
  protocol: Protocol;
  containerPort: number;
  hostPort: number;
  hostIp: string;
}

export interface PortMappingInput {
  protocol?: Protocol | null;
  containerPort?: number | null;
  hostPort?: number | null;
  hostIp?: string | null;
}

export interface LinuxPodSandboxConfig {
  cgroupParent: string;
  securityContext: LinuxSandboxSecurityContext | null;
  sysctls: Record<string, string>;
}

export interface LinuxPodSandboxConfigInput {
  cgroupParent?: string | null;
  securityContext?: LinuxSandboxSecurityContextInput | null;
  sysctls?: Record<string, string> | null;
}

export interface LinuxSandboxSecurityContext {
  namespaceOptions: NamespaceOption | null;
  runAsUser: Int64Value | null;
  runAsGroup: Int64Value | null;
  readonlyRootfs: boolean;
  supplementalGroups: Array<string>;
  privileged: boolean;
  seccomp: SecurityProfile | null;
}

export interface LinuxSandboxSecurityContextInput {
  namespaceOptions?: NamespaceOptionInput | null;
  runAsUser?: Int64ValueInput | null;
  runAsGroup?: Int64ValueInput | null;
  readonlyRootfs?: boolean | null;
  supplementalGroups?: ReadonlyArray<(string | number)> | null;
  privileged?: boolean | null;
  seccomp?: SecurityProfileInput | null;
}

export interface NamespaceOption {
  network: NamespaceMode;
  pid: NamespaceMode;
  ipc: NamespaceMode;
  targetId: string;
}

export interface NamespaceOptionInput {
  network?: NamespaceMode | null;
  pid?: NamespaceMode | null;
  ipc?: NamespaceMode | null;
  targetId?: string | null;
}

export interface Int64Value {
  value: string;
}

export interface Int64ValueInput {
  value?: (string | number) | null;
}

export interface SecurityProfile {
  profileType: SecurityProfile_ProfileType;
  localhostRef: string;
}

export interface SecurityProfileInput {
  profileType?: SecurityProfile_ProfileType | null;
  localhostRef?: string | null;
}

export type SecurityProfile_ProfileType = "RuntimeDefault" | "Unconfined" | "Localhost";

export interface RunPodSandboxResponse {
  podSandboxId: string;
}

export interface RunPodSandboxResponseInput {
  podSandboxId?: string | null;
}

export interface StopPodSandboxRequest {
  podSandboxId: string;
}

export interface StopPodSandboxRequestInput {
  podSandboxId?: string | null;
}

export type StopPodSandboxResponse = Record<string, never>;

export type StopPodSandboxResponseInput = Record<string, never>;

export interface RemovePodSandboxRequest {
  podSandboxId: string;
}

export interface RemovePodSandboxRequestInput {
  podSandboxId?: string | null;
}

export type RemovePodSandboxResponse = Record<string, never>;

export type RemovePodSandboxResponseInput = Record<string, never>;

export interface PodSandboxStatusRequest {
  podSandboxId: string;
  verbose: boolean;
}

export interface PodSandboxStatusRequestInput {
  podSandboxId?: string | null;
  verbose?: boolean | null;
}

export interface PodSandboxStatusResponse {
  status: PodSandboxStatus | null;
}

export interface PodSandboxStatusResponseInput {
  status?: PodSandboxStatusInput | null;
}

export interface PodSandboxStatus {
  id: string;
  metadata: PodSandboxMetadata | null;
  state: PodSandboxState;
  createdAt: string;
  network: PodSandboxNetworkStatus | null;
  linux: LinuxPodSandboxStatus | null;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  runtimeHandler: string;
}

export interface PodSandboxStatusInput {
  id?: string | null;
  metadata?: PodSandboxMetadataInput | null;
  state?: PodSandboxState | null;
  createdAt?: (string | number) | null;
  network?: PodSandboxNetworkStatusInput | null;
  linux?: LinuxPodSandboxStatusInput | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  runtimeHandler?: string | null;
}

export interface PodSandboxNetworkStatus {
  ip: string;
  additionalIps: Array<PodIP>;
}

export interface PodSandboxNetworkStatusInput {
  ip?: string | null;
  additionalIps?: ReadonlyArray<PodIPInput> | null;
}

export interface PodIP {
  ip: string;
}

export interface PodIPInput {
  ip?: string | null;
}

export interface LinuxPodSandboxStatus {
  namespaces: Namespace | null;
}

export interface LinuxPodSandboxStatusInput {
  namespaces?: NamespaceInput | null;
}

export interface Namespace {
  options: NamespaceOption | null;
}

export interface NamespaceInput {
  options?: NamespaceOptionInput | null;
}

export interface ListPodSandboxRequest {
  filter: PodSandboxFilter | null;
}

export interface ListPodSandboxRequestInput {
  filter?: PodSandboxFilterInput | null;
}

export interface PodSandboxFilter {
  id: string;
  state: PodSandboxStateValue | null;
  labelSelector: Record<string, string>;
}

export interface PodSandboxFilterInput {
  id?: string | null;
  state?: PodSandboxStateValueInput | null;
  labelSelector?: Record<string, string> | null;
}

export interface PodSandboxStateValue {
  state: PodSandboxState;
}

export interface PodSandboxStateValueInput {
  state?: PodSandboxState | null;
}

export interface ListPodSandboxResponse {
  items: Array<PodSandbox>;
}

export interface ListPodSandboxResponseInput {
  items?: ReadonlyArray<PodSandboxInput> | null;
}

export interface PodSandbox {
  id: string;
  metadata: PodSandboxMetadata | null;
  state: PodSandboxState;
  createdAt: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  runtimeHandler: string;
}

export interface PodSandboxInput {
  id?: string | null;
  metadata?: PodSandboxMetadataInput | null;
  state?: PodSandboxState | null;
  createdAt?: (string | number) | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  runtimeHandler?: string | null;
}

export interface CreateContainerRequest {
  podSandboxId: string;
  config: ContainerConfig | null;
  sandboxConfig: PodSandboxConfig | null;
}

export interface CreateContainerRequestInput {
  podSandboxId?: string | null;
  config?: ContainerConfigInput | null;
  sandboxConfig?: PodSandboxConfigInput | null;
}

export interface ContainerConfig {
  metadata: ContainerMetadata | null;
  image: ImageSpec | null;
  command: Array<string>;
  args: Array<string>;
  workingDir: string;
  envs: Array<KeyValue>;
  mounts: Array<Mount>;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  logPath: string;
  stdin: boolean;
  stdinOnce: boolean;
  tty: boolean;
  linux: LinuxContainerConfig | null;
}

export interface ContainerConfigInput {
  metadata?: ContainerMetadataInput | null;
  image?: ImageSpecInput | null;
  command?: ReadonlyArray<string> | null;
  args?: ReadonlyArray<string> | null;
  workingDir?: string | null;
  envs?: ReadonlyArray<KeyValueInput> | null;
  mounts?: ReadonlyArray<MountInput> | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  logPath?: string | null;
  stdin?: boolean | null;
  stdinOnce?: boolean | null;
  tty?: boolean | null;
  linux?: LinuxContainerConfigInput | null;
}

export interface ContainerMetadata {
  name: string;
  attempt: number;
}

export interface ContainerMetadataInput {
  name?: string | null;
  attempt?: number | null;
}

export interface ImageSpec {
  image: string;
  annotations: Record<string, string>;
  userSpecifiedImage: string;
}

export interface ImageSpecInput {
  image?: string | null;
  annotations?: Record<string, string> | null;
  userSpecifiedImage?: string | null;
}

export interface KeyValue {
  key: string;
  value: string;
}

export interface KeyValueInput {
  key?: string | null;
  value?: string | null;
}

export interface Mount {
  containerPath: string;
  hostPath: string;
  readonly: boolean;
  propagation: MountPropagation;
  recursiveReadOnly: boolean;
  image: ImageSpec | null;
  imageSubPath: string;
}

export interface MountInput {
  containerPath?: string | null;
  hostPath?: string | null;
  readonly?: boolean | null;
  propagation?: MountPropagation | null;
  recursiveReadOnly?: boolean | null;
  image?: ImageSpecInput | null;
  imageSubPath?: string | null;
}

export interface LinuxContainerConfig {
  resources: LinuxContainerResources | null;
  securityContext: LinuxContainerSecurityContext | null;
}

export interface LinuxContainerConfigInput {
  resources?: LinuxContainerResourcesInput | null;
  securityContext?: LinuxContainerSecurityContextInput | null;
}

export interface LinuxContainerResources {
  cpuPeriod: string;
  cpuQuota: string;
  cpuShares: string;
  memoryLimitInBytes: string;
  oomScoreAdj: string;
  memorySwapLimitInBytes: string;
}

export interface LinuxContainerResourcesInput {
  cpuPeriod?: (string | number) | null;
  cpuQuota?: (string | number) | null;
  cpuShares?: (string | number) | null;
  memoryLimitInBytes?: (string | number) | null;
  oomScoreAdj?: (string | number) | null;
  memorySwapLimitInBytes?: (string | number) | null;
}

export interface LinuxContainerSecurityContext {
  capabilities: Capability | null;
  privileged: boolean;
  namespaceOptions: NamespaceOption | null;
  runAsUser: Int64Value | null;
  runAsGroup: Int64Value | null;
  runAsUsername: string;
  readonlyRootfs: boolean;
  supplementalGroups: Array<string>;
  noNewPrivs: boolean;
  maskedPaths: Array<string>;
  readonlyPaths: Array<string>;
  seccomp: SecurityProfile | null;
}

export interface LinuxContainerSecurityContextInput {
  capabilities?: CapabilityInput | null;
  privileged?: boolean | null;
  namespaceOptions?: NamespaceOptionInput | null;
  runAsUser?: Int64ValueInput | null;
  runAsGroup?: Int64ValueInput | null;
  runAsUsername?: string | null;
  readonlyRootfs?: boolean | null;
  supplementalGroups?: ReadonlyArray<(string | number)> | null;
  noNewPrivs?: boolean | null;
  maskedPaths?: ReadonlyArray<string> | null;
  readonlyPaths?: ReadonlyArray<string> | null;
  seccomp?: SecurityProfileInput | null;
}

export interface Capability {
  addCapabilities: Array<string>;
  dropCapabilities: Array<string>;
  addAmbientCapabilities: Array<string>;
}

export interface CapabilityInput {
  addCapabilities?: ReadonlyArray<string> | null;
  dropCapabilities?: ReadonlyArray<string> | null;
  addAmbientCapabilities?: ReadonlyArray<string> | null;
}

export interface CreateContainerResponse {
  containerId: string;
}

export interface CreateContainerResponseInput {
  containerId?: string | null;
}

export interface StartContainerRequest {
  containerId: string;
}

export interface StartContainerRequestInput {
  containerId?: string | null;
}

export type StartContainerResponse = Record<string, never>;

export type StartContainerResponseInput = Record<string, never>;

export interface StopContainerRequest {
  containerId: string;
  timeout: string;
}

export interface StopContainerRequestInput {
  containerId?: string | null;
  timeout?: (string | number) | null;
}

export type StopContainerResponse = Record<string, never>;

export type StopContainerResponseInput = Record<string, never>;

export interface RemoveContainerRequest {
  containerId: string;
}

export interface RemoveContainerRequestInput {
  containerId?: string | null;
}

export type RemoveContainerResponse = Record<string, never>;

export type RemoveContainerResponseInput = Record<string, never>;

export interface ListContainersRequest {
  filter: ContainerFilter | null;
}

export interface ListContainersRequestInput {
  filter?: ContainerFilterInput | null;
}

export interface ContainerFilter {
  id: string;
  state: ContainerStateValue | null;
  podSandboxId: string;
  labelSelector: Record<string, string>;
}

export interface ContainerFilterInput {
  id?: string | null;
  state?: ContainerStateValueInput | null;
  podSandboxId?: string | null;
  labelSelector?: Record<string, string> | null;
}

export interface ContainerStateValue {
  state: ContainerState;
}

export interface ContainerStateValueInput {
  state?: ContainerState | null;
}

export interface ListContainersResponse {
  containers: Array<Container>;
}

export interface ListContainersResponseInput {
  containers?: ReadonlyArray<ContainerInput> | null;
}

export interface Container {
  id: string;
  podSandboxId: string;
  metadata: ContainerMetadata | null;
  image: ImageSpec | null;
  imageRef: string;
  state: ContainerState;
  createdAt: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  imageId: string;
}

export interface ContainerInput {
  id?: string | null;
  podSandboxId?: string | null;
  metadata?: ContainerMetadataInput | null;
  image?: ImageSpecInput | null;
  imageRef?: string | null;
  state?: ContainerState | null;
  createdAt?: (string | number) | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  imageId?: string | null;
}

export interface ContainerStatusRequest {
  containerId: string;
  verbose: boolean;
}

export interface ContainerStatusRequestInput {
  containerId?: string | null;
  verbose?: boolean | null;
}

export interface ContainerStatusResponse {
  status: ContainerStatus | null;
}

export interface ContainerStatusResponseInput {
  status?: ContainerStatusInput | null;
}

export interface ContainerStatus {
  id: string;
  metadata: ContainerMetadata | null;
  state: ContainerState;
  createdAt: string;
  startedAt: string;
  finishedAt: string;
  exitCode: number;
  image: ImageSpec | null;
  imageRef: string;
  reason: string;
  message: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  mounts: Array<Mount>;
  logPath: string;
  imageId: string;
}

export interface ContainerStatusInput {
  id?: string | null;
  metadata?: ContainerMetadataInput | null;
  state?: ContainerState | null;
  createdAt?: (string | number) | null;
  startedAt?: (string | number) | null;
  finishedAt?: (string | number) | null;
  exitCode?: number | null;
  image?: ImageSpecInput | null;
  imageRef?: string | null;
  reason?: string | null;
  message?: string | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
  mounts?: ReadonlyArray<MountInput> | null;
  logPath?: string | null;
  imageId?: string | null;
}

export interface UpdateContainerResourcesRequest {
  containerId: string;
  linux: LinuxContainerResources | null;
}

export interface UpdateContainerResourcesRequestInput {
  containerId?: string | null;
  linux?: LinuxContainerResourcesInput | null;
}

export type UpdateContainerResourcesResponse = Record<string, never>;

export type UpdateContainerResourcesResponseInput = Record<string, never>;

export interface ReopenContainerLogRequest {
  containerId: string;
}

export interface ReopenContainerLogRequestInput {
  containerId?: string | null;
}

export type ReopenContainerLogResponse = Record<string, never>;

export type ReopenContainerLogResponseInput = Record<string, never>;

export interface ExecSyncRequest {
  containerId: string;
  cmd: Array<string>;
  timeout: string;
}

export interface ExecSyncRequestInput {
  containerId?: string | null;
  cmd?: ReadonlyArray<string> | null;
  timeout?: (string | number) | null;
}

export interface ExecSyncResponse {
  stdout: Buffer;
  stderr: Buffer;
  exitCode: number;
}

export interface ExecSyncResponseInput {
  stdout?: Uint8Array | null;
  stderr?: Uint8Array | null;
  exitCode?: number | null;
}

export interface ExecRequest {
  containerId: string;
  cmd: Array<string>;
  tty: boolean;
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface ExecRequestInput {
  containerId?: string | null;
  cmd?: ReadonlyArray<string> | null;
  tty?: boolean | null;
  stdin?: boolean | null;
  stdout?: boolean | null;
  stderr?: boolean | null;
}

export interface ExecResponse {
  url: string;
}

export interface ExecResponseInput {
  url?: string | null;
}

export interface AttachRequest {
  containerId: string;
  stdin: boolean;
  tty: boolean;
  stdout: boolean;
  stderr: boolean;
}

export interface AttachRequestInput {
  containerId?: string | null;
  stdin?: boolean | null;
  tty?: boolean | null;
  stdout?: boolean | null;
  stderr?: boolean | null;
}

export interface AttachResponse {
  url: string;
}

export interface AttachResponseInput {
  url?: string | null;
}

export interface PortForwardRequest {
  podSandboxId: string;
  port: Array<number>;
}

export interface PortForwardRequestInput {
  podSandboxId?: string | null;
  port?: ReadonlyArray<number> | null;
}

export interface PortForwardResponse {
  url: string;
}

export interface PortForwardResponseInput {
  url?: string | null;
}

export interface ListContainerStatsRequest {
  filter: ContainerStatsFilter | null;
}

export interface ListContainerStatsRequestInput {
  filter?: ContainerStatsFilterInput | null;
}

export interface ContainerStatsFilter {
  id: string;
  podSandboxId: string;
  labelSelector: Record<string, string>;
}

export interface ContainerStatsFilterInput {
  id?: string | null;
  podSandboxId?: string | null;
  labelSelector?: Record<string, string> | null;
}

export interface ListContainerStatsResponse {
  stats: Array<ContainerStats>;
}

export interface ListContainerStatsResponseInput {
  stats?: ReadonlyArray<ContainerStatsInput> | null;
}

export interface ContainerStats {
  attributes: ContainerAttributes | null;
  cpu: CpuUsage | null;
  memory: MemoryUsage | null;
  writableLayer: FilesystemUsage | null;
}

export interface ContainerStatsInput {
  attributes?: ContainerAttributesInput | null;
  cpu?: CpuUsageInput | null;
  memory?: MemoryUsageInput | null;
  writableLayer?: FilesystemUsageInput | null;
}

export interface ContainerAttributes {
  id: string;
  metadata: ContainerMetadata | null;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface ContainerAttributesInput {
  id?: string | null;
  metadata?: ContainerMetadataInput | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
}

export interface CpuUsage {
  timestamp: string;
  usageCoreNanoSeconds: UInt64Value | null;
  usageNanoCores: UInt64Value | null;
}

export interface CpuUsageInput {
  timestamp?: (string | number) | null;
  usageCoreNanoSeconds?: UInt64ValueInput | null;
  usageNanoCores?: UInt64ValueInput | null;
}

export interface UInt64Value {
  value: string;
}

export interface UInt64ValueInput {
  value?: (string | number) | null;
}

export interface MemoryUsage {
  timestamp: string;
  workingSetBytes: UInt64Value | null;
  availableBytes: UInt64Value | null;
  usageBytes: UInt64Value | null;
  rssBytes: UInt64Value | null;
  pageFaults: UInt64Value | null;
  majorPageFaults: UInt64Value | null;
}

export interface MemoryUsageInput {
  timestamp?: (string | number) | null;
  workingSetBytes?: UInt64ValueInput | null;
  availableBytes?: UInt64ValueInput | null;
  usageBytes?: UInt64ValueInput | null;
  rssBytes?: UInt64ValueInput | null;
  pageFaults?: UInt64ValueInput | null;
  majorPageFaults?: UInt64ValueInput | null;
}

export type GetEventsRequest = Record<string, never>;

export type GetEventsRequestInput = Record<string, never>;

export interface ContainerEventResponse {
  containerId: string;
  containerEventType: ContainerEventType;
  createdAt: string;
  podSandboxStatus: PodSandboxStatus | null;
}

export interface ContainerEventResponseInput {
  containerId?: string | null;
  containerEventType?: ContainerEventType | null;
  createdAt?: (string | number) | null;
  podSandboxStatus?: PodSandboxStatusInput | null;
}

export interface ListImagesRequest {
  filter: ImageFilter | null;
}

export interface ListImagesRequestInput {
  filter?: ImageFilterInput | null;
}

export interface ImageFilter {
  image: ImageSpec | null;
}

export interface ImageFilterInput {
  image?: ImageSpecInput | null;
}

export interface ListImagesResponse {
  images: Array<Image>;
}

export interface ListImagesResponseInput {
  images?: ReadonlyArray<ImageInput> | null;
}

export interface Image {
  id: string;
  repoTags: Array<string>;
  repoDigests: Array<string>;
  size: string;
  uid: Int64Value | null;
  username: string;
  spec: ImageSpec | null;
  pinned: boolean;
}

export interface ImageInput {
  id?: string | null;
  repoTags?: ReadonlyArray<string> | null;
  repoDigests?: ReadonlyArray<string> | null;
  size?: (string | number) | null;
  uid?: Int64ValueInput | null;
  username?: string | null;
  spec?: ImageSpecInput | null;
  pinned?: boolean | null;
}

export interface ImageStatusRequest {
  image: ImageSpec | null;
  verbose: boolean;
}

export interface ImageStatusRequestInput {
  image?: ImageSpecInput | null;
  verbose?: boolean | null;
}

export interface ImageStatusResponse {
  image: Image | null;
  info: Record<string, string>;
}

export interface ImageStatusResponseInput {
  image?: ImageInput | null;
  info?: Record<string, string> | null;
}

export interface PullImageRequest {
  image: ImageSpec | null;
  auth: AuthConfig | null;
}

export interface PullImageRequestInput {
  image?: ImageSpecInput | null;
  auth?: AuthConfigInput | null;
}

export interface AuthConfig {
  username: string;
  password: string;
  auth: string;
  serverAddress: string;
  identityToken: string;
  registryToken: string;
}

export interface AuthConfigInput {
  username?: string | null;
  password?: string | null;
  auth?: string | null;
  serverAddress?: string | null;
  identityToken?: string | null;
  registryToken?: string | null;
}

export interface PullImageResponse {
  imageRef: string;
}

export interface PullImageResponseInput {
  imageRef?: string | null;
}

export interface RemoveImageRequest {
  image: ImageSpec | null;
}

export interface RemoveImageRequestInput {
  image?: ImageSpecInput | null;
}

export type RemoveImageResponse = Record<string, never>;

export type RemoveImageResponseInput = Record<string, never>;

export type ImageFsInfoRequest = Record<string, never>;

export type ImageFsInfoRequestInput = Record<string, never>;

export interface ImageFsInfoResponse {
  imageFilesystems: Array<FilesystemUsage>;
}

export interface ImageFsInfoResponseInput {
  imageFilesystems?: ReadonlyArray<FilesystemUsageInput> | null;
}

export interface FilesystemUsage {
  timestamp: string;
  fsId: FilesystemIdentifier | null;
  usedBytes: UInt64Value | null;
}

export interface FilesystemUsageInput {
  timestamp?: (string | number) | null;
  fsId?: FilesystemIdentifierInput | null;
  usedBytes?: UInt64ValueInput | null;
}

export interface FilesystemIdentifier {
  mountpoint: string;
}

export interface FilesystemIdentifierInput {
  mountpoint?: string | null;
}

export type Protocol = "TCP" | "UDP" | "SCTP";

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";

export type PodSandboxState = "SANDBOX_READY" | "SANDBOX_NOTREADY";

export type MountPropagation = "PROPAGATION_PRIVATE" | "PROPAGATION_HOST_TO_CONTAINER" | "PROPAGATION_BIDIRECTIONAL";

export type ContainerState = "CONTAINER_CREATED" | "CONTAINER_RUNNING" | "CONTAINER_EXITED" | "CONTAINER_UNKNOWN";

export type ContainerEventType = "CONTAINER_CREATED_EVENT" | "CONTAINER_STARTED_EVENT" | "CONTAINER_STOPPED_EVENT" | "CONTAINER_DELETED_EVENT";
