// Generated from the .proto files by protos/generate.ts; do not edit.


export type ListRequest = Record<string, never>;

export type ListRequestInput = Record<string, never>;

export interface Controller {
  name: string;
  paused: boolean;
  synced: boolean;
  queueDepth: string;
  reconciles: string;
  errors: string;
  lastError: string;
}

export interface ControllerInput {
  name?: string | null;
  paused?: boolean | null;
  synced?: boolean | null;
  queueDepth?: (string | number) | null;
  reconciles?: (string | number) | null;
  errors?: (string | number) | null;
  lastError?: string | null;
}

export interface ListResponse {
  leading: boolean;
  leader: string;
  controllers: Array<Controller>;
}

export interface ListResponseInput {
  leading?: boolean | null;
  leader?: string | null;
  controllers?: ReadonlyArray<ControllerInput> | null;
}

export interface PauseRequest {
  name: string;
}

export interface PauseRequestInput {
  name?: string | null;
}

export interface PauseResponse {
  controller: Controller | null;
}

export interface PauseResponseInput {
  controller?: ControllerInput | null;
}

export interface ResumeRequest {
  name: string;
}

export interface ResumeRequestInput {
  name?: string | null;
}

export interface ResumeResponse {
  controller: Controller | null;
}

export interface ResumeResponseInput {
  controller?: ControllerInput | null;
}

export interface StepRequest {
  name: string;
}

export interface StepRequestInput {
  name?: string | null;
}

export interface StepResponse {
  key: string;
  error: string;
}

export interface StepResponseInput {
  key?: string | null;
  error?: string | null;
}

export interface GetQueueRequest {
  name: string;
}

export interface GetQueueRequestInput {
  name?: string | null;
}

export interface QueuedKey {
  key: string;
  requeues: number;
  readyInMs: string;
}

export interface QueuedKeyInput {
  key?: string | null;
  requeues?: number | null;
  readyInMs?: (string | number) | null;
}

export interface GetQueueResponse {
  keys: Array<QueuedKey>;
  processing: Array<string>;
}

export interface GetQueueResponseInput {
  keys?: ReadonlyArray<QueuedKeyInput> | null;
  processing?: ReadonlyArray<string> | null;
}
