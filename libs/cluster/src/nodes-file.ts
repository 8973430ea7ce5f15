// Which nodes an autoscaled cluster has, on disk, so that the next start has them again. Written whole or not at all.
import { readFileSync, renameSync, writeFileSync } from "node:fs";

/** Undefined where no run has written any. Throws on a damaged file, naming it. */
export function readNodes(file: string): string[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return (JSON.parse(text) as { nodes: string[] }).nodes;
  } catch (error) {
    throw new Error(`${file} is damaged; remove it to start with --nodes again`, { cause: error });
  }
}

export function writeNodes(file: string, nodes: readonly string[]): void {
  const beside = `${file}.new`;
  writeFileSync(beside, JSON.stringify({ nodes }), { mode: 0o600 });
  renameSync(beside, file);
}
