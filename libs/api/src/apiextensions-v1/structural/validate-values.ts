// Validates values against an OpenAPI schema. Guarantees: a schema is compiled once and then only read; a value that passes
// costs no more than the walk; on an update, what is wrong with a part that did not change is let pass (ratcheting), where
// the part can be found in the old object: under the same name, or by the key of a map list.
import { compileGoRegExp, deepEqual, isJsonObject, type FieldError } from "@coxswain/apimachinery";
import type { JsonSchemaProps } from "../types.ts";
import { Findings } from "./findings.ts";
import { normalizedFormat, STRING_FORMATS } from "./formats.ts";
import { canonicalText, listKey } from "./list-types.ts";
import { additionalOf, itemsOf } from "./schema.ts";

/** Stands for: no old value can be found for this place. */
export const UNCORRELATED: unique symbol = Symbol("uncorrelated");

export interface ValueValidator {
  /** Errors of `value`; `old` is what it was, UNCORRELATED on a create. `base` is the value's own path ("" at the root). */
  validate(value: unknown, old?: unknown, base?: string): FieldError[];
}

/** @throws GoRegExpError for a pattern that is none */
export function compileValueValidator(props: JsonSchemaProps): ValueValidator {
  const node = new Node(props);
  return {
    validate(value, old = UNCORRELATED, base = "") {
      const out = new Findings(base);
      node.ratcheted(value, old, "", out);
      return out.errors;
    },
  };
}

function jsonType(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function runeCount(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length - 1; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0xd800 && code <= 0xdbff) count--;
  }
  return count;
}

class Node {
  readonly #props: JsonSchemaProps;
  readonly #types: readonly string[];
  readonly #format: string;
  readonly #checkFormat: ((text: string) => boolean) | undefined;
  readonly #pattern: RegExp | undefined;
  readonly #properties: ReadonlyMap<string, Node>;
  readonly #additional: Node | undefined;
  readonly #items: Node | undefined;
  readonly #allOf: readonly Node[];
  readonly #anyOf: readonly Node[];
  readonly #oneOf: readonly Node[];
  readonly #not: Node | undefined;

  constructor(props: JsonSchemaProps) {
    this.#props = props;
    this.#types = props["x-kubernetes-int-or-string"] ? ["integer", "string"] : props.type ? [props.type] : [];
    const check = STRING_FORMATS.get(normalizedFormat(props.format ?? ""));
    this.#format = check === undefined ? "" : (props.format as string);
    this.#checkFormat = check;
    this.#pattern = props.pattern ? compileGoRegExp(props.pattern) : undefined;
    this.#properties = new Map(Object.entries(props.properties ?? {}).map(([name, each]) => [name, new Node(each)]));
    const node = (each: JsonSchemaProps | undefined): Node | undefined => (each === undefined ? each : new Node(each));
    this.#additional = node(additionalOf(props));
    this.#items = node(itemsOf(props));
    const nodes = (list: readonly JsonSchemaProps[] | undefined): Node[] => (list ?? []).map((each) => new Node(each));
    this.#allOf = nodes(props.allOf);
    this.#anyOf = nodes(props.anyOf);
    this.#oneOf = nodes(props.oneOf);
    this.#not = node(props.not);
  }

