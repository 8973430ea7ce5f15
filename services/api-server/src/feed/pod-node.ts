// The node of a stored pod, told from its bytes: every change of a pod needs it, and nothing else of the pod.
// Guarantee: the same as spec.nodeName of the parsed pod, "" where there is none.
const SPEC = Buffer.from(',"spec":{');
const KEY = '"nodeName":"';
const [QUOTE, BACKSLASH, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = [0x22, 0x5c, 0x7b, 0x7d, 0x5b, 0x5d] as const;

/** `json`: a pod as it is stored, so of fields that the kind has. A member `spec` is an object nowhere else in those. */
export function podNode(json: Buffer): string {
  if (!json.includes(KEY, 0, "latin1")) return "";
  const spec = json.indexOf(SPEC);
  if (spec < 0) return "";
  // Labels, selectors and attributes may have any name: only a member of spec itself counts.
  for (let at = spec + SPEC.length, depth = 1; depth > 0 && at < json.length; at++) {
    const byte = json[at];
    if (byte === OPEN || byte === OPEN_LIST) depth++;
    else if (byte === CLOSE || byte === CLOSE_LIST) depth--;
    else if (byte === QUOTE) {
      const end = endOfText(json, at);
      const found = depth === 1 && end - at === KEY.length - 3 && json.toString("latin1", at, at + KEY.length) === KEY;
      // A node's name has nothing to escape.
      if (found) return json.toString("latin1", at + KEY.length, json.indexOf(QUOTE, at + KEY.length));
      at = end;
    }
  }
  return "";
}

/** Where the text that opens at `start` has its closing quote. */
function endOfText(json: Buffer, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  return json.length;
}
