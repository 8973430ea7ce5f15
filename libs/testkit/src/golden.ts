// Golden files: expected output kept beside the test. COXSWAIN_UPDATE_GOLDEN=1 writes them anew; review the diff then.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** JSON with sorted keys and a final newline: stable, and good to read in a diff. */
export function goldenJson(value: unknown): string {
  const sorted = (_key: string, at: unknown): unknown =>
    typeof at === "object" && at !== null && !Array.isArray(at)
      ? Object.fromEntries(Object.entries(at).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : at;
  return `${JSON.stringify(value, sorted, 2)}\n`;
}

/** Throws, with the first line that differs, where `actual` is not what `file` holds. */
export function expectGolden(file: string, actual: string): void {
  if (process.env["COXSWAIN_UPDATE_GOLDEN"] === "1") {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, actual);
    return;
  }
  const expected = readGolden(file);
  if (expected === actual) return;
  const [want, got] = [expected.split("\n"), actual.split("\n")];
  const line = want.findIndex((text, at) => text !== got[at]);
  const at = line < 0 ? want.length : line;
  throw new Error(
    `${file}:${at + 1} differs (COXSWAIN_UPDATE_GOLDEN=1 accepts)\n- ${want[at] ?? "(end)"}\n+ ${got[at] ?? "(end)"}`,
  );
}

function readGolden(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`${file} is missing; COXSWAIN_UPDATE_GOLDEN=1 writes it`, { cause: error });
  }
}
