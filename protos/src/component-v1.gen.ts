// Generated from the .proto files by protos/generate.ts; do not edit.


export type GetInfoRequest = Record<string, never>;

export type GetInfoRequestInput = Record<string, never>;

export interface GetInfoResponse {
  component: string;
  instance: string;
  version: string;
  kubernetesVersion: string;
  pid: string;
  started: string;
  leader: boolean;
  facts: Record<string, string>;
}

export interface GetInfoResponseInput {
  component?: string | null;
  instance?: string | null;
  version?: string | null;
  kubernetesVersion?: string | null;
  pid?: (string | number) | null;
  started?: string | null;
  leader?: boolean | null;
  facts?: Record<string, string> | null;
}

export type GetMetricsRequest = Record<string, never>;

export type GetMetricsRequestInput = Record<string, never>;

export interface GetMetricsResponse {
  text: string;
}

export interface GetMetricsResponseInput {
  text?: string | null;
}

export interface SetLogLevelRequest {
  level: string;
}

export interface SetLogLevelRequestInput {
  level?: string | null;
}

export interface SetLogLevelResponse {
  previous: string;
}

export interface SetLogLevelResponseInput {
  previous?: string | null;
}
