// Option values as numbers; anything else is refused with the option's name by the cluster library.
export function toNumber(text: string): number {
  return text.trim() === "" ? Number.NaN : Number(text);
}
