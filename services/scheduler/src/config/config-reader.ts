// Reads values out of a parsed file, and remembers everything that is wrong with them by its path. Pure.
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldTypeInvalid,
  indexPath,
  isJsonObject,
  type FieldError,
} from "@coxswain/apimachinery";

export type Fields = Readonly<Record<string, unknown>>;

export class ConfigReader {
  readonly errors: FieldError[] = [];

  /** The object's members, of which others than `known` are errors; none where there is no object. */
  object(value: unknown, path: string, known: readonly string[]): Fields {
    if (value === undefined || value === null) return {};
    if (!isJsonObject(value)) {
      this.errors.push(fieldTypeInvalid(path, value, "must be an object"));
      return {};
    }
    for (const name of Object.keys(value)) {
      if (!known.includes(name)) this.errors.push(fieldForbidden(childPath(path, name), "unknown field"));
    }
    return value;
  }

  list<T>(value: unknown, path: string, read: (item: unknown, path: string) => T): T[] {
    if (value === undefined || value === null) return [];
    if (!Array.isArray(value)) {
      this.errors.push(fieldTypeInvalid(path, value, "must be a list"));
      return [];
    }
    return value.map((item: unknown, at) => read(item, indexPath(path, at)));
  }

  text(value: unknown, path: string): string | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value === "string") return value;
    this.errors.push(fieldTypeInvalid(path, value, "must be a string"));
    return undefined;
  }

  oneOf<T extends string>(value: unknown, path: string, values: readonly T[]): T | undefined {
    const found = this.text(value, path);
    if (found === undefined || values.includes(found as T)) return found as T | undefined;
    this.errors.push(fieldNotSupported(path, found, values));
    return undefined;
  }

  flag(value: unknown, path: string): boolean | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value === "boolean") return value;
    this.errors.push(fieldTypeInvalid(path, value, "must be true or false"));
    return undefined;
  }

  /** A whole number; `problem` tells what is wrong with it. */
  integer(value: unknown, path: string, problem: (number: number) => string | undefined): number | undefined {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "number" || !Number.isInteger(value)) {
      this.errors.push(fieldTypeInvalid(path, value, "must be a whole number"));
      return undefined;
    }
    const wrong = problem(value);
    if (wrong === undefined) return value;
    this.errors.push(fieldInvalid(path, value, wrong));
    return undefined;
  }

  /** Something that upstream's scheduler has and this one has not, where it is asked for. */
  refuse(asked: boolean, path: string, detail: string): void {
    if (asked) this.errors.push(fieldForbidden(path, detail));
  }
}

/** For `integer`. */
export const within =
  (low: number, high: number) =>
  (value: number): string | undefined =>
    value >= low && value <= high ? undefined : `not in valid range [${low}-${high}]`;

/** For `integer`. */
export const above =
  (limit: number, detail: string) =>
  (value: number): string | undefined =>
    value > limit ? undefined : detail;
