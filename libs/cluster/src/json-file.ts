// A JSON document on disk that only its owner reads. Written whole or not at all.
import { readFileSync, renameSync, writeFileSync } from "node:fs";

/** What `take` finds in it; undefined where there is no file. Throws on a damaged one, naming it and `advice`. */
export function readJsonFile<T>(file: string, advice: string, take: (value: unknown) => T): T | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return take(JSON.parse(text));
  } catch (error) {
    throw new Error(`${file} is damaged; ${advice}`, { cause: error });
  }
}

export function writeJsonFile(file: string, value: object): void {
  const temporary = `${file}.new`;
  writeFileSync(temporary, JSON.stringify(value), { mode: 0o600 });
  renameSync(temporary, file);
}
