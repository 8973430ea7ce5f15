// What the estimate knows of a part of an expression: its type, where its value comes from, and how large that may be.
import type { ASTNode } from "@marcbachmann/cel-js";
import type { CheckedType } from "../syntax/node.ts";
import { fixed, UNKNOWN, union, type Range } from "./ranges.ts";

/** How large the values are that stand below the variables. */
export interface CostSizes {
  /**
   * The size of what stands at the path, in characters, bytes or entries: undefined where nothing is known. The first step is
   * a variable, the others are fields' names, "@items", "@values", "@keys" and "@indices". Without a path only the type speaks.
   */
  size(path: readonly string[], type: string): Range | undefined;
  /** What stands at the path where the type is left open: "list", "map", "object", or the name of a simple type. */
  kind(path: readonly string[]): string | undefined;
}

/** The sizes of what a list or a map holds. */
export interface Entries {
  readonly container: "list" | "map";
  readonly key: Range;
  readonly value: Range;
}

export interface Operand {
  readonly node: ASTNode;
  readonly cost: Range;
  readonly type: CheckedType | undefined;
  /** "list", "map", "object", "optional", "dyn", or the name of a simple or declared type. */
  readonly kind: string;
  readonly path: readonly string[];
  /** Undefined where nothing is known. */
  readonly size: Range | undefined;
  readonly entries: Entries | undefined;
}

export const sizeOf = ({ size }: Operand): Range => size ?? UNKNOWN;

export function unionOf(a: Entries | undefined, b: Entries | undefined): Entries | undefined {
  if (a === undefined || b === undefined) return undefined;
  return { container: a.container, key: union(a.key, b.key), value: union(a.value, b.value) };
}

const SCALARS = new Set(["bool", "double", "int", "uint", "google.protobuf.Duration", "google.protobuf.Timestamp"]);

/** Values of these types are all of one size. */
export function isScalar(type: CheckedType | undefined): boolean {
  if (type?.kind === "optional") return isScalar(type.valueType);
  return type !== undefined && SCALARS.has(type.name);
}

export const SCALAR_SIZE = fixed(1);

const isLibraryType = (name: string): boolean => /^(?:google\.protobuf|net|kubernetes)\./.test(name);

/** The kind of a type; undefined where the type is open. */
export function kindOfType(type: CheckedType | undefined): string | undefined {
  if (type === undefined || type.kind === "dyn" || type.kind === "param") return undefined;
  if (type.kind === "list" || type.kind === "map" || type.kind === "optional") return type.kind;
  return type.kind === "message" && !isLibraryType(type.name) && type.name !== "bytes" ? "object" : type.name;
}
