// Whether a JSON value fits a scalar type of the model, in the words of upstream's decoder.
import { parseTime, quantityProblem, quote } from "@coxswain/apimachinery";

/** The JSON kind where it doesn't fit, or ! and a whole message. */
export function scalarProblem(value: unknown, type: string): string | undefined {
  switch (type) {
    case "string":
      return typeof value === "string" ? undefined : jsonKind(value);
    case "bool":
      return typeof value === "boolean" ? undefined : jsonKind(value);
    case "int32":
    case "int64":
      return integerProblem(value, type === "int32" ? 2 ** 31 : 2 ** 63);
    case "double":
      return typeof value === "number" ? undefined : jsonKind(value);
    case "bytes":
      return bytesProblem(value);
    case "quantity":
      return complaintOfQuantity(value);
    case "int-or-string":
      return typeof value === "string" ? undefined : integerProblem(value, 2 ** 31);
    case "time":
    case "micro-time":
      return timeProblem(value);
    case "string-list":
      return Array.isArray(value) ? undefined : jsonKind(value);
    default:
      return undefined;
  }
}

function integerProblem(value: unknown, limit: number): string | undefined {
  if (typeof value !== "number") return jsonKind(value);
  return Number.isInteger(value) && value >= -limit && value < limit ? undefined : `number ${value}`;
}

function bytesProblem(value: unknown): string | undefined {
  if (typeof value !== "string") return jsonKind(value);
  const compact = value.replace(/[\r\n]/g, "");
  const bad = /[^A-Za-z0-9+/=]/.exec(compact);
  if (bad !== null) return `!illegal base64 data at input byte ${bad.index}`;
  const padding = /=*$/.exec(compact)?.[0].length ?? 0;
  const inner = compact.length - padding;
  const fine = compact.length % 4 === 0 && padding <= 2 && !compact.slice(0, inner).includes("=");
  return fine ? undefined : `!illegal base64 data at input byte ${Math.max(compact.length - (compact.length % 4), 0)}`;
}

function complaintOfQuantity(value: unknown): string | undefined {
  if (typeof value !== "string" && typeof value !== "number") {
    return "!quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  }
  const problem = quantityProblem(value);
  return problem === undefined ? undefined : `!${problem}`;
}

function timeProblem(value: unknown): string | undefined {
  if (typeof value !== "string") return jsonKind(value);
  if (parseTime(value) !== undefined) return undefined;
  return `!parsing time ${quote(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${quote(value)} as "2006"`;
}

/** What JSON calls the value. */
export function jsonKind(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (value === null) return "null";
  return typeof value === "boolean" ? "bool" : typeof value;
}
