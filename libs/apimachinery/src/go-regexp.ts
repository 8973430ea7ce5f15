// Regular expressions of Go's syntax (RE2), which users write in schemas and rules. Guarantee: matching takes time linear in
// the text wherever the pattern needs no Unicode classes: V8 leaves a match that backtracks too long to its linear engine.
// https://github.com/google/re2/wiki/Syntax
import { setFlagsFromString } from "node:v8";

const BACKTRACKS = 20_000;

const POSIX: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  ascii: "\\x00-\\x7F",
  blank: "\\t ",
  cntrl: "\\x00-\\x1F\\x7F",
  digit: "0-9",
  graph: "!-~",
  lower: "a-z",
  print: " -~",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\t\\n\\v\\f\\r ",
  upper: "A-Z",
  word: "0-9A-Za-z_",
  xdigit: "0-9A-Fa-f",
};

/** The pattern is none; the message is that of Go's compiler. */
export class GoRegExpError extends Error {
  override readonly name = "GoRegExpError";
}

let linear = false;

/** What V8 says of a bad pattern, and what Go says. */
const MESSAGES: readonly (readonly [RegExp, string])[] = [
  [/Unterminated group/, "missing closing )"],
  [/Unmatched '\)'/, "unexpected )"],
  [/Unterminated character class/, "missing closing ]"],
  [/Nothing to repeat/, "missing argument to repetition operator"],
  [/Range out of order/, "invalid character class range"],
  [/numbers out of order/, "invalid repeat count"],
  [/\\ at end/, "trailing backslash at end of expression"],
];

/** @throws GoRegExpError */
export function compileGoRegExp(pattern: string): RegExp {
  if (!linear) {
    setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");
    setFlagsFromString(`--regexp-backtracks-before-fallback=${BACKTRACKS}`);
    linear = true;
  }
  const { source, flags } = translate(pattern);
  try {
    return new RegExp(source, flags);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const known = MESSAGES.find(([expression]) => expression.test(text))?.[1] ?? "invalid or unsupported Perl syntax";
    throw new GoRegExpError(`error parsing regexp: ${known}: \`${pattern}\``);
  }
}

function translate(pattern: string): { source: string; flags: string } {
  let flags = "";
  let body = pattern;
  for (let lead = /^\(\?([ims]+)\)/.exec(body); lead !== null; lead = /^\(\?([ims]+)\)/.exec(body)) {
    flags += lead[1];
    body = body.slice(lead[0].length);
  }
  const source = new Translator(body).translate();
  const unicode = /\\[pP]|\\u\{|[\u{10000}-\u{10ffff}]/u.test(source) ? "u" : "";
  return { source, flags: [...new Set(flags + unicode)].join("") };
}

class Translator {
  readonly #text: string;
  #at = 0;
  #out = "";
  #inClass = false;

  constructor(text: string) {
    this.#text = text;
  }

  translate(): string {
    while (this.#at < this.#text.length) this.#step();
    return this.#out;
  }

  #take(length: number, as?: string): void {
    this.#out += as ?? this.#text.slice(this.#at, this.#at + length);
    this.#at += length;
  }

  #step(): void {
    const rest = this.#text.slice(this.#at, this.#at + 16);
    if (rest.startsWith("\\")) this.#escape(rest);
    else if (this.#inClass) this.#classMember(rest);
    else if (rest.startsWith("[")) this.#openClass(rest);
    else if (rest.startsWith("(?")) this.#group(rest);
    else this.#take(1);
  }

  #openClass(rest: string): void {
    this.#inClass = true;
    // A bracket that comes first stands for itself.
    if (rest.startsWith("[]")) this.#take(2, "[\\]");
    else if (rest.startsWith("[^]")) this.#take(3, "[^\\]");
    else this.#take(rest.startsWith("[^") ? 2 : 1);
  }

  #classMember(rest: string): void {
    const posix = /^\[:(\w+):\]/.exec(rest);
    const members = posix === null ? undefined : POSIX[posix[1] as string];
    if (posix !== null && members !== undefined) this.#take(posix[0].length, members);
    else if (rest.startsWith("[")) this.#take(1, "\\[");
    else {
      if (rest.startsWith("]")) this.#inClass = false;
      this.#take(1);
    }
  }

  #group(rest: string): void {
    const named = /^\(\?P?<([A-Za-z_]\w*)>/.exec(rest);
    if (named !== null) this.#take(named[0].length, `(?<${named[1]}>`);
    else if (/^\(\?(?:[ims]*(?:-[ims]+)?):/.test(rest)) this.#take(rest.indexOf(":") + 1);
    else throw new GoRegExpError(`error parsing regexp: invalid or unsupported Perl syntax: \`${rest.slice(0, 3)}\``);
  }

  #escape(rest: string): void {
    const next = rest[1] ?? "";
    const hex = /^\\x\{([0-9A-Fa-f]+)\}/.exec(rest);
    const unicodeClass = /^\\([pP])([A-Z])/.exec(rest);
    if (hex !== null) this.#take(hex[0].length, `\\u{${hex[1]}}`);
    else if (unicodeClass !== null) this.#take(3, `\\${unicodeClass[1]}{${unicodeClass[2]}}`);
    else if (next === "Q") this.#literal();
    else if (next === "A" && !this.#inClass) this.#take(2, "^");
    else if (next === "z" && !this.#inClass) this.#take(2, "$");
    else if (next === "a") this.#take(2, "\\x07");
    else if (/[1-9Zk]/.test(next)) {
      throw new GoRegExpError(`error parsing regexp: invalid escape sequence: \`\\${next}\``);
    } else this.#take(2);
  }

  #literal(): void {
    const end = this.#text.indexOf("\\E", this.#at);
    const literal = this.#text.slice(this.#at + 2, end < 0 ? undefined : end);
    this.#out += literal.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
    this.#at = end < 0 ? this.#text.length : end + 2;
  }
}
