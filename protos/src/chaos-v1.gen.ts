// Generated from the .proto files by protos/generate.ts; do not edit.


export interface Fault {
  id: string;
  failpoint: string;
  action: string;
  delayMs: string;
  probability: number;
  count: string;
  fired: string;
}

export interface FaultInput {
  id?: string | null;
  failpoint?: string | null;
  action?: string | null;
  delayMs?: (string | number) | null;
  probability?: number | null;
  count?: (string | number) | null;
  fired?: (string | number) | null;
}

export interface InjectRequest {
  fault: Fault | null;
}

export interface InjectRequestInput {
  fault?: FaultInput | null;
}

export interface InjectResponse {
  fault: Fault | null;
}

export interface InjectResponseInput {
  fault?: FaultInput | null;
}

export type ListRequest = Record<string, never>;

export type ListRequestInput = Record<string, never>;

export interface ListResponse {
  faults: Array<Fault>;
  failpoints: Array<string>;
}

export interface ListResponseInput {
  faults?: ReadonlyArray<FaultInput> | null;
  failpoints?: ReadonlyArray<string> | null;
}

export interface HealRequest {
  id: string;
}

export interface HealRequestInput {
  id?: string | null;
}

export interface HealResponse {
  healed: Array<Fault>;
}

export interface HealResponseInput {
  healed?: ReadonlyArray<FaultInput> | null;
}
