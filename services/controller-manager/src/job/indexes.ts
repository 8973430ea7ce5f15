// Sets of completion indexes as a Job's status writes them: "1,3-5,7", in increasing order. Pure.

/** Throws Error for a text that is none. */
export function parseIndexSet(text: string | undefined): Set<number> {
  const found = new Set<number>();
  if (text === undefined || text === "") return found;
  for (const interval of text.split(",")) {
    const [, first = "", last = first] = /^(\d+)(?:-(\d+))?$/.exec(interval) ?? [];
    if (first === "") throw new Error(`${JSON.stringify(text)} is no set of indexes`);
    for (let index = Number(first); index <= Number(last); index++) found.add(index);
  }
  return found;
}

/** Two in a row are written with a comma, more with a dash. */
export function formatIndexSet(indexes: Iterable<number>): string {
  const sorted = [...new Set(indexes)].toSorted((a, b) => a - b);
  const parts: string[] = [];
  for (let at = 0; at < sorted.length;) {
    let end = at;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    if (end === at) parts.push(String(sorted[at]));
    else parts.push(`${sorted[at]}${end === at + 1 ? "," : "-"}${sorted[end]}`);
    at = end + 1;
  }
  return parts.join(",");
}
