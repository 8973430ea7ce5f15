// Writes protobuf's wire format into a list of chunks.

export class WireWriter {
  private readonly chunks: Buffer[] = [];

  varint(number: number, value: bigint): void {
    this.chunks.push(encodeVarint(BigInt(number << 3)), encodeVarint(BigInt.asUintN(64, value)));
  }

  double(number: number, value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.chunks.push(encodeVarint(BigInt((number << 3) | 1)), bytes);
  }

  block(number: number, bytes: Buffer): void {
    this.chunks.push(encodeVarint(BigInt((number << 3) | 2)), encodeVarint(BigInt(bytes.length)), bytes);
  }

  text(number: number, value: string): void {
    this.block(number, Buffer.from(value, "utf8"));
  }

  finish(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

function encodeVarint(value: bigint): Buffer {
  if (value < 0x80n) return Buffer.from([Number(value)]);
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
