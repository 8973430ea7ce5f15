// The name under which a write is recorded: the field manager that it names, else what its client calls itself.

/** Bytes of UTF-8. */
export const MAX_MANAGER_NAME = 128;

/** The manager of a write: `given`, else the first part of the user agent. */
export function managerName(given: string | undefined, userAgent: string | undefined): string {
  if (given !== undefined && given !== "") return given;
  const [first = ""] = (userAgent ?? "").split("/");
  let name = "";
  let bytes = 0;
  for (const character of first) {
    if (!isPrintable(character)) continue;
    bytes += Buffer.byteLength(character);
    if (bytes > MAX_MANAGER_NAME) break;
    name += character;
  }
  return name === "" ? "unknown" : name;
}

/** Letters, marks, numbers, punctuation, symbols and the plain space, as Go has it. */
export function isPrintable(text: string): boolean {
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(text);
}
