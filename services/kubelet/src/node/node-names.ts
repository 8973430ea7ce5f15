// The nodes that one process serves: "node-1", or "node-[1-5000]" for a range. Pure.

/** Throws an Error that says what is wrong. */
export function expandNodeNames(text: string): string[] {
  const range = /^([a-z0-9]([-a-z0-9.]*)?)\[(\d+)-(\d+)\]$/.exec(text);
  if (range !== null) {
    const [prefix = "", first, last] = [range[1], Number(range[3]), Number(range[4])];
    if (first > last || last - first >= 100_000) throw new Error(`${text}: not a range of nodes`);
    return Array.from({ length: last - first + 1 }, (_, at) => `${prefix}${first + at}`);
  }
  if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(text) || text.length > 253) {
    throw new Error(`${JSON.stringify(text)} is no node name; give node-1 or node-[1-5000]`);
  }
  return [text];
}
