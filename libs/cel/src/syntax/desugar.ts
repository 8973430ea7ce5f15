// Writes what the parser does not know in words that it does: message literals `Object.spec{replicas: 1}`, and optional
// entries and elements `{?key: value}` and `[?element]`. Guarantee: every place in the outcome leads back to its place in
// the source, so that errors stand where the author looks.
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax

/** The method that a message literal becomes; no name that an expression can have. */
export const CONSTRUCT = "__construct__";
/** The element that stands before an optional one. */
export const OPTIONAL_MARK = "__optional__";

export interface Desugared {
  readonly text: string;
  /** The place in the source, counted in UTF-16 units, of a place in `text`. */
  readonly sourceOf: (at: number) => number;
}

type Bracket = "message" | "map" | "list" | "index" | "call";

const CLOSES: Readonly<Record<Bracket, string>> = { message: "}", map: "}", list: "]", index: "]", call: ")" };
const WORD = /[A-Za-z_][A-Za-z0-9_]*/y;
const NUMBER = /(?:0x[0-9a-fA-F]+|\d*\.?\d+(?:[eE][+-]?\d+)?)u?/y;
/** A string literal with its prefix, closed or not. */
const TEXT =
  /(?:[rRbB]{0,2})(?:"""(?:\\[^]|(?!""")[^])*(?:""")?|'''(?:\\[^]|(?!''')[^])*(?:''')?|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?)/y;
/** The same, where a backslash is a character like another. */
const RAW_TEXT = /(?:[bB]?[rR][bB]?)(?:"""(?:(?!""")[^])*(?:""")?|'''(?:(?!''')[^])*(?:''')?|"[^"\n]*"?|'[^'\n]*'?)/y;
const COMMENT = /\/\/[^\n]*/y;

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** Leaves everything as it is that has none of the above. */
export function desugar(source: string): Desugared {
  if (!/[A-Za-z0-9_]\s*\{|[[{,]\s*\?/.test(source)) return { text: source, sourceOf: (at) => at };
  return new Writer(source).run();
}

class Writer {
  readonly #source: string;
  #text = "";
  /** Where something was put in: the place in the outcome, and how long it is. */
  readonly #added: { readonly at: number; readonly length: number }[] = [];
  readonly #open: Bracket[] = [];
  /** The last piece that is neither space nor comment. */
  #last = "";

  constructor(source: string) {
    this.#source = source;
  }

  run(): Desugared {
    let at = 0;
    while (at < this.#source.length) at += this.#piece(at);
    return { text: this.#text, sourceOf: (place) => this.#sourceOf(place) };
  }

  /** Copies the piece at `at` and returns its length. */
  #piece(at: number): number {
    const source = this.#source;
    const char = source.charAt(at);
    const still = /\s/.test(char) ? char : matchAt(COMMENT, source, at);
    if (still !== undefined) {
      this.#text += still;
      return still.length;
    }
    const found =
      matchAt(RAW_TEXT, source, at) ??
      matchAt(TEXT, source, at) ??
      matchAt(WORD, source, at) ??
      matchAt(NUMBER, source, at);
    if (found === undefined) this.#mark(char);
    else this.#text += found;
    this.#last = found ?? char;
    return (found ?? char).length;
  }

  #mark(char: string): void {
    if (char === "{") this.#brace();
    else if (char === "[") this.#enter(this.#afterValue() ? "index" : "list", char);
    else if (char === "(") this.#enter("call", char);
    else if (char === "?" && this.#startsElement()) this.#insert(`${OPTIONAL_MARK}${this.#inList() ? "" : ": 0"},`);
    else if (char === "}" || char === "]" || char === ")") this.#leave(char);
    else this.#text += char;
  }

  #brace(): void {
    if (!/^[A-Za-z_]\w*$/.test(this.#last) || this.#last === "in") return this.#enter("map", "{");
    this.#insert(`.${CONSTRUCT}(`, 0);
    this.#enter("message", "{");
  }

  #enter(bracket: Bracket, char: string): void {
    this.#open.push(bracket);
    this.#text += char;
  }

  #leave(char: string): void {
    this.#text += char;
    const bracket = this.#open.at(-1);
    // What does not fit is left for the parser to complain about.
    if (bracket === undefined || CLOSES[bracket] !== char) return;
    this.#open.pop();
    if (bracket === "message") this.#insert(")", 0);
  }

  /** True after what `[` would take an element of. */
  #afterValue(): boolean {
    return /^[A-Za-z_0-9"')\]}]/.test(this.#last) && this.#last !== "in";
  }

  #startsElement(): boolean {
    const bracket = this.#open.at(-1);
    const within = bracket === "message" || bracket === "map" || bracket === "list";
    return within && (this.#last === "," || this.#last === "{" || this.#last === "[");
  }

  #inList(): boolean {
    return this.#open.at(-1) === "list";
  }

  /** `taken` is how much of the source the text stands for. */
  #insert(text: string, taken = 1): void {
    this.#added.push({ at: this.#text.length, length: text.length - taken });
    this.#text += text;
  }

  #sourceOf(place: number): number {
    let found = place;
    for (const { at, length } of this.#added) {
      if (place <= at) break;
      found -= Math.min(length, place - at);
    }
    return found;
  }
}
