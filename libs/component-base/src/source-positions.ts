// Where a stack trace's lines stand in the sources. Node's own support for source maps reads every map when a program starts
// and whenever somebody looks at a stack; this reads one only when a stack is shown to a person.
import { existsSync, readFileSync } from "node:fs";
import { SourceMap, type SourceMapPayload } from "node:module";
import path from "node:path";

const maps = new Map<string, SourceMap | undefined>();

function mapOf(file: string): SourceMap | undefined {
  if (!maps.has(file)) {
    const beside = `${file}.map`;
    const found = existsSync(beside)
      ? new SourceMap(JSON.parse(readFileSync(beside, "utf8")) as SourceMapPayload)
      : undefined;
    maps.set(file, found);
  }
  return maps.get(file);
}

/** The stack with positions in bundles replaced by those in their sources, as far as there are maps beside the bundles. */
export function inSources(stack: string): string {
  return stack.replaceAll(/(?:file:\/\/)?(\/[^\s():]+):(\d+):(\d+)/g, (whole, file: string, line, column) => {
    const origin = mapOf(file)?.findOrigin(Number(line), Number(column));
    if (origin === undefined || !("fileName" in origin)) return whole;
    return `${path.resolve(path.dirname(file), origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`;
  });
}
