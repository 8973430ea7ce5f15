// Memory for objects that stay: many records in one buffer instead of a buffer each, off the heap. Guarantees: what was read
// of a record stays valid, whatever is added, released or moved; at least half of the records of a full segment are in use,
// or what is left of them has moved on.
import { pack, recordLength } from "./packed-form.ts";

const SEGMENT_BYTES = 256 * 1024;
/** What is larger has a buffer of its own. */
const MAX_JSON_BYTES = SEGMENT_BYTES / 8;

/** What has a record, told where it lies now. */
export interface SlabMember {
  readonly place: Place | undefined;
  moveTo(segment: Segment, at: number): void;
}

export interface Place {
  readonly segment: Segment;
  readonly at: number;
}

export class Segment {
  readonly bytes = Buffer.allocUnsafeSlow(SEGMENT_BYTES);
  used = 0;
  members: SlabMember[] = [];
  live = 0;
}

export class Slab {
  #current: Segment | undefined;

  /** Gives `member` a record of `json`; false where it is too large. */
  add(member: SlabMember, json: Buffer): boolean {
    if (json.length > MAX_JSON_BYTES) return false;
    this.#append(member, (segment) => pack(json, segment.bytes, segment.used));
    return true;
  }

  /** Nobody will look for the object any more, but for who has it already. */
  release(segment: Segment): void {
    segment.live--;
    if (segment !== this.#current && isSparse(segment)) this.#evacuate(segment);
  }

  #append(member: SlabMember, write: (segment: Segment) => number | undefined): void {
    for (;;) {
      const segment = (this.#current ??= new Segment());
      const length = write(segment);
      if (length === undefined) {
        this.#current = undefined;
        if (isSparse(segment)) this.#evacuate(segment);
        continue;
      }
      member.moveTo(segment, segment.used);
      segment.used += length;
      segment.members.push(member);
      segment.live++;
      return;
    }
  }

  #evacuate(from: Segment): void {
    const { members } = from;
    from.members = [];
    from.live = 0;
    for (const member of members) {
      const { place } = member;
      if (place?.segment !== from) continue;
      const { at } = place;
      const length = recordLength(from.bytes, at);
      this.#append(member, (to) => {
        if (to.used + length > to.bytes.length) return undefined;
        return from.bytes.copy(to.bytes, to.used, at, at + length);
      });
    }
  }
}

function isSparse({ live, members }: Segment): boolean {
  return live * 2 < members.length;
}
