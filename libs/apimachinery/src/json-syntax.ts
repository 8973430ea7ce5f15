// Says what is wrong with text that is no JSON, in the words of Go's scanner: clients show it, and V8's own words differ. Slow and
// used only once JSON.parse has refused the text.
import { quote } from "./quote.ts";
const OPENS = "{[";
const LITERALS: Readonly<Record<string, string>> = { t: "true", f: "false", n: "null" };
const ESCAPES = '"\\/bfnrtu';

/** As in `invalid character 'a' looking for beginning of value`. The text is one that JSON.parse refuses. */
export function jsonSyntaxProblem(text: string): string {
  // Byte by byte, as the scanner reads: one byte of a longer character is what it complains of.
  const scanner = new Scanner(Buffer.from(text, "utf8").toString("latin1"));
  try {
    scanner.document();
  } catch (error) {
    if (error instanceof Problem) return error.message;
    throw error;
  }
  return "invalid JSON";
}

class Problem extends Error {}

class Scanner {
  readonly #bytes: string;
  /** What closes each object and array that is open. */
  readonly #open: string[] = [];
  #at = 0;

  constructor(bytes: string) {
    this.#bytes = bytes;
  }

  document(): void {
    do {
      this.#value();
      this.#afterValue();
    } while (this.#open.length > 0);
    this.#blanks();
    if (this.#at < this.#bytes.length) this.#invalid("after top-level value");
  }

  /** A whole one, or the opening of one that has members: what follows is its first member's value. */
  #value(): void {
    for (;;) {
      const first = this.#next();
      if (!OPENS.includes(first)) {
        this.#scalar(first);
        return;
      }
      this.#at++;
      const closing = first === "{" ? "}" : "]";
      if (this.#next() === closing) {
        this.#at++;
        return;
      }
      this.#open.push(closing);
      if (first === "{") this.#key();
    }
  }

  /** Closes what ends here, and goes to where the next value begins. */
  #afterValue(): void {
    for (;;) {
      const closing = this.#open.at(-1);
      if (closing === undefined) return;
      const found = this.#next();
      if (found !== closing && found !== ",") {
        this.#invalid(closing === "}" ? "after object key:value pair" : "after array element");
      }
      this.#at++;
      if (found === ",") {
        if (closing === "}") this.#key();
        return;
      }
      this.#open.pop();
    }
  }

  #key(): void {
    if (this.#next() !== '"') this.#invalid("looking for beginning of object key string");
    this.#string();
    if (this.#next() !== ":") this.#invalid("after object key");
    this.#at++;
  }

  #scalar(first: string): void {
    if (first === '"') this.#string();
    else if (first === "-" || isDigit(first)) this.#number();
    else {
      const literal = LITERALS[first];
      if (literal === undefined) this.#invalid("looking for beginning of value");
      for (const expected of literal) this.#expect(expected, `in literal ${literal} (expecting '${expected}')`);
    }
  }

  #string(): void {
    this.#at++;
    for (;;) {
      const found = this.#here();
      if (found < " ") this.#invalid("in string literal");
      this.#at++;
      if (found === '"') return;
      if (found === "\\") this.#escape();
    }
  }

  #escape(): void {
    const kind = this.#here();
    if (!ESCAPES.includes(kind)) this.#invalid("in string escape code");
    this.#at++;
    for (let digits = kind === "u" ? 4 : 0; digits > 0; digits--) {
      if (!/[0-9a-fA-F]/.test(this.#here())) this.#invalid("in \\u hexadecimal character escape");
      this.#at++;
    }
  }

  #number(): void {
    if (this.#bytes[this.#at] === "-") this.#at++;
    if (this.#here() === "0") this.#at++;
    else this.#digits("in numeric literal");
    if (this.#bytes[this.#at] === ".") {
      this.#at++;
      this.#digits("after decimal point in numeric literal");
    }
    if (/[eE]/.test(this.#bytes[this.#at] ?? "")) {
      this.#at++;
      if (/[+-]/.test(this.#here())) this.#at++;
      this.#digits("in exponent of numeric literal");
    }
  }

  /** At least one. */
  #digits(where: string): void {
    if (!isDigit(this.#here())) this.#invalid(where);
    while (isDigit(this.#bytes[this.#at] ?? "")) this.#at++;
  }

  #expect(character: string, where: string): void {
    if (this.#here() !== character) this.#invalid(where);
    this.#at++;
  }

  #blanks(): void {
    while (" \t\r\n".includes(this.#bytes[this.#at] ?? "x")) this.#at++;
  }

  /** The next character that is no blank. */
  #next(): string {
    this.#blanks();
    return this.#here();
  }

  #here(): string {
    const found = this.#bytes[this.#at];
    if (found === undefined) throw new Problem("unexpected end of JSON input");
    return found;
  }

  #invalid(where: string): never {
    throw new Problem(`invalid character ${quoteCharacter(this.#here())} ${where}`);
  }
}

function isDigit(character: string): boolean {
  return character >= "0" && character <= "9";
}

function quoteCharacter(character: string): string {
  if (character === "'") return String.raw`'\''`;
  if (character === '"') return `'"'`;
  return `'${quote(character).slice(1, -1)}'`;
}
