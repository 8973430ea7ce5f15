// The few ASN.1 types that certificates are made of, written as DER (X.690): pure. A library for all of ASN.1 takes longer to
// load than a cluster's certificates take to make.

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

function header(tag: number, length: number): Buffer {
  if (length < 0x80) return Buffer.from([tag, length]);
  const digits: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) digits.unshift(rest & 0xff);
  return Buffer.from([tag, 0x80 | digits.length, ...digits]);
}

function value(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const length = contents.reduce((sum, { length: more }) => sum + more, 0);
  return Buffer.concat([header(tag, length), ...contents]);
}

export const sequence = (...items: readonly Uint8Array[]): Buffer => value(TAG.sequence, ...items);

/** Of one member; several would have to be sorted. */
export const setOf = (item: Uint8Array): Buffer => value(TAG.set, item);

export const octetString = (bytes: Uint8Array): Buffer => value(TAG.octetString, bytes);

export const utf8String = (text: string): Buffer => value(TAG.utf8String, Buffer.from(text, "utf8"));

export const trueValue = (): Buffer => value(TAG.boolean, Buffer.from([0xff]));

/** A positive whole number, as its bytes. */
export function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  if (first === -1) return value(TAG.integer, Buffer.from([0]));
  const digits = bytes.subarray(first);
  return value(TAG.integer, ...((digits[0] ?? 0) >= 0x80 ? [Buffer.from([0])] : []), digits);
}

/** Whole bytes. */
export const bitString = (bytes: Uint8Array): Buffer => value(TAG.bitString, Buffer.from([0]), bytes);

/** Named bits by their numbers, below 8; trailing zeros are left out, as DER wants it. */
export function namedBits(...numbers: readonly number[]): Buffer {
  const byte = numbers.reduce((bits, number) => bits | (0x80 >> number), 0);
  return value(TAG.bitString, Buffer.from([7 - Math.max(...numbers), byte]));
}

/** "1.2.840.10045.4.3.2". */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((number) => {
    const digits = [number & 0x7f];
    for (let more = Math.floor(number / 0x80); more > 0; more = Math.floor(more / 0x80)) {
      digits.unshift((more & 0x7f) | 0x80);
    }
    return digits;
  });
  return value(TAG.objectIdentifier, Buffer.from(bytes));
}

/** In whole seconds; certificates write years from 2050 on with four digits (RFC 5280). */
export function time(date: Date): Buffer {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  if (date.getUTCFullYear() >= 2050) return value(TAG.generalizedTime, Buffer.from(digits, "latin1"));
  return value(TAG.utcTime, Buffer.from(digits.slice(2), "latin1"));
}

/** [number] IMPLICIT, of a primitive type. */
export const tagged = (number: number, bytes: Uint8Array): Buffer => value(0x80 | number, bytes);

/** [number] EXPLICIT. */
export const wrapped = (number: number, item: Uint8Array): Buffer => value(0xa0 | number, item);

/** The items of a SEQUENCE, each with its header. Throws RangeError where `bytes` is none. */
export function itemsOf(bytes: Buffer): Buffer[] {
  const outer = extent(bytes, 0);
  if (bytes[0] !== TAG.sequence) throw new RangeError("not a SEQUENCE");
  const items: Buffer[] = [];
  for (let at = outer.start; at < outer.end;) {
    const { end } = extent(bytes, at);
    items.push(bytes.subarray(at, end));
    at = end;
  }
  return items;
}

/** What stands in one value, without its header. */
export function contentOf(bytes: Buffer): Buffer {
  const { start, end } = extent(bytes, 0);
  return bytes.subarray(start, end);
}

function extent(bytes: Buffer, at: number): { start: number; end: number } {
  const short = bytes[at + 1] ?? 0;
  const digits = short < 0x80 ? 0 : short & 0x7f;
  const start = at + 2 + digits;
  const length = digits === 0 ? short : bytes.readUIntBE(at + 2, digits);
  if (start + length > bytes.length) throw new RangeError("a value ends after what holds it");
  return { start, end: start + length };
}
