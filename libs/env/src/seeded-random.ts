// Seeded randomness: one seed is one sequence, on every machine. Not for secrets.
import type { Random } from "./contract.ts";

const NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** Builds the derived draws on top of a source of uniform 32-bit integers. */
export function randomFrom(next32: () => number): Random {
  const int = (max: number): number => {
    if (!Number.isSafeInteger(max) || max <= 0) throw new RangeError(`int: ${max} is not a positive integer`);
    // Rejection keeps the draw uniform.
    const limit = Math.floor(0x1_0000_0000 / max) * max;
    for (;;) {
      const draw = next32();
      if (draw < limit) return draw % max;
    }
  };
  const bytes = (length: number): Buffer => {
    const out = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) out[at] = next32() >>> 24;
    return out;
  };
  return {
    float: () => next32() / 0x1_0000_0000,
    int,
    bytes,
    uuid: () => {
      const b = bytes(16);
      b[6] = (b[6]! & 0x0f) | 0x40;
      b[8] = (b[8]! & 0x3f) | 0x80;
      const hex = b.toString("hex");
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    },
    nameSuffix: (length) => {
      let out = "";
      for (let at = 0; at < length; at++) out += NAME_ALPHABET[int(NAME_ALPHABET.length)];
      return out;
    },
  };
}

/** The generator is splitmix32: small, fast, and good enough for simulations. */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  return randomFrom(() => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  });
}
