// The least of protobuf's wire format, for the two messages of which each object is written and read: sizes and fields to write, and
// a reader that hands out fields as they come. What else etcd is told goes through its descriptor.

/** Wire types. */
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5] as const;

/** Bytes of a length as a varint. */
export function lengthSize(length: number): number {
  return length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : length < 0x1000_0000 ? 4 : 5;
}

/** Bytes of a field of that many bytes, whose number is below 16. */
export function fieldSize(length: number): number {
  return 1 + lengthSize(length) + length;
}

/** Bytes of an int64 as a varint. */
export function int64Size(value: bigint): number {
  if (value < 0n) return 10;
  let size = 1;
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) size++;
  return size;
}

export class Writer {
  readonly bytes: Buffer<ArrayBuffer>;
  #at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  /** The bytes, of which all must have been written. */
  finish(): Buffer<ArrayBuffer> {
    if (this.#at !== this.bytes.length) throw new Error(`${this.#at} bytes of ${this.bytes.length} were written`);
    return this.bytes;
  }

  /** A field's number and type, or a value, in one byte. */
  byte(value: number): void {
    this.bytes[this.#at++] = value;
  }

  length(value: number): void {
    let rest = value;
    for (; rest >= 0x80; rest >>>= 7) this.bytes[this.#at++] = (rest & 0x7f) | 0x80;
    this.bytes[this.#at++] = rest;
  }

  int64(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) this.bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.bytes[this.#at++] = Number(rest);
  }

  /** Of `size` bytes in UTF-8. */
  text(value: string, size: number): void {
    this.length(size);
    this.#at += this.bytes.write(value, this.#at, "utf8");
  }

  raw(value: Buffer): void {
    this.#at += value.copy(this.bytes, this.#at);
  }
}

export class Reader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  #type = 0;

  constructor(bytes: Buffer, from = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = end;
  }

  /** The number of the next field; 0 at the end. Its value is then read, or skipped. */
  next(): number {
    if (this.#at >= this.#end) return 0;
    const tag = this.#varint();
    this.#type = tag & 7;
    return Math.floor(tag / 8);
  }

  /** @throws RangeError where it is longer than what is left */
  #varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new RangeError("a message of etcd ends within a field");
    return this.#bytes[this.#at++]!;
  }

  flag(): boolean {
    return this.#varint() !== 0;
  }

  int64(): bigint {
    const from = this.#at;
    const value = this.#varint();
    if (value <= Number.MAX_SAFE_INTEGER) return BigInt(value);
    let exact = 0n;
    for (let at = from; at < this.#at; at++) exact |= BigInt(this.#bytes[at]! & 0x7f) << BigInt(7 * (at - from));
    return BigInt.asIntN(64, exact);
  }

  /** Shares memory with the message. */
  data(): Buffer {
    const end = this.#contentEnd();
    const data = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return data;
  }

  message(): Reader {
    const end = this.#contentEnd();
    const reader = new Reader(this.#bytes, this.#at, end);
    this.#at = end;
    return reader;
  }

  #contentEnd(): number {
    const length = this.#varint();
    const end = this.#at + length;
    if (end > this.#end) throw new RangeError("a message of etcd ends within a field");
    return end;
  }

  skip(): void {
    if (this.#type === VARINT) this.#varint();
    else if (this.#type === BYTES) this.#at = this.#contentEnd();
    else if (this.#type === FIXED64 || this.#type === FIXED32) this.#at += this.#type === FIXED64 ? 8 : 4;
    else throw new RangeError(`a message of etcd has a field of type ${this.#type}`);
  }
}