  ratcheted(value: unknown, old: unknown, path: string, out: Findings): void {
    const before = out.errors.length;
    this.check(value, old, path, out);
    if (out.errors.length > before && old !== UNCORRELATED && this.#unchanged(value, old)) out.errors.length = before;
  }

  /** The order of a list of type map says nothing; everything else must be equal. */
  #unchanged(value: unknown, old: unknown): boolean {
    if (deepEqual(value, old)) return true;
    if (Array.isArray(value) && Array.isArray(old)) return this.#sameItems(value, old);
    if (!isJsonObject(value) || !isJsonObject(old)) return false;
    const names = Object.keys(value);
    if (names.length !== Object.keys(old).length || this.#props["x-kubernetes-map-type"] === "atomic") return false;
    return names.every((name) => {
      const node = this.#properties.get(name) ?? this.#additional;
      return node !== undefined && Object.hasOwn(old, name) && node.#unchanged(value[name], old[name]);
    });
  }

  #sameItems(value: readonly unknown[], old: readonly unknown[]): boolean {
    if (value.length !== old.length || this.#props["x-kubernetes-list-type"] !== "map") return false;
    const items = this.#items;
    const oldOf = this.#correlateItems(value, old);
    return items !== undefined && value.every((item, index) => items.#unchanged(item, oldOf(index)));
  }

  check(value: unknown, old: unknown, path: string, out: Findings): void {
    this.#checkType(value, path, out);
    if (value === null) {
      this.#checkEnum(value, path, out);
      return;
    }
    this.#checkJunctors(value, old, path, out);
    if (typeof value === "string") this.#checkString(value, path, out);
    else if (typeof value === "number") this.#checkNumber(value, path, out);
    else if (Array.isArray(value)) this.#checkArray(value, old, path, out);
    this.#checkEnum(value, path, out);
    if (isJsonObject(value)) this.#checkObject(value, old, path, out);
  }

  #checkType(value: unknown, path: string, out: Findings): void {
    const types = this.#types;
    if (types.length === 0) return;
    const actual = jsonType(value);
    if (value === null) {
      if (!types.includes("null") && this.#props.nullable !== true) out.wrongType(path, types.join(","), "null");
      return;
    }
    const numeric = types.includes("number") || types.includes("integer");
    // Upstream leaves strings and lists with a format to the format.
    const leftToFormat = !numeric && this.#format !== "" && (actual === "string" || actual === "array");
    const fits = types.includes(actual) || (actual === "integer" && types.includes("number"));
    if (fits || leftToFormat) out.matches++;
    else out.wrongType(path, types.join(","), actual);
  }

  #checkEnum(value: unknown, path: string, out: Findings): void {
    const allowed = this.#props.enum;
    if (allowed === undefined || allowed.length === 0) return;
    if (allowed.some((each) => deepEqual(each, value))) out.matches++;
    else out.notInEnum(path, value, allowed);
  }

  #checkString(value: string, path: string, out: Findings): void {
    const { maxLength, minLength, pattern } = this.#props;
    const length = maxLength === undefined && minLength === undefined ? 0 : runeCount(value);
    if (maxLength !== undefined && length > maxLength) out.tooLong(path, maxLength);
    else if (minLength !== undefined && length < minLength) {
      out.invalid(path, value, `should be at least ${minLength} chars long`);
    } else if (this.#pattern !== undefined && !this.#pattern.test(value)) {
      out.invalid(path, value, `should match '${pattern}'`);
    } else out.matches++;
    if (this.#checkFormat === undefined) return;
    if (this.#checkFormat(value)) out.matches++;
    else out.wrongType(path, this.#format, value);
  }

  #checkNumber(value: number, path: string, out: Findings): void {
    const { multipleOf, maximum, minimum, exclusiveMaximum, exclusiveMinimum, format } = this.#props;
    const before = out.errors.length;
    if (multipleOf !== undefined && !isMultiple(value, multipleOf)) {
      out.invalid(path, value, `should be a multiple of ${multipleOf}`);
    }
    if (maximum !== undefined && (exclusiveMaximum === true ? value >= maximum : value > maximum)) {
      const bound = exclusiveMaximum === true ? "less than" : "less than or equal to";
      out.invalid(path, value, `should be ${bound} ${maximum}`);
    }
    if (minimum !== undefined && (exclusiveMinimum === true ? value <= minimum : value < minimum)) {
      const bound = exclusiveMinimum === true ? "greater than" : "greater than or equal to";
      out.invalid(path, value, `should be ${bound} ${minimum}`);
    }
    const limit = format === "int32" ? 2 ** 31 : format === "int64" ? 2 ** 63 : Infinity;
    if (this.#types[0] === "integer" && this.#types.length === 1 && (value >= limit || value < -limit)) {
      out.composite("Checked", `value must be of type integer with format ${format} in ${path}`);
    }
    if (out.errors.length === before) out.matches++;
  }

  #checkArray(value: readonly unknown[], old: unknown, path: string, out: Findings): void {
    const { maxItems, minItems, uniqueItems } = this.#props;
    const items = this.#items;
    if (items !== undefined) {
      const oldOf = this.#correlateItems(value, old);
      for (let i = 0; i < value.length; i++) items.ratcheted(value[i], oldOf(i), `${path}[${i}]`, out);
    }
    if (minItems !== undefined && value.length < minItems) {
      out.invalid(path, value.length, `should have at least ${minItems} items`);
    }
    if (maxItems !== undefined && value.length > maxItems) out.tooMany(path, value.length, maxItems);
    if (uniqueItems === true && new Set(value.map((each) => canonicalText(each))).size < value.length) {
      out.invalid(path, "", "shouldn't contain duplicates");
    }
  }

  /** The old item of an index: only lists of type map say which is which. */
  #correlateItems(value: readonly unknown[], old: unknown): (index: number) => unknown {
    const keys = this.#props["x-kubernetes-list-map-keys"] ?? [];
    if (this.#props["x-kubernetes-list-type"] !== "map" || !Array.isArray(old)) return () => UNCORRELATED;
    const byKey = new Map(old.map((item: unknown) => [canonicalText(listKey(item, keys)), item]));
    return (index) => {
      const key = canonicalText(listKey(value[index], keys));
      return byKey.has(key) ? byKey.get(key) : UNCORRELATED;
    };
  }

  #checkObject(value: Record<string, unknown>, old: unknown, path: string, out: Findings): void {
    const { maxProperties, minProperties, required } = this.#props;
    const count = maxProperties === undefined && minProperties === undefined ? 0 : Object.keys(value).length;
    if (minProperties !== undefined && count < minProperties) {
      out.invalid(path, count, `should have at least ${minProperties} properties`);
    }
    if (maxProperties !== undefined && count > maxProperties) out.tooMany(path, count, maxProperties);
    const atomic = this.#props["x-kubernetes-map-type"] === "atomic";
    const before = !atomic && isJsonObject(old) ? old : undefined;
    if (this.#properties.size > 0 || this.#additional !== undefined) {
      for (const key of Object.keys(value)) {
        const node = this.#properties.get(key) ?? this.#additional;
        if (node === undefined) continue;
        const hidden = path === "" && (key === "kind" || key === "apiVersion");
        const oldMember = before !== undefined && !hidden && Object.hasOwn(before, key) ? before[key] : UNCORRELATED;
        node.ratcheted(value[key], oldMember, path === "" ? key : `${path}.${key}`, out);
      }
    }
    for (const name of required ?? []) if (!Object.hasOwn(value, name)) out.required(`${path}.${name}`);
    out.matches++;
  }

