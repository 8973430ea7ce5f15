// Sets of indexes as a Job writes them: "1,3-5,7", in increasing order.

/** The number of indexes in `text`, or what is wrong with it. Indexes are below `completions`. */
export function parseIndexes(text: string, completions: number): { total: number } | { error: string } {
  if (text === "") return { total: 0 };
  let total = 0;
  let last: number | undefined;
  for (const interval of text.split(",")) {
    const limits = interval.split("-");
    if (limits.length > 2)
      return {
        error: `the fragment "${interval}" violates the requirement that an index interval can have at most two parts separated by '-'`,
      };
    const [first, second = first] = limits as [string, string?];
    for (const limit of [first, second]) {
      if (!/^\d+$/.test(limit)) return { error: `cannot convert string to integer for index: "${limit}"` };
      if (Number(limit) >= completions) return { error: `too large index: "${limit}"` };
    }
    if (last !== undefined && Number(first) <= last)
      return { error: `non-increasing order, previous: ${last}, current: ${Number(first)}` };
    if (limits.length === 2 && Number(second) <= Number(first))
      return { error: `non-increasing order, previous: ${Number(first)}, current: ${Number(second)}` };
    total += Number(second) - Number(first) + 1;
    last = Number(second);
  }
  return { total };
}
