// Which nodes an autoscaled cluster has, on disk, so that the next start has them again. Written whole or not at all.
import { readJsonFile, writeJsonFile } from "./json-file.ts";

/** Undefined where no run has written any. Throws on a damaged file, naming it. */
export function readNodes(file: string): string[] | undefined {
  const advice = "remove it to start with --nodes again";
  return readJsonFile(file, advice, (value) => (value as { nodes: string[] }).nodes);
}

export function writeNodes(file: string, nodes: readonly string[]): void {
  writeJsonFile(file, { nodes });
}
