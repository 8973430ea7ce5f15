// Decodes JSON that comes from outside. Safe against deep nesting and against members named __proto__; duplicates are
// looked for only when asked, because that needs a second look at the text.
import { quote } from "./quote.ts";
import { newBadRequest } from "./status-factories.ts";

/** Deeper values are refused, so that recursive code cannot run out of stack. */
export const MAX_JSON_DEPTH = 1000;

export interface DecodedJson {
  readonly value: unknown;
  /** Upstream's strict errors, as in `duplicate field "spec.replicas"`; empty unless asked for. */
  readonly duplicates: readonly string[];
}

/** Decodes UTF-8 JSON. Throws a BadRequest StatusError where it is malformed or unsafe. */
export function decodeJson(input: Buffer | string, options: { duplicates?: boolean } = {}): DecodedJson {
  const text = typeof input === "string" ? input : input.toString("utf8");
  const value = parse(text);
  if (mayBeUnsafe(text)) checkSafe(value, 0);
  const duplicates = options.duplicates === true ? new DuplicateScanner(text).scan() : [];
  return { value, duplicates };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw newBadRequest(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
}

/** Quick and on the safe side: an escape could spell __proto__, and depth needs as many openings. */
function mayBeUnsafe(text: string): boolean {
  if (text.includes("__proto__") || text.includes("\\u005")) return true;
  return openings(text, "{") + openings(text, "[") > MAX_JSON_DEPTH;
}

function openings(text: string, bracket: string): number {
  let count = 0;
  for (let at = text.indexOf(bracket); at >= 0 && count <= MAX_JSON_DEPTH; at = text.indexOf(bracket, at + 1)) count++;
  return count;
}

function checkSafe(value: unknown, depth: number): void {
  if (typeof value !== "object" || value === null) return;
  if (depth >= MAX_JSON_DEPTH) throw newBadRequest("exceeded max depth");
  if (!Array.isArray(value) && Object.hasOwn(value, "__proto__")) {
    throw newBadRequest('field name "__proto__" is not supported');
  }
  for (const each of Object.values(value)) checkSafe(each, depth + 1);
}

/** Walks text that JSON.parse has accepted, so it need not look for syntax errors. */
class DuplicateScanner {
  private readonly text: string;
  private readonly found: string[] = [];
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  scan(): string[] {
    this.value("");
    return this.found;
  }

  private blanks(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return;
      this.at++;
    }
  }

  private value(path: string): void {
    this.blanks();
    const character = this.text[this.at];
    if (character === "{") this.object(path);
    else if (character === "[") this.array(path);
    else if (character === '"') this.string();
    else while (this.at < this.text.length && !",]} \n\r\t".includes(this.text[this.at] as string)) this.at++;
  }

  /** Skips a string; returns it raw, quotes included. */
  private string(): string {
    const start = this.at++;
    for (;;) {
      const end = this.text.indexOf('"', this.at);
      let backslashes = 0;
      while (this.text.charCodeAt(end - 1 - backslashes) === 92) backslashes++;
      this.at = end + 1;
      if (backslashes % 2 === 0) return this.text.slice(start, this.at);
    }
  }

  private array(path: string): void {
    this.at++;
    for (let index = 0; ; index++) {
      this.blanks();
      if (this.text[this.at] === "]") break;
      this.value(`${path}[${index}]`);
      this.blanks();
      if (this.text[this.at] === ",") this.at++;
    }
    this.at++;
  }

  private object(path: string): void {
    const seen = new Set<string>();
    const reported = new Set<string>();
    this.at++;
    for (;;) {
      this.blanks();
      if (this.text[this.at] === "}") break;
      const raw = this.string();
      const key = raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
      const at = path === "" ? key : `${path}.${key}`;
      if (seen.has(key) && !reported.has(key)) {
        reported.add(key);
        this.found.push(`duplicate field ${quote(at)}`);
      }
      seen.add(key);
      this.blanks();
      this.at++;
      this.value(at);
      this.blanks();
      if (this.text[this.at] === ",") this.at++;
    }
    this.at++;
  }
}
