// Generated from the .proto files by protos/generate.ts; do not edit.

import type { Struct, StructInput } from "./google-protobuf.gen.ts";


export interface ExplainRequest {
  namespace: string;
  name: string;
}

export interface ExplainRequestInput {
  namespace?: string | null;
  name?: string | null;
}

export interface SimulateRequest {
  pod: Struct | null;
}

export interface SimulateRequestInput {
  pod?: StructInput | null;
}

export interface PluginVerdict {
  plugin: string;
  extensionPoint: string;
  code: string;
  reasons: Array<string>;
}

export interface PluginVerdictInput {
  plugin?: string | null;
  extensionPoint?: string | null;
  code?: string | null;
  reasons?: ReadonlyArray<string> | null;
}

export interface PluginScore {
  plugin: string;
  raw: string;
  normalized: string;
  weight: string;
}

export interface PluginScoreInput {
  plugin?: string | null;
  raw?: (string | number) | null;
  normalized?: (string | number) | null;
  weight?: (string | number) | null;
}

export interface NodeDecision {
  node: string;
  feasible: boolean;
  verdicts: Array<PluginVerdict>;
  scores: Array<PluginScore>;
  totalScore: string;
}

export interface NodeDecisionInput {
  node?: string | null;
  feasible?: boolean | null;
  verdicts?: ReadonlyArray<PluginVerdictInput> | null;
  scores?: ReadonlyArray<PluginScoreInput> | null;
  totalScore?: (string | number) | null;
}

export interface PreemptionCandidate {
  node: string;
  victims: Array<string>;
  budgetViolations: number;
}

export interface PreemptionCandidateInput {
  node?: string | null;
  victims?: ReadonlyArray<string> | null;
  budgetViolations?: number | null;
}

export interface Decision {
  namespace: string;
  pod: string;
  outcome: string;
  node: string;
  message: string;
  nodes: Array<NodeDecision>;
  queue: string;
  attempts: number;
  candidates: Array<PreemptionCandidate>;
  nominatedNode: string;
}

export interface DecisionInput {
  namespace?: string | null;
  pod?: string | null;
  outcome?: string | null;
  node?: string | null;
  message?: string | null;
  nodes?: ReadonlyArray<NodeDecisionInput> | null;
  queue?: string | null;
  attempts?: number | null;
  candidates?: ReadonlyArray<PreemptionCandidateInput> | null;
  nominatedNode?: string | null;
}

export interface ExplainResponse {
  decision: Decision | null;
}

export interface ExplainResponseInput {
  decision?: DecisionInput | null;
}

export interface SimulateResponse {
  decision: Decision | null;
}

export interface SimulateResponseInput {
  decision?: DecisionInput | null;
}

export type GetQueueRequest = Record<string, never>;

export type GetQueueRequestInput = Record<string, never>;

export interface QueuedPod {
  namespace: string;
  name: string;
  queue: string;
  attempts: number;
  priority: number;
  unschedulablePlugins: Array<string>;
}

export interface QueuedPodInput {
  namespace?: string | null;
  name?: string | null;
  queue?: string | null;
  attempts?: number | null;
  priority?: number | null;
  unschedulablePlugins?: ReadonlyArray<string> | null;
}

export interface GetQueueResponse {
  leading: boolean;
  pods: Array<QueuedPod>;
}

export interface GetQueueResponseInput {
  leading?: boolean | null;
  pods?: ReadonlyArray<QueuedPodInput> | null;
}

export interface NodeTemplate {
  node: Buffer;
  copies: number;
}

export interface NodeTemplateInput {
  node?: Uint8Array | null;
  copies?: number | null;
}

export interface WhatIfRequest {
  removeNodes: Array<string>;
  addNodes: Array<NodeTemplate>;
  spare: NodeTemplate | null;
  daemonPods: Array<Buffer>;
  pods: Array<string>;
}

export interface WhatIfRequestInput {
  removeNodes?: ReadonlyArray<string> | null;
  addNodes?: ReadonlyArray<NodeTemplateInput> | null;
  spare?: NodeTemplateInput | null;
  daemonPods?: ReadonlyArray<Uint8Array> | null;
  pods?: ReadonlyArray<string> | null;
}

export interface Placement {
  node: string;
  copy: number;
  message: string;
}

export interface PlacementInput {
  node?: string | null;
  copy?: number | null;
  message?: string | null;
}

export interface WhatIfResponse {
  placements: Array<Placement>;
  copies: number;
}

export interface WhatIfResponseInput {
  placements?: ReadonlyArray<PlacementInput> | null;
  copies?: number | null;
}
