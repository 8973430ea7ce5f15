// Sets of indexes as a Job writes them: "1,3-5,7", in increasing order.
import { quote } from "@coxswain/apimachinery";

type Interval = { readonly first: number; readonly last: number };

/** The indexes of one interval, as in "3" or "3-5", which are below `completions`; or what is wrong with it. */
function parseInterval(text: string, completions: number): Interval | { error: string } {
  const limits = text.split("-");
  if (limits.length > 2) {
    return {
      error: `the fragment ${quote(text)} violates the requirement that an index interval can have at most two parts separated by '-'`,
    };
  }
  for (const limit of limits) {
    if (!/^\+?\d+$/.test(limit)) return { error: `cannot convert string to integer for index: ${quote(limit)}` };
    if (Number(limit) >= completions) return { error: `too large index: ${quote(limit)}` };
  }
  const [first, last] = [Number(limits[0]), Number(limits.at(-1))];
  if (limits.length === 2 && first >= last) {
    return { error: `non-increasing order, previous: ${first}, current: ${last}` };
  }
  return { first, last };
}

/** The lowest index of the first two intervals that overlap, those that are none aside. */
export function overlappingIndex(some: string, others: string, completions: number): number | undefined {
  if (some === "" || others === "") return undefined;
  const read = (text: string) => text.split(",").map((each) => parseInterval(each, completions));
  const sound = (text: string) => read(text).filter((each): each is Interval => !("error" in each));
  const [left, right] = [sound(some), sound(others)];
  for (let [l, r] = [0, 0]; l < left.length && r < right.length;) {
    const [one, other] = [left[l]!, right[r]!];
    if (one.first <= other.last && other.first <= one.last) return Math.max(one.first, other.first);
    if (one.first <= other.first) l++;
    else r++;
  }
  return undefined;
}

/** The number of indexes in `text`, or what is wrong with it. Indexes are below `completions`. */
export function parseIndexes(text: string, completions: number): { total: number } | { error: string } {
  if (text === "") return { total: 0 };
  let total = 0;
  let last: number | undefined;
  for (const fragment of text.split(",")) {
    const interval = parseInterval(fragment, completions);
    if ("error" in interval) return interval;
    const { first } = interval;
    if (last !== undefined && first <= last) {
      return { error: `non-increasing order, previous: ${last}, current: ${first}` };
    }
    total += interval.last - first + 1;
    last = interval.last;
  }
  return { total };
}
