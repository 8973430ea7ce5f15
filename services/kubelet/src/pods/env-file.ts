// Files of variables that init containers leave for others, in the part of the shell's syntax that there is one reading of:
// KEY='any text, on many lines too', with comments and empty lines between. Pure.
// https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/

/** Where the text is no such file; the message is upstream's. */
export class EnvFileError extends Error {
  override readonly name = "EnvFileError";
}

/** The value of a key; undefined where the file has no such key before its end. Throws EnvFileError at what it cannot read. */
export function envFileValue(text: string, key: string): string | undefined {
  let line = 1;
  let at = 0;
  const fail = (what: string): EnvFileError => new EnvFileError(`${what} at line ${line}`);
  while (at < text.length) {
    const end = lineEnd(text, at);
    const head = text.slice(at, end).trimStart();
    if (head === "" || head.startsWith("#")) {
      at = end + 1;
      line++;
      continue;
    }
    const equals = text.indexOf("=", at);
    const name = text.slice(at, equals).trimStart();
    if (equals < 0 || equals >= end || name === "") throw fail("invalid environment variable format");
    if (/\s$/.test(name)) throw fail("whitespace before '=' is not allowed");
    if (text[equals + 1] !== "'") throw fail("value must be enclosed in single quotes");
    const close = text.indexOf("'", equals + 2);
    if (close < 0) throw fail("unclosed single quote");
    const value = text.slice(equals + 2, close);
    line += value.split("\n").length - 1;
    const valueEnd = lineEnd(text, close);
    if (!/^(\s*|\s+#.*)$/.test(text.slice(close + 1, valueEnd))) throw fail("unexpected content after closing quote");
    if (name === key) return value;
    at = valueEnd + 1;
    line++;
  }
  return undefined;
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}
