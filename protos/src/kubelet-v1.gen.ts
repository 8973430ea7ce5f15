// Generated from the .proto files by protos/generate.ts; do not edit.

import type { Struct, StructInput } from "./google-protobuf.gen.ts";


export interface ListPodsRequest {
  node: string;
}

export interface ListPodsRequestInput {
  node?: string | null;
}

export interface ListPodsResponse {
  pods: Array<Struct>;
}

export interface ListPodsResponseInput {
  pods?: ReadonlyArray<StructInput> | null;
}

export interface GetLogsRequest {
  node: string;
  namespace: string;
  pod: string;
  container: string;
  follow: boolean;
  previous: boolean;
  timestamps: boolean;
  tailLines?: string;
  limitBytes?: string;
  sinceSeconds?: string;
  sinceTime: string;
  _tailLines?: "tailLines";
  _limitBytes?: "limitBytes";
  _sinceSeconds?: "sinceSeconds";
}

export interface GetLogsRequestInput {
  node?: string | null;
  namespace?: string | null;
  pod?: string | null;
  container?: string | null;
  follow?: boolean | null;
  previous?: boolean | null;
  timestamps?: boolean | null;
  tailLines?: (string | number) | null;
  limitBytes?: (string | number) | null;
  sinceSeconds?: (string | number) | null;
  sinceTime?: string | null;
}

export interface GetLogsResponse {
  data: Buffer;
}

export interface GetLogsResponseInput {
  data?: Uint8Array | null;
}

export interface ExecRequest {
  start?: ExecRequest_Start | null;
  stdin?: Buffer;
  stdinEof?: boolean;
  resize?: ExecRequest_Resize | null;
  message?: "start" | "stdin" | "stdinEof" | "resize";
}

export interface ExecRequestInput {
  start?: ExecRequest_StartInput | null;
  stdin?: Uint8Array | null;
  stdinEof?: boolean | null;
  resize?: ExecRequest_ResizeInput | null;
}

export interface ExecRequest_Start {
  node: string;
  namespace: string;
  pod: string;
  container: string;
  command: Array<string>;
  tty: boolean;
  stdin: boolean;
}

export interface ExecRequest_StartInput {
  node?: string | null;
  namespace?: string | null;
  pod?: string | null;
  container?: string | null;
  command?: ReadonlyArray<string> | null;
  tty?: boolean | null;
  stdin?: boolean | null;
}

export interface ExecRequest_Resize {
  width: number;
  height: number;
}

export interface ExecRequest_ResizeInput {
  width?: number | null;
  height?: number | null;
}

export interface ExecResponse {
  stdout?: Buffer;
  stderr?: Buffer;
  exitCode?: number;
  message?: "stdout" | "stderr" | "exitCode";
}

export interface ExecResponseInput {
  stdout?: Uint8Array | null;
  stderr?: Uint8Array | null;
  exitCode?: number | null;
}

export interface AttachRequest {
  start?: AttachRequest_Start | null;
  stdin?: Buffer;
  stdinEof?: boolean;
  resize?: AttachRequest_Resize | null;
  message?: "start" | "stdin" | "stdinEof" | "resize";
}

export interface AttachRequestInput {
  start?: AttachRequest_StartInput | null;
  stdin?: Uint8Array | null;
  stdinEof?: boolean | null;
  resize?: AttachRequest_ResizeInput | null;
}

export interface AttachRequest_Start {
  node: string;
  namespace: string;
  pod: string;
  container: string;
  stdin: boolean;
}

export interface AttachRequest_StartInput {
  node?: string | null;
  namespace?: string | null;
  pod?: string | null;
  container?: string | null;
  stdin?: boolean | null;
}

export interface AttachRequest_Resize {
  width: number;
  height: number;
}

export interface AttachRequest_ResizeInput {
  width?: number | null;
  height?: number | null;
}

export interface AttachResponse {
  stdout?: Buffer;
  stderr?: Buffer;
  message?: "stdout" | "stderr";
}

export interface AttachResponseInput {
  stdout?: Uint8Array | null;
  stderr?: Uint8Array | null;
}

export interface PortForwardRequest {
  start?: PortForwardRequest_Start | null;
  data?: Buffer;
  message?: "start" | "data";
}

export interface PortForwardRequestInput {
  start?: PortForwardRequest_StartInput | null;
  data?: Uint8Array | null;
}

export interface PortForwardRequest_Start {
  node: string;
  namespace: string;
  pod: string;
  port: number;
}

export interface PortForwardRequest_StartInput {
  node?: string | null;
  namespace?: string | null;
  pod?: string | null;
  port?: number | null;
}

export interface PortForwardResponse {
  data: Buffer;
}

export interface PortForwardResponseInput {
  data?: Uint8Array | null;
}

export interface GetStatsRequest {
  node: string;
}

export interface GetStatsRequestInput {
  node?: string | null;
}

export interface ContainerStats {
  namespace: string;
  pod: string;
  container: string;
  cpuUsageNanoCores: string;
  memoryWorkingSetBytes: string;
  cpuUsageNanoSeconds: string;
  startTimeMs: string;
  timeMs: string;
}

export interface ContainerStatsInput {
  namespace?: string | null;
  pod?: string | null;
  container?: string | null;
  cpuUsageNanoCores?: (string | number) | null;
  memoryWorkingSetBytes?: (string | number) | null;
  cpuUsageNanoSeconds?: (string | number) | null;
  startTimeMs?: (string | number) | null;
  timeMs?: (string | number) | null;
}

export interface NodeStats {
  node: string;
  pods: string;
  containers: Array<ContainerStats>;
  usage: NodeUsage | null;
  simulated: boolean;
}

export interface NodeStatsInput {
  node?: string | null;
  pods?: (string | number) | null;
  containers?: ReadonlyArray<ContainerStatsInput> | null;
  usage?: NodeUsageInput | null;
  simulated?: boolean | null;
}

export interface NodeUsage {
  cpuUsageNanoSeconds: string;
  cpuUsageNanoCores: string;
  memoryWorkingSetBytes: string;
  startTimeMs: string;
  timeMs: string;
}

export interface NodeUsageInput {
  cpuUsageNanoSeconds?: (string | number) | null;
  cpuUsageNanoCores?: (string | number) | null;
  memoryWorkingSetBytes?: (string | number) | null;
  startTimeMs?: (string | number) | null;
  timeMs?: (string | number) | null;
}

export interface GetStatsResponse {
  nodes: Array<NodeStats>;
}

export interface GetStatsResponseInput {
  nodes?: ReadonlyArray<NodeStatsInput> | null;
}

export interface ListStatsRequest {
  node: string;
}

export interface ListStatsRequestInput {
  node?: string | null;
}

export interface ListStatsResponse {
  nodes: Array<NodeStats>;
}

export interface ListStatsResponseInput {
  nodes?: ReadonlyArray<NodeStatsInput> | null;
}
