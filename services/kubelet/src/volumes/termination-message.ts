// What a container had to say at its end: out of its message file, or of its log where the policy falls back to it.
// https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
import { open } from "node:fs/promises";
import type { Container } from "@coxswain/api";
import type { EndedLife } from "./contract.ts";
import { isMissing } from "./missing-files.ts";

const MAX_FILE_BYTES = 4096;
const MAX_LOG_BYTES = 2048;
const MAX_LOG_LINES = 80;

/** Undefined where there is nothing to say. */
export async function readTerminationMessage(
  file: string,
  container: Container,
  life: EndedLife,
): Promise<string | undefined> {
  const written = await readEnd(file);
  if (written !== "") return written;
  if (container.terminationMessagePolicy !== "FallbackToLogsOnError" || life.exitCode === 0) return undefined;
  const logged = await logEnd(life);
  return logged === "" ? undefined : logged;
}

/** The last bytes of a file; empty where there is none. */
async function readEnd(file: string): Promise<string> {
  try {
    const handle = await open(file, "r");
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, MAX_FILE_BYTES);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.subarray(0, bytesRead).toString("utf8");
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isMissing(error)) return "";
    throw error;
  }
}

async function logEnd(life: EndedLife): Promise<string> {
  const lines: Buffer[] = [];
  for await (const { line, partial } of life.log()) {
    lines.push(partial === true ? line : Buffer.concat([line, Buffer.from("\n")]));
    if (lines.length > MAX_LOG_LINES) lines.shift();
  }
  const bytes = Buffer.concat(lines);
  return bytes.subarray(Math.max(0, bytes.length - MAX_LOG_BYTES)).toString("utf8");
}
