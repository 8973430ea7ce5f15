// What a fuzzer puts into objects: values that look right, values at the edge, and values that attack. One seed, one sequence.
// No address but loopback and no name that resolves is ever generated where a server could dial it.
import { modelType, type ModelField } from "@coxswain/api/schema/model";
import type { Random } from "@coxswain/env";

export const NAMES = ["a", "b", "present", "web-0", "default", "kube-system", "nothing", "A_b", "x.y", ""];
export const HOSTILE_KEYS = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "$patch",
  "",
  "a/b",
];
const TEXTS = [
  "",
  "x",
  "web",
  "*",
  "/",
  "/tmp",
  "127.0.0.1",
  "127.0.0.0/8",
  "::1",
  "2026-01-01T00:00:00Z",
  "100m",
  "1Gi",
  "-1",
  "1e99",
  "10%",
  "101%",
  "0",
  "65536",
  "*/5 * * * *",
  "v1",
  "apps/v1",
  "Pod",
  "TCP",
  "self.x > 1",
  "has(self.a)",
  "[[[[",
  "(a+)+$",
  ".spec.replicas",
  "{.a[*]}",
  "metadata.name=a",
  "a in (b,c)",
  "!x",
  "\u0000",
  "\ud800",
  "é😀",
  "a".repeat(64),
  "a".repeat(300),
  "b.example",
  "example.com/x",
  "system:masters",
  "__proto__",
  "constructor",
  "../../etc",
  "%2e%2e",
  "$(X)",
  "PEM",
  "e30=",
  "null",
];
const NUMBERS = [
  0,
  1,
  -1,
  2,
  80,
  443,
  30000,
  65535,
  65536,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 53,
  1e300,
  0.5,
  1e-9,
  600,
  3600,
];

export class Values {
  readonly random: Random;

  constructor(random: Random) {
    this.random = random;
  }

  chance(probability: number): boolean {
    return this.random.float() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.random.int(from.length)]!;
  }

  name(): string {
    return this.chance(0.8) ? this.pick(NAMES.slice(0, 6)) : this.pick(NAMES);
  }

  key(): string {
    return this.chance(0.15)
      ? this.pick(HOSTILE_KEYS)
      : this.pick(["app", "a", "b", "x.io/y", "kubernetes.io/metadata.name"]);
  }

  /** Anything that JSON can say. */
  anything(depth = 3): unknown {
    switch (this.random.int(depth > 0 ? 7 : 5)) {
      case 0:
        return null;
      case 1:
        return this.chance(0.5);
      case 2:
        return this.pick(NUMBERS);
      case 3:
      case 4:
        return this.pick(TEXTS);
      case 5:
        return Array.from({ length: this.random.int(4) }, () => this.anything(depth - 1));
      default:
        return Object.fromEntries(
          Array.from({ length: this.random.int(4) }, () => [this.key(), this.anything(depth - 1)] as const),
        );
    }
  }

  /** A value of a type of the model: mostly of the right form, now and then of another. */
  typed(type: string, depth = 6): unknown {
    if (this.chance(0.02)) return this.anything(2);
    if (type.startsWith("#")) return this.object(type.slice(1), depth - 1);
    switch (type) {
      case "string":
        return this.chance(0.5) ? this.name() : this.pick(TEXTS);
      case "bool":
        return this.chance(0.5);
      case "int32":
      case "int64":
      case "double":
        return this.pick(NUMBERS);
      case "bytes":
        return this.pick(["", "e30=", "!!", "AAAA"]);
      case "quantity":
        return this.pick(["1", "100m", "1Gi", "-5", "1e9", "x", 3]);
      case "int-or-string":
        return this.pick([1, 0, "10%", "http", 70000]);
      case "time":
      case "micro-time":
        return this.pick(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001Z", "now", null]);
      case "duration":
        return this.pick(["1s", "5m", "-1h", "x"]);
      case "string-list":
        return [this.name(), this.pick(TEXTS)];
      default:
        return this.anything(2);
    }
  }

  #field(field: ModelField, depth: number): unknown {
    const one = (): unknown =>
      field.e !== undefined && this.chance(0.8) ? this.pick(field.e) : this.typed(field.t, depth);
    if (this.chance(0.02)) return this.anything(1);
    if (field.l === "list") return Array.from({ length: this.pick([0, 1, 1, 1, 2, 3]) }, one);
    if (field.l === "map") {
      return Object.fromEntries(Array.from({ length: this.random.int(3) }, () => [this.key(), one()] as const));
    }
    return one();
  }

  /** An object of a schema: required fields mostly there, others now and then. */
  object(schema: string, depth = 6): Record<string, unknown> {
    const out: [string, unknown][] = [];
    for (const [name, field] of modelType(schema).fields) {
      if (name === "managedFields" && this.chance(0.9)) continue;
      if (!this.chance(field.r === 1 ? 0.95 : depth > 3 ? 0.25 : depth > 0 ? 0.12 : 0)) continue;
      out.push([name, this.#field(field, depth)]);
    }
    if (this.chance(0.03)) out.push([this.pick(HOSTILE_KEYS), this.anything(2)]);
    return Object.fromEntries(out);
  }

  /** The value with one place in it changed. */
  mutate(value: unknown): unknown {
    if (typeof value !== "object" || value === null || this.chance(0.15)) return this.anything(2);
    if (Array.isArray(value)) {
      const at = this.random.int(value.length + 1);
      return at === value.length ? [...value, this.anything(2)] : value.with(at, this.mutate(value[at]));
    }
    const entries = Object.entries(value);
    if (entries.length === 0 || this.chance(0.15))
      return Object.fromEntries([...entries, [this.key(), this.anything(2)]]);
    const at = this.random.int(entries.length);
    if (this.chance(0.15)) return Object.fromEntries(entries.toSpliced(at, 1));
    return Object.fromEntries(entries.map(([key, inner], index) => [key, index === at ? this.mutate(inner) : inner]));
  }

  /** Text with a few of its bytes changed, cut or doubled. */
  damage(bytes: Buffer): Buffer {
    if (bytes.length === 0) return this.random.bytes(8);
    const at = this.random.int(bytes.length);
    switch (this.random.int(4)) {
      case 0:
        return bytes.subarray(0, at);
      case 1:
        return Buffer.concat([bytes.subarray(0, at), this.random.bytes(1 + this.random.int(8)), bytes.subarray(at)]);
      case 2:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at), bytes.subarray(at)]);
      default: {
        const changed = Buffer.from(bytes);
        for (let count = 1 + this.random.int(4); count > 0; count--) {
          changed[this.random.int(changed.length)] = this.random.int(256);
        }
        return changed;
      }
    }
  }
}
