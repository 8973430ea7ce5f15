// Times and durations as the API writes them. Milliseconds since the epoch inside, RFC 3339 in UTC on the wire.

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/;

/** The last second that was asked for: most times are those of writes that go on now. */
let lastSecond = Number.NaN;
let lastText = "";

/** Whole seconds, as in 2026-01-31T08:15:30Z; fractions are cut. */
export function formatTime(ms: number): string {
  const second = Math.floor(ms / 1000);
  if (second !== lastSecond) {
    lastText = `${new Date(ms).toISOString().slice(0, 19)}Z`;
    lastSecond = second;
  }
  return lastText;
}

/** Six digits of a second, as in 2026-01-31T08:15:30.123000Z: meta/v1 MicroTime. */
export function formatMicroTime(ms: number): string {
  const whole = Math.floor(ms);
  const micros = Math.floor((ms - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, 23)}${String(micros).padStart(3, "0")}Z`;
}

const WHOLE_SECONDS_LENGTH = "2026-01-31T08:15:30Z".length;
const MAX_REMEMBERED = 64;
/** What texts of whole seconds mean: the few of a moment are in all that is written in it, several times. */
const remembered = new Map<string, number>();

/** Milliseconds since the epoch (with fractions where given); undefined where the text is not RFC 3339. */
export function parseTime(text: string | null | undefined): number | undefined {
  if (typeof text !== "string") return undefined;
  if (text.length !== WHOLE_SECONDS_LENGTH) return readTime(text);
  const known = remembered.get(text);
  if (known !== undefined) return known;
  const ms = readTime(text);
  if (ms === undefined) return undefined;
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(text, ms);
  return ms;
}

function readTime(text: string): number | undefined {
  const match = RFC3339.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction = "", zone = "Z"] = match;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  const back = new Date(ms);
  // Date.UTC carries an impossible date over into the next month; such text is refused instead.
  const exact = back.getUTCDate() === Number(day) && back.getUTCMonth() + 1 === Number(month);
  if (!exact || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const offset = zone === "Z" ? 0 : offsetMinutes(zone);
  if (offset === undefined) return undefined;
  return ms - offset * 60_000 + Number(fraction.padEnd(9, "0")) / 1e6;
}

function offsetMinutes(zone: string): number | undefined {
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes);
}

/** Two or three significant figures of a duration, as kubectl shows ages: 45s, 5m30s, 3h, 2d4h, 1y30d. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return withRest(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return withRest(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (hours < 192) return withRest(days, "d", hours % 24, "h");
  if (days < 730) return `${days}d`;
  const years = Math.trunc(days / 365);
  return years < 8 ? withRest(years, "y", days % 365, "d") : `${years}y`;
}

function withRest(value: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${value}${unit}` : `${value}${unit}${rest}${restUnit}`;
}

/** The day of UTC, as in 2026-01-31. */
export const formatDay = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** True for a day as formatDay writes it. */
export function isDay(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)) && formatDay(Date.parse(text)) === text;
}
