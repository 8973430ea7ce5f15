// The ranges that addresses and ports come from. The lower band is left to those who ask for a certain one, as upstream
// does, so that a static request rarely finds its address taken.
import type { Random } from "@coxswain/env";

export interface Range {
  readonly text: string;
  /** Numbers in the range. */
  readonly size: number;
  /** First offset of the band that is drawn from first. */
  readonly dynamicFrom: number;
  at(offset: number): string;
  contains(value: string): boolean;
}

const DRAWS = 32;

/** @throws Error where the text is no IPv4 network */
export function ipRange(cidr: string): Range {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(cidr);
  if (match === null) throw new Error(`service network ${cidr} is not an IPv4 CIDR`);
  const bits = Number(match[5]);
  const total = 2 ** (32 - bits);
  const base = Math.floor(parseIp(match.slice(1, 5).join("."))! / total) * total;
  // Neither the network's address nor the last one.
  const size = Math.max(0, total - 2);
  return {
    text: cidr,
    size,
    dynamicFrom: Math.min(Math.max(16, Math.floor(size / 16)), 256, size),
    at: (offset) => formatIp(base + 1 + offset),
    contains(value) {
      const ip = parseIp(value);
      return ip !== undefined && ip > base && ip < base + total - 1;
    },
  };
}

/** @throws Error where the text is not low-high */
export function portRange(text: string): Range {
  const match = /^(\d+)-(\d+)$/.exec(text);
  if (match === null) throw new Error(`node port range ${text} is not of the form 30000-32767`);
  const low = Number(match[1]);
  const size = Number(match[2]) - low + 1;
  return {
    text,
    size,
    dynamicFrom: size < 16 ? 0 : Math.min(Math.max(16, Math.floor(size / 32)), 128, size),
    at: (offset) => String(low + offset),
    contains: (value) => Number(value) >= low && Number(value) < low + size,
  };
}

/** A free value: drawn from the upper band, then searched, then from the lower band; undefined where all are taken. */
export function pick(range: Range, random: Random, taken: (value: string) => boolean): string | undefined {
  const upper = range.size - range.dynamicFrom;
  for (let draw = upper > 0 ? 0 : DRAWS; draw < DRAWS; draw++) {
    const value = range.at(range.dynamicFrom + random.int(upper));
    if (!taken(value)) return value;
  }
  for (let step = 0; step < range.size; step++) {
    const value = range.at((range.dynamicFrom + step) % range.size);
    if (!taken(value)) return value;
  }
  return undefined;
}

/** Canonical dotted form only. */
export function parseIp(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.reduce((value, part) => value * 256 + Number(part), 0);
}

function formatIp(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}
