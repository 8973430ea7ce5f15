// Decodes JSON that comes from outside. Safe against deep nesting and against members named __proto__; duplicates are
// looked for only when asked, because that needs a second look at the text.
import { jsonSyntaxProblem } from "./json-syntax.ts";
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
  // A member that was written twice is there once: where all are there, none was.
  const complete = options.duplicates !== true || keysIn(text) === membersOf(value);
  return { value, duplicates: complete ? [] : new DuplicateScanner(text).scan() };
}

/**
 * What is wrong with text that decodeJson has accepted, in the order in which it stands there: members written twice, and those
 * that `unknown` tells of (as in `unknown field "spec.nope"`), into which nobody looks.
 */
export function strictProblems(text: string, unknown: readonly string[]): string[] {
  return new DuplicateScanner(text, new Set(unknown)).scan();
}

const QUOTE = '"';
const BACKSLASH = 92;
const COLON = 58;

/** How many keys text has that JSON.parse has accepted: strings that a colon follows. */
function keysIn(text: string): number {
  let keys = 0;
  for (let at = text.indexOf(QUOTE); at >= 0; at = text.indexOf(QUOTE, at)) {
    at = stringEnd(text, at);
    while (isBlank(text.charCodeAt(at))) at++;
    if (text.charCodeAt(at) === COLON) keys++;
  }
  return keys;
}

/** Where the string that begins at `at` is over, its quote included. */
function stringEnd(text: string, at: number): number {
  for (let end = text.indexOf(QUOTE, at + 1); ; end = text.indexOf(QUOTE, end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end + 1;
  }
}

function isBlank(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}

/** How many members all objects in the value have together. */
function membersOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let members = 0;
  if (Array.isArray(value)) {
    for (const each of value) members += membersOf(each);
    return members;
  }
  for (const key of Object.keys(value)) members += 1 + membersOf((value as Record<string, unknown>)[key]);
  return members;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw newBadRequest(jsonSyntaxProblem(text));
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
  private readonly unknown: ReadonlySet<string>;
  private at = 0;

  constructor(text: string, unknown: ReadonlySet<string> = new Set()) {
    this.text = text;
    this.unknown = unknown;
  }

  scan(): string[] {
    this.value("");
    return this.found;
  }

  private blanks(): void {
    while (isBlank(this.text.charCodeAt(this.at))) this.at++;
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
    const start = this.at;
    this.at = stringEnd(this.text, start);
    return this.text.slice(start, this.at);
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
      const unknown = `unknown field ${quote(at)}`;
      const problem = this.unknown.has(unknown) ? unknown : seen.has(key) ? `duplicate field ${quote(at)}` : undefined;
      if (problem !== undefined && !reported.has(key)) {
        reported.add(key);
        this.found.push(problem);
      }
      seen.add(key);
      this.blanks();
      this.at++;
      const before = this.found.length;
      this.value(at);
      if (problem === unknown) this.found.length = before;
      this.blanks();
      if (this.text[this.at] === ",") this.at++;
    }
    this.at++;
  }
}
