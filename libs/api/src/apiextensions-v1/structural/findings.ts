// What value validation finds, in the words of upstream's OpenAPI validator. Paths in messages start at the validated
// value; paths of errors start at the object.
import {
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  fieldTypeInvalid,
  type FieldError,
} from "@coxswain/apimachinery";

/** Errors of one validation, and how much of it passed: what tells the likeliest of several alternatives. */
export class Findings {
  readonly errors: FieldError[] = [];
  /** Checks that passed. */
  matches = 0;
  readonly #base: string;

  /** `base` is the path of the validated value; "" for a whole object. */
  constructor(base: string) {
    this.#base = base;
  }

  /** For an alternative that is judged by itself. */
  apart(): Findings {
    return new Findings(this.#base);
  }

  take(other: Findings): void {
    this.errors.push(...other.errors);
    this.matches += other.matches;
  }

  #at(path: string): string {
    const name = path.startsWith(".") ? path.slice(1) : path;
    if (name === "") return this.#base === "" ? "<nil>" : this.#base;
    return this.#base === "" ? name : `${this.#base}.${name}`;
  }

  wrongType(path: string, expected: string, actual: string): void {
    const message = `${path} in body must be of type ${expected}: ${JSON.stringify(actual)}`;
    this.errors.push(fieldTypeInvalid(this.#at(path), actual, message));
  }

  invalid(path: string, value: unknown, message: string): void {
    this.errors.push(fieldInvalid(this.#at(path), value ?? "", `${path} in body ${message}`));
  }

  /** A junctor failed; such errors name no field of their own. */
  composite(path: string, message: string): void {
    this.errors.push(fieldInvalid(this.#base === "" ? "<nil>" : this.#base, "", `${JSON.stringify(path)} ${message}`));
  }

  required(path: string): void {
    this.errors.push(fieldRequired(this.#at(path)));
  }

  notInEnum(path: string, value: unknown, allowed: readonly unknown[]): void {
    const supported = allowed.map((each) => (typeof each === "string" ? each : JSON.stringify(each)));
    this.errors.push(fieldNotSupported(this.#at(path), value, supported));
  }

  tooLong(path: string, max: number): void {
    this.errors.push(fieldTooLong(this.#at(path), max));
  }

  tooMany(path: string, actual: number, max: number): void {
    this.errors.push(fieldTooMany(this.#at(path), actual, max));
  }
}
