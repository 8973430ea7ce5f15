// What a dry run of preemption found out about each node, kept from one preemptor to the next of the same kind: a preemption
// changes one node, so one node has to be tried anew. Nothing is kept where what happens on other nodes counts, or where
// a budget protects a pod: how many disruptions it allows changes with each.
import type { CycleState, Probe, Rejection } from "../framework/contract.ts";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";
import { ShapeCache } from "../snapshot/derived-column.ts";
import type { Candidate } from "./preemption-candidates.ts";

export type Finding = Candidate | Rejection;

/** By row, for preemptors of one kind. */
class RowFindings {
  readonly #found: (Finding | undefined)[] = [];
  #epoch = -1;
  #position = 0;

  refresh({ changes, size }: ClusterSnapshot): void {
    const known =
      this.#epoch === changes.epoch &&
      changes.replay(this.#position, (row) => {
        this.#found[row] = undefined;
      });
    if (!known) this.#found.length = 0;
    this.#found.length = size;
    this.#epoch = changes.epoch;
    this.#position = changes.count;
  }

  get(row: number): Finding | undefined {
    return this.#found[row];
  }
  set(row: number, finding: Finding): void {
    this.#found[row] = finding;
  }
}

export class CandidateCache {
  readonly #kept = new ShapeCache(() => new RowFindings());

  /** `tryRow`, that asks about a row only where it has changed since it was asked before. */
  remembering(
    cycle: CycleState,
    probe: Probe,
    tryRow: (cycle: CycleState, row: number, probe: Probe) => Finding,
  ): (row: number) => Finding {
    const { info, snapshot } = cycle;
    const { key } = probe;
    const kept =
      key === undefined
        ? undefined
        : this.#kept.get(snapshot, `${info.priority} ${snapshot.budgets.generation} ${key}`);
    if (kept === undefined) return (row) => tryRow(cycle, row, probe);
    kept.refresh(snapshot);
    // There the pod does not compete with itself, as others do with it.
    const own = snapshot.rowOf(snapshot.nominations.nodeOf(info.key) ?? "");
    return (row) => {
      if (row === own) return tryRow(cycle, row, probe);
      const known = kept.get(row);
      if (known !== undefined) return known;
      const found = tryRow(cycle, row, probe);
      if (!("victims" in found) || !found.budgeted) kept.set(row, found);
      return found;
    };
  }
}
