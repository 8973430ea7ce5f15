// What becomes of the log files of one container when its log has grown too large. Pure. Files are named as upstream names
// them: 0.log, the rotated ones 0.log.20260102-150405, and with .gz once they are compressed.

export interface LogPolicy {
  /** A log of this size is rotated; negative: never. */
  readonly maxBytes: number;
  /** Files of a container, the one that is written to among them; at least 2. */
  readonly maxFiles: number;
}

export interface LogRotation {
  readonly remove: readonly string[];
  /** The newest rotated file is left as it is until the next rotation: its readers may not have come to its end. */
  readonly compress: readonly string[];
  /** The new name of the log. */
  readonly rotated: string;
}

const COMPRESSED = ".gz";
/** What is being compressed, or was when the kubelet ended. */
export const UNFINISHED = ".tmp";

function stamp(nowMs: number): string {
  const [date = "", time = ""] = new Date(nowMs).toISOString().slice(0, 19).split("T");
  return `${date.replaceAll("-", "")}-${time.replaceAll(":", "")}`;
}

/** `names` is what is in the folder of `log`. */
export function planLogRotation(
  log: string,
  names: readonly string[],
  { maxFiles }: LogPolicy,
  nowMs: number,
): LogRotation {
  const rotated = names.filter((name) => name.startsWith(`${log}.`)).toSorted();
  const useless = (name: string): boolean =>
    name.endsWith(UNFINISHED) || (!name.endsWith(COMPRESSED) && names.includes(name + COMPRESSED));
  const kept = rotated.filter((name) => !useless(name));
  // One place is the log's, one the file's that it becomes now.
  const excess = kept.slice(0, Math.max(0, kept.length - Math.max(0, maxFiles - 2)));
  return {
    remove: [...rotated.filter(useless), ...excess],
    compress: kept.slice(excess.length).filter((name) => !name.endsWith(COMPRESSED)),
    rotated: `${log}.${stamp(nowMs)}`,
  };
}
