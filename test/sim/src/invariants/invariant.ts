// An invariant: what must hold after each commit. Each file beside this one holds a few of a kind.
import type { Change, ClusterState } from "../cluster-state.ts";

export interface Invariant {
  readonly name: string;
  /** What `change` breaks, in words; `state` has it already. */
  check(change: Change, state: ClusterState): readonly string[];
}

export interface Violation {
  readonly atMs: number;
  readonly invariant: string;
  readonly detail: string;
}

export const OK: readonly string[] = [];