  #checkJunctors(value: unknown, old: unknown, path: string, out: Findings): void {
    if (this.#anyOf.length > 0) this.#checkAnyOf(value, old, path, out);
    if (this.#oneOf.length > 0) this.#checkOneOf(value, old, path, out);
    if (this.#allOf.length > 0) this.#checkAllOf(value, old, path, out);
    if (this.#not === undefined) return;
    const result = out.apart();
    this.#not.check(value, old, path, result);
    if (result.errors.length === 0) out.composite(path, "must not validate the schema (not)");
  }

  #tryAll(nodes: readonly Node[], value: unknown, old: unknown, path: string, out: Findings): Findings[] {
    return nodes.map((node) => {
      const result = out.apart();
      node.check(value, old, path, result);
      return result;
    });
  }

  #checkAnyOf(value: unknown, old: unknown, path: string, out: Findings): void {
    const results = this.#tryAll(this.#anyOf, value, old, path, out);
    const passed = results.find((result) => result.errors.length === 0);
    if (passed !== undefined) {
      out.take(passed);
      return;
    }
    out.composite(path, "must validate at least one schema (anyOf)");
    out.take(best(results));
  }

  #checkOneOf(value: unknown, old: unknown, path: string, out: Findings): void {
    const results = this.#tryAll(this.#oneOf, value, old, path, out);
    const passed = results.filter((result) => result.errors.length === 0);
    if (passed.length === 1) {
      out.take(passed[0] as Findings);
      return;
    }
    const found = passed.length === 0 ? "Found none valid" : `Found ${passed.length} valid alternatives`;
    out.composite(path, `must validate one and only one schema (oneOf). ${found}`);
    if (passed.length === 0) out.take(best(results));
  }

  #checkAllOf(value: unknown, old: unknown, path: string, out: Findings): void {
    const results = this.#tryAll(this.#allOf, value, old, path, out);
    for (const result of results) out.take(result);
    const failed = results.filter((result) => result.errors.length > 0).length;
    if (failed === 0) return;
    const none = failed === results.length ? ". None validated" : "";
    out.composite(path, `must validate all the schemas (allOf)${none}`);
  }
}

/** The alternative of which most fits: the first of those. */
function best(results: readonly Findings[]): Findings {
  return results.reduce((chosen, each) => (each.matches > chosen.matches ? each : chosen));
}

function isMultiple(value: number, factor: number): boolean {
  const quotient = value / factor;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9 * Math.max(1, Math.abs(quotient));
}
