// What filters and scores that look at one node at a time say of all nodes, for pods of one kind. Kept from decision to
// decision: a pod that is placed changes one node, so one node is judged anew, and the best is found by blocks of rows.
import type { Random } from "@coxswain/env";
import type { ClusterSnapshot } from "../snapshot/cluster-snapshot.ts";

/** The total of a row that a filter rejects. */
export const CLOSED = Number.NEGATIVE_INFINITY;

const BLOCK_BITS = 6;
const BLOCK = 1 << BLOCK_BITS;
/** Where more than this part of the rows has changed, judging all of them at once costs less. */
const REBUILD_PART = 8;

export interface RowJudge {
  /** The total of one row, or CLOSED. */
  row(row: number): number;
  /** The totals of the rows below `size`. */
  all(totals: Float64Array, size: number): void;
}

export class NodeRanking {
  /** By row: the weighted sum of the scores, or CLOSED. */
  totals = new Float64Array(0);
  /** By row: 0 where it is open. */
  closed = new Uint8Array(0);
  /** Rows that are open. */
  open = 0;
  /** By block of rows: the highest total, and how many rows have it. */
  #bests = new Float64Array(0);
  #ties = new Int32Array(0);
  #size = 0;
  #epoch = -1;
  #position = 0;

  /** Brings all up to date; `judge` must say of a row what it said before, unless the row has changed. */
  refresh(snapshot: ClusterSnapshot, judge: RowJudge): void {
    const { changes, size } = snapshot;
    const missed = changes.count - this.#position;
    const known = this.#epoch === changes.epoch && size === this.#size && missed * REBUILD_PART <= size;
    if (missed === 0 && known) return;
    // Void until all is done: a judge may throw.
    this.#epoch = -1;
    // What happens to a pod mostly touches its row several times in a row.
    let last = -1;
    const judged = (row: number): void => {
      if (row !== last) this.#set(row, judge);
      last = row;
    };
    if (!known || !changes.replay(this.#position, judged)) this.#rebuild(size, judge);
    this.#epoch = changes.epoch;
    this.#position = changes.count;
  }

  /**
   * The row with the highest total; among equals each is as likely. They are counted in the order of rows from `start` on,
   * then from the first. Some row must be open.
   */
  pick(start: number, random: Random): number {
    const bests = this.#bests;
    const blocks = bests.length;
    let best = CLOSED;
    let ties = 0;
    for (let block = 0; block < blocks; block++) {
      if (bests[block]! > best) {
        best = bests[block]!;
        ties = this.#ties[block]!;
      } else if (bests[block] === best) ties += this.#ties[block]!;
    }
    return this.#find(start, best, ties === 1 ? 0 : random.int(ties));
  }

  /** The row that comes after `skip` others with the same total. */
  #find(start: number, total: number, skip: number): number {
    const first = start >> BLOCK_BITS;
    const ahead = Math.min(this.#size, (first + 1) << BLOCK_BITS);
    let left = skip;
    for (let row = start; row < ahead; row++) if (this.totals[row] === total && left-- === 0) return row;
    const blocks = this.#bests.length;
    for (let at = 1; at <= blocks; at++) {
      const block = (first + at) % blocks;
      if (this.#bests[block] !== total) continue;
      // In the first block, what lies before `start` comes last; what lies behind is counted already.
      if (block !== first && this.#ties[block]! <= left) {
        left -= this.#ties[block]!;
        continue;
      }
      const from = block << BLOCK_BITS;
      const to = block === first ? start : Math.min(this.#size, from + BLOCK);
      for (let row = from; row < to; row++) if (this.totals[row] === total && left-- === 0) return row;
    }
    throw new RangeError(`no row has the total ${total}`);
  }

  #set(row: number, judge: RowJudge): void {
    if (row >= this.#size) return;
    const before = this.totals[row]!;
    const total = judge.row(row);
    if (total === before) return;
    this.totals[row] = total;
    if (before === CLOSED) this.open++;
    else if (total === CLOSED) this.open--;
    this.closed[row] = total === CLOSED ? 1 : 0;
    this.#sum(row >> BLOCK_BITS);
  }

  #sum(block: number): void {
    const totals = this.totals;
    const from = block << BLOCK_BITS;
    const to = Math.min(this.#size, from + BLOCK);
    let best = CLOSED;
    let ties = 0;
    for (let row = from; row < to; row++) {
      const total = totals[row]!;
      if (total > best) {
        best = total;
        ties = 1;
      } else if (total === best) ties++;
    }
    this.#bests[block] = best;
    this.#ties[block] = ties;
  }

  #rebuild(size: number, judge: RowJudge): void {
    if (size !== this.#size) {
      this.#size = size;
      this.totals = new Float64Array(size);
      this.closed = new Uint8Array(size);
      this.#bests = new Float64Array((size + BLOCK - 1) >> BLOCK_BITS);
      this.#ties = new Int32Array(this.#bests.length);
    }
    judge.all(this.totals, size);
    this.open = 0;
    for (let row = 0; row < size; row++) {
      this.closed[row] = this.totals[row] === CLOSED ? 1 : 0;
      this.open += 1 - this.closed[row]!;
    }
    for (let block = 0; block < this.#bests.length; block++) this.#sum(block);
  }
}
