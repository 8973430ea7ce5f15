// Reads protobuf's wire format. Every read stays within the bounds given; malformed input throws a BadRequest StatusError.
import { newBadRequest } from "@coxswain/apimachinery";

export class WireReader {
  private readonly bytes: Buffer;
  private at: number;
  private readonly end: number;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
  }

  get done(): boolean {
    return this.at >= this.end;
  }

  /** A field's number and wire type. */
  tag(): { number: number; wireType: number } {
    const tag = Number(this.varint() & 0xffff_ffffn);
    return { number: tag >>> 3, wireType: tag & 7 };
  }

  /** Two's complement in 64 bits, sign kept. */
  varint(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw malformed("a varint is longer than ten bytes");
  }

  /** A length-delimited field's bytes, not copied. */
  block(): Buffer {
    const length = Number(this.varint());
    if (length < 0 || length > this.end - this.at) throw malformed("a field runs past the end");
    const start = this.at;
    this.at += length;
    return this.bytes.subarray(start, this.at);
  }

  double(): number {
    this.need(8);
    const value = this.bytes.readDoubleLE(this.at);
    this.at += 8;
    return value;
  }

  skip(wireType: number): void {
    if (wireType === 0) this.varint();
    else if (wireType === 1) this.advance(8);
    else if (wireType === 2) this.block();
    else if (wireType === 5) this.advance(4);
    else throw malformed(`wire type ${wireType} is not supported`);
  }

  private advance(count: number): void {
    this.need(count);
    this.at += count;
  }

  private need(count: number): void {
    if (count > this.end - this.at) throw malformed("a field runs past the end");
  }

  private byte(): number {
    if (this.at >= this.end) throw malformed("unexpected end");
    return this.bytes[this.at++] as number;
  }
}

export function malformed(detail: string): Error {
  return newBadRequest(`unable to decode the protobuf body: ${detail}`);
}
