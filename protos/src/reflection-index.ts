// Answers reflection's questions from the committed descriptors: which files declare a symbol, and what they import.
import { encodedFiles, type EncodedFile } from "./descriptors.gen.ts";

let bySymbol: Map<string, EncodedFile> | undefined;
let byName: Map<string, EncodedFile> | undefined;

function withImports(file: EncodedFile | undefined): Buffer[] | undefined {
  if (file === undefined) return undefined;
  byName ??= new Map(encodedFiles.map((item) => [item.name, item]));
  const seen = new Set<EncodedFile>();
  const queue: (EncodedFile | undefined)[] = [file];
  for (const item of queue) {
    if (item === undefined || seen.has(item)) continue;
    seen.add(item);
    queue.push(...item.dependencies.map((name) => byName?.get(name)));
  }
  return [...seen].map((item) => Buffer.from(item.descriptor, "base64"));
}

/** Encoded FileDescriptorProtos of the file and all its imports, the file first; undefined where there is no such file. */
export function filesByName(name: string): Buffer[] | undefined {
  return withImports(encodedFiles.find((file) => file.name === name));
}

/** The same for the file that declares a fully qualified service, method, message, field or enum. */
export function filesBySymbol(symbol: string): Buffer[] | undefined {
  bySymbol ??= new Map(encodedFiles.flatMap((file) => file.symbols.map((name) => [name, file] as const)));
  return withImports(bySymbol.get(symbol));
}
