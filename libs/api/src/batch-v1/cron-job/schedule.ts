// Cron schedules as Kubernetes takes them: five fields, or a descriptor such as @daily. Strict; errors are upstream's words.
import { GoDurationError, parseGoDuration } from "@coxswain/apimachinery";

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names?: Readonly<Record<string, number>>;
}

const named = (names: string, first: number): Record<string, number> =>
  Object.fromEntries(names.split(" ").map((name, index) => [name, first + index]));

const FIELDS: readonly Bounds[] = [
  { min: 0, max: 59 },
  { min: 0, max: 23 },
  { min: 1, max: 31 },
  { min: 1, max: 12, names: named("jan feb mar apr may jun jul aug sep oct nov dec", 1) },
  { min: 0, max: 6, names: named("sun mon tue wed thu fri sat", 0) },
];

const DESCRIPTORS: Readonly<Record<string, string>> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};

/** The values that each field takes, or a fixed interval. */
export type CronSchedule =
  | {
      readonly minutes: readonly number[];
      readonly hours: readonly number[];
      readonly days: readonly number[];
      readonly months: readonly number[];
      readonly weekdays: readonly number[];
      /** Where neither is restricted or just one is, both must fit; else one suffices. */
      readonly anyDay: boolean;
      readonly anyWeekday: boolean;
    }
  | { readonly everyMs: number };

/** Why a schedule cannot be read. */
export class ScheduleError extends Error {}

/** @throws ScheduleError */
export function parseSchedule(text: string): CronSchedule {
  if (text === "") throw new ScheduleError("empty spec string");
  if (text.startsWith("@")) return parseDescriptor(text);
  const fields = text
    .trim()
    .split(/\s+/)
    .filter((each) => each !== "");
  if (fields.length !== FIELDS.length) {
    throw new ScheduleError(`expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`);
  }
  const [minutes = [], hours = [], days = [], months = [], weekdays = []] = fields.map((field, index) =>
    parseField(field, FIELDS[index] as Bounds),
  );
  const isAny = (field: string | undefined) => field?.split(",").some((each) => /^[*?](\/1)?$/.test(each)) ?? false;
  return { minutes, hours, days, months, weekdays, anyDay: isAny(fields[2]), anyWeekday: isAny(fields[4]) };
}

function parseDescriptor(text: string): CronSchedule {
  const fields = DESCRIPTORS[text];
  if (fields !== undefined) return parseSchedule(fields);
  if (!text.startsWith("@every ")) throw new ScheduleError(`unrecognized descriptor: ${text}`);
  const amount = text.slice("@every ".length);
  // Never more often than once a second, and in whole seconds.
  return { everyMs: Math.max(Math.floor(everyMs(text, amount) / 1000), 1) * 1000 };
}

function everyMs(text: string, amount: string): number {
  try {
    return parseGoDuration(amount);
  } catch (error) {
    if (!(error instanceof GoDurationError)) throw error;
    throw new ScheduleError(`failed to parse duration ${text}: ${error.message}`);
  }
}

function parseField(field: string, bounds: Bounds): number[] {
  const values = new Set<number>();
  for (const part of field.split(",").filter((each) => each !== "")) {
    for (const value of parseRange(part, bounds)) values.add(value);
  }
  return [...values].toSorted((a, b) => a - b);
}

function parseRange(text: string, bounds: Bounds): number[] {
  const [range = "", stepText, ...moreSteps] = text.split("/");
  const [low = "", high, ...moreHyphens] = range.split("-");
  const whole = low === "*" || low === "?";
  let start = bounds.min;
  let end = bounds.max;
  if (!whole) {
    start = parseValue(low, bounds.names);
    if (moreHyphens.length > 0) throw new ScheduleError(`too many hyphens: ${text}`);
    end = high === undefined ? start : parseValue(high, bounds.names);
  }
  if (moreSteps.length > 0) throw new ScheduleError(`too many slashes: ${text}`);
  let step = 1;
  if (stepText !== undefined) {
    step = parseValue(stepText, undefined);
    // "5/15" means from 5 to the end.
    if (high === undefined && !whole) end = bounds.max;
  }
  checkRange(text, start, end, step, bounds);
  const values: number[] = [];
  for (let value = start; value <= end; value += step) values.push(value);
  return values;
}

function checkRange(text: string, start: number, end: number, step: number, { min, max }: Bounds): void {
  if (start < min) throw new ScheduleError(`beginning of range (${start}) below minimum (${min}): ${text}`);
  if (end > max) throw new ScheduleError(`end of range (${end}) above maximum (${max}): ${text}`);
  if (start > end) throw new ScheduleError(`beginning of range (${start}) beyond end of range (${end}): ${text}`);
  if (step === 0) throw new ScheduleError(`step of range should be a positive number: ${text}`);
}

function parseValue(text: string, names: Bounds["names"]): number {
  const name = names?.[text.toLowerCase()];
  if (name !== undefined) return name;
  if (/^[+-]?\d+$/.test(text)) {
    const value = Number(text);
    if (value < 0) throw new ScheduleError(`negative number (${value}) not allowed: ${text}`);
    return value;
  }
  const why = `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`;
  throw new ScheduleError(`failed to parse int from ${text}: ${why}`);
}
