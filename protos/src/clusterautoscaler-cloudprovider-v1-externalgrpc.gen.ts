// Generated from the .proto files by protos/generate.ts; do not edit.


export interface NodeGroup {
  id: string;
  minSize: number;
  maxSize: number;
  debug: string;
}

export interface NodeGroupInput {
  id?: string | null;
  minSize?: number | null;
  maxSize?: number | null;
  debug?: string | null;
}

export interface ExternalGrpcNode {
  providerID: string;
  name: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface ExternalGrpcNodeInput {
  providerID?: string | null;
  name?: string | null;
  labels?: Record<string, string> | null;
  annotations?: Record<string, string> | null;
}

export type NodeGroupsRequest = Record<string, never>;

export type NodeGroupsRequestInput = Record<string, never>;

export interface NodeGroupsResponse {
  nodeGroups: Array<NodeGroup>;
}

export interface NodeGroupsResponseInput {
  nodeGroups?: ReadonlyArray<NodeGroupInput> | null;
}

export interface NodeGroupForNodeRequest {
  node: ExternalGrpcNode | null;
}

export interface NodeGroupForNodeRequestInput {
  node?: ExternalGrpcNodeInput | null;
}

export interface NodeGroupForNodeResponse {
  nodeGroup: NodeGroup | null;
}

export interface NodeGroupForNodeResponseInput {
  nodeGroup?: NodeGroupInput | null;
}

export type CleanupRequest = Record<string, never>;

export type CleanupRequestInput = Record<string, never>;

export type CleanupResponse = Record<string, never>;

export type CleanupResponseInput = Record<string, never>;

export type RefreshRequest = Record<string, never>;

export type RefreshRequestInput = Record<string, never>;

export type RefreshResponse = Record<string, never>;

export type RefreshResponseInput = Record<string, never>;

export interface NodeGroupTargetSizeRequest {
  id: string;
}

export interface NodeGroupTargetSizeRequestInput {
  id?: string | null;
}

export interface NodeGroupTargetSizeResponse {
  targetSize: number;
}

export interface NodeGroupTargetSizeResponseInput {
  targetSize?: number | null;
}

export interface NodeGroupIncreaseSizeRequest {
  delta: number;
  id: string;
}

export interface NodeGroupIncreaseSizeRequestInput {
  delta?: number | null;
  id?: string | null;
}

export type NodeGroupIncreaseSizeResponse = Record<string, never>;

export type NodeGroupIncreaseSizeResponseInput = Record<string, never>;

export interface NodeGroupDeleteNodesRequest {
  nodes: Array<ExternalGrpcNode>;
  id: string;
}

export interface NodeGroupDeleteNodesRequestInput {
  nodes?: ReadonlyArray<ExternalGrpcNodeInput> | null;
  id?: string | null;
}

export type NodeGroupDeleteNodesResponse = Record<string, never>;

export type NodeGroupDeleteNodesResponseInput = Record<string, never>;

export interface NodeGroupDecreaseTargetSizeRequest {
  delta: number;
  id: string;
}

export interface NodeGroupDecreaseTargetSizeRequestInput {
  delta?: number | null;
  id?: string | null;
}

export type NodeGroupDecreaseTargetSizeResponse = Record<string, never>;

export type NodeGroupDecreaseTargetSizeResponseInput = Record<string, never>;

export interface NodeGroupNodesRequest {
  id: string;
}

export interface NodeGroupNodesRequestInput {
  id?: string | null;
}

export interface NodeGroupNodesResponse {
  instances: Array<Instance>;
}

export interface NodeGroupNodesResponseInput {
  instances?: ReadonlyArray<InstanceInput> | null;
}

export interface Instance {
  id: string;
  status: InstanceStatus | null;
}

export interface InstanceInput {
  id?: string | null;
  status?: InstanceStatusInput | null;
}

export interface InstanceStatus {
  instanceState: InstanceStatus_InstanceState;
  errorInfo: InstanceErrorInfo | null;
}

export interface InstanceStatusInput {
  instanceState?: InstanceStatus_InstanceState | null;
  errorInfo?: InstanceErrorInfoInput | null;
}

export type InstanceStatus_InstanceState = "unspecified" | "instanceRunning" | "instanceCreating" | "instanceDeleting";

export interface InstanceErrorInfo {
  errorCode: string;
  errorMessage: string;
  instanceErrorClass: number;
}

export interface InstanceErrorInfoInput {
  errorCode?: string | null;
  errorMessage?: string | null;
  instanceErrorClass?: number | null;
}

export interface NodeGroupTemplateNodeInfoRequest {
  id: string;
}

export interface NodeGroupTemplateNodeInfoRequestInput {
  id?: string | null;
}

export interface NodeGroupTemplateNodeInfoResponse {
  nodeBytes: Buffer;
}

export interface NodeGroupTemplateNodeInfoResponseInput {
  nodeBytes?: Uint8Array | null;
}
