// Lists of nodes on the command line: "node-1,node-2" or "node-[1-50]".

const RANGE = /^([^[\]]*)\[(\d+)-(\d+)\]([^[\]]*)$/;
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;

function expand(item: string): string[] {
  const range = RANGE.exec(item);
  if (range === null) return [item];
  const [, head = "", first, last, tail = ""] = range;
  const [from, to] = [Number(first), Number(last)];
  if (to < from) throw new RangeError(`nodes: ${item} ends before it begins`);
  return Array.from({ length: to - from + 1 }, (_, at) => `${head}${from + at}${tail}`);
}

/** The names in order, each once. Throws RangeError where one is no node name or there are none. */
export function parseNodeNames(text: string): string[] {
  const names = text
    .split(",")
    .filter((item) => item !== "")
    .flatMap(expand);
  if (names.length === 0) throw new RangeError("nodes: needs at least one name");
  const wrong = names.find((name) => !NAME.test(name));
  if (wrong !== undefined) throw new RangeError(`nodes: ${wrong} is not a node name`);
  return [...new Set(names)];
}
