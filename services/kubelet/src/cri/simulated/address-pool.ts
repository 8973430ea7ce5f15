// Pod addresses of one node, out of its pod CIDR. Guarantees: no address is out twice, and one that was given back comes
// last again, so that what still talks to a dead pod does not meet its successor at once.

export interface Ipv4Range {
  readonly base: number;
  readonly size: number;
}

/** Undefined where the text is no IPv4 CIDR. */
export function parseIpv4Cidr(cidr: string): Ipv4Range | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr);
  if (match === null) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, bits = 0] = match.slice(1).map(Number);
  if (bits > 32 || a > 255 || b > 255 || c > 255 || d > 255) return undefined;
  const size = 2 ** (32 - bits);
  const address = ((a * 256 + b) * 256 + c) * 256 + d;
  return { base: address - (address % size), size };
}

function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193) >>> 0;
  return value;
}

/**
 * The range of a node that has no pod CIDR (yet): node-7 has 10.128.7.0/24, a name without a number one by its hash. It
 * lies outside the cluster's pod range, so that it never meets a CIDR that the controller gave to another node; numbers
 * up to 28,671 never share a range.
 */
export function fallbackPodCidr(node: string): string {
  const digits = /(\d{1,6})$/.exec(node)?.[1];
  const index = (digits === undefined ? hash(node) : Number(digits)) % 28_672;
  return `10.${128 + Math.floor(index / 256)}.${index % 256}.0/24`;
}

export class AddressPool {
  readonly #cidr: () => string;
  readonly #used = new Set<string>();
  #next = 0;

  /** `cidr` is asked each time: a node may get its pod CIDR after its first pod. */
  constructor(cidr: () => string) {
    this.#cidr = cidr;
  }

  /** Throws where all addresses are out, or the range cannot be read. */
  take(): string {
    const cidr = this.#cidr();
    const range = parseIpv4Cidr(cidr);
    if (range === undefined) throw new Error(`pod CIDR ${JSON.stringify(cidr)} is not an IPv4 range`);
    // The first address is the network's, the second the gateway's, the last the broadcast's.
    const count = range.size - 3;
    for (let tried = 0; tried < count; tried++) {
      const address = formatIpv4(range.base + 2 + (this.#next++ % count));
      if (this.#used.has(address)) continue;
      this.#used.add(address);
      return address;
    }
    throw new Error(`no IP addresses available in range set: ${cidr}`);
  }

  release(address: string): void {
    this.#used.delete(address);
  }
}
