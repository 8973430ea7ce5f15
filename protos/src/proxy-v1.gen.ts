// Generated from the .proto files by protos/generate.ts; do not edit.


export interface ListRulesRequest {
  namespace: string;
  service: string;
  node: string;
}

export interface ListRulesRequestInput {
  namespace?: string | null;
  service?: string | null;
  node?: string | null;
}

export interface Endpoint {
  ip: string;
  port: number;
  node: string;
  ready: boolean;
  serving: boolean;
  terminating: boolean;
}

export interface EndpointInput {
  ip?: string | null;
  port?: number | null;
  node?: string | null;
  ready?: boolean | null;
  serving?: boolean | null;
  terminating?: boolean | null;
}

export interface Rule {
  namespace: string;
  service: string;
  portName: string;
  protocol: string;
  type: string;
  ip: string;
  port: number;
  affinitySeconds: number;
  endpoints: Array<Endpoint>;
}

export interface RuleInput {
  namespace?: string | null;
  service?: string | null;
  portName?: string | null;
  protocol?: string | null;
  type?: string | null;
  ip?: string | null;
  port?: number | null;
  affinitySeconds?: number | null;
  endpoints?: ReadonlyArray<EndpointInput> | null;
}

export interface ListRulesResponse {
  rules: Array<Rule>;
  generation: string;
}

export interface ListRulesResponseInput {
  rules?: ReadonlyArray<RuleInput> | null;
  generation?: (string | number) | null;
}

export interface ResolveRequest {
  ip: string;
  port: number;
  protocol: string;
  clientIp: string;
  node: string;
}

export interface ResolveRequestInput {
  ip?: string | null;
  port?: number | null;
  protocol?: string | null;
  clientIp?: string | null;
  node?: string | null;
}

export interface ResolveResponse {
  verdict: string;
  chosen: Endpoint | null;
  rule: Rule | null;
  masquerade: boolean;
}

export interface ResolveResponseInput {
  verdict?: string | null;
  chosen?: EndpointInput | null;
  rule?: RuleInput | null;
  masquerade?: boolean | null;
}

export type SyncRequest = Record<string, never>;

export type SyncRequestInput = Record<string, never>;

export interface SyncResponse {
  generation: string;
  services: string;
  endpoints: string;
}

export interface SyncResponseInput {
  generation?: (string | number) | null;
  services?: (string | number) | null;
  endpoints?: (string | number) | null;
}
