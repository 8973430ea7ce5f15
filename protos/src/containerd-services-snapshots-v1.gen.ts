// Generated from the .proto files by protos/generate.ts; do not edit.

import type { Mount, MountInput } from "./containerd-types.gen.ts";


export interface ViewSnapshotRequest {
  snapshotter: string;
  key: string;
  parent: string;
  labels: Record<string, string>;
}

export interface ViewSnapshotRequestInput {
  snapshotter?: string | null;
  key?: string | null;
  parent?: string | null;
  labels?: Record<string, string> | null;
}

export interface ViewSnapshotResponse {
  mounts: Array<Mount>;
}

export interface ViewSnapshotResponseInput {
  mounts?: ReadonlyArray<MountInput> | null;
}

export interface MountsRequest {
  snapshotter: string;
  key: string;
}

export interface MountsRequestInput {
  snapshotter?: string | null;
  key?: string | null;
}

export interface MountsResponse {
  mounts: Array<Mount>;
}

export interface MountsResponseInput {
  mounts?: ReadonlyArray<MountInput> | null;
}

export interface RemoveSnapshotRequest {
  snapshotter: string;
  key: string;
}

export interface RemoveSnapshotRequestInput {
  snapshotter?: string | null;
  key?: string | null;
}
